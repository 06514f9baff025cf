"""The multi-view video diffusion transformer: noisy latents of a grid to their velocity.

`velocity(config, params)` is the one entry for training, sampling and distillation. Projection
guidance enters in one of two places (`config.projection`):

frames    (the paper) every view has 2 f latent frames, [to generate; projected]; the projected half
          is clean (tau = 0) and the source's projection is the input video. All v views are
          generated, the source too. A projection of no frames leaves that half out: with one view
          and Wan's weights the network then is Wan.
channels  (the demo) the projected video is stacked on the channels of the noisy latents; the source
          is a clean view of the grid. The v - 1 target views are generated.

With `prediction="residual"` the network's output is a residual of the filled projection (`flow`).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, reduce
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax import flow
from full4d_jax.codec_config import strides_of
from full4d_jax.config import ModelConfig
from full4d_jax.models.block import CAMERA_CHANNELS, Block, BlockInputs, layer_norm, linear
from full4d_jax.models.prope import projective_transforms, second_half
from full4d_jax.models.refiner import Refiner
from full4d_jax.models.rope import rotary_angles

TIME_CHANNELS = 256
Params = dict[str, Any]  # nested, leaves are arrays
Latents = Float[Array, "b v t h w c"]
Times = Float[Array, "b"] | Float[Array, "b v t"]  # one flow time a sample, or one a latent frame
Velocity = Callable[[Latents, Times], Latents]


class Conditions(NamedTuple):
    """What the grid is generated from, at latent resolution; view 0 is the source.

    With `config.projection = "frames"` the first four may have no frames (t = 0).
    """

    projection: Float[Array, "b v t h w c"]  # encoded projected video; view 0: the input video
    base: Float[Array, "b v t h w c"]  # the same with holes filled (push-pull)
    mask: Float[Array, "b v t h w"]  # 1 where the projection has a point; view 0: ones
    disparity: Float[Array, "b v t h w"]  # 1/z of the projected points, 0 in holes
    world_to_camera: Float[Array, "b v t 4 4"]  # world = source camera at t = 0
    intrinsics: Float[Array, "b v 3 3"]  # in units of the image's width and height
    text: Float[Array, "b n e"] | None = None  # None: no tokens, which is Wan's padding, zeros

    @property
    def source(self) -> Float[Array, "b t h w c"]:
        """Latents of the input video."""
        return self.projection[:, 0]


class MultiViewDiT(nnx.Module):
    """Wan's transformer on a grid of views and times."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.config = config
        d, area = config.width, config.patch**2
        channels = strides_of(config.codec, config.codec_stride).channels
        inputs = 3 * channels + 2 if config.projection == "channels" else channels
        self.patch_embedding = linear(inputs * area, d, rngs)
        if config.projection == "channels":
            self.source_embedding = linear(channels * area, d, rngs)
        else:
            self.mask_embedding = linear(1, d, rngs, zero=True)
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

        with_prope = "prope" in config.cameras
        angles = rotary_angles(
            x.shape[1],
            x.shape[2],
            rows,
            columns,
            config.width // config.heads // (2 if with_prope else 1),
            theta=config.rope_theta,
            fold_views=config.rope_folds_views,
        )
        transforms = None
        if with_prope:
            angles = second_half(angles)
            transforms = projective_transforms(world_to_camera, conditions.intrinsics)
        time = self.time_out(jax.nn.silu(self.time_in(sinusoids(flow_time))))
        block_inputs = BlockInputs(
            modulation=rearrange(
                self.time_projection(jax.nn.silu(time)), "b v t (m d) -> b v t m d", m=6
            ),
            angles=angles,
            cameras=camera_vectors(world_to_camera, conditions.intrinsics).astype(dtype),
            text=self._text(conditions.text, dtype, len(latents)),
            cross_half=cross_half,
            transforms=transforms,
        )
        graph, blocks = nnx.split(self.blocks)

        def layer(x, block):
            return nnx.merge(graph, block)(x, block_inputs), None

        x, _ = jax.lax.scan(layer, x, blocks, unroll=config.layers if config.layers < 8 else 1)

        # Only the generated frames leave: targets come after the source and before the projection.
        generated = slice(x.shape[1] - latents.shape[1], None)
        x, time = x[:, generated, :frames], time[:, generated, :frames, None]
        table = self.head_modulation[...]
        shift, scale = (table[i].reshape(1, 1, 1, 1, -1) + time for i in range(2))
        x = self.head(layer_norm(x) * (1 + scale).astype(x.dtype) + shift.astype(x.dtype))
        x = _unpatch(x.astype(jnp.float32), rows, config.patch)
        return self.refiner(x, inputs) if config.refiner else x

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
        if config.prediction == "velocity":
            return network(latents, tau, conditions)
        first = conditions.base.shape[1] - latents.shape[1]
        base, mask = conditions.base[:, first:], conditions.mask[:, first:, ..., None]
        sigma = jnp.where(mask > 0, config.sigma_seen, config.sigma_hole)
        normalised = flow.normalise_residual(latents, tau, base, sigma)
        residual = network(normalised, tau, conditions)
        return flow.velocity_from_residual(residual, latents, tau, base, sigma)

    return apply


@functools.cache
def _graph(config: ModelConfig) -> nnx.GraphDef:
    """The network's structure, without allocating its parameters."""
    return nnx.split(nnx.eval_shape(lambda: MultiViewDiT(config, nnx.Rngs(0))))[0]


def sinusoids(tau: Float[Array, "..."]) -> Float[Array, "... k"]:
    """Wan's embedding of the flow time: cosines, then sines, of 1000 tau."""
    half = TIME_CHANNELS // 2
    # In double precision, since 1000 tau magnifies their errors.
    frequencies = (10000.0 ** (-np.arange(half) / half)).astype(np.float32)
    angles = 1000.0 * tau[..., None] * frequencies.reshape((1,) * tau.ndim + (-1,))
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)


def camera_vectors(
    world_to_camera: Float[Array, "b v t 4 4"], intrinsics: Float[Array, "b v 3 3"]
) -> Float[Array, "b v t 16"]:
    """[R | t] row by row, then fx, fy, cx, cy in units of the image size."""
    pose = rearrange(world_to_camera[..., :3, :], "b v t i j -> b v t (i j)")
    lens = jnp.stack([intrinsics[..., i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))], -1)
    lens = jnp.broadcast_to(lens[:, :, None], (*pose.shape[:3], 4))
    vectors = jnp.concatenate([pose, lens], -1)
    assert vectors.shape[-1] == CAMERA_CHANNELS
    return vectors


def plucker_rays(
    world_to_camera: Float[Array, "b v t 4 4"],
    intrinsics: Float[Array, "b v 3 3"],
    rows: int,
    columns: int,
) -> Float[Array, "b v t s 6"]:
    """Direction and moment of the ray through every token's centre, world frame."""
    y, x = np.meshgrid(
        (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij"
    )
    points = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3).astype(np.float32)
    rotation, shift = world_to_camera[..., :3, :3], world_to_camera[..., :3, 3]
    local = jnp.einsum("bvij,sj->bvsi", jnp.linalg.inv(intrinsics), points)
    rays = jnp.einsum("bvtij,bvsi->bvtsj", rotation, local)
    rays = rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)
    center = -jnp.einsum("bvtij,bvti->bvtj", rotation, shift)[:, :, :, None]
    return jnp.concatenate([rays, jnp.cross(jnp.broadcast_to(center, rays.shape), rays)], -1)


def _patches(x: Latents, patch: int) -> Float[Array, "b v t s p"]:
    return rearrange(x, "b v t (h i) (w j) c -> b v t (h w) (i j c)", i=patch, j=patch)


def _unpatch(x: Float[Array, "b v t s p"], rows: int, patch: int) -> Latents:
    return rearrange(x, "b v t (h w) (i j c) -> b v t (h i) (w j) c", h=rows, i=patch, j=patch)
