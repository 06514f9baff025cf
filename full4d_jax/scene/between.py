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
from jaxtyping import Bool, Float
from numpy import ndarray

from full4d_jax.media.pictures import to_uint8
from gaussians.optical_flow import optical_flow, warp
from gaussians.stillness import median_where, shows_farthest

# Steps between instants that what moves is visible at first: longer ones leave ghosts.
DURATION = 0.45
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


class Film(NamedTuple):
    """A grid with pictures between its instants, n = t + b of them in the order of time.

    Attributes:
      frames: colours in [0, 1].
      depth: z of the pixels of view 0, and of those of other views that become Gaussians, else 0.
      world_to_camera: of the cameras.
      times: in clips.
      durations: how long what moves at a pixel is visible, one standard deviation, in clips.
      may_move: which pixels may become Gaussians that move.
    """

    frames: Float[ndarray, "v n h w 3"]
    depth: Float[ndarray, "v n h w"]
    world_to_camera: Float[ndarray, "v n 4 4"]
    times: Float[ndarray, " n"]
    durations: Float[ndarray, "v n h w"]
    may_move: Bool[ndarray, "v n h w"]


def with_instants_between(
    frames: Float[ndarray, "v t h w 3"],
    depth: Float[ndarray, "v t h w"],
    world_to_camera: Float[ndarray, "v t 4 4"],
    between: Between,
) -> Film:
    """Return a grid with the pictures between its instants, to start a scene from.

    Only view 0 has pictures between; the other views have no depth then. What is too fast for flow,
    or turns, is visible for half as long as the rest, as it is somewhere else half a step later.

    Args:
      frames: of a grid, [0, 1]; view 0 is the source, whose camera rests.
      depth: z of the pixels that seed a scene, 0 for others; of view 0 known everywhere.
      world_to_camera: of the cameras.
      between: the pictures between.
    """
    views, count = frames.shape[:2]
    number = len(between.times)
    clip = np.linspace(0, 1, count)
    step = 1 / (count - 1)
    more_frames = np.zeros((views, number, *frames.shape[2:]), np.float32)
    more_depth = np.zeros(more_frames.shape[:-1], np.float32)
    durations = np.full(depth.shape, DURATION * step, np.float32)
    more_durations = np.full(more_depth.shape, DURATION * step / 2, np.float32)
    more_may_move = np.zeros(more_depth.shape, bool)

    resting = median_where(frames[0], shows_farthest(depth[0]))
    more_frames[0] = between.frames
    for i, (picture, time) in enumerate(zip(between.frames, between.times, strict=True)):
        after = int(np.clip(np.searchsorted(clip, time), 1, count - 1))
        around = [after - 1, after]
        z, is_explained = depth_between(frames[0, around], depth[0, around], picture)
        moves = np.abs(picture - resting).max(-1) > MOVES
        more_depth[0, i] = z
        more_may_move[0, i] = moves & ~is_explained & (z > 0)
        for instant in around:
            alike = find_alike(frames[0, instant], picture)[1]
            durations[0, instant][~alike] = DURATION * step / 2

    times = np.concatenate([clip, between.times])
    order = np.argsort(times, kind="stable")
    after = np.searchsorted(clip, between.times).clip(0, count - 1)

    def in_order(instants: ndarray, more: ndarray) -> ndarray:
        return np.concatenate([instants, more], 1)[:, order]

    return Film(
        frames=in_order(frames, more_frames),
        depth=in_order(depth, more_depth),
        world_to_camera=in_order(world_to_camera, world_to_camera[:, after]),
        times=times[order],
        durations=in_order(durations, more_durations),
        may_move=in_order(depth > 0, more_may_move),
    )


def depth_between(
    frames: Float[ndarray, "2 h w 3"],
    depth: Float[ndarray, "2 h w"],
    picture: Float[ndarray, "h w 3"],
) -> tuple[Float[ndarray, "h w"], Bool[ndarray, "h w"]]:
    """Return depth of a picture between two instants, and which pixels both of them explain.

    Those have their colour where flow leads to either instant: Gaussians of the instants move there
    by themselves. Others are too fast, or turn. A pixel has the disparity of the instants for which
    it has, or else that of the nearest there: what moves lies before what rests.

    Args:
      frames: of the source at the instants around, [0, 1], a camera at rest.
      depth: z of these, known everywhere.
      picture: of the source between them.
    """
    disparities = []
    agree = []
    for frame, z in zip(frames, depth, strict=True):
        flow, alike = find_alike(picture, frame)
        there = warp(z[..., None], flow, cv2.INTER_NEAREST)[..., 0]
        disparities.append(np.where(there > 0, 1 / np.maximum(there, 1e-6), 0.0))
        agree.append(alike & (there > 0))
    values, counts = np.stack(disparities), np.stack(agree)
    mean = (values * counts).sum(0) / np.maximum(counts.sum(0), 1)
    # Where flow fails, it leads anywhere: what lies at the pixel itself counts as well.
    unmoved = np.where(depth > 0, 1 / np.maximum(depth, 1e-6), 0.0)
    nearest = np.concatenate([values, unmoved]).max(0)
    disparity = np.where(counts.any(0), mean, nearest)
    z = np.where(disparity > 0, 1 / np.maximum(disparity, 1e-6), 0.0)
    return z, np.logical_and(*counts)


def find_alike(
    picture: Float[ndarray, "h w 3"], other: Float[ndarray, "h w 3"]
) -> tuple[Float[ndarray, "h w 2"], Bool[ndarray, "h w"]]:
    """Return the flow to another picture, and which pixels have their colour where it leads."""
    flow = optical_flow(to_uint8(picture), to_uint8(other))
    return flow, np.abs(warp(other, flow) - picture).max(-1) < ALIKE
