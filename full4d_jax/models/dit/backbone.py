"""Wan's transformer on a grid of views and times; `dit` says what goes in and comes out.

`MultiViewDiT` has one stream of tokens and attends to the whole grid at once. Its subclasses in
`two_streams` send the same blocks along the views and along the times.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from full4d_jax.config import ModelConfig, masks
from full4d_jax.flow import Latents, Times
from full4d_jax.models.dit.attention import mask, positions
from full4d_jax.models.dit.block import Block, BlockInputs, layer_norm, rematerialised
from full4d_jax.models.dit.conditions import Conditions, Lenses, Poses
from full4d_jax.models.dit.linear import linear
from full4d_jax.models.dit.sharding import constrain, gather_layer
from full4d_jax.models.dit.tokens import (
    TIME_CHANNELS,
    Axis,
    Moments,
    TokenGrid,
    Tokens,
    camera_vectors,
    flatten,
    flow_times,
    from_patches,
    on_tokens,
    plucker_rays,
    sinusoids,
    to_patches,
    videos,
)
from full4d_jax.models.dit.warp import MOTION_CHANNELS

# At latent resolution.
Maps = Float[Array, "b v t h w i"]
# What the refiner sees, tokens, and how these are laid out.
Embedded = tuple[Maps, Tokens, TokenGrid]
# A stream of tokens, or several.
State = TypeVar("State")
# Pixels (and logits), unit of motion in and out of the network.
MOTION_UNIT_PIXELS = 4.0


class GridInputs(NamedTuple):
    """Everything that the blocks and the head read besides tokens, for the whole grid.

    Attributes:
      inputs: noisy latents and guides at latent resolution, for the refiner.
      generated: views and frames that leave the network.
      grid: how the tokens are laid out.
      columns: tokens of a frame in a row.
      time: embedded flow times, two for each sample or one for each frame.
      noisy: which frames have the second of two flow times; None where each frame has its own.
      cameras: world to camera of every frame of the grid, projected ones included, and lenses, in
        units of the image's width and height.
      text: keys of the cross-attention; None without it.
    """

    inputs: Maps
    generated: tuple[int, int]
    grid: TokenGrid
    columns: int
    time: Float[Array, "b r d"]
    noisy: Bool[Array, "b v t"] | None
    cameras: tuple[Poses, Lenses]
    text: Float[Array, "b m d"] | None

    def moments(self, axis: Axis, rows: Float[Array, "b r *m d"]) -> Moments:
        """Return the moments of the grid's videos along an axis, given those of its frames."""
        grid = self.grid
        if self.noisy is None:
            by_frame = rows.reshape(len(rows), grid.views, grid.frames, *rows.shape[2:])
            cut = videos(by_frame, axis)
            return Moments(cut.reshape(len(cut), -1, *rows.shape[2:]), None)
        cut = videos(self.noisy, axis)
        tokens = on_tokens(grid.along(axis).to_tokens(cut), axis)
        return Moments(jnp.repeat(rows, len(cut) // len(rows), axis=0), tokens)


class MultiViewDiT(nnx.Module):
    """The network; `dit` gives the shapes of its inputs."""

    block = Block

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.config = config
        d = config.width
        area = config.patch**2
        channels = config.strides.channels
        inputs = {
            # Noisy latents, two guides, mask, disparity.
            "channels": 3 * channels + 2,
            "frames": channels,
            "none": channels if config.prediction == "velocity" else 2 * channels + 1,
        }[config.projection]
        self.patch_embedding = linear(inputs * area, d, rngs)
        if config.projection == "channels":
            self.source_embedding = linear(channels * area, d, rngs)
        elif config.projection == "frames":
            self.mask_embedding = linear(1, d, rngs, zero=True)
        else:
            # Of freeze-time and fixed-view videos.
            self.context = nnx.Param(jnp.zeros((2, d)))
        if config.moves_base:
            moving = MOTION_CHANNELS + channels
            self.motion_embedding = linear(moving * area, d, rngs, zero=True)
        if "plucker" in config.cameras:
            self.plucker_embedding = linear(6, d, rngs, exact=True)
        self.time_in = linear(TIME_CHANNELS, d, rngs)
        self.time_out = linear(d, d, rngs)
        self.time_projection = linear(d, 6 * d, rngs, zero=True)
        if config.text_width:
            self.text_in = linear(config.text_width, d, rngs)
            self.text_out = linear(d, d, rngs)
        self.make_blocks(rngs)
        self.head_modulation = nnx.Param(jnp.zeros((2, d)))
        if config.refiner:
            self.head = linear(d, config.refiner * area, rngs)
            # What the row adds, and its share.
            more = channels + 1 if config.moves_base else 0
            self.refiner = Refiner(inputs + more, config.refiner, channels, rngs)
            if config.moves_base:
                self.mover_head = linear(d, config.refiner * area, rngs)
                self.mover = Refiner(
                    inputs + moving, config.refiner, MOTION_CHANNELS, rngs
                )
        else:
            self.head = linear(d, channels * area, rngs, zero=True)

    def make_blocks(self, rngs: nnx.Rngs) -> None:
        """Create the blocks, stacked on their first axis."""

        @nnx.split_rngs(splits=self.config.layers)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def stack(rngs: nnx.Rngs) -> Block:
            return self.block(self.config, rngs)

        self.blocks = stack(rngs)

    def __call__(self, latents: Latents, tau: Times, conditions: Conditions) -> Maps:
        """Return the network's output for the generated views; `dit` gives the shapes.

        With `moves_base` the motion of `conditions` comes last, corrected, in units of
        `MOTION_UNIT_PIXELS`.

        Args:
          latents: noisy latents of the generated views.
          tau: their flow times.
          conditions: what the grid is generated from.
        """
        x, seen = self._see(latents, tau, conditions)
        x = self.through_blocks(x, seen)
        inputs = seen.inputs
        if not self.config.refiner:
            return x
        if not self.config.moves_base:
            return self.refiner(x, inputs)
        # Correct the motion, and let the refiner see what it moves.
        for_refiner, for_mover = jnp.split(x, 2, -1)
        known = conditions.known_motion / MOTION_UNIT_PIXELS
        motion = known + self.mover(for_mover, inputs)
        base = conditions.moved(MOTION_UNIT_PIXELS * motion)
        latents = inputs[..., : conditions.base.shape[-1]]
        shown = (latents, base.near, conditions.mask[..., None], base.added, base.share)
        residual = self.refiner(for_refiner, jnp.concatenate(shown, -1))
        return jnp.concatenate([residual, motion], -1)

    def through_blocks(self, x: Tokens, seen: GridInputs) -> Maps:
        """Send all tokens of the grid through every block, and read the generated frames."""
        inputs = self.inputs_along("all", seen)
        x = self.scan(lambda block, x: on_tokens(block(x, inputs)), x)
        return self.read(x, "all", seen)

    def scan(self, apply: Callable[[Any, State], State], x: State) -> State:
        """Apply one block after the other, as one compiled loop where there are many."""
        config = self.config
        graph, blocks = nnx.split(self.blocks)

        def layer(x, params):
            return apply(nnx.merge(graph, gather_layer(params, config.width)), x), None

        layer = rematerialised(layer, config.remat)
        unroll = config.layers if config.layers < 8 else 1
        return jax.lax.scan(layer, x, blocks, unroll=unroll)[0]

    def read(self, x: Tokens, axis: Axis, seen: GridInputs) -> Maps:
        """Turn tokens into what they say of the generated frames, float32."""
        time = seen.time + self._context(seen.grid, axis)
        moments = seen.moments("all", time[:, :, None])
        shift, scale = moments.of_tokens(self.head_modulation[...], x)
        x = layer_norm(x) * (1 + scale) + shift
        # Targets come after the source and before the projection.
        views, frames = seen.generated
        rows = seen.grid.tokens // seen.columns

        def maps(x):
            whole = constrain(x.astype(jnp.float32), "samples", None, None)
            patches = seen.grid.unflatten(whole)[:, -views:, :frames]
            return from_patches(patches, rows, self.config.patch)

        heads = [self.head, self.mover_head] if self.config.moves_base else [self.head]
        return jnp.concatenate([maps(head(x)) for head in heads], -1)

    def inputs_along(self, axis: Axis, seen: GridInputs) -> BlockInputs:
        """Return what the blocks read besides tokens: of the grid, or of its videos on one axis."""
        config = self.config
        cut = seen.grid.along(axis)
        rows = self.time_projection(
            jax.nn.silu(seen.time + self._context(seen.grid, axis))
        )
        rows = rearrange(rows, "b r (m d) -> b r m d", m=6)
        moments = seen.moments(axis, rows)
        tokens = jnp.arange(cut.views * cut.frames * cut.tokens)
        tokens = constrain(tokens, "tokens") if axis == "all" else tokens
        cameras = camera_vectors(*seen.cameras)
        text = seen.text
        if text is not None:
            text = jnp.repeat(text, len(moments.rows) // len(seen.time), axis=0)
        # The later half of the frames is the projection.
        has_projection = seen.grid.frames == 2 * seen.generated[1]
        pattern = mask.Pattern(cut, axis != "all", config.mask, has_projection)
        if config.attention == "full":
            # In one view every token reads every token.
            joined = TokenGrid(1, cut.views * cut.frames, cut.tokens)
            pattern = mask.Pattern(joined, False, masks.PAPER, cross_half=False)
        transforms = None
        if "prope" in config.cameras:
            shape = (-1, pattern.grid.views, pattern.grid.frames, 4, 4)
            transforms = jax.tree.map(
                lambda x: x.reshape(shape),
                positions.projective_transforms(*seen.cameras),
            )
        return BlockInputs(
            modulation=moments,
            angles=positions.rotary_angles(tokens, cut, seen.columns, config),
            cameras=on_tokens(cut.to_tokens(videos(cameras, axis)), axis),
            text=text,
            pattern=pattern,
            transforms=transforms,
        )

    def _context(self, grid: TokenGrid, axis: Axis) -> Float[Array, "1 1 d"]:
        """Tell a freeze-time from a fixed-view video; a grid that is neither gets the mean."""
        if self.config.needs_cameras:
            return jnp.zeros((1, 1, 1))
        if axis == "all" and min(grid.views, grid.frames) == 1:
            axis = "times" if grid.views == 1 else "views"
        context = self.context[...]
        context = (
            context.mean(0) if axis == "all" else context[0 if axis == "views" else 1]
        )
        return context[None, None]

    def _see(
        self, latents: Latents, tau: Times, conditions: Conditions
    ) -> tuple[Tokens, GridInputs]:
        """Embed the latents as tokens, and all else as the blocks read it."""
        config = self.config
        generated = (latents.shape[1], latents.shape[2])
        rows, columns = (n // config.patch for n in latents.shape[3:5])
        embed = {
            "channels": self._embed_channels,
            "frames": self._embed_frames,
            "none": self._embed_grid,
        }[config.projection]
        inputs, x, grid = embed(latents, conditions)
        halves = grid.frames // generated[1]
        poses = jnp.tile(conditions.world_to_camera, (1, 1, halves, 1, 1))
        cameras = (poses, conditions.intrinsics)
        if "plucker" in config.cameras:
            rays = plucker_rays(*cameras, rows, columns)
            x = x + self.plucker_embedding(on_tokens(flatten(rays))).astype(self.dtype)
        times, noisy = flow_times(tau, conditions.real, latents, grid)
        time = self.time_out(jax.nn.silu(self.time_in(sinusoids(times))))
        return x, GridInputs(
            inputs=inputs,
            generated=generated,
            grid=grid,
            columns=columns,
            time=time,
            noisy=noisy,
            cameras=cameras,
            text=self._text(conditions.text, len(latents)),
        )

    def _embed_channels(self, latents: Latents, conditions: Conditions) -> Embedded:
        """Embed the source as a view of its own, and targets with their projection as channels."""
        guides = (conditions.base, conditions.projection)
        maps = (conditions.mask[..., None], conditions.disparity[..., None])
        inputs = jnp.concatenate([latents, *(x[:, 1:] for x in (*guides, *maps))], -1)
        targets = self.patch_embedding(self._patches(inputs))
        source_tokens = self.source_embedding(
            self._patches(conditions.projection[:, :1])
        )
        x = on_tokens(jnp.concatenate([source_tokens, targets], 1))
        grid = self._grid(latents)
        return inputs, x, grid._replace(views=grid.views + 1)

    def _embed_frames(self, latents: Latents, conditions: Conditions) -> Embedded:
        """Embed the frames to generate, then the projected ones, which know what is visible."""
        frames = latents.shape[2]
        both = jnp.concatenate([latents, conditions.projection], 2)
        grid = self._grid(both)
        side = self.config.patch
        pool = "b v t (h i) (w j) -> b v t (h w) 1"
        visible = reduce(conditions.mask, pool, "max", i=side, j=side)
        marks = jnp.pad(visible, ((0, 0), (0, 0), (frames, 0), (0, 0), (0, 0)))
        is_guide = jnp.arange(grid.frames) >= frames
        is_guide = grid.to_tokens(
            jnp.broadcast_to(is_guide, (1, grid.views, grid.frames))
        )
        marks = self.mask_embedding(on_tokens(flatten(marks.astype(self.dtype))))
        x = self.patch_embedding(self._patches(both))
        return latents, x + jnp.where(is_guide[..., None], marks, 0), grid

    def _embed_grid(self, latents: Latents, conditions: Conditions) -> Embedded:
        """Embed a grid of which some frames are real, and nothing is projected."""
        base = conditions.base
        moving = None
        if self.config.moves_base:
            motion = conditions.known_motion
            mixed = conditions.moved(motion)
            base = mixed.near
            moving = jnp.concatenate([motion / MOTION_UNIT_PIXELS, mixed.added], -1)
        if self.config.prediction == "residual":
            latents = jnp.concatenate([latents, base, conditions.mask[..., None]], -1)
        tokens = self.patch_embedding(self._patches(latents))
        if moving is not None:
            tokens = tokens + self.motion_embedding(self._patches(moving))
            latents = jnp.concatenate([latents, moving], -1)
        return latents, tokens, self._grid(latents)

    @property
    def dtype(self) -> DTypeLike:
        """The type of all matrix products on tokens."""
        return self.patch_embedding.kernel[...].dtype

    def _grid(self, maps: Maps) -> TokenGrid:
        """Return the layout of the tokens that `_patches` makes."""
        _, views, frames, height, width, _ = maps.shape
        return TokenGrid(views, frames, height * width // self.config.patch**2)

    def _patches(self, maps: Maps) -> Float[Array, "b n p"]:
        """Return patches as one row of tokens, in the type of matrix products."""
        return on_tokens(
            flatten(to_patches(maps, self.config.patch).astype(self.dtype))
        )

    def _text(self, text: Float[Array, "b m e"] | None, batch: int) -> Tokens | None:
        """Return the keys of the cross-attention; None in a model without it."""
        if not self.config.text_width:
            return None
        if text is None:
            # One row of zeros: the softmax over Wan's 512 equal ones is the same average.
            text = jnp.zeros((batch, 1, self.config.text_width))
        x = self.text_in(text.astype(self.dtype))
        return self.text_out(jax.nn.gelu(x, approximate=True))


class Refiner(nnx.Module):
    """A convolutional head at latent resolution, for models trained from scratch on pixels.

    Tokens of 8 x 8 pixels know what is there but not exactly where; three 3 x 3 convolutions that
    also read the noisy latents and the projection put edges back in place.
    """

    def __init__(self, inputs: int, channels: int, outputs: int, rngs: nnx.Rngs):
        self.enter = nnx.Conv(channels + inputs, channels, (3, 3), rngs=rngs)
        self.middle = nnx.Conv(channels, channels, (3, 3), rngs=rngs)
        zeros = nnx.initializers.zeros
        self.leave = nnx.Conv(channels, outputs, (3, 3), kernel_init=zeros, rngs=rngs)

    def __call__(self, features: Float[Array, "*n h w k"], inputs: Maps) -> Latents:
        """Apply the layers to every frame on its own."""
        x = jnp.concatenate([features, inputs], -1)
        x = x.reshape(-1, *x.shape[-3:]).astype(self.enter.kernel[...].dtype)
        x = jax.nn.silu(self.enter(x))
        x = x + jax.nn.silu(self.middle(x))
        return self.leave(x).reshape(*features.shape[:-1], -1).astype(jnp.float32)
