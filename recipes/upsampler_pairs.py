"""Training pairs of the upsampler: what it will see of a target frame, and the true frame.

A scene is rendered at full size, its source goes through the same projection and the same prior as
a video does, and the rendered targets are the truth. A share of the scenes are frames of ordinary
videos with double reprojection. There, a hole often hides the person whom the other camera lost,
which cannot be guessed: where the video is nearer than what lies around a hole, it does not count.

Rendering costs more than a step, so a pool of scenes is kept: the crops of a step come from `pool`
scenes, the oldest of which gives way to a new one every `steps_per_scene` steps. What a step sees
is a function of the seed and the step.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from appearance import Appearance, appearance_at, scene_with_appearance
from jaxtyping import Array, Float, Integer, PRNGKeyArray
from numpy import ndarray
from small_networks import Settings

from full4d_jax.config import OptimizerConfig, TrainingConfig
from full4d_jax.config.experiment import ALL_SCENES
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.cascade import generate_small, guide
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.projection_guidance import (
    NEARER_DISPARITY_RATIO,
    Projection,
    fill_holes,
    splat,
)
from full4d_jax.geometry.depth_maps import drop_depth_edges
from full4d_jax.geometry.rays import relative_pose
from full4d_jax.media.video_io import read_video
from full4d_jax.models.nets.unet import Guidance, UpsamplerNetConfig
from full4d_jax.session.errors import input_errors
from full4d_jax.source.depth.enlarge import enlarge_disparity
from full4d_jax.source.depth.our_network import DepthNetwork, estimate_depth
from full4d_jax.training.clips.pseudo_views import random_lens, random_pose, two_views
from input_pipeline.video_files import frame_times

# Another seed sees other scenes.
SCENES_OF_A_SEED = 2**24
# Of smoothed depth, which a network that sees little might give.
COARSE_ROWS = 96
# Pixels of that by which smoothed depth is blurred at most.
SOFTEST = 2.0


@dataclass(frozen=True)
class UpsamplerSettings(Settings):
    """Options of this recipe."""

    prior: str = ""
    """Weights of the prior that the upsampler follows; default: those in the package."""
    perceptual: float = 0.15
    """Weight of LPIPS (AlexNet) in the loss."""
    perceptual_from: float = 0.3
    """Share of the steps after which LPIPS counts."""
    rows: int = 256
    """Rows and columns of the frames, a multiple of 8."""
    prior_rows: int = 64
    """Rows at which the prior generates."""
    crop: int = 96
    """Rows and columns of the crops that a step sees."""
    targets: int = 2
    """Target views of a scene."""
    pool: int = 96
    """Scenes that the crops of a step are drawn from."""
    steps_per_scene: int = 4
    """Steps after which the oldest scene gives way to a new one."""
    worlds: Literal["simple", "rich"] = "rich"
    """Content of the scenes."""
    smoothed: float = 0.4
    """Share of the scenes with true depth as a small network would give it, enlarged."""
    estimated: float = 0.2
    """Share of the scenes with the depth network's own estimate; the others have true depth."""
    filmed: float = 0.5
    """Share of the scenes that are frames of `videos`."""
    model: UpsamplerNetConfig = UpsamplerNetConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        kind="adamw", adam_learning_rate=0.002, adam_weight_decay=1e-4, decay_share=0.7
    )
    training: TrainingConfig = TrainingConfig(
        batch=8, steps=5_000, log_every=50, checkpoint_every=200
    )


class Pair(NamedTuple):
    """Target frames as the upsampler sees them, and as they are; a batch.

    Attributes:
      guidance: the input.
      truth: the rendered frames, [-1, 1].
      counts: 1 where the truth counts, else 0.
    """

    guidance: Guidance
    truth: Float[Array, "b h w 3"]
    counts: Float[Array, "b h w"]


def batches(
    settings: UpsamplerSettings, draw: Callable[[int], Pair], start: int
) -> Iterator[Pair]:
    """Yield the batches from step `start` on.

    Args:
      settings: the options.
      draw: gives the pairs at a place in the stream of scenes, see `drawn_pairs`.
      start: the first step.
    """
    pool: dict[int, Pair] = {}
    for step in itertools.count(start):
        first = step // settings.steps_per_scene
        for place in range(first, first + settings.pool):
            if place not in pool:
                pool[place] = _half(draw(place))
        pool.pop(first - 1, None)
        yield crops(
            settings,
            [pool[place] for place in range(first, first + settings.pool)],
            step,
        )


def _half(pair: Pair) -> Pair:
    """Return a pair as half floats in the host's memory."""
    return jax.tree.map(lambda x: np.asarray(x, np.float16), pair)


def crops(settings: UpsamplerSettings, pool: list[Pair], step: int) -> Pair:
    """Return the crops of a step, some mirrored, with channels in random order."""
    random = np.random.default_rng((settings.seed, step))
    side = settings.crop
    # Of a crop along a side.
    places = settings.rows - side + 1

    def one() -> Pair:
        pair = pool[random.integers(len(pool))]
        target, top, left = random.integers((settings.targets, places, places))
        is_mirrored = random.integers(2)
        order = random.permutation(3)

        def cut(x: ndarray) -> ndarray:
            part = x[target, top : top + side, left : left + side]
            part = part[:, ::-1] if is_mirrored else part
            return (part[..., order] if part.ndim == 3 else part).astype(np.float32)

        return jax.tree.map(cut, pair)

    drawn = [one() for _ in range(settings.training.batch)]
    return jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *drawn)


def drawn_pairs(
    settings: UpsamplerSettings,
    prior: Prior,
    network: DepthNetwork,
    clips: list[Path],
    place: int,
) -> Pair:
    """Return the pairs at a place in the stream of scenes and frames of videos."""
    random = np.random.default_rng((settings.seed, place, 1))
    if clips and random.random() < settings.filmed:
        clip = clips[random.integers(len(clips))]
        when = random.random()
        return video_pairs(
            settings, prior, network, read_moment(clip, settings.rows, when), place
        )
    return scene_pairs(settings, prior, network, place)


def read_moment(clip: Path, rows: int, when: float) -> Float[ndarray, "1 h w 3"]:
    """Read the middle square of a frame, [-1, 1]; `when` is a share of the clip's length.

    Raises:
      InputError: the clip cannot be read.
    """
    with input_errors("videos", "remove it from the folder, or encode it again"):
        last = float(frame_times(clip)[-1])
    video = read_video(
        clip, height=rows, width=rows, frames=1, start=0.95 * when * last
    )
    return video.frames.astype(np.float32) / 127.5 - 1


def video_pairs(
    settings: UpsamplerSettings,
    prior: Prior,
    network: DepthNetwork,
    frame: Float[ndarray, "1 h w 3"],
    place: int,
) -> Pair:
    """Return the pairs of a frame of a video, seen from `targets` places and back."""
    key = jax.random.fold_in(jax.random.key(settings.seed), place)
    video = jnp.asarray(frame)
    depth = drop_depth_edges(estimate_depth(network, video))
    made = []
    for target in range(settings.targets):
        clip, video_depth, noise_key = _filmed(
            video, depth, jax.random.fold_in(key, target)
        )
        made.append(
            _pairs(clip, _small_targets(settings, prior, clip, noise_key), video_depth)
        )
    return jax.tree.map(lambda *x: jnp.concatenate(x), *made)


@jax.jit
def _filmed(
    frame: Float[Array, "1 h w 3"], depth: Float[Array, "1 h w"], key: PRNGKeyArray
) -> tuple[Batch, Float[Array, "1 h w"], PRNGKeyArray]:
    """Return the clip of a frame, the frame's depth in its unit, and the key of the noise."""
    lens_key, pose_key, noise_key = jax.random.split(key, 3)
    lens = random_lens(lens_key, *frame.shape[1:3])
    clip, video_depth = two_views(frame, depth, lens, random_pose(pose_key))
    return clip, video_depth, noise_key


def scene_pairs(
    settings: UpsamplerSettings, prior: Prior, network: DepthNetwork, place: int
) -> Pair:
    """Return the pairs of the scene at a place in the stream of scenes, a batch of targets."""
    videos = settings.videos if settings.photos else ""
    with input_errors("config", "change --photos or --videos"):
        appearance = appearance_at(
            place, photos=settings.photos, videos=videos, seed=settings.seed
        )
    clip, noise_key = _scene(settings, network, appearance, jnp.int32(place))
    return _pairs(clip, _small_targets(settings, prior, clip, noise_key))


def _small_targets(
    settings: UpsamplerSettings, prior: Prior, clip: Batch, key: PRNGKeyArray
) -> Float[Array, "n i j 3"]:
    """Return what the prior generates for the target views of a clip, at its own size."""
    small = generate_small(
        prior,
        frames=clip.frames[:1],
        depth=clip.depth[None],
        cameras=clip.cameras,
        key=key,
        rows=settings.prior_rows,
    )
    return small[1:, 0]


@partial(jax.jit, static_argnums=0)
def _scene(
    settings: UpsamplerSettings,
    network: DepthNetwork,
    appearance: Appearance,
    place: Integer[Array, ""],
) -> tuple[Batch, PRNGKeyArray]:
    """Return a rendered clip of one instant, and the key of the noise."""
    index = (
        jnp.uint32(settings.seed) * SCENES_OF_A_SEED + place.astype(jnp.uint32)
    ) % ALL_SCENES
    key = jax.random.fold_in(jax.random.key(settings.seed), place)
    depth_key, noise_key = jax.random.split(key)
    scene = scene_with_appearance(
        index,
        views=1 + settings.targets,
        frames=1,
        height=settings.rows,
        width=settings.rows,
        worlds=settings.worlds,
        appearance=appearance,
    )
    frames = 2 * scene.frames - 1
    depth = draw_upsampler_depth(
        settings, network, depth_key, frames[0], scene.depth[0]
    )
    return Batch(frames, depth, scene.intrinsics, scene.world_to_camera), noise_key


def draw_upsampler_depth(
    settings: UpsamplerSettings,
    network: DepthNetwork,
    key: PRNGKeyArray,
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
) -> Float[Array, "t h w"]:
    """Return true depth, or what a small network might make of it, or what ours makes of it."""
    kind_key, soft_key = jax.random.split(key)
    kind = jax.random.uniform(kind_key)
    columns = COARSE_ROWS * depth.shape[2] // depth.shape[1]
    small = jax.image.resize(frames, (len(frames), COARSE_ROWS, columns, 3), "linear")

    def smoothed() -> Float[Array, "t h w"]:
        softness = jax.random.uniform(soft_key, minval=0.3, maxval=SOFTEST)
        disparity = jax.image.resize(
            1 / jnp.maximum(depth, 0.05), small.shape[:3], "linear"
        )
        disparity = _blur(disparity, softness)
        return drop_depth_edges(1 / enlarge_disparity(disparity, small, frames))

    def estimated() -> Float[Array, "t h w"]:
        return drop_depth_edges(estimate_depth(network, frames))

    which = jnp.int32(kind < settings.smoothed) + 2 * jnp.int32(
        kind > 1 - settings.estimated
    )
    return jax.lax.switch(which, (lambda: depth, smoothed, estimated))


def _blur(x: Float[Array, "t h w"], sigma: Float[Array, ""]) -> Float[Array, "t h w"]:
    """Blur with a Gaussian of `sigma` pixels; borders repeat."""
    reach = round(3 * SOFTEST)
    weights = jnp.exp(-(jnp.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights = weights / weights.sum()
    padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach)), "edge")
    kernel = (weights[:, None] * weights[None])[None, ..., None, None]
    numbers = ("NHWC", "HWIO", "NHWC")
    blurred = jax.lax.conv_general_dilated(
        padded[..., None], kernel[0], (1, 1), "VALID", dimension_numbers=numbers
    )
    return blurred[..., 0]


@jax.jit
def _pairs(
    clip: Batch,
    small: Float[Array, "n i j 3"],
    target_depth: Float[Array, "1 h w"] | None = None,
) -> Pair:
    """Return the pairs of a clip; `target_depth` where holes may hide what is near."""
    lenses = clip.intrinsics
    poses = clip.world_to_camera[:, 0]
    relative = relative_pose(poses[1:], poses[0][None])
    source = clip.frames[0, 0], clip.depth[0], lenses[0]
    drawn = jax.vmap(lambda *target: splat(*source, *target))(relative, lenses[1:])
    counts = jnp.ones_like(drawn.mask)
    if target_depth is not None:
        counts = can_be_guessed(drawn, target_depth)
    return Pair(jax.vmap(guide)(drawn, small), clip.frames[1:, 0], counts)


def can_be_guessed(
    projection: Projection, depth: Float[Array, "*n h w"]
) -> Float[Array, "*n h w"]:
    """Return 0 where a hole hides what is nearer than its surroundings, or may, else 1.

    There and back, such a hole is most often where the other camera lost a part of a person.

    Args:
      projection: of the source, into the video's camera.
      depth: z-depth of the video, 0 where unknown.
    """
    around = fill_holes(projection._replace(frames=projection.disparity[..., None]))[
        ..., 0
    ]
    is_behind = (depth > 0) & (
        1 / jnp.maximum(depth, 1e-6) < NEARER_DISPARITY_RATIO * around
    )
    return jnp.maximum(projection.mask, is_behind)
