"""Smeared edges of estimated depth."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EDGE_BEND = 0.1  # relative bend of disparity above which an estimated depth counts as smeared


@partial(jax.jit, static_argnames="threshold")
def drop_depth_edges(depth: Float[Array, "*b h w"], threshold: float) -> Float[Array, "*b h w"]:
    """Set depth to 0 (unknown) where an estimate smears a foreground edge into its background.

    Disparity is linear on planes of any slant, so its second difference, relative to the disparity,
    tells edges from slopes.
    """
    disparity = jnp.where(depth > 0, 1 / jnp.maximum(depth, 1e-6), 0.0)
    bend = jnp.zeros_like(disparity)
    for axis in (-2, -1):
        ends = [(0, 0)] * depth.ndim
        ends[axis] = (1, 1)
        padded = jnp.pad(jnp.diff(disparity, axis=axis), ends, mode="edge")
        bend = jnp.maximum(bend, jnp.abs(jnp.diff(padded, axis=axis)))
    return jnp.where(bend > threshold * disparity, 0.0, depth)
