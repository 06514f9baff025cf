"""4Real-Video's networks: the same blocks along the views and along the times of a grid.

`TwoStreamDiT` holds every token twice, x^v and x^t. A layer f of a video model sees n frames of one
video, with the same weights for both; the context c says whether one instant or one view:

    y^v = f(x^v; c^v)      the v views of each instant         (b t) (1 v s) d
    y^t = f(x^t; c^t)      the t frames of each view           (b v) (1 t s) d

and a synchronization layer lets the streams agree, with m(y; tau) = y (1 + scale(tau)):

    hard   x^v = x^t = W^v m(y^v; tau) + W^t m(y^t; tau)             W starts as half the identity
    soft   x = y + dy for each, (dy^v, dy^t) = W [m(y^v; tau), m(y^t; tau)]           W starts at 0

so that at first hard is the mean and soft lets both streams run apart. `SequentialDiT` has one
stream, which goes through each layer twice, over views and then over time; nothing is synchronized.
(4Real-Video, arXiv 2412.04462, section 3; its equations leave open how soft starts and where the
modulation stands, so these are ours.)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx

from full4d_jax.config import ModelConfig, TwoStreams
from full4d_jax.models.dit.backbone import GridInputs, MultiViewDiT
from full4d_jax.models.dit.block import Block
from full4d_jax.models.dit.guides import Maps
from full4d_jax.models.dit.linear import linear
from full4d_jax.models.dit.tokens import (
    VIDEOS,
    Axis,
    Modulation,
    Tokens,
    flatten,
    on_tokens,
    videos,
)


class Streams(NamedTuple):
    """One array for each stream."""

    views: Tokens
    times: Tokens


class Synchronization(nnx.Module):
    """The layer between blocks that lets the streams agree; see the module's equations."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        d = config.width
        attention = config.attention
        assert isinstance(attention, TwoStreams), "it alone has two streams"
        self.is_hard = attention.synchronization == "hard"
        self.mix = linear(2 * d, d if self.is_hard else 2 * d, rngs, zero=True)
        if self.is_hard:
            self.mix.kernel[...] = jnp.concatenate([jnp.eye(d), jnp.eye(d)]) / 2
        self.modulation = nnx.Param(jnp.zeros((2, d)))

    def __call__(self, y: Streams, scale: Modulation) -> Streams:
        """Return the streams before the next block.

        Args:
          y: what the block returned for each.
          scale: projections (2 d) of the flow time, shared by all blocks; the block's table is
            added.
        """
        factor = scale._replace(rows=1 + scale.rows)
        scales = factor.of_tokens(self.modulation[...], y.views)
        mixed = self.mix(
            jnp.concatenate([y.views * scales[0], y.times * scales[1]], -1)
        )
        if self.is_hard:
            return Streams(mixed, mixed)
        return jax.tree.map(jnp.add, y, Streams(*jnp.split(mixed, 2, -1)))


class SynchronizedBlock(Block):
    """A block, and the synchronization of the two streams that went through it."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.synchronization = Synchronization(config, rngs)


class TwoStreamDiT(MultiViewDiT):
    """Two streams through the same blocks, one along each axis, synchronized after each."""

    block = SynchronizedBlock

    def make_blocks(self, rngs: nnx.Rngs) -> None:
        """Create the blocks, and the projection of the flow time that synchronization reads."""
        super().make_blocks(rngs)
        d = self.config.width
        self.synchronization_time = linear(d, 2 * d, rngs, zero=True)

    def through_blocks(self, x: Tokens, seen: GridInputs) -> Maps:
        """Send both streams through every block; the mean of what they say leaves."""
        over_views, over_times = (
            layer_along(axis, self, seen) for axis in ("views", "times")
        )
        both = self.synchronization_time(jax.nn.silu(seen.time))
        both = rearrange(both, "b r (m d) -> b r m d", m=2)
        scale = seen.modulation("all", both)

        def apply(block, x):
            y = Streams(over_views(block, x.views), over_times(block, x.times))
            return jax.tree.map(on_tokens, block.synchronization(y, scale))

        streams = self.scan(apply, Streams(x, x))
        by_views = self.read(streams.views, "views", seen)
        return (by_views + self.read(streams.times, "times", seen)) / 2


class SequentialDiT(MultiViewDiT):
    """One stream through each block twice: along the views, then along the times."""

    def through_blocks(self, x: Tokens, seen: GridInputs) -> Maps:
        """Send the stream through every block twice, and read the generated frames."""
        over_views, over_times = (
            layer_along(axis, self, seen) for axis in ("views", "times")
        )

        def apply(block, x):
            return on_tokens(over_times(block, on_tokens(over_views(block, x))))

        return self.read(self.scan(apply, x), "all", seen)


def layer_along(
    axis: Axis, network: MultiViewDiT, seen: GridInputs
) -> Callable[[Block, Tokens], Tokens]:
    """Return a block as a layer of a video model, of the grid's videos along one axis."""
    grid = seen.grid
    cut = grid.along(axis)
    inputs = network.inputs_along(axis, seen)

    def layer(block, x):
        sizes = {"b": len(x), "v": grid.views, "t": grid.frames}
        x = on_tokens(flatten(videos(grid.unflatten(x), axis)), axis)
        y = cut.unflatten(on_tokens(block(x, inputs), axis))
        return flatten(rearrange(y, f"{VIDEOS[axis]} -> b v t ...", **sizes))

    return layer
