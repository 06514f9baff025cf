"""Clips on their way into the model: from frames, depth and cameras to latents and conditions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from full4d_jax.config import DataConfig, ModelConfig
from full4d_jax.config.codecs import Strides
from full4d_jax.generation.projection_guidance import (
    Projection,
    drop_depth_edges,
    fill_holes,
    project,
)
from full4d_jax.generation.visible_frames import draw_visible, visible_conditions
from full4d_jax.models.codecs.codec import Weights, make_codec, pool_frames
from full4d_jax.models.conditions import Conditions, Latents
from input_pipeline.procedural.scene import procedural_scene

EDGE = 0.1  # relative bend of disparity above which an estimated depth counts as smeared


class Batch(NamedTuple):
    """Synchronized clips; view 0 is the source."""

    frames: Float[Array, "b v t h w 3"]  # [-1, 1]; where there are latents, of view 0 only
    depth: Float[Array, "b t h w"]  # of the source
    intrinsics: Float[Array, "b v 3 3"]  # pixels
    world_to_camera: Float[Array, "b v t 4 4"]
    latents: Float[Array, "b v f i j c"] | None = None  # of all views, if they were cached


class EncodedBatch(NamedTuple):
    """Clips as the network sees them: what `prepare` makes of a `Batch`."""

    latents: Latents  # to generate
    conditions: Conditions


def procedural_batch(indices: Int[Array, "b"], config: DataConfig) -> Batch:
    """Render the procedural scenes with these indices, one after the other."""

    def one(index):
        clip = procedural_scene(
            index,
            views=config.views,
            frames=config.frames,
            height=config.height,
            width=config.width,
            orbit=config.orbit,
            worlds=config.worlds,
        )
        return Batch(clip.frames * 2 - 1, clip.depth[0], clip.intrinsics, clip.world_to_camera)

    return jax.lax.map(one, indices)


def make_conditions(
    model: ModelConfig,
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    codec_weights: Weights | None = None,
) -> tuple[Conditions, Projection]:
    """Conditions of one grid (without batch axis) from the source video [-1, 1] and its depth.

    Also returns the projection into the target views at full resolution. Where the codec has a
    temporal stride, the cameras of the last frame of each latent frame are kept.
    """
    codec = make_codec(model, codec_weights)
    targets = project(frames, depth, intrinsics, world_to_camera)
    ones = jnp.ones((1, *depth.shape))
    inverse = jnp.where(depth > 0, 1 / jnp.maximum(depth, 0.05), 0.0)[None]
    whole = Projection(
        jnp.concatenate([frames[None], targets.frames]),
        jnp.concatenate([ones, targets.mask]),
        jnp.concatenate([inverse, targets.disparity]),
    )
    height, width = depth.shape[1:]
    strides = Strides(codec.stride, codec.frame_stride, codec.channels)
    conditions = Conditions(
        projection=codec.encode(whole.frames),
        base=codec.encode(fill_holes(whole)),
        mask=pool_frames(whole.mask, strides),
        disparity=jnp.clip(pool_frames(whole.disparity, strides), 0, 4) / 2,
        world_to_camera=world_to_camera[:, :: codec.frame_stride],
        intrinsics=intrinsics * unit_scale(height, width),
    )
    return conditions, targets


def prepare(
    batch: Batch,
    key: PRNGKeyArray,
    model: ModelConfig,
    data: DataConfig,
    codec_weights: Weights | None = None,
    places: Int[Array, "b"] | None = None,
) -> EncodedBatch:
    """Latents to generate and conditions for training, with depth corrupted and guidance dropped.

    Without projection the latents are those of the whole grid, of which some frames are visible.
    Clip i draws from fold_in(key, i), whatever the batch around it; `places` are its i where the
    batch is part of another.
    """
    places = jnp.arange(batch.frames.shape[0]) if places is None else places
    if model.projection == "none":
        return _prepare_visible(batch, key, model, codec_weights, places)

    def encoded(clip: Batch):
        if clip.latents is not None:
            return clip.latents
        return make_codec(model, codec_weights).encode(clip.frames)

    def one(clip: Batch, index):
        depth_key, share_key = jax.random.split(jax.random.fold_in(key, index))
        corrupt, drop = jax.random.uniform(share_key, (2,))
        estimate = drop_depth_edges(corrupt_depth(depth_key, clip.depth), EDGE)
        depth = jnp.where(corrupt < data.corrupt_depth, estimate, clip.depth)
        depth = jnp.where(drop < data.drop_projection, 0.0, depth)
        conditions, _ = make_conditions(
            model, clip.frames[0], depth, clip.intrinsics, clip.world_to_camera, codec_weights
        )
        return encoded(clip), conditions

    latents, conditions = jax.vmap(one)(batch, places)
    if model.projection == "channels":  # the source is given, not generated
        latents = latents[:, 1:]
    elif model.first_frame:
        conditions = conditions._replace(visible=first_frame(*latents.shape[:3]))
    return EncodedBatch(latents, conditions)


def first_frame(batch: int, views: int, frames: int) -> Bool[Array, "b v t"]:
    """The source's first frame alone is visible, as in Wan2.2-TI2V."""
    return jnp.zeros((batch, views, frames), bool).at[:, 0, 0].set(True)


def lines(batch: Batch) -> tuple[Batch, Batch]:
    """The rows and the columns of grids as clips: fixed-view and freeze-time videos.

    The depth of most of them is unknown, so it is 0 in all.
    """
    frames = batch.world_to_camera.shape[2]

    def cut(pattern: str, intrinsics: Float[Array, "b v 3 3"]) -> Batch:
        videos = rearrange(batch.frames, pattern)
        depth = jnp.zeros((len(videos), *videos.shape[2:5]))
        return Batch(videos, depth, intrinsics, rearrange(batch.world_to_camera, pattern))

    return (
        cut("b v t ... -> (b v) 1 t ...", rearrange(batch.intrinsics, "b v i j -> (b v) 1 i j")),
        cut("b v t ... -> (b t) v 1 ...", jnp.repeat(batch.intrinsics, frames, 0)),
    )


def _prepare_visible(
    batch: Batch,
    key: PRNGKeyArray,
    model: ModelConfig,
    codec_weights: Weights | None,
    places: Int[Array, "b"],
) -> EncodedBatch:
    codec = make_codec(model, codec_weights)
    latents = codec.encode(batch.frames) if batch.latents is None else batch.latents
    clips, views, frames = latents.shape[:3]
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(places)
    visible = jax.vmap(lambda key: draw_visible(key, views, frames))(keys)
    poses = batch.world_to_camera[:, :, :: codec.frame_stride]
    height, width = batch.frames.shape[3:5]
    intrinsics = batch.intrinsics * unit_scale(height, width)[None]
    return EncodedBatch(latents, visible_conditions(latents, visible, intrinsics, poses))


def unit_scale(height: int, width: int) -> Float[np.ndarray, "1 3 1"]:
    """What turns intrinsics in pixels to those in units of the image's width and height."""
    return np.array([[[1 / width], [1 / height], [1.0]]], np.float32)


def corrupt_depth(key: PRNGKeyArray, depth: Float[Array, "t h w"]) -> Float[Array, "t h w"]:
    """Depth as a network might estimate it: wrong scale, smooth errors, blurred edges."""
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
