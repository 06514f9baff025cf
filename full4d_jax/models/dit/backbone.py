"""Wan's transformer on a grid of views and times, between a guide and a parametrisation.

The guide makes tokens of latents and conditions, the blocks mix them, and the parametrisation makes
a velocity of what they say; the backbone knows neither by name. `MultiViewDiT` has one stream of
tokens and attends to the whole grid at once. Its subclasses in `two_streams` send the same blocks
along the views and along the times.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from full4d_jax.config import ModelConfig
from full4d_jax.flow import Latents, Times
from full4d_jax.models.dit import camera_conditioning
from full4d_jax.models.dit.attention import mask, positions
from full4d_jax.models.dit.attention.fused import Attend
from full4d_jax.models.dit.block import Block, BlockInputs, layer_norm, rematerialised
from full4d_jax.models.dit.conditions import Conditions, Lenses, Poses
from full4d_jax.models.dit.guides import Embedded, Maps
from full4d_jax.models.dit.linear import linear
from full4d_jax.models.dit.parametrisations import Noisy, Predicted
from full4d_jax.models.dit.sharding import constrain, gather_layer
from full4d_jax.models.dit.tokens import (
    TIME_CHANNELS,
    Axis,
    Modulation,
    TokenGrid,
    Tokens,
    flatten,
    flow_times,
    from_patches,
    on_tokens,
    sinusoids,
    videos,
)

# A stream of tokens, or several.
State = TypeVar("State")


class GridInputs(NamedTuple):
    """Everything that the blocks and the head read besides tokens, for the whole grid.

    Attributes:
      generated: views and frames that leave the network.
      grid: how the tokens are laid out.
      columns: tokens of a frame in a row.
      time: embedded flow times, two for each sample or one for each frame.
      noisy: which frames have the second of two flow times; None where each frame has its own.
      cameras: world to camera of every frame of the grid, projected ones included, and lenses, in
        units of the image's width and height.
      text: keys of the cross-attention; None without it.
      context: of an axis, what the guide adds to the embedded flow time.
      attend: attention between the tokens of a grid; None is `fused_attention`.
    """

    generated: tuple[int, int]
    grid: TokenGrid
    columns: int
    time: Float[Array, "b r d"]
    noisy: Bool[Array, "b v t"] | None
    cameras: tuple[Poses, Lenses]
    text: Float[Array, "b m d"] | None
    context: Callable[[Axis], Float[Array, "1 1 d"]]
    attend: Attend | None

    def modulation(self, axis: Axis, rows: Float[Array, "b r *m d"]) -> Modulation:
        """Return the modulation of the grid's videos along an axis, given those of its frames."""
        grid = self.grid
        if self.noisy is None:
            by_frame = rows.reshape(len(rows), grid.views, grid.frames, *rows.shape[2:])
            cut = videos(by_frame, axis)
            return Modulation(cut.reshape(len(cut), -1, *rows.shape[2:]), None)
        cut = videos(self.noisy, axis)
        tokens = on_tokens(grid.along(axis).to_tokens(cut), axis)
        return Modulation(jnp.repeat(rows, len(cut) // len(rows), axis=0), tokens)


class MultiViewDiT(nnx.Module):
    """The network; `dit` gives the shapes of its inputs."""

    block = Block

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.config = config
        d = config.width
        self.guide = config.guide.implementation(config, rngs)
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
        self.parametrisation = config.parametrisation.implementation(
            config, rngs, self.guide.channels
        )

    def make_blocks(self, rngs: nnx.Rngs) -> None:
        """Create the blocks, stacked on their first axis."""

        @nnx.split_rngs(splits=self.config.layers)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def stack(rngs: nnx.Rngs) -> Block:
            return self.block(self.config, rngs)

        self.blocks = stack(rngs)

    def __call__(
        self,
        latents: Latents,
        tau: Times,
        conditions: Conditions,
        attend: Attend | None = None,
    ) -> Predicted:
        """Return what is predicted of the generated views; `dit` gives the shapes.

        Args:
          latents: noisy latents of the generated views.
          tau: their flow times.
          conditions: what the grid is generated from.
          attend: attention between the tokens of a grid; None is `fused_attention`.
        """
        noisy = Noisy(latents, tau, conditions)
        embedded = self.parametrisation.embed(self.guide, noisy)
        maps = self.through_blocks(*self._see(embedded, noisy, attend))
        return self.parametrisation.predict(maps, embedded.inputs, noisy)

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
        time = seen.time + seen.context(axis)
        modulation = seen.modulation("all", time[:, :, None])
        shift, scale = modulation.of_tokens(self.head_modulation[...], x)
        x = layer_norm(x) * (1 + scale) + shift
        # Targets come after the source and before the projection.
        views, frames = seen.generated
        rows = seen.grid.tokens // seen.columns

        def maps(x):
            whole = constrain(x.astype(jnp.float32), "samples", None, None)
            patches = seen.grid.unflatten(whole)[:, -views:, :frames]
            return from_patches(patches, rows, self.config.patch)

        heads = self.parametrisation.heads
        return jnp.concatenate([maps(head(x)) for head in heads], -1)

    def inputs_along(self, axis: Axis, seen: GridInputs) -> BlockInputs:
        """Return what the blocks read besides tokens: of the grid, or of its videos on one axis."""
        config = self.config
        cut = seen.grid.along(axis)
        rows = self.time_projection(jax.nn.silu(seen.time + seen.context(axis)))
        rows = rearrange(rows, "b r (m d) -> b r m d", m=6)
        modulation = seen.modulation(axis, rows)
        tokens = jnp.arange(cut.views * cut.frames * cut.tokens)
        tokens = constrain(tokens, "tokens") if axis == "all" else tokens
        vectors = camera_conditioning.camera_vectors(*seen.cameras)
        text = seen.text
        if text is not None:
            text = jnp.repeat(text, len(modulation.rows) // len(seen.time), axis=0)
        # The later half of the frames is the projection.
        has_projection = seen.grid.frames == 2 * seen.generated[1]
        pattern = mask.Pattern(cut, axis != "all", config.mask, has_projection)
        transforms = None
        if "prope" in config.cameras:
            to_image, back = camera_conditioning.projective_transforms(*seen.cameras)
            transforms = (videos(to_image, axis), videos(back, axis))
        return BlockInputs(
            modulation=modulation,
            angles=positions.rotary_angles(tokens, cut, seen.columns, config),
            cameras=on_tokens(cut.to_tokens(videos(vectors, axis)), axis),
            text=text,
            pattern=pattern,
            transforms=transforms,
            attend=seen.attend,
        )

    def _see(
        self, embedded: Embedded, noisy: Noisy, attend: Attend | None
    ) -> tuple[Tokens, GridInputs]:
        """Return the tokens, with their rays, and all else as the blocks read it."""
        config = self.config
        latents, tau, conditions = noisy
        _, x, grid = embedded
        generated = (latents.shape[1], latents.shape[2])
        rows, columns = (n // config.patch for n in latents.shape[3:5])
        halves = grid.frames // generated[1]
        poses = jnp.tile(conditions.world_to_camera, (1, 1, halves, 1, 1))
        seen_from = (poses, conditions.intrinsics)
        if "plucker" in config.cameras:
            rays = on_tokens(
                flatten(camera_conditioning.plucker_rays(*seen_from, rows, columns))
            )
            x = x + self.plucker_embedding(rays).astype(self.dtype)
        x = x.astype(self.dtype)
        times, is_noisy = flow_times(tau, conditions.real, latents, grid)
        time = self.time_out(jax.nn.silu(self.time_in(sinusoids(times))))
        return x, GridInputs(
            generated=generated,
            grid=grid,
            columns=columns,
            time=time,
            noisy=is_noisy,
            cameras=seen_from,
            text=self._text(conditions.text, len(latents)),
            context=functools.partial(self.guide.context, grid),
            attend=attend,
        )

    @property
    def dtype(self) -> DTypeLike:
        """The type of all matrix products on tokens."""
        return self.time_in.kernel[...].dtype

    def _text(self, text: Float[Array, "b m e"] | None, batch: int) -> Tokens | None:
        """Return the keys of the cross-attention; None in a model without it."""
        if not self.config.text_width:
            return None
        if text is None:
            # One row of zeros: the softmax over Wan's 512 equal ones is the same average.
            text = jnp.zeros((batch, 1, self.config.text_width))
        x = self.text_in(text.astype(self.dtype))
        return self.text_out(jax.nn.gelu(x, approximate=True))
