"""Enlarged disparity follows edges of depth, placed by the colours of the full frame."""

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.source.depth.enlarge import enlarge_disparity

EDGE = 42  # column where the near half begins, within a small pixel


def shrunk(x: jax.Array) -> jax.Array:
    return jax.image.resize(x, (1, 16, 24, *x.shape[3:]), "linear")


def two_halves(near: float, far: float) -> tuple[jax.Array, jax.Array]:
    """A frame (1 64 96 3), bright where it is near, and its disparity."""
    is_near = (jnp.arange(96) >= EDGE)[None, None] & jnp.ones((1, 64, 1), bool)
    frame = jnp.where(is_near[..., None], 0.8, -0.8) * jnp.ones(3)[None, None, None]
    return frame, jnp.where(is_near, near, far)


def test_an_edge_of_depth_lies_where_the_colours_change():
    frame, disparity = two_halves(2.0, 1.0)
    large = enlarge_disparity(shrunk(disparity), shrunk(frame), frame)
    inside = np.asarray(large)[0, :, 8:-8]
    assert (np.abs(inside[:, : EDGE - 8] - 1) < 0.2).all()
    assert (np.abs(inside[:, EDGE - 8 :] - 2) < 0.2).all()
    smooth = jax.image.resize(shrunk(disparity), large.shape, "cubic")
    errors = [float(jnp.abs(x - disparity).mean()) for x in (large, smooth)]
    assert errors[0] < errors[1] / 3
