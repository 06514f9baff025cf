"""4Real-Video's two token streams: one layer over views and over time, then synchronized.

Every token is held twice, x^v and x^t. A layer f of a video model, the same weights for both, sees
n frames of one video; what makes them a freeze-time or a fixed-view video is the context c:

    y^v = f(x^v; c^v)      the v views of each instant         (b t) (1 v s) d
    y^t = f(x^t; c^t)      the t frames of each view           (b v) (1 t s) d

and a synchronization layer lets the streams agree, with m(y; tau) = y (1 + scale(tau)):

    hard   x^v = x^t = W^v m(y^v; tau) + W^t m(y^t; tau)             W starts as half the identity
    soft   x = y + dy for each, (dy^v, dy^t) = W [m(y^v; tau), m(y^t; tau)]           W starts at 0

so that at first hard is the mean and soft lets both streams run apart. `sequential` has one stream
that goes through each layer twice, over views and then over time, and nothing to synchronize.
(4Real-Video, arXiv 2412.04462, section 3; where its equations leave the initial weights of soft and
the place of the modulation open, they are ours.)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax.config import ModelConfig
from full4d_jax.models.linear import linear
from full4d_jax.models.tokens import VIDEOS, Axis, Grid, Moments, flatten, on_tokens, videos

Tokens = Float[Array, "b n d"]


class Streams(NamedTuple):
    """One array for each stream."""

    views: Tokens
    times: Tokens


def along(axis: Axis, layer: Callable[[Tokens], Tokens], x: Tokens, grid: Grid) -> Tokens:
    """Apply a layer of a video model to the grid's videos along one axis."""
    if axis == "all":
        return layer(x)
    cut = grid.along(axis)
    y = on_tokens(layer(on_tokens(flatten(videos(grid.unflatten(x), axis)), axis)), axis)
    sizes = {"b": len(x), "v": grid.views, "t": grid.frames}
    return flatten(rearrange(cut.unflatten(y), f"{VIDEOS[axis]} -> b v t ...", **sizes))


class Synchronization(nnx.Module):
    """What follows each layer; see the module's equations."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        d = config.width
        self.is_hard = config.attention == "two_stream_hard"
        self.mix = linear(2 * d, d if self.is_hard else 2 * d, rngs, zero=True)
        if self.is_hard:
            self.mix.kernel[...] = jnp.concatenate([jnp.eye(d), jnp.eye(d)]) / 2
        self.modulation = nnx.Param(jnp.zeros((2, d)))

    def __call__(self, y: Streams, scale: Moments) -> Streams:
        """Streams after the layer to those before the next.

        Args:
          y: what the layer returned for each.
          scale: projections (2 d) of the flow time, shared by all blocks; the block's table is
            added.
        """
        m: Array = (1 + scale.rows + self.modulation[...][None, None]).astype(y.views.dtype)
        parts = (x * scale.of_tokens(m[:, :, i], x.shape[1]) for i, x in enumerate(y))
        both = jnp.concatenate(list(parts), -1)
        mixed = self.mix(both)
        if self.is_hard:
            return Streams(mixed, mixed)
        return jax.tree.map(jnp.add, y, Streams(*jnp.split(mixed, 2, -1)))
