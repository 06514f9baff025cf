"""Scores of a fitted scene against its own video, in the source camera at every instant.

One number for the whole picture hides what goes wrong: most of it is at rest and easy. So:

    source_psnr        dB, all pixels of all instants
    moving_psnr        dB, the pixels that move, of all instants together
    moving_psnr_worst  dB, the instant whose moving pixels are shown worst, and when that is
    moving_psnr_between  dB, the moving pixels of the video's own pictures half-way between the
                       instants, which the grid does not have (`scene.half_instants`)
    sharpness          variance of the Laplacian of the grey picture, render over source; 1 is as
                       sharp as the video, less is blurred, more is speckled
    straightness       how far straight segments bend seen from 15 degrees aside, as a share of
                       their length (`source.depth.lines`); it judges the depth

A pixel moves if a channel differs by more than `MOVING_LEVELS` from the clip's median picture.
That holds for a camera at rest; before one that moves, the grid's masks tell what passes at the
instants, where there are some.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.geometry.arrays import Masks, Picture, Pictures, Values
from full4d_jax.geometry.image_motion import differs, resting_picture
from full4d_jax.grid import Grid
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene.half_instants import between_instants
from full4d_jax.scene.renders import pictures_along, scene_renderer
from full4d_jax.source.depth.lines import straightness
from full4d_jax.source.own_motion import passing_in
from gaussians import Scene
from gaussians.fitting.stillness import camera_moves

# A pixel that moves differs by more from the median picture, of 255.
MOVING_LEVELS = 30
# An instant is judged where a larger share of its pixels moves.
LEAST_MOVING_SHARE = 0.0005


class SourceQuality(NamedTuple):
    """Scores of a scene against its source; NaN where a number has no meaning.

    Attributes:
      source_psnr: of all pixels, dB.
      moving_psnr: of the pixels that move, dB.
      moving_psnr_worst: of those at the worst instant, dB.
      moving_psnr_worst_at: when that is, seconds into the video.
      sharpness: variance of the Laplacian, render over source.
      moving_psnr_between: of the pixels that move half-way between the instants, dB.
      straightness: deviation of straight segments from a line, as a share of their length.
      straightness_worst_at: when it is largest, seconds into the video.
    """

    source_psnr: float
    moving_psnr: float = np.nan
    moving_psnr_worst: float = np.nan
    moving_psnr_worst_at: float = np.nan
    sharpness: float = np.nan
    moving_psnr_between: float = np.nan
    straightness: float = np.nan
    straightness_worst_at: float = np.nan


def score_scene(scene: Scene, grid: Grid) -> SourceQuality:
    """Return how well a scene shows its source, view 0 of a grid, and how straight depth is."""
    source = grid.known_cameras.views([0])
    frames = grid.frames[0]
    draw = scene_renderer(scene, source)
    renders = pictures_along(draw, source, np.linspace(0, 1, len(frames)))
    moving = passing_in(grid, MOVING_LEVELS)
    shown = source_quality(renders, frames, grid.times, moving)
    between = between_instants(grid)
    rests = not camera_moves(np.asarray(source.world_to_camera[0]))
    if rests and between is not None:
        resting = source.frames([0] * len(between.times))
        renders = pictures_along(draw, resting, between.times)
        score = psnr_between(renders, to_uint8(between.frames), frames)
        shown = shown._replace(moving_psnr_between=score)
    straight = straightness(
        frames, grid.known_depth[0], np.asarray(source.intrinsics[0])
    )
    if straight is None:
        return shown
    median, worst_instant = straight
    worst_at = float(grid.times[worst_instant])
    return shown._replace(straightness=median, straightness_worst_at=worst_at)


def source_quality(
    renders: Pictures, frames: Pictures, times: Values, moving: Masks
) -> SourceQuality:
    """Return how well renders in the source camera show the frames.

    Args:
      renders: the scene, seen from the source camera at every instant.
      frames: the source's pictures.
      times: of the instants, seconds into the video.
      moving: pixels that move.
    """
    # Mean squared error of each pixel, of colours in [0, 1].
    error = np.square((renders.astype(np.float32) - frames) / 255).mean(-1)
    by_instant = [
        _decibels(error[i][mask]) if mask.mean() >= LEAST_MOVING_SHARE else np.nan
        for i, mask in enumerate(moving)
    ]
    quality = SourceQuality(_decibels(error), sharpness=sharpness(renders, frames))
    if np.isnan(by_instant).all():
        return quality
    worst = int(np.nanargmin(by_instant))
    return quality._replace(
        moving_psnr=_decibels(error[moving]),
        moving_psnr_worst=by_instant[worst],
        moving_psnr_worst_at=float(times[worst]),
    )


def psnr_between(
    renders: UInt8[ndarray, "b h w 3"],
    pictures: UInt8[ndarray, "b h w 3"],
    frames: Pictures,
) -> float:
    """Return the PSNR of the pixels that move in pictures between the frames; NaN for none, dB."""
    moving = differs(pictures, resting_picture(frames), MOVING_LEVELS)
    error = np.square((renders.astype(np.float32) - pictures) / 255).mean(-1)
    return _decibels(error[moving]) if moving.mean() >= LEAST_MOVING_SHARE else np.nan


def sharpness(renders: Pictures, frames: Pictures) -> float:
    """Return the Laplacian's mean variance in renders over that in frames; NaN without detail."""
    detail = np.mean([laplacian_variance(picture) for picture in frames])
    shown = np.mean([laplacian_variance(picture) for picture in renders])
    return float(shown / detail) if detail > 0 else np.nan


def laplacian_variance(picture: Picture) -> float:
    """Return the variance of the Laplacian of a picture in grey, levels of 255 squared."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def score_arrays(quality: SourceQuality) -> dict[str, ndarray]:
    """Return scores as the stage `scene` saves them, with the warning that follows from them."""
    scores = quality._asdict() | {"warning": quality_warning(quality)}
    return {name: np.asarray(value) for name, value in scores.items()}


def quality_note(quality: SourceQuality) -> str:
    """Return a sentence on how well a scene shows its source."""
    parts = [f"source frames at {quality.source_psnr:.1f} dB"]
    if np.isnan(quality.moving_psnr):
        parts.append("nothing is known to move")
    else:
        worst = (
            f"{quality.moving_psnr_worst:.1f} at {quality.moving_psnr_worst_at:.2f} s"
        )
        parts.append(f"what moves at {quality.moving_psnr:.1f} dB (worst {worst})")
    if not np.isnan(quality.moving_psnr_between):
        parts.append(f"half-way between instants {quality.moving_psnr_between:.1f} dB")
    if not np.isnan(quality.sharpness):
        parts.append(f"sharpness {quality.sharpness:.2f} of the video's")
    if not np.isnan(quality.straightness):
        parts.append(f"straight lines bend by {quality.straightness:.2%} at 15 degrees")
    return ", ".join(parts)


def quality_warning(quality: SourceQuality) -> str:
    """Return what is shown badly, when, and what to try; empty where nothing is."""
    # Below these a friend who is shown the scene would notice; measured on five clips of people and
    # animals: torn apart or dissolved at 17 to 19 dB, whole above 24; edges ragged below .4.
    # Of the worst instant, dB.
    low_moving_psnr = 22.0
    low_sharpness = 0.5
    # Share of a segment's length: a door of 100 pixels is an S of 1 pixel.
    high_straightness = 0.01
    texts = []
    if quality.moving_psnr_worst < low_moving_psnr:  # not where it is NaN
        texts.append(
            f"what moves at {quality.moving_psnr_worst_at:.1f} s may be smeared, at "
            f"{quality.moving_psnr_worst:.1f} dB: try --quality high or another --depth_network"
        )
    if quality.sharpness < low_sharpness:
        texts.append(
            f"the scene is blurred, at {quality.sharpness:.2f} of the video's sharpness: "
            "try --quality high"
        )
    if quality.straightness > high_straightness:
        texts.append(
            f"straight lines bend by {quality.straightness:.1%} seen from 15 degrees, most at "
            f"{quality.straightness_worst_at:.1f} s: try another --depth_network or a smaller "
            "--azimuth"
        )
    return "; ".join(texts)


def _decibels(error: Float[ndarray, "..."]) -> float:
    """Return the peak signal-to-noise ratio, dB, of squared errors of values in [0, 1]."""
    mean = float(np.mean(error))
    return float(-10 * np.log10(mean)) if mean > 0 else np.inf
