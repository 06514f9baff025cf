"""Clips on their way into the model: from frames, depth and cameras to latents and conditions."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import DataConfig, ModelConfig
from full4d_jax.config.codecs import strides_of
from full4d_jax.flow import Latents
from full4d_jax.generation.coding import encode_videos
from full4d_jax.generation.depth_jitter import draw_depth, draw_shares
from full4d_jax.generation.projection_guidance import (
    Projection,
    fill_holes,
    project_clips,
)
from full4d_jax.generation.real_frames import conditions_of_real, draw_real, is_carried
from full4d_jax.generation.several_views import project_several
from full4d_jax.generation.static_points import StaticPoints, project_known
from full4d_jax.models.codecs.codec import Weights, pool_frames
from full4d_jax.models.conditions import Conditions, reads_filled
from input_pipeline.procedural.scene import procedural_scene


class Batch(NamedTuple):
    """Synchronized clips, or one of them without batch axis; view 0 is the source.

    Records are decoded into batches in the host's memory, of bytes and half floats;
    `training.clips.records` makes float32 of them on the device, which all other batches are.

    Attributes:
      frames: sRGB in [-1, 1], or bytes; where there are latents, those of view 0 only.
      depth: of the source, 0 where unknown.
      intrinsics: of all views, pixels.
      world_to_camera: of all views.
      latents: of all views, if they were cached.
      text: embedding of the clip's own text, if it is trained with that.
      motion: what the first row carries over to hidden frames, for models that move their base.
      true_motion: what they should find, pixels x and y; third, 1 where it can be trusted, else 0.
    """

    frames: Float[Any, "*b v t h w 3"] | UInt8[Any, "*b v t h w 3"]
    depth: Float[Any, "*b t h w"]
    intrinsics: Float[Any, "*b v 3 3"]
    world_to_camera: Float[Any, "*b v t 4 4"]
    latents: Float[Any, "*b v f i j c"] | None = None
    text: Float[Any, "*b n e"] | None = None
    motion: Float[Any, "*b v t h w 5"] | None = None
    true_motion: Float[Any, "*b v t h w 3"] | None = None

    @property
    def cameras(self) -> Cameras:
        """The cameras of all views."""
        return cameras_of(self)


class EncodedBatch(NamedTuple):
    """Clips as the network sees them; `prepare` makes them of a `Batch`.

    Attributes:
      latents: the latents to generate.
      conditions: what they are generated from.
      true_motion: that of the base, as in `Batch`, where it moves.
    """

    latents: Latents
    conditions: Conditions
    true_motion: Float[Array, "b v t h w 3"] | None = None


def procedural_batch(indices: Int[Array, "b"], config: DataConfig) -> Batch:
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
        )
        frames = clip.frames * 2 - 1
        return Batch(frames, clip.depth[0], clip.intrinsics, clip.world_to_camera)

    return jax.lax.map(one, indices)


def make_conditions(
    model: ModelConfig,
    frames: Float[Array, "k t h w 3"],
    depth: Float[Array, "k t h w"],
    cameras: Cameras,
    codec_weights: Weights | None = None,
    known: StaticPoints | None = None,
) -> tuple[Conditions, Projection]:
    """Return the conditions of one grid, without batch axis, and the projection they come from.

    Where the codec has a temporal stride, the cameras of the last frame of each latent frame are
    kept.

    Args:
      model: says which codec encodes the projection.
      frames: videos of the real views, [-1, 1]; the source is the first.
      depth: their z-depth in world units, 0 where unknown.
      cameras: of all views, the real ones first.
      codec_weights: weights of the codec.
      known: still points of the source, to be projected too; None where several views are real.

    Returns:
      The conditions; and the projection into the target views at full resolution.
    """
    if known is None:
        targets = project_several(frames, depth, cameras)
    else:
        targets = project_known(frames[0], depth[0], known, cameras)
    videos = [frames[:1], targets.frames]
    if reads_filled(model):
        videos.append(fill_holes(targets))
    latents = encode_videos(model, codec_weights, jnp.concatenate(videos)[None])[0]
    conditions = conditions_of(
        model,
        depth=depth[0],
        cameras=cameras,
        mask=targets.mask,
        disparity=targets.disparity,
        latents=latents,
    )
    return conditions, targets


def conditions_of(
    model: ModelConfig,
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    mask: Float[Array, "v t h w"],
    disparity: Float[Array, "v t h w"],
    latents: Float[Array, "n f i j c"],
) -> Conditions:
    """Return the conditions of one grid, whose videos are encoded.

    Args:
      model: the codec and the kind of conditions.
      depth: of the source.
      cameras: of all views.
      mask: of the projection into the target views, at full resolution.
      disparity: of the same.
      latents: of the source's video, of the projections into the target views and, if the model
        reads them, of these with holes filled.
    """
    strides = strides_of(model.codec, model.codec_stride)
    views = 1 + len(mask)
    inverse = jnp.where(depth > 0, 1 / jnp.maximum(depth, 0.05), 0.0)
    latent_cameras = cameras.frames(slice(None, None, strides.frames))
    projection = latents[:views]
    filled = latents[views:]
    pooled = pool_frames(jnp.concatenate([inverse[None], disparity]), strides)
    return Conditions(
        projection=projection,
        # The source has no holes; models that do not read the others' never look at them.
        base=jnp.concatenate([latents[:1], filled]) if len(filled) else projection,
        mask=pool_frames(jnp.concatenate([jnp.ones((1, *depth.shape)), mask]), strides),
        disparity=jnp.clip(pooled, 0, 4) / 2,
        world_to_camera=jnp.asarray(latent_cameras.world_to_camera),
        intrinsics=jnp.asarray(latent_cameras.unit_intrinsics),
    )


def prepare(
    batch: Batch,
    key: PRNGKeyArray,
    model: ModelConfig,
    data: DataConfig,
    codec_weights: Weights | None = None,
    places: Int[Array, "b"] | None = None,
) -> EncodedBatch:
    """Encode clips for training, with some depth corrupted and some projections dropped.

    Without projection the latents are those of the whole grid, of which some frames are real.

    Args:
      batch: the clips.
      key: randomness; clip i draws from fold_in(key, i), whatever the batch around it.
      model: the codec and the kind of conditions.
      data: how often depth is corrupted or dropped.
      codec_weights: weights of the codec.
      places: i of each clip, where the batch is part of a larger one.
    """
    places = jnp.arange(batch.frames.shape[0]) if places is None else places
    if not model.needs_cameras:
        return _prepare_grids(batch, key, model, codec_weights, places)

    def jittered(depth, index):
        shares = draw_shares(key, index)
        drawn = draw_depth(shares, depth, data)
        return jnp.where(shares.drop < data.drop_projection, 0.0, drawn)

    depth = jax.vmap(jittered)(batch.depth, places)
    source = batch.frames[:, 0]
    fill = reads_filled(model)
    targets, filled = project_clips(source, depth, batch.cameras, fill=fill)
    own = batch.frames if batch.latents is None else source[:, None]
    videos = [own, targets.frames] if filled is None else [own, targets.frames, filled]
    encoded = encode_videos(model, codec_weights, jnp.concatenate(videos, 1))
    own, other_latents = encoded[:, : own.shape[1]], encoded[:, own.shape[1] :]
    conditions = jax.vmap(partial(conditions_of, model))(
        depth,
        batch.cameras,
        targets.mask,
        targets.disparity,
        jnp.concatenate([own[:, :1], other_latents], 1),
    )._replace(text=batch.text)
    return for_model(model, own if batch.latents is None else batch.latents, conditions)


def for_model(
    model: ModelConfig, latents: Float[Array, "b v f i j c"], conditions: Conditions
) -> EncodedBatch:
    """Return the latents that the model generates of these, with their conditions."""
    if model.projection == "channels":  # the source is real, not generated
        latents = latents[:, 1:]
    elif model.first_frame:
        conditions = conditions._replace(real=mark_first_frame(*latents.shape[:3]))
    return EncodedBatch(latents, conditions)


def mark_first_frame(batch: int, views: int, frames: int) -> Bool[Array, "b v t"]:
    """Mark the source's first frame, which alone is real, as in Wan2.2-TI2V."""
    return jnp.zeros((batch, views, frames), bool).at[:, 0, 0].set(True)


def lines(batch: Batch) -> tuple[Batch, Batch]:
    """Cut grids into their rows and their columns: fixed-view and freeze-time videos.

    The depth of most of them is unknown, so it is 0 in all.
    """
    lenses = batch.intrinsics
    poses = batch.world_to_camera

    def cut(pattern: str, lenses: Float[Array, "b v 3 3"]) -> Batch:
        videos = rearrange(batch.frames, pattern)
        depth = jnp.zeros((len(videos), *videos.shape[2:5]))
        return Batch(videos, depth, lenses, rearrange(poses, pattern))

    return (
        cut("b v t ... -> (b v) 1 t ...", rearrange(lenses, "b v i j -> (b v) 1 i j")),
        cut("b v t ... -> (b t) v 1 ...", jnp.repeat(lenses, poses.shape[2], 0)),
    )


def _prepare_grids(
    batch: Batch,
    key: PRNGKeyArray,
    model: ModelConfig,
    codec_weights: Weights | None,
    places: Int[Array, "b"],
) -> EncodedBatch:
    """Encode whole grids, of which randomly drawn frames are real."""
    latents = batch.latents
    if latents is None:
        latents = encode_videos(model, codec_weights, batch.frames)
    clips, views, frames = latents.shape[:3]
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(places)
    real = jax.vmap(lambda key: draw_real(key, views, frames))(keys)
    stride = strides_of(model.codec, model.codec_stride).frames
    cameras = batch.cameras.frames(slice(None, None, stride))
    conditions = conditions_of_real(latents, real, cameras, batch.motion)
    conditions = conditions._replace(text=batch.text)
    motion = batch.true_motion
    if motion is not None:  # the others' base is no first instant
        motion = motion.at[..., 2:].multiply(is_carried(real))
    return EncodedBatch(latents, conditions, motion)
