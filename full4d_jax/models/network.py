"""Wan's transformer on a grid of views and times; `dit` says what goes in and comes out."""

import functools

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from flax import nnx
from jaxtyping import Array, Bool, Float

from full4d_jax.config import ModelConfig
from full4d_jax.config.codecs import strides_of
from full4d_jax.models.attention.prope import projective_transforms, second_half
from full4d_jax.models.attention.rope import rotary_angles
from full4d_jax.models.block import Block, BlockInputs, layer_norm, rematerialised
from full4d_jax.models.conditions import Conditions, Latents, Times
from full4d_jax.models.embeddings import (
    TIME_CHANNELS,
    camera_vectors,
    flow_times,
    from_patches,
    plucker_rays,
    sinusoids,
    to_patches,
)
from full4d_jax.models.linear import linear
from full4d_jax.models.refiner import Refiner
from full4d_jax.models.sharding import constrain, gather_layer
from full4d_jax.models.tokens import Axis, Grid, Moments, flatten, moments_along, on_tokens, videos
from full4d_jax.models.two_streams import Streams, along

ALL: tuple[Axis, ...] = ("all",)
SPLIT: tuple[Axis, ...] = ("views", "times")


class MultiViewDiT(nnx.Module):
    """The network; shapes of its inputs in `dit`."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.config = config
        d, area = config.width, config.patch**2
        channels = strides_of(config.codec, config.codec_stride).channels
        inputs = {
            "channels": 3 * channels + 2,  # noisy latents, two guides, mask, disparity
            "frames": channels,
            "none": channels if config.prediction == "velocity" else 2 * channels + 1,
        }[config.projection]
        self.patch_embedding = linear(inputs * area, d, rngs)
        if config.projection == "channels":
            self.source_embedding = linear(channels * area, d, rngs)
        elif config.projection == "frames":
            self.mask_embedding = linear(1, d, rngs, zero=True)
        else:
            self.context = nnx.Param(jnp.zeros((2, d)))  # of freeze-time and fixed-view videos
        if "plucker" in config.cameras:
            self.plucker_embedding = linear(6, d, rngs)
        self.time_in, self.time_out = linear(TIME_CHANNELS, d, rngs), linear(d, d, rngs)
        self.time_projection = linear(d, 6 * d, rngs, zero=True)
        if config.mean_flow:
            self.interval_in = linear(TIME_CHANNELS, d, rngs)
            self.interval_out = linear(d, d, rngs, zero=True)
        if config.text_width:
            self.text_in = linear(config.text_width, d, rngs)
            self.text_out = linear(d, d, rngs)

        @nnx.split_rngs(splits=config.layers)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def stack(rngs: nnx.Rngs) -> Block:
            return Block(config, rngs)

        self.blocks = stack(rngs)
        if config.attention.startswith("two_stream"):
            self.synchronization_time = linear(d, 2 * d, rngs, zero=True)
        self.head_modulation = nnx.Param(jnp.zeros((2, d)))
        if config.refiner:
            self.head = linear(d, config.refiner * area, rngs)
            self.refiner = Refiner(inputs, config.refiner, channels, rngs)
        else:
            self.head = linear(d, channels * area, rngs, zero=True)

    def __call__(
        self, latents: Latents, tau: Times, conditions: Conditions, rho: Times | None = None
    ) -> Latents:
        """Network output for the generated views; shapes in `dit`."""
        config = self.config
        dtype = self.patch_embedding.kernel[...].dtype  # of all matrix products on tokens
        rows, columns = (n // config.patch for n in latents.shape[3:5])
        inputs, x, grid = self._embed(latents, conditions, dtype)
        frames, world_to_camera = latents.shape[2], conditions.world_to_camera
        cross_half = grid.frames == 2 * frames
        if cross_half:
            world_to_camera = jnp.tile(world_to_camera, (1, 1, 2, 1, 1))
        if "plucker" in config.cameras:
            rays = plucker_rays(world_to_camera, conditions.intrinsics, rows, columns)
            x = x + self.plucker_embedding(on_tokens(flatten(rays.astype(dtype))))

        times, noisy = flow_times(tau, conditions.visible, latents, grid)
        time = self.time_out(jax.nn.silu(self.time_in(sinusoids(times))))
        if config.mean_flow:
            interval = tau - (tau if rho is None else rho)
            interval, _ = flow_times(interval, conditions.visible, latents, grid)
            time += self.interval_out(jax.nn.silu(self.interval_in(sinusoids(interval))))
        axes = ALL if config.attention in ("fused", "full") else SPLIT
        block_inputs = [
            self._block_inputs(
                axis,
                time=time,
                noisy=noisy,
                world_to_camera=world_to_camera,
                intrinsics=conditions.intrinsics,
                text=self._text(conditions.text, dtype, len(latents)),
                grid=grid,
                columns=columns,
                cross_half=cross_half,
            )
            for axis in axes
        ]
        graph, blocks = nnx.split(self.blocks)
        is_two_stream = config.attention.startswith("two_stream")

        def layer(x, params):
            block = nnx.merge(graph, gather_layer(params, config.width))
            passes = [
                functools.partial(along, axis, functools.partial(block, inputs=given), grid=grid)
                for axis, given in zip(axes, block_inputs, strict=True)
            ]
            if is_two_stream:
                y = Streams(*(apply(x=stream) for apply, stream in zip(passes, x, strict=True)))
                return jax.tree.map(on_tokens, block.synchronization(y, scale)), None
            for apply in passes:
                x = on_tokens(apply(x=x))
            return x, None

        if is_two_stream:
            x = Streams(x, x)
            both = self.synchronization_time(jax.nn.silu(time))
            both = rearrange(both, "b r (m d) -> b r m d", m=2)
            scale = moments_along("all", both, noisy, grid)
        layer = rematerialised(layer, config.remat)
        x, _ = jax.lax.scan(layer, x, blocks, unroll=config.layers if config.layers < 8 else 1)

        # Only the generated frames leave: targets come after the source and before the projection.
        views, heads = latents.shape[1], []
        streams = tuple(x) if isinstance(x, Streams) else (x,)
        contexts = axes if is_two_stream else ALL
        for stream, axis in zip(streams, contexts, strict=True):
            moments = moments_along("all", time + self._context(grid, axis), noisy, grid)
            patches = grid.unflatten(self._head(stream, moments))[:, -views:, :frames]
            heads.append(from_patches(patches, rows, config.patch))
        x = sum(heads[1:], heads[0]) / len(heads)  # both streams speak for the grid
        return self.refiner(x, inputs) if config.refiner else x

    def _head(self, x: Float[Array, "b n d"], moments: Moments) -> Float[Array, "b n p"]:
        """Tokens to what they say of their patches, float32."""
        m = (moments.rows[:, :, None] + self.head_modulation[...][None, None]).astype(x.dtype)
        shift, scale = (moments.of_tokens(m[:, :, i], x.shape[1]) for i in range(2))
        x = self.head(layer_norm(x) * (1 + scale) + shift)
        return constrain(x.astype(jnp.float32), "samples", None, None)

    def _context(self, grid: Grid, axis: Axis) -> Float[Array, "1 1 d"]:
        """What tells a freeze-time from a fixed-view video; of a grid that is neither, the mean."""
        if self.config.projection != "none":
            return jnp.zeros((1, 1, 1))
        if axis == "all" and min(grid.views, grid.frames) == 1:
            axis = "times" if grid.views == 1 else "views"
        context = self.context[...]
        context = context.mean(0) if axis == "all" else context[SPLIT.index(axis)]
        return context[None, None]

    def _block_inputs(
        self,
        axis: Axis,
        *,
        time: Float[Array, "b r d"],
        noisy: Bool[Array, "b v t"] | None,
        world_to_camera: Float[Array, "b v t 4 4"],
        intrinsics: Float[Array, "b v 3 3"],
        text: Float[Array, "b m d"] | None,
        grid: Grid,
        columns: int,
        cross_half: bool,
    ) -> BlockInputs:
        """What the blocks read besides tokens: of the grid or of its videos along one axis."""
        config, cut = self.config, grid.along(axis)
        rows = self.time_projection(jax.nn.silu(time + self._context(grid, axis)))
        rows = rearrange(rows, "b r (m d) -> b r m d", m=6)
        with_prope = "prope" in config.cameras
        tokens = jnp.arange(cut.views * cut.frames * cut.tokens)
        angles = rotary_angles(
            constrain(tokens, "tokens") if axis == "all" else tokens,
            cut.frames,
            cut.tokens // columns,
            columns,
            config.width // config.heads // (2 if with_prope else 1),
            theta=config.rope_theta,
            fold_views=config.rope_folds_views,
        )
        moments = moments_along(axis, rows, noisy, grid)
        transforms = None
        if with_prope:
            angles = second_half(angles)
            transforms = projective_transforms(world_to_camera, intrinsics)
        if text is not None:
            text = jnp.repeat(text, len(moments.rows) // len(time), axis=0)
        cameras = camera_vectors(world_to_camera, intrinsics)
        cameras = videos(cameras.astype(self.patch_embedding.kernel[...].dtype), axis)
        return BlockInputs(
            modulation=moments,
            angles=angles,
            cameras=on_tokens(cut.to_tokens(cameras), axis),
            text=text,
            grid=cut,
            axis=axis,
            cross_half=cross_half,
            transforms=transforms,
        )

    def _embed(self, latents: Latents, conditions: Conditions, dtype):
        """Inputs at latent resolution, tokens (b n d), and how they are laid out."""
        patches = functools.partial(to_patches, side=self.config.patch)

        def tokens(x: Float[Array, "b v t s p"]) -> Float[Array, "b n p"]:
            return on_tokens(flatten(x.astype(dtype)))

        if self.config.projection == "channels":
            guides = (conditions.base, conditions.projection)
            maps = (conditions.mask[..., None], conditions.disparity[..., None])
            inputs = jnp.concatenate([latents, *(x[:, 1:] for x in (*guides, *maps))], -1)
            targets = self.patch_embedding(tokens(patches(inputs)))
            source = self.source_embedding(tokens(patches(conditions.source[:, None])))
            x = on_tokens(jnp.concatenate([source, targets], 1))
            views, frames = latents.shape[1] + 1, latents.shape[2]
            return inputs, x, Grid(views, frames, x.shape[1] // (views * frames))
        if self.config.projection == "none":
            if self.config.prediction == "residual":
                guides = conditions.base, conditions.mask[..., None]
                latents = jnp.concatenate([latents, *guides], -1)
            x = patches(latents)
            return latents, self.patch_embedding(tokens(x)), Grid(*x.shape[1:4])
        # Targets, then guides, of which tokens know where something is visible.
        x = jnp.concatenate([patches(latents), patches(conditions.projection)], 2)
        grid, side = Grid(*x.shape[1:4]), self.config.patch
        visible = reduce(
            conditions.mask, "b v t (h i) (w j) -> b v t (h w) 1", "max", i=side, j=side
        )
        marks = jnp.pad(visible, ((0, 0), (0, 0), (latents.shape[2], 0), (0, 0), (0, 0)))
        is_guide = jnp.arange(grid.frames) >= latents.shape[2]
        is_guide = grid.to_tokens(jnp.broadcast_to(is_guide, (1, grid.views, grid.frames)))
        marks = self.mask_embedding(tokens(marks))
        x = self.patch_embedding(tokens(x))
        return latents, x + jnp.where(is_guide[..., None], marks, 0), grid

    def _text(self, text: Float[Array, "b m e"] | None, dtype, batch: int):
        """Keys of the cross-attention (b m d), None in a model without it."""
        if text is None:
            if not self.config.text_width:
                return None
            # One row of zeros: the softmax over Wan's 512 equal ones is the same average.
            text = jnp.zeros((batch, 1, self.config.text_width))
        return self.text_out(jax.nn.gelu(self.text_in(text.astype(dtype)), approximate=True))
