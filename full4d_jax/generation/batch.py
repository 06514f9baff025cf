"""Clips on their way into the model: from frames, depth and cameras to latents and conditions."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import DataConfig, ModelConfig
from full4d_jax.config.codecs import Strides
from full4d_jax.flow import Latents
from full4d_jax.generation.projection_guidance import (
    Projection,
    fill_holes,
    project,
)
from full4d_jax.generation.seen_before import Known, project_known
from full4d_jax.generation.several_views import RealViews, project_several
from full4d_jax.generation.visible_frames import draw_visible, visible_conditions
from full4d_jax.models.codecs.codec import Weights, make_codec, pool_frames
from full4d_jax.models.conditions import Conditions
from full4d_jax.models.depth_net import EDGE, drop_depth_edges
from input_pipeline.procedural.looks import NO_PHOTOS, Looks
from input_pipeline.procedural.scene import procedural_scene


class Batch(NamedTuple):
    """Synchronized clips; view 0 is the source.

    Attributes:
      frames: sRGB in [-1, 1]; where there are latents, those of view 0 only.
      depth: of the source, 0 where unknown.
      cameras: of all views, a batch of them.
      latents: of all views, if they were cached.
    """

    frames: Float[Array, "b v t h w 3"]
    depth: Float[Array, "b t h w"]
    cameras: Cameras
    latents: Float[Array, "b v f i j c"] | None = None


class EncodedBatch(NamedTuple):
    """Clips as the network sees them; `prepare` makes them of a `Batch`.

    Attributes:
      latents: the latents to generate.
      conditions: what they are generated from.
    """

    latents: Latents
    conditions: Conditions


def procedural_batch(
    indices: Int[Array, "b"], config: DataConfig, looks: Looks = NO_PHOTOS
) -> Batch:
    """Render the procedural scenes with these indices, one after the other."""

    def one(index: Int[Array, ""]) -> Batch:
        clip = procedural_scene(
            index,
            views=config.views,
            frames=config.frames,
            height=config.height,
            width=config.width,
            orbit=config.orbit,
            worlds=config.worlds,
            looks=looks,
        )
        return Batch(clip.frames * 2 - 1, clip.depth[0], cameras_of(clip))

    return jax.lax.map(one, indices)


def make_conditions(
    model: ModelConfig,
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    codec_weights: Weights | None = None,
    known: Known | None = None,
    beside: RealViews | None = None,
) -> tuple[Conditions, Projection]:
    """Return the conditions of one grid, without batch axis, and the projection they come from.

    Where the codec has a temporal stride, the cameras of the last frame of each latent frame are
    kept.

    Args:
      model: says which codec encodes the projection.
      frames: the source video, [-1, 1].
      depth: its z-depth in world units, 0 where unknown.
      cameras: of all views, the source first.
      codec_weights: weights of the codec.
      known: points of the source that stand still, to be projected too.
      beside: real views 1 to k, to be projected too, without `known`.

    Returns:
      The conditions; and the projection into the target views at full resolution.
    """
    codec = make_codec(model, codec_weights)
    if beside is not None:
        targets = project_several(frames, depth, beside, cameras)
    elif known is None:
        targets = project(frames, depth, cameras)
    else:
        targets = project_known(frames, depth, known, cameras)
    ones = jnp.ones((1, *depth.shape))
    inverse = jnp.where(depth > 0, 1 / jnp.maximum(depth, 0.05), 0.0)[None]
    whole = Projection(
        jnp.concatenate([frames[None], targets.frames]),
        jnp.concatenate([ones, targets.mask]),
        jnp.concatenate([inverse, targets.disparity]),
    )
    strides = Strides(codec.stride, codec.frame_stride, codec.channels)
    latent_cameras = cameras.frames(slice(None, None, codec.frame_stride))
    conditions = Conditions(
        projection=codec.encode(whole.frames),
        base=codec.encode(fill_holes(whole)),
        mask=pool_frames(whole.mask, strides),
        disparity=jnp.clip(pool_frames(whole.disparity, strides), 0, 4) / 2,
        world_to_camera=jnp.asarray(latent_cameras.world_to_camera),
        intrinsics=jnp.asarray(latent_cameras.unit_intrinsics),
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
    """Encode clips for training, with some depth corrupted and some projections dropped.

    Without projection the latents are those of the whole grid, of which some frames are visible.

    Args:
      batch: the clips.
      key: randomness; clip i draws from fold_in(key, i), whatever the batch around it.
      model: the codec and the kind of conditions.
      data: how often depth is corrupted or dropped.
      codec_weights: weights of the codec.
      places: i of each clip, where the batch is part of a larger one.
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
        conditions, _ = make_conditions(model, clip.frames[0], depth, clip.cameras, codec_weights)
        return encoded(clip), conditions

    latents, conditions = jax.vmap(one)(batch, places)
    if model.projection == "channels":  # the source is given, not generated
        latents = latents[:, 1:]
    elif model.first_frame:
        conditions = conditions._replace(visible=first_frame(*latents.shape[:3]))
    return EncodedBatch(latents, conditions)


def first_frame(batch: int, views: int, frames: int) -> Bool[Array, "b v t"]:
    """Mark the source's first frame, which alone is visible, as in Wan2.2-TI2V."""
    return jnp.zeros((batch, views, frames), bool).at[:, 0, 0].set(True)


def lines(batch: Batch) -> tuple[Batch, Batch]:
    """Cut grids into their rows and their columns: fixed-view and freeze-time videos.

    The depth of most of them is unknown, so it is 0 in all.
    """
    lenses, poses = batch.cameras.intrinsics, batch.cameras.world_to_camera

    def cut(pattern: str, lenses: Float[Array, "b v 3 3"]) -> Batch:
        videos = rearrange(batch.frames, pattern)
        depth = jnp.zeros((len(videos), *videos.shape[2:5]))
        moved = {"intrinsics": lenses, "world_to_camera": rearrange(poses, pattern)}
        return Batch(videos, depth, replace(batch.cameras, **moved))

    return (
        cut("b v t ... -> (b v) 1 t ...", rearrange(lenses, "b v i j -> (b v) 1 i j")),
        cut("b v t ... -> (b t) v 1 ...", jnp.repeat(lenses, poses.shape[2], 0)),
    )


def _prepare_visible(
    batch: Batch,
    key: PRNGKeyArray,
    model: ModelConfig,
    codec_weights: Weights | None,
    places: Int[Array, "b"],
) -> EncodedBatch:
    """Encode whole grids, of which randomly drawn frames are visible."""
    codec = make_codec(model, codec_weights)
    latents = codec.encode(batch.frames) if batch.latents is None else batch.latents
    clips, views, frames = latents.shape[:3]
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(places)
    visible = jax.vmap(lambda key: draw_visible(key, views, frames))(keys)
    cameras = batch.cameras.frames(slice(None, None, codec.frame_stride))
    return EncodedBatch(latents, visible_conditions(latents, visible, cameras))


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
