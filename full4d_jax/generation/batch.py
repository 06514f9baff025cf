"""Clips on their way into the model: from frames, depth and cameras to latents and conditions.

The devices that share a clip divide its videos to make latents of them, and back.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import DataConfig, ModelConfig
from full4d_jax.flow import Latents
from full4d_jax.generation import projection_guidance, real_frames
from full4d_jax.geometry.depth_maps import drop_depth_edges
from full4d_jax.models.codec import Weights, make_codec, pool_frames
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.sharded_map import map_items

Place = Int[Array, ""] | int


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


def conditions_of(
    model: ModelConfig,
    depth: projection_guidance.Depth,
    cameras: Cameras,
    targets: projection_guidance.Projection,
    latents: Float[Array, "n f i j c"],
) -> Conditions:
    """Return the conditions of one grid, whose videos are encoded.

    Args:
      model: the codec and the kind of conditions.
      depth: of the source.
      cameras: of all views.
      targets: the projection into the target views, at full resolution.
      latents: of the source's video, of the projections into the target views and, if the model
        reads them, of these with holes filled.
    """
    strides = model.strides
    views = 1 + len(targets.mask)
    # The source has no holes; models that do not read the others' never look at them.
    mask = jnp.concatenate([jnp.ones((1, *depth.shape)), targets.mask])
    disparity = jnp.concatenate(
        [projection_guidance.inverse_depth(depth)[None], targets.disparity]
    )
    latent_cameras = cameras.frames(slice(None, None, strides.frames))
    projection = latents[:views]
    filled = latents[views:]
    return Conditions(
        projection=projection,
        base=jnp.concatenate([latents[:1], filled]) if len(filled) else projection,
        mask=pool_frames(mask, strides),
        disparity=jnp.clip(pool_frames(disparity, strides), 0, 4) / 2,
        world_to_camera=jnp.asarray(latent_cameras.world_to_camera),
        intrinsics=jnp.asarray(latent_cameras.unit_intrinsics),
    )


def prepare(
    batch: Batch,
    key: PRNGKeyArray,
    model: ModelConfig,
    data: DataConfig,
    weights: Weights | None = None,
    places: Int[Array, "b"] | None = None,
) -> EncodedBatch:
    """Encode clips for training, with some depth corrupted and some projections dropped.

    Without projection the latents are those of the whole grid, of which some frames are real.

    Args:
      batch: the clips.
      key: randomness; clip i draws from fold_in(key, i), whatever the batch around it.
      model: the codec and the kind of conditions.
      data: how often depth is corrupted or dropped.
      weights: weights of the codec.
      places: i of each clip, where the batch is part of a larger one.
    """
    places = jnp.arange(batch.frames.shape[0]) if places is None else places
    if not model.needs_cameras:
        return _prepare_grids(batch, key, model, weights, places)

    def jittered(depth, index):
        drawn = draw_depth(key, index, depth, data)
        return jnp.where(is_dropped(key, index, data), 0.0, drawn)

    depth = jax.vmap(jittered)(batch.depth, places)
    source = batch.frames[:, 0]
    fill = model.reads_filled
    targets, filled = projection_guidance.project_clips(
        source, depth, batch.cameras, fill=fill
    )
    own = batch.frames if batch.latents is None else source[:, None]
    videos = [own, targets.frames] if filled is None else [own, targets.frames, filled]
    encoded = encode_videos(model, weights, jnp.concatenate(videos, 1))
    own, other_latents = jnp.split(encoded, [own.shape[1]], 1)
    latents = jnp.concatenate([own[:, :1], other_latents], 1)
    condition = jax.vmap(partial(conditions_of, model))
    conditions = condition(depth, batch.cameras, targets, latents)
    conditions = conditions._replace(text=batch.text)
    return for_model(model, own if batch.latents is None else batch.latents, conditions)


def for_model(
    model: ModelConfig, latents: Float[Array, "b v f i j c"], conditions: Conditions
) -> EncodedBatch:
    """Return the latents that the model generates of these, with their conditions."""
    # The source is real, not generated.
    latents = latents[:, model.guide.clean_views :]
    return EncodedBatch(latents, with_first_frame(model, conditions))


def with_first_frame(model: ModelConfig, conditions: Conditions) -> Conditions:
    """Return the conditions, where the model is given the first frame with its mark."""
    if not model.guide.first_frame:
        return conditions
    return conditions._replace(real=mark_first_frame(*conditions.base.shape[:3]))


def mark_first_frame(batch: int, views: int, frames: int) -> Bool[Array, "b v t"]:
    """Mark the source's first frame, which alone is real, as in Wan2.2-TI2V."""
    return jnp.zeros((batch, views, frames), bool).at[:, 0, 0].set(True)


def lines(batch: Batch) -> tuple[Batch, Batch]:
    """Cut grids into their rows and their columns: fixed-view and freeze-time videos.

    The depth of most of them is unknown, so it is 0 in all.
    """
    lenses = jnp.repeat(batch.intrinsics[:, :, None], batch.frames.shape[2], 2)

    def cut(pattern):
        videos, poses, own = (
            rearrange(x, pattern) for x in (batch.frames, batch.world_to_camera, lenses)
        )
        depth = jnp.zeros((len(videos), *videos.shape[2:5]))
        return Batch(videos, depth, own[:, :, 0], poses)

    return cut("b v t ... -> (b v) 1 t ..."), cut("b v t ... -> (b t) v 1 ...")


def _prepare_grids(
    batch: Batch,
    key: PRNGKeyArray,
    model: ModelConfig,
    weights: Weights | None,
    places: Int[Array, "b"],
) -> EncodedBatch:
    """Encode whole grids, of which randomly drawn frames are real."""
    latents = batch.latents
    if latents is None:
        latents = encode_videos(model, weights, batch.frames)
    views, frames = latents.shape[1:3]
    fold = jax.random.fold_in
    real = jax.vmap(lambda i: real_frames.draw_real(fold(key, i), views, frames))(
        places
    )
    stride = model.strides.frames
    cameras = batch.cameras.frames(slice(None, None, stride))
    conditions = real_frames.conditions_of_real(latents, real, cameras, batch.motion)
    conditions = conditions._replace(text=batch.text)
    motion = batch.true_motion
    # The others' base is no first instant.
    if motion is not None:
        motion = motion.at[..., 2:].multiply(real_frames.is_carried(real))
    return EncodedBatch(latents, conditions, motion)


def draw_depth(
    key: PRNGKeyArray, index: Place, depth: projection_guidance.Depth, data: DataConfig
) -> projection_guidance.Depth:
    """Corrupt the depth of a clip as a network would, with some probability.

    Args:
      key: of the batch.
      index: place of the clip there.
      depth: of the clip.
      data: how often depth is corrupted.
    """
    depth_key, shares = _draw(key, index)
    estimate = drop_depth_edges(corrupt_depth(depth_key, depth))
    return jnp.where(shares[0] < data.corrupt_depth, estimate, depth)


def is_dropped(key: PRNGKeyArray, index: Place, data: DataConfig) -> Bool[Array, ""]:
    """Say whether a clip has no projection; arguments as above."""
    return _draw(key, index)[1][1] < data.drop_projection


def _draw(key: PRNGKeyArray, index: Place) -> tuple[PRNGKeyArray, Float[Array, "2"]]:
    """Draw for one clip: a key of the errors of its depth, and two numbers in [0, 1)."""
    depth_key, share_key = jax.random.split(jax.random.fold_in(key, index))
    return depth_key, jax.random.uniform(share_key, (2,))


def corrupt_depth(
    key: PRNGKeyArray, depth: projection_guidance.Depth
) -> projection_guidance.Depth:
    """Make depth such as a network might estimate: wrong scale, smooth errors, blurred edges."""
    times, height, width = depth.shape
    scale_key, noise_key, level_key, blur_key = jax.random.split(key, 4)
    still_key = jax.random.fold_in(noise_key, 1)
    keys = jnp.stack([blur_key, level_key, scale_key, still_key, noise_key])
    # A key's first numbers are the same however many are drawn. One draw is one loop to compile,
    # and short rows would be unrolled.
    drawn = jax.vmap(lambda key: jax.random.uniform(key, (max(512, times * 16),)))(keys)
    drawn = drawn[:, : times * 16]
    blur, level = drawn[:2, 0]
    scale, still, moving = _normal(drawn[2:])
    log = jnp.log(jnp.maximum(depth, 1e-3))
    blurred = projection_guidance.in_squares(log, 3, jax.lax.add) / 9
    # Keep the border: its windows reach outside.
    blurred = log.at[:, 1:-1, 1:-1].set(blurred[:, 1:-1, 1:-1])
    log = jnp.where(blur < 0.6, blurred, log)
    level = jnp.maximum(0.05, level * (jnp.float32(0.2) - jnp.float32(0.05)) + 0.05)
    coarse = (moving * 0.5).reshape(-1, 4, 4) + still[:16].reshape(1, 4, 4)
    rows, columns = (cubic_weights(4, size) for size in (height, width))
    noise = level * jnp.einsum("tij,ih,jw->thw", coarse, rows, columns)
    return jnp.exp(log + noise + 0.1 * scale[0])


def _normal(uniform: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return what `jax.random.normal` draws where `uniform` draws these, in [0, 1)."""
    least = np.nextafter(np.float32(-1), np.float32(0))
    spread = jnp.maximum(least, uniform * (1 - least) + least)
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(spread)


def cubic_weights(size: int, larger: int) -> Float[np.ndarray, "{size} {larger}"]:
    """Return the shares of samples in those of a larger grid, by Keys' cubic, as in `jax.image`."""
    place = (np.arange(larger) + 0.5) * size / larger - 0.5
    x = np.abs(place - np.arange(size)[:, None])
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    shares = np.where(x < 1, near, np.where(x < 2, far, 0))
    return (shares / shares.sum(0)).astype(np.float32)


def encode_videos(
    model: ModelConfig, weights: Weights | None, videos: Float[Array, "b n t h w 3"]
) -> Float[Array, "b n f i j c"]:
    """Encode the videos of each clip, each on one device of the mesh around.

    For gradients each video is encoded again, so that one at a time is in memory.
    """

    @jax.checkpoint
    def one(video, _, weights):
        return make_codec(model, weights).encode(video)

    return _of_each(one, weights, videos)


def decode_videos(
    model: ModelConfig, weights: Weights | None, latents: Float[Array, "b n f i j c"]
) -> Float[Array, "b n t h w 3"]:
    """Decode the videos of each clip, likewise; values may be beyond [-1, 1]."""

    def one(latents, _, weights):
        return make_codec(model, weights).decode(latents)

    return _of_each(one, weights, latents)


def _of_each(
    one: Callable[..., Array], weights: Weights | None, videos: Array
) -> Array:
    # Without weights a device works on all side by side, which costs little.
    at_once = 1 if weights else videos.shape[0] * videos.shape[1]
    return map_items(one, videos, None, weights, at_once)
