"""The source's own pictures between the instants of a grid: truth that costs nothing.

A grid has fewer instants than a video has frames. What moves is fitted at the instants, and
half-way between two of them both are half visible: an arm is doubled. The video knows how it really
was. Its pictures between the instants are targets of the fit in the source's camera, and their
moving pixels seed Gaussians of their own, at the depth that the instants before and after have
where optical flow leads to them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaussians.optical_flow import optical_flow, warp
from gaussians.stillness import median_colors, shows_farthest

MOVES = 0.08  # difference from the resting colour, colours in [0, 1], from which a pixel moves
ALIKE = 0.08  # difference up to which two colours may be one point's


class Between(NamedTuple):
    """Pictures of the source between the instants.

    Attributes:
      frames: colours in [0, 1].
      times: when they were taken, in clips.
    """

    frames: Float[ndarray, "b h w 3"]
    times: Float[ndarray, " b"]


def between_instants(source: Mapping[str, ndarray]) -> Between | None:
    """Return the pictures between the instants that the stage `source` saved; None without any.

    Their times are in clips, in which the instants are evenly spread.
    """
    if "between" not in source:
        return None
    instants = source["times"]
    times = np.interp(source["between_times"], instants, np.linspace(0, 1, len(instants)))
    return Between(source["between"].astype(np.float32) / 255, times)


def depth_between(
    frames: Float[ndarray, "t h w 3"],
    depth: Float[ndarray, "t h w"],
    between: Between,
) -> Float[ndarray, "b h w"]:
    """Return depth of the pixels of the pictures between that no instant explains; 0 for others.

    Those are pixels that move and do not have their colour where flow leads to both of the instants
    around: what is too fast, or turns. A pixel has the disparity of the instant for which it has,
    or else the nearer of both: what moves lies before what rests.

    Args:
      frames: of the source, [0, 1], a camera at rest.
      depth: z of these, known everywhere.
      between: the pictures between.
    """
    resting = median_colors(frames, shows_farthest(depth))
    clip = np.linspace(0, 1, len(frames))
    found = []
    for picture, time in zip(between.frames, between.times, strict=True):
        after = int(np.clip(np.searchsorted(clip, time), 1, len(clip) - 1))
        disparities, agree = [], []
        for instant in (after - 1, after):
            flow = optical_flow(_to_uint8(picture), _to_uint8(frames[instant]))
            colors = warp(frames[instant], flow)
            z = warp(depth[instant, ..., None], flow, cv2.INTER_NEAREST)[..., 0]
            is_known = z > 0
            disparities.append(np.where(is_known, 1 / np.maximum(z, 1e-6), 0.0))
            agree.append(is_known & (np.abs(colors - picture).max(-1) < ALIKE))
        values, counts = np.stack(disparities), np.stack(agree)
        mean = (values * counts).sum(0) / np.maximum(counts.sum(0), 1)
        disparity = np.where(counts.any(0), mean, values.max(0))
        moving = (np.abs(picture - resting).max(-1) > MOVES) & (disparity > 0)
        moving &= ~counts.all(0)  # Gaussians of the instants move there by themselves
        found.append(np.where(moving, 1 / np.maximum(disparity, 1e-6), 0.0))
    return np.stack(found).astype(np.float32)


def with_instants_between(
    frames: Float[ndarray, "v t h w 3"],
    depth: Float[ndarray, "v t h w"],
    world_to_camera: Float[ndarray, "v t 4 4"],
    between: Between,
) -> tuple[ndarray, ndarray, ndarray, Float[ndarray, " n"]]:
    """Return frames, depth, poses and times of all n = t + b instants, in the order of time.

    Only view 0 has pictures between; the other views have no depth then.

    Args:
      frames: of a grid, [0, 1]; view 0 is the source, whose camera rests.
      depth: z of the pixels that seed a scene, 0 for others; of view 0 known everywhere.
      world_to_camera: of the cameras.
      between: the pictures between.
    """
    views, count = frames.shape[:2]
    times = np.concatenate([np.linspace(0, 1, count), between.times])
    order = np.argsort(times, kind="stable")
    more_frames = np.zeros((views, len(between.frames), *frames.shape[2:]), np.float32)
    more_depth = np.zeros(more_frames.shape[:-1], np.float32)
    more_frames[0] = between.frames
    more_depth[0] = depth_between(frames[0], depth[0], between)
    after = np.searchsorted(np.linspace(0, 1, count), between.times).clip(0, count - 1)
    all_frames = np.concatenate([frames, more_frames], 1)[:, order]
    all_depth = np.concatenate([depth, more_depth], 1)[:, order]
    poses = np.concatenate([world_to_camera, world_to_camera[:, after]], 1)[:, order]
    return all_frames, all_depth, poses, times[order]


def _to_uint8(picture: Float[ndarray, "h w 3"]) -> UInt8[ndarray, "h w 3"]:
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
