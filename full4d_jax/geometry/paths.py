"""Paths of a camera: poses at every instant, tests of motion, interpolation.

And points of a still scene whose depth a known path gives: SIFT points of two of the clip's own
frames that lie on each other's epipolar lines are triangulated. The same lines judge the path:
matches that agree with one another, but not with it, show that it is another's.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from full4d_jax.geometry.arrays import Lens, Pictures, Poses, Values
from input_pipeline import matches
from input_pipeline.depth_alignment import MIN_RAY_ANGLE, SparseDepth, joined
from input_pipeline.pinhole import centers, invert, rigid

NO_DISTORTION = np.zeros(8)


def travels(poses: Poses) -> bool:
    """Return whether a camera changes its place."""
    # Of the path's own unit: a camera that turns on its place.
    resting_length = 1e-6
    return bool(np.ptp(centers(np.asarray(poses)), axis=0).max() > resting_length)


def interpolate_poses(
    poses: Float[np.ndarray, "n 4 4"], times: Values, wanted: Float[np.ndarray, " t"]
) -> Poses:
    """Interpolate poses at other times: positions linearly, rotations at constant speed.

    Before the first time and after the last one the camera stands still.
    """
    place = np.interp(wanted, times, np.arange(len(times)))
    before = np.minimum(place.astype(int), max(len(times) - 2, 0))
    after = np.minimum(before + 1, len(times) - 1)
    share = place - before
    middle = centers(poses)
    at = middle[before] + share[:, None] * (middle[after] - middle[before])
    turns = np.empty((len(wanted), 3, 3))
    for i in range(len(wanted)):
        a, b = poses[[before[i], after[i]], :3, :3]
        turn = cv2.Rodrigues(b @ a.T)[0]
        turns[i] = cv2.Rodrigues(share[i] * turn)[0] @ a
    return invert(rigid(turns.swapaxes(-1, -2), at))


class Matched(NamedTuple):
    """Points of pairs of frames that match, whatever the path of the camera.

    Attributes:
      points: by the numbers of the two frames; pixels of both.
      lenses: intrinsics of both, pixels.
      near: the largest good distance of a match from its epipolar line, pixels.
    """

    points: dict[tuple[int, int], Float[np.ndarray, "_ 2 2"]]
    lenses: Float[np.ndarray, "2 3 3"]
    near: float


class PathAgreement(NamedTuple):
    """Agreement of matches with a path; NaN where it stays in its place or nothing matches.

    Attributes:
      share: of the matches, that are near their epipolar lines.
      misfit: mean distance from there in pixels, each as `clipped_distances` at most.
    """

    share: float
    misfit: float


def match_frames(frames: Pictures, lens: Lens) -> Matched:
    """Match points of frames that are a few steps apart."""
    # Frames between two that are matched; their path between must be longer than 0.
    matched_steps = (2, 5)
    features = [matches.find_features(frame, lens, NO_DISTORTION) for frame in frames]
    points = {}
    # Of few frames all neighbours.
    for step in sorted({min(step, len(frames) - 1) for step in matched_steps} - {0}):
        for i, j in enumerate(range(step, len(frames))):
            pairs = matches.match_features(features[i], features[j])
            points[i, j] = matches.verify(pairs)
    near = matches.near_pixels([[frames.shape[1:3]]])
    return Matched(points, np.stack([lens, lens]), near)


def path_agreement(matched: Matched, path: Poses) -> PathAgreement:
    """Return how well matches agree with a path."""
    # In largest good distances.
    clipped_distances = 2.0
    distances_of_pairs = [np.zeros(0)]
    for pair, points in matched.points.items():
        poses = path[list(pair)]
        if travels(poses):
            distances = matches.epipolar_distances(points, matched.lenses, poses)
            distances_of_pairs.append(distances)
    distances = np.concatenate(distances_of_pairs)
    if not len(distances):
        return PathAgreement(np.nan, np.nan)
    clipped = np.minimum(distances, clipped_distances * matched.near)
    share_near = float((distances < matched.near).mean())
    return PathAgreement(share_near, float(clipped.mean()))


def seen_points(matched: Matched, path: Poses) -> SparseDepth:
    """Return points with their depth in the path's unit; none where nothing can be triangulated."""
    sightings = []
    lenses = matched.lenses
    for (first, second), points in matched.points.items():
        poses = path[[first, second]]
        if not travels(poses) or not len(points):
            continue
        near = matches.epipolar_distances(points, lenses, poses) < matched.near
        depth, angle = matches.triangulate(points, lenses, poses)
        if not near.any() or np.median(angle[near]) < MIN_RAY_ANGLE:
            # The larger angles among small ones are the wrong ones.
            continue
        is_sighted = near & (depth > 0).all(1) & (angle > MIN_RAY_ANGLE / 2)
        for side, instant in enumerate((first, second)):
            where = np.full(is_sighted.sum(), instant)
            sightings.append((where, points[is_sighted, side], depth[is_sighted, side]))
    return joined(sightings)
