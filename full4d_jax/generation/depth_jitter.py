"""Corruption of depth in training, and the shares of clips that get it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from full4d_jax.config import DataConfig
from full4d_jax.geometry.depth_maps import EDGE_BEND, drop_depth_edges


class Shares(NamedTuple):
    """Random numbers of the corruption of one clip.

    Attributes:
      key: of the errors of its depth.
      corrupt: its depth has errors where this is below `data.corrupt_depth`.
      drop: it has no projection where this is below `data.drop_projection`.
    """

    key: PRNGKeyArray
    corrupt: Float[Array, ""]
    drop: Float[Array, ""]


def draw_shares(key: PRNGKeyArray, index: Int[Array, ""] | int) -> Shares:
    """Draw for one clip of a batch, by its place there."""
    depth_key, share_key = jax.random.split(jax.random.fold_in(key, index))
    return Shares(depth_key, *jax.random.uniform(share_key, (2,)))


def draw_depth(
    shares: Shares, depth: Float[Array, "t h w"], data: DataConfig
) -> Float[Array, "t h w"]:
    """Corrupt the depth of a clip as a network would, with some probability."""
    estimate = drop_depth_edges(corrupt_depth(shares.key, depth), EDGE_BEND)
    return jnp.where(shares.corrupt < data.corrupt_depth, estimate, depth)


def corrupt_depth(key: PRNGKeyArray, depth: Float[Array, "t h w"]) -> Float[Array, "t h w"]:
    """Make depth such as a network might estimate: wrong scale, smooth errors, blurred edges."""
    scale_key, noise_key, level_key, blur_key = jax.random.split(key, 4)
    log = jnp.log(jnp.maximum(depth, 1e-3))
    blurred = jax.lax.reduce_window(log, 0.0, jax.lax.add, (1, 3, 3), (1, 1, 1), "SAME") / 9
    # Keep the border: its windows reach outside.
    blurred = log.at[:, 1:-1, 1:-1].set(blurred[:, 1:-1, 1:-1])
    log = jnp.where(jax.random.bernoulli(blur_key, 0.6), blurred, log)
    level = jax.random.uniform(level_key, minval=0.05, maxval=0.2)
    coarse = jax.random.normal(noise_key, (depth.shape[0], 4, 4)) * 0.5
    coarse = coarse + jax.random.normal(jax.random.fold_in(noise_key, 1), (1, 4, 4))
    noise = level * jax.image.resize(coarse, depth.shape, "cubic")
    return jnp.exp(log + noise + 0.1 * jax.random.normal(scale_key))
