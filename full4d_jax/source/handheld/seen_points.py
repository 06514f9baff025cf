"""Points of a still scene whose depth a known path tells: matches of the clip's own frames.

SIFT points of two frames that lie on each other's epipolar lines are triangulated. The same lines
judge the path: matches that agree with one another, but not with it, tell that it is another's.
"""

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.source.handheld.source_path import travels
from input_pipeline.checks.cameras import near_pixels
from input_pipeline.depth_alignment import ANGLE, SparseDepth
from input_pipeline.matches import (
    epipolar_distances,
    find_features,
    match_features,
    triangulate,
    verify,
)

STEPS = (2, 5)  # frames between two that are matched; their path between must be longer than 0
NO_DISTORTION = np.zeros(8)


def seen_points(
    frames: UInt8[ndarray, "t h w 3"],
    lens: Float[ndarray, "3 3"],
    world_to_camera: Float[ndarray, "t 4 4"],
) -> tuple[SparseDepth, float]:
    """Return points with their depth in the path's unit, and the share of matches that agree.

    The share is NaN, and there are no points, where the camera stays in its place or nothing can be
    matched.
    """
    features = [find_features(frame, lens, NO_DISTORTION) for frame in frames]
    limit = near_pixels([[frames.shape[1:3]]])
    found = [(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0))]
    agreeing = matched = 0
    for first, second in _pairs(len(frames)):
        poses = world_to_camera[[first, second]]
        points = verify(match_features(features[first], features[second]))
        if not travels(poses) or not len(points):
            continue
        lenses = np.stack([lens, lens])
        near = epipolar_distances(points, lenses, poses) < limit
        agreeing, matched = agreeing + int(near.sum()), matched + len(points)
        depth, angle = triangulate(points, lenses, poses)
        if not near.any() or np.median(angle[near]) < ANGLE:
            continue  # the larger angles among small ones are the wrong ones
        kept = near & (depth > 0).all(1) & (angle > ANGLE / 2)
        for side, instant in enumerate((first, second)):
            where = np.full(kept.sum(), instant)
            found.append((where, points[kept, side], depth[kept, side]))
    share = agreeing / matched if matched else np.nan
    return SparseDepth(*map(np.concatenate, zip(*found, strict=True))), share


def _pairs(count: int) -> list[tuple[int, int]]:
    """Return pairs of frames some steps apart; of few frames all neighbours."""
    steps = sorted({min(step, count - 1) for step in STEPS} - {0})
    return [(i, i + step) for step in steps for i in range(count - step)]
