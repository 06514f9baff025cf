"""The source's own pictures between the instants of a grid: truth that costs nothing.

A grid has fewer instants than a video has frames. What moves is fitted at the instants, and
half-way between two of them both are half visible: an arm is doubled. The video knows how it really
was. Its pictures between the instants are targets of the fit in the source's camera, and their
moving pixels seed Gaussians of their own, at the depth that the instants before and after have
where optical flow leads to them. A camera that moves took them at poses of their own, and what
moves in them is what flow leads to from what passes at the instants.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from full4d_jax.geometry.arrays import Lens, Map, Masks
from full4d_jax.geometry.image_motion import (
    differs,
    pixel_velocities,
    video_flows,
    warp,
)
from full4d_jax.grid import Grid
from full4d_jax.media.pictures import to_uint8
from full4d_jax.source.depth.resting_scene import inverse
from gaussians.fitting import stillness
from input_pipeline.pinhole import unproject

# Steps between instants that what moves is visible at first: longer ones leave ghosts.
FIRST_DURATION_STEPS = 0.45


class TargetsBetween(NamedTuple):
    """Pictures of the source, one between each two of its instants.

    Attributes:
      frames: colours in [0, 1].
      times: when they were taken, in clips.
      world_to_camera: the camera's poses then.
    """

    frames: Float[ndarray, "t-1 h w 3"]
    times: Float[ndarray, " t-1"]
    world_to_camera: Float[ndarray, "t-1 4 4"]


def between_instants(grid: Grid) -> TargetsBetween | None:
    """Return the pictures of a grid's source between the instants; None without any.

    Their times are in clips, in which the instants are evenly spread.
    """
    if grid.between is None or grid.between.world_to_camera is None:
        return None
    evenly = np.linspace(0, 1, len(grid.times))
    times = np.interp(grid.between.times, grid.times, evenly)
    frames = grid.between.frames.astype(np.float32) / 255
    return TargetsBetween(frames, times, grid.between.world_to_camera)


def with_instants_between(
    frames: Float[ndarray, "v t h w 3"],
    depth: Float[ndarray, "v t h w"],
    world_to_camera: Float[ndarray, "v t 4 4"],
    between: TargetsBetween,
    lens: Lens,
    passing: Masks | None = None,
) -> dict[str, Any]:
    """Return a grid with the pictures between its instants, as arguments of `initialize`.

    It has 2 t - 1 pictures, of which every second one is an instant. Only view 0 has pictures
    between; the other views have no depth then. What is too fast for flow, or turns, is visible for
    half as long as the rest, as it is somewhere else half a step later.

    Args:
      frames: of a grid, [0, 1]; view 0 is the source.
      depth: z of the pixels that seed a scene, 0 for others; of view 0 known everywhere.
      world_to_camera: of the cameras.
      between: a picture between each two instants.
      lens: intrinsics of the source, pixels.
      passing: what a source that moves sees for a while, at the instants; None of one at rest.
    """
    views, count, height, width = depth.shape
    step = 1 / (count - 1)
    shape = (views, 2 * count - 1, height, width)
    pictures = np.zeros((*shape, 3), np.float32)
    pictures[:, ::2] = frames
    pictures[0, 1::2] = between.frames
    maps = np.zeros(shape, np.float32)
    maps[:, ::2] = depth
    times = np.empty(2 * count - 1)
    times[::2] = np.linspace(0, 1, count)
    times[1::2] = between.times
    durations = np.full(shape, FIRST_DURATION_STEPS * step, np.float32)
    durations[:, 1::2] /= 2
    may_move = maps > 0

    poses = np.repeat(world_to_camera, 2, axis=1)[:, :-1]
    poses[0, 1::2] = between.world_to_camera
    film = pictures[0]
    flows = video_flows(to_uint8(film))
    passes = np.zeros(shape, bool)
    if passing is None:
        resting = stillness.median_where(frames[0], stillness.shows_farthest(depth[0]))
    else:
        passes[0, ::2] = passing
        # Pictures between tell nothing of what stands still.
        passes[0, 1::2] = True
    for middle in range(1, 2 * count - 1, 2):
        around = [middle - 1, middle + 1]
        to_around = flows.back[middle - 1], flows.there[middle]
        if passing is None:
            moves = differs(film[middle], resting, stillness.STILL_COLOR_DIFFERENCE)
            seen = [*maps[0, around]]
        else:
            moves = _lead_to(passes[0, around], to_around)
            there = poses[0, middle]
            seen = [_z_in(maps[0, i], lens, poses[0, i], there) for i in around]
        z, is_explained = depth_between(
            film[around], np.stack(seen), film[middle], to_around
        )
        maps[0, middle] = z if passing is None else np.where(moves, z, 0)
        may_move[0, middle] = moves & ~is_explained & (z > 0)
        from_around = flows.there[middle - 1], flows.back[middle]
        for instant, flow in zip(around, from_around, strict=True):
            fast = ~are_alike(film[instant], film[middle], flow)
            durations[0, instant][fast] = FIRST_DURATION_STEPS * step / 2

    return {
        "frames": pictures,
        "depth": maps,
        "world_to_camera": poses,
        "times": times,
        "durations": durations,
        "may_move": may_move,
        "passing": passes,
        "velocities": partial(pixel_velocities, flows=flows),
    }


def _lead_to(
    masks: Bool[ndarray, "2 h w"], flows: Sequence[Float[ndarray, "h w 2"]]
) -> Bool[ndarray, "h w"]:
    """Return the pixels whose flow leads to one of two masks."""
    pairs = zip(masks.astype(np.float32), flows, strict=True)
    shares = [warp(mask[..., None], flow)[..., 0] for mask, flow in pairs]
    return np.maximum(*shares) > 0.5


def _z_in(
    depth: Map, lens: Lens, pose: Float[ndarray, "4 4"], other: Float[ndarray, "4 4"]
) -> Map:
    """Return the depth of a camera's pixels for another one, 0 where it is unknown."""
    points = unproject(depth, lens, pose)
    return np.where(depth > 0, np.maximum(points @ other[2, :3] + other[2, 3], 0), 0)


def depth_between(
    frames: Float[ndarray, "2 h w 3"],
    depth: Float[ndarray, "2 h w"],
    picture: Float[ndarray, "h w 3"],
    flows: Sequence[Float[ndarray, "h w 2"]],
) -> tuple[Float[ndarray, "h w"], Bool[ndarray, "h w"]]:
    """Return depth of a picture between two instants, and which pixels both of them explain.

    Those have their colour where flow leads to either instant: Gaussians of the instants move there
    by themselves. Others are too fast, or turn. A pixel has the disparity of the instants for which
    it has, or else that of the nearest there: what moves lies before what rests.

    Args:
      frames: of the source at the instants around, [0, 1].
      depth: z of what these show, in the camera of the picture between, known everywhere.
      picture: of the source between them.
      flows: from it to each of them, pixels.
    """
    disparities = []
    agree = []
    for frame, z, flow in zip(frames, depth, flows, strict=True):
        there = warp(z[..., None], flow, cv2.INTER_NEAREST)[..., 0]
        disparities.append(inverse(there))
        agree.append(are_alike(picture, frame, flow) & (there > 0))
    values = np.stack(disparities)
    counts = np.stack(agree)
    mean = (values * counts).sum(0) / np.maximum(counts.sum(0), 1)
    # Where flow fails, it leads anywhere: what lies at the pixel itself counts as well.
    nearest = np.concatenate([values, inverse(depth)]).max(0)
    return inverse(np.where(counts.any(0), mean, nearest)), np.logical_and(*counts)


def are_alike(
    picture: Float[ndarray, "h w 3"],
    other: Float[ndarray, "h w 3"],
    flow: Float[ndarray, "h w 2"],
) -> Bool[ndarray, "h w"]:
    """Return which pixels of a picture have their colour where flow leads to another."""
    # Difference up to which two colours may be one point's.
    one_color = 0.08
    return np.abs(warp(other, flow) - picture).max(-1) < one_color
