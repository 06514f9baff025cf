"""The multi-view video diffusion transformer: noisy latents of a grid to their velocity.

`velocity(config, params)` is the one entry for training, sampling and distillation. What the grid
is generated from enters in one of three ways (`config.projection`):

frames    (the paper) every view has 2 f latent frames, [to generate; projected]; the projected half
          is clean (tau = 0) and the source's projection is the input video. All v views are
          generated, the source too. A projection of no frames leaves that half out: with one view
          and Wan's weights the network then is Wan.
channels  (the demo) the projected video is stacked on the channels of the noisy latents; the source
          is a clean view of the grid. The v - 1 target views are generated.
none      (4Real-Video) no projection and no poses; some frames of the grid are visible.

Visible frames (`Conditions.visible`; with `config.first_frame` the source's first) are clean at
flow time 0 whatever the others' flow time is, and stay as they are. With `prediction="residual"`
the network's output is a residual of a first guess: the filled projection or, without any, the
nearest visible frame (`flow`).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax import flow
from full4d_jax.codec_config import strides_of
from full4d_jax.config import ModelConfig
from full4d_jax.models.block import Block, BlockInputs, layer_norm, linear
from full4d_jax.models.conditions import Conditions, Latents, Params, Times
from full4d_jax.models.embeddings import TIME_CHANNELS, camera_vectors, plucker_rays, sinusoids
from full4d_jax.models.prope import projective_transforms, second_half
from full4d_jax.models.refiner import Refiner
from full4d_jax.models.rope import rotary_angles
from full4d_jax.models.two_streams import Axis, Streams, along, videos

ALL: tuple[Axis, ...] = ("all",)
SPLIT: tuple[Axis, ...] = ("views", "times")


class MultiViewDiT(nnx.Module):
    """Wan's transformer on a grid of views and times."""

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

    def __call__(self, latents: Latents, tau: Times, conditions: Conditions) -> Latents:
        """Network output for the generated views; shapes in the module's docstring."""
        config = self.config
        dtype = self.patch_embedding.kernel[...].dtype  # of all matrix products on tokens
        frames, rows, columns = latents.shape[2], *(n // config.patch for n in latents.shape[3:5])
        inputs, x, flow_time = self._embed(latents, tau, conditions, dtype)
        world_to_camera = conditions.world_to_camera
        cross_half = x.shape[2] == 2 * frames
        if cross_half:
            world_to_camera = jnp.tile(world_to_camera, (1, 1, 2, 1, 1))
        if "plucker" in config.cameras:
            rays = plucker_rays(world_to_camera, conditions.intrinsics, rows, columns)
            x = x + self.plucker_embedding(rays.astype(dtype))

        time = self.time_out(jax.nn.silu(self.time_in(sinusoids(flow_time))))
        axes = ALL if config.attention in ("fused", "full") else SPLIT
        block_inputs = [
            self._block_inputs(
                axis,
                time=time,
                world_to_camera=world_to_camera,
                intrinsics=conditions.intrinsics,
                text=self._text(conditions.text, dtype, len(latents)),
                size=(rows, columns),
                cross_half=cross_half,
            )
            for axis in axes
        ]
        graph, blocks = nnx.split(self.blocks)
        is_two_stream = config.attention.startswith("two_stream")

        def layer(x, params):
            block = nnx.merge(graph, params)
            passes = [
                functools.partial(along, axis, functools.partial(block, inputs=given))
                for axis, given in zip(axes, block_inputs, strict=True)
            ]
            if is_two_stream:
                y = Streams(*(apply(stream) for apply, stream in zip(passes, x, strict=True)))
                return block.synchronization(y, scale), None
            for apply in passes:
                x = apply(x)
            return x, None

        if is_two_stream:
            x = Streams(x, x)
            scale = self.synchronization_time(jax.nn.silu(time))
            scale = rearrange(scale, "b v t (m d) -> b v t m d", m=2)
        x, _ = jax.lax.scan(layer, x, blocks, unroll=config.layers if config.layers < 8 else 1)

        # Only the generated frames leave: targets come after the source and before the projection.
        views, heads = latents.shape[1], []
        streams = tuple(x) if isinstance(x, Streams) else (x,)
        contexts = axes if is_two_stream else ALL
        for stream, axis in zip(streams, contexts, strict=True):
            moment = (time + self._context(time, axis))[:, -views:, :frames]
            heads.append(self._head(stream[:, -views:, :frames], moment, rows))
        x = sum(heads[1:], heads[0]) / len(heads)  # both streams speak for the grid
        return self.refiner(x, inputs) if config.refiner else x

    def _head(self, x: Float[Array, "b v t s d"], time: Float[Array, "b v t d"], rows: int):
        """Tokens to what they say of their patches, (b v t h w c)."""
        table = self.head_modulation[...]
        shift, scale = (table[i].reshape(1, 1, 1, 1, -1) + time[:, :, :, None] for i in range(2))
        x = self.head(layer_norm(x) * (1 + scale).astype(x.dtype) + shift.astype(x.dtype))
        return _unpatch(x.astype(jnp.float32), rows, self.config.patch)

    def _context(self, time: Float[Array, "b v t d"], axis: Axis) -> Float[Array, "1 1 1 d"]:
        """What tells a freeze-time from a fixed-view video; of a grid that is neither, the mean."""
        if self.config.projection != "none":
            return jnp.zeros((1, 1, 1, 1))
        _, views, frames, _ = time.shape
        if axis == "all" and min(views, frames) == 1:
            axis = "times" if views == 1 else "views"
        context = self.context[...]
        context = context.mean(0) if axis == "all" else context[SPLIT.index(axis)]
        return context[None, None, None]

    def _block_inputs(
        self,
        axis: Axis,
        *,
        time: Float[Array, "b v t d"],
        world_to_camera: Float[Array, "b v t 4 4"],
        intrinsics: Float[Array, "b v 3 3"],
        text: Float[Array, "b n d"] | None,
        size: tuple[int, int],
        cross_half: bool,
    ) -> BlockInputs:
        """What the blocks read besides tokens: of the grid or of its videos along one axis."""
        config, cut = self.config, functools.partial(videos, axis=axis)
        modulation = self.time_projection(jax.nn.silu(time + self._context(time, axis)))
        modulation = cut(rearrange(modulation, "b v t (m d) -> b v t m d", m=6))
        with_prope = "prope" in config.cameras
        angles = rotary_angles(
            modulation.shape[1],
            modulation.shape[2],
            *size,
            config.width // config.heads // (2 if with_prope else 1),
            theta=config.rope_theta,
            fold_views=config.rope_folds_views,
        )
        transforms = None
        if with_prope:
            angles = second_half(angles)
            transforms = jax.tree.map(cut, projective_transforms(world_to_camera, intrinsics))
        if text is not None:
            text = jnp.repeat(text, len(modulation) // len(time), axis=0)
        cameras = camera_vectors(world_to_camera, intrinsics)
        return BlockInputs(
            modulation=modulation,
            angles=angles,
            cameras=cut(cameras.astype(self.patch_embedding.kernel[...].dtype)),
            text=text,
            cross_half=cross_half,
            transforms=transforms,
        )

    def _embed(self, latents: Latents, tau: Times, conditions: Conditions, dtype):
        """Inputs at latent resolution, tokens (b v t s d), and flow time of every frame (b v t)."""
        source, patches = conditions.source, functools.partial(_patches, patch=self.config.patch)
        flow_time = tau.reshape(tau.shape + (1,) * (3 - tau.ndim))
        flow_time = jnp.broadcast_to(flow_time, latents.shape[:3])
        if self.config.projection == "channels":
            guides = (conditions.base, conditions.projection)
            maps = (conditions.mask[..., None], conditions.disparity[..., None])
            inputs = jnp.concatenate([latents, *(x[:, 1:] for x in (*guides, *maps))], -1)
            targets = self.patch_embedding(patches(inputs).astype(dtype))
            source = self.source_embedding(patches(source[:, None]).astype(dtype))
            return (
                inputs,
                jnp.concatenate([source, targets], 1),
                jnp.concatenate([jnp.zeros_like(flow_time[:, :1]), flow_time], 1),
            )
        if self.config.projection == "none":
            if self.config.prediction == "residual":
                guides = conditions.base, conditions.mask[..., None]
                latents = jnp.concatenate([latents, *guides], -1)
            return latents, self.patch_embedding(patches(latents).astype(dtype)), flow_time
        side = self.config.patch
        visible = reduce(
            conditions.mask, "b v t (h i) (w j) -> b v t (h w) 1", "max", i=side, j=side
        )
        guide = self.patch_embedding(patches(conditions.projection).astype(dtype))
        guide = guide + self.mask_embedding(visible.astype(dtype))
        targets = self.patch_embedding(patches(latents).astype(dtype))
        return (
            latents,
            jnp.concatenate([targets, guide], 2),
            jnp.concatenate([flow_time, jnp.zeros(guide.shape[:3])], 2),
        )

    def _text(self, text: Float[Array, "b n e"] | None, dtype, batch: int):
        """Keys of the cross-attention (b n d), None in a model without it."""
        if text is None:
            if not self.config.text_width:
                return None
            # One row of zeros: the softmax over Wan's 512 equal ones is the same average.
            text = jnp.zeros((batch, 1, self.config.text_width))
        return self.text_out(jax.nn.gelu(self.text_in(text.astype(dtype)), approximate=True))


def init_params(config: ModelConfig, key: PRNGKeyArray) -> Params:
    """Random parameters, float32; blocks are stacked on their first axis."""
    return nnx.to_pure_dict(nnx.state(MultiViewDiT(config, nnx.Rngs(params=key)), nnx.Param))


def velocity(config: ModelConfig, params: Params) -> Callable[..., Latents]:
    """Bind parameters: (latents, tau, conditions) -> velocity of the generated views.

    Latents are (b v t h w c) with v the generated views, tau is (b,) in [0, 1], or (b v t) where
    frames differ, e.g. 0 for a first frame that is given (as in Wan2.2-TI2V). Matrix products on
    tokens run in bfloat16 on accelerators, in float32 on CPU; softmax, norms, the embedding of the
    flow time and the velocity are float32 everywhere.
    """
    graph = _graph(config)
    if jax.default_backend() != "cpu":
        params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)

    def apply(latents: Latents, tau: Times, conditions: Conditions) -> Latents:
        network = nnx.merge(graph, params)
        first = conditions.base.shape[1] - latents.shape[1]
        base, mask = conditions.base[:, first:], conditions.mask[:, first:, ..., None]
        if conditions.visible is None:
            return free(network, latents, tau, conditions, base, mask)
        visible = conditions.visible[:, first:]
        given = visible[..., None, None, None]
        latents = jnp.where(given, base[:, :, : latents.shape[2]], latents)
        tau = jnp.where(visible, 0.0, tau.reshape(tau.shape + (1,) * (3 - tau.ndim)))
        return jnp.where(given, 0.0, free(network, latents, tau, conditions, base, mask))

    def free(network, latents, tau, conditions, base, mask) -> Latents:
        if config.prediction == "velocity":
            return network(latents, tau, conditions)
        sigma = jnp.where(mask > 0, config.sigma_seen, config.sigma_hole)
        normalised = flow.normalise_residual(latents, tau, base, sigma)
        residual = network(normalised, tau, conditions)
        return flow.velocity_from_residual(residual, latents, tau, base, sigma)

    return apply


@functools.cache
def _graph(config: ModelConfig) -> nnx.GraphDef:
    """The network's structure, without allocating its parameters."""
    return nnx.split(nnx.eval_shape(lambda: MultiViewDiT(config, nnx.Rngs(0))))[0]


def _patches(x: Latents, patch: int) -> Float[Array, "b v t s p"]:
    return rearrange(x, "b v t (h i) (w j) c -> b v t (h w) (i j c)", i=patch, j=patch)


def _unpatch(x: Float[Array, "b v t s p"], rows: int, patch: int) -> Latents:
    return rearrange(x, "b v t (h w) (i j c) -> b v t (h i) (w j) c", h=rows, i=patch, j=patch)
