"""Guides: how what a grid is generated from becomes tokens, beside the noisy latents.

A guide is a module of two attributes and two methods, which the backbone calls:

    channels                                maps that the refiner reads
    embed(latents, conditions) -> Embedded  the tokens of the grid, and these maps
    context(grid, axis)                     what is added to the embedded flow time, (1 1 d)

`Frames` is Full-4D's: every view has 2 f latent frames, [to generate; projected], of which the
projected half is clean (tau = 0), and the source's projection is the input video. All v views are
generated. A projection of no frames leaves that half out: with one view and Wan's weights the
network is then Wan's. `Channels` stacks the projected video on the channels of the noisy latents;
the source is a clean view, and the v - 1 target views are generated. `Grid` is 4Real-Video's:
neither projection nor poses, but some frames of the grid are real.
"""

from typing import NamedTuple

import jax.numpy as jnp
from einops import reduce
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax.config import ModelConfig
from full4d_jax.flow import Latents
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.dit.linear import Linear, linear
from full4d_jax.models.dit.tokens import (
    Axis,
    TokenGrid,
    Tokens,
    flatten,
    on_tokens,
    to_patches,
)

# At latent resolution.
Maps = Float[Array, "b v t h w i"]


class Embedded(NamedTuple):
    """A grid on its way into the blocks.

    Attributes:
      inputs: noisy latents and guides at latent resolution, for the refiner.
      tokens: of all frames.
      grid: how the tokens are laid out.
    """

    inputs: Maps
    tokens: Tokens
    grid: TokenGrid


class Guide(nnx.Module):
    """The embedding of square patches, which all guides here share."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs, channels: int):
        self.channels = channels
        self.patch = config.patch
        self.patch_embedding = linear(channels * self.patch**2, config.width, rngs)

    def patches(self, maps: Maps, embedding: Linear) -> Tokens:
        """Embed patches as one row of tokens, in the type of matrix products."""
        row = flatten(to_patches(maps, self.patch))
        return embedding(on_tokens(row.astype(embedding.kernel[...].dtype)))

    def grid_of(self, maps: Maps) -> TokenGrid:
        """Return the layout of the tokens that `patches` makes."""
        _, views, frames, height, width, _ = maps.shape
        return TokenGrid(views, frames, height * width // self.patch**2)

    def embed(self, latents: Latents, conditions: Conditions) -> Embedded:
        """Return the tokens of the grid; each guide has its own."""
        raise NotImplementedError

    def context(self, grid: TokenGrid, axis: Axis) -> Float[Array, "1 1 d"]:
        """Return what is added to the embedded flow time of such a video: nothing."""
        del grid, axis
        return jnp.zeros((1, 1, 1))


class Channels(Guide):
    """The projected video on the channels of the noisy latents, and the source as a view."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        latent = config.strides.channels
        # Noisy latents, two guides, mask, disparity.
        super().__init__(config, rngs, 3 * latent + 2)
        self.source_embedding = linear(latent * config.patch**2, config.width, rngs)

    def embed(self, latents: Latents, conditions: Conditions) -> Embedded:
        """Embed the source as a view of its own, and targets with their projection as channels."""
        guides = (conditions.base, conditions.projection)
        maps = (conditions.mask[..., None], conditions.disparity[..., None])
        inputs = jnp.concatenate([latents, *(x[:, 1:] for x in (*guides, *maps))], -1)
        targets = self.patches(inputs, self.patch_embedding)
        source = self.patches(conditions.projection[:, :1], self.source_embedding)
        grid = self.grid_of(latents)
        tokens = on_tokens(jnp.concatenate([source, targets], 1))
        return Embedded(inputs, tokens, grid._replace(views=grid.views + 1))


class Frames(Guide):
    """The projected video as further frames of each view."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs, config.strides.channels)
        self.mask_embedding = linear(1, config.width, rngs, zero=True)

    def embed(self, latents: Latents, conditions: Conditions) -> Embedded:
        """Embed the frames to generate, then the projected ones, which know what is visible."""
        frames = latents.shape[2]
        both = jnp.concatenate([latents, conditions.projection], 2)
        grid = self.grid_of(both)
        pool = "b v t (h i) (w j) -> b v t (h w) 1"
        visible = reduce(conditions.mask, pool, "max", i=self.patch, j=self.patch)
        marks = jnp.pad(visible, ((0, 0), (0, 0), (frames, 0), (0, 0), (0, 0)))
        is_guide = jnp.arange(grid.frames) >= frames
        by_frame = jnp.broadcast_to(is_guide, (1, grid.views, grid.frames))
        is_guide = grid.to_tokens(by_frame)[..., None]
        kind = self.mask_embedding.kernel[...].dtype
        marks = self.mask_embedding(on_tokens(flatten(marks.astype(kind))))
        x = self.patches(both, self.patch_embedding)
        return Embedded(latents, x + jnp.where(is_guide, marks, 0), grid)


class Grid(Guide):
    """A grid of which some frames are real, and nothing is projected."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        latent = config.strides.channels
        self.reads_base = config.parametrisation.reads_filled
        super().__init__(config, rngs, 2 * latent + 1 if self.reads_base else latent)
        # Of freeze-time and fixed-view videos.
        self.freeze_or_fixed = nnx.Param(jnp.zeros((2, config.width)))

    def embed(self, latents: Latents, conditions: Conditions) -> Embedded:
        """Embed noisy latents, beside the nearest real frame where the output refers to it."""
        if self.reads_base:
            known = (conditions.base, conditions.mask[..., None])
            latents = jnp.concatenate([latents, *known], -1)
        tokens = self.patches(latents, self.patch_embedding)
        return Embedded(latents, tokens, self.grid_of(latents))

    def context(self, grid: TokenGrid, axis: Axis) -> Float[Array, "1 1 d"]:
        """Tell a freeze-time from a fixed-view video; a grid that is neither gets the mean."""
        if axis == "all" and min(grid.views, grid.frames) == 1:
            axis = "times" if grid.views == 1 else "views"
        table = self.freeze_or_fixed[...]
        context = table.mean(0) if axis == "all" else table[int(axis == "times")]
        return context[None, None]
