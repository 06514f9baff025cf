"""What moves lies before what it hides: a fact that no estimate of depth may contradict.

With D = 1/z the disparity of a clip and D* that of what stands still at a pixel (the resting scene,
which has one depth for the whole clip), a subject S at instant t is brought forward as a whole,

    (1)  D <- f_S(t) D on S,  f_S(t) = smallest factor of at least 1 by which the share
                                       `share_before` of S has D >= (1 + SUBJECT_GAP) D*

and then each of its pixels that is still behind is set to (1 + SUBJECT_GAP) D*. Pixels that belong
to no subject rest: they have the depth of the resting scene at all instants. Where one of them does
not show the resting colour (a light, a leaf in the wind), it lies just before it, by `veneer_gap`.

Before a camera that moves, D* at an instant is what the resting pixels of the other instants show
from there, and resting pixels keep their own depth.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8
from numpy import ndarray

from full4d_jax.geometry.moving import differs
from gaussians.fitting.stillness import camera_moves, median_where
from input_pipeline.cameras import unproject

SUBJECT_GAP = 0.04  # of disparity, between a subject and what it hides
CHANGED_LEVELS = 20  # of 255 levels, from the resting colour


def set_before(
    depth: Float[ndarray, "t h w"],
    frames: UInt8[ndarray, "t h w 3"],
    labels: Int32[ndarray, "t h w"],
    lens: Float[ndarray, "3 3"],
    world_to_camera: Float[ndarray, "t 4 4"],
    behind: Float[ndarray, "h w"] | None = None,
) -> Float32[ndarray, "t h w"]:
    """Return depth in which every subject lies before what stands still behind it.

    Args:
      depth: z-depth, world units, 0 where unknown.
      frames: sRGB.
      labels: number of the subject at each pixel, 0 for what rests.
      lens: intrinsics, pixels.
      world_to_camera: of each frame.
      behind: depth of what a camera at rest never sees at rest, 0 where unknown.
    """
    rests = labels == 0
    disparity = inverse(depth)
    if camera_moves(world_to_camera):
        resting = resting_disparity_along(depth, rests, lens, world_to_camera)
        result = disparity.copy()
    else:
        still = resting_disparity(disparity, rests)
        if behind is not None:
            hidden = (still == 0) & (behind > 0)
            still = np.where(hidden, 1 / np.maximum(behind, 1e-6), still)
        resting = np.broadcast_to(still, disparity.shape)
        result = np.where(rests, _with_veneer(resting, frames, rests), disparity)
    for subject in range(1, int(labels.max()) + 1):
        result = _bring_forward(result, resting, labels == subject)
    return inverse(result).astype(np.float32)


def inverse(values: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
    """Return disparity of depth or depth of disparity, 0 where unknown."""
    return np.where(values > 0, 1 / np.maximum(values, 1e-6), 0.0)


def resting_disparity(
    disparity: Float[ndarray, "t h w"], rests: Bool[ndarray, "t h w"]
) -> Float[ndarray, "h w"]:
    """Return the median disparity of the instants at which a pixel rests; 0 where it never does."""
    median = median_where(disparity, rests & (disparity > 0))
    return np.where(np.isfinite(median), median, 0.0)


def resting_disparity_along(
    depth: Float[ndarray, "t h w"],
    rests: Bool[ndarray, "t h w"],
    lens: Float[ndarray, "3 3"],
    world_to_camera: Float[ndarray, "t 4 4"],
) -> Float[ndarray, "t h w"]:
    """Return the disparity of what rests, as other instants show it; 0 where none does.

    Where several resting points fall on one pixel, the nearest counts.
    """
    # Instants, evenly spaced, whose resting pixels show what a moving camera would see.
    most_instants = 8
    count, height, width = depth.shape
    instants = np.unique(np.linspace(0, count - 1, min(most_instants, count)).round().astype(int))
    points = []
    for other in instants:
        counts = rests[other] & (depth[other] > 0)
        points.append(unproject(depth[other], lens, world_to_camera[other])[counts])
    cloud = np.concatenate(points)
    result = np.zeros((count, height * width))
    for time in range(count):
        pose = world_to_camera[time]
        seen = (cloud @ pose[:3, :3].T + pose[:3, 3]) @ lens.T
        z = np.maximum(seen[:, 2], 1e-6)
        column = np.floor(seen[:, 0] / z).astype(int)
        row = np.floor(seen[:, 1] / z).astype(int)
        inside = (seen[:, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place = row[inside] * width + column[inside]
        np.maximum.at(result[time], place, 1 / z[inside])
    return result.reshape(depth.shape)


def _with_veneer(
    resting: Float[ndarray, "t h w"],
    frames: UInt8[ndarray, "t h w 3"],
    rests: Bool[ndarray, "t h w"],
) -> Float[ndarray, "t h w"]:
    """Return the resting disparity, a little nearer where the colour is not the resting one."""
    veneer_gap = 0.015  # of disparity: a light on a wall lies so far before the wall
    colours = np.ma.masked_array(frames, np.broadcast_to(~rests[..., None], frames.shape))
    usual = np.ma.median(colours, axis=0).filled(0)
    changed = differs(frames, usual, CHANGED_LEVELS)
    return resting * np.where(changed, 1 + veneer_gap, 1.0)


def _bring_forward(
    disparity: Float[ndarray, "t h w"],
    resting: Float[ndarray, "t h w"],
    subject: Bool[ndarray, "t h w"],
) -> Float[ndarray, "t h w"]:
    """Return disparity with one subject before what rests behind it, by equation 1."""
    present = np.flatnonzero(subject.any((1, 2)))
    factors = np.array([_needed(disparity[t], resting[t], subject[t]) for t in present])
    # A factor that jumps from instant to instant would make the subject swing.
    factors = _smooth_maximum(factors)
    result = disparity.copy()
    for t, factor in zip(present, factors, strict=True):
        inside = subject[t]
        nearer = np.maximum(disparity[t] * factor, (1 + SUBJECT_GAP) * resting[t])
        result[t] = np.where(inside & (disparity[t] > 0), nearer, result[t])
    return result


def _needed(
    disparity: Float[ndarray, "h w"],
    resting: Float[ndarray, "h w"],
    inside: Bool[ndarray, "h w"],
) -> float:
    """Return the factor of equation 1 for one subject at one instant."""
    # Most that a subject as a whole is brought forward, a factor of disparity.
    farthest_pull = 1.6
    share_before = 0.8  # share of a subject that equation 1 brings before the resting scene
    known = inside & (disparity > 0)
    if not known.any():
        return 1.0
    # Where nothing was ever seen to rest, resting is 0: whatever hides it lies before it.
    ratio = (1 + SUBJECT_GAP) * resting[known] / disparity[known]
    return float(np.clip(np.quantile(ratio, share_before), 1.0, farthest_pull))


def _smooth_maximum(factors: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
    """Return the largest factor of three neighbours, averaged over three."""
    padded = np.pad(factors, 1, mode="edge")
    largest = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    padded = np.pad(largest, 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3
