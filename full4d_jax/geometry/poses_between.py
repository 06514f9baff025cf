"""Poses of a camera between instants at which its path is known.

Points that an instant sees are followed on to a picture soon after it, where their pixels and their
depth give the pose (PnP, by RANSAC, then by least squares).
"""

from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from full4d_jax.geometry.arrays import Lens, Poses
from input_pipeline.depth_alignment import SparseDepth

# Points that a pose needs.
FEWEST_POINTS = 12


def find_poses_between(
    film: UInt8[ndarray, "f r q"],
    instants: Int[ndarray, " t"],
    between: Int[ndarray, " b"],
    points: SparseDepth,
    lens: Lens,
    poses: Poses,
) -> Float[ndarray, "b 4 4"] | None:
    """Return the pose of one picture after each instant but the last; None where one is unsure.

    Args:
      film: all frames in gray.
      instants: the places of the instants among them.
      between: those of the pictures.
      points: still points that the instants see.
      lens: intrinsics, pixels.
      poses: world-to-camera at the instants.
    """
    track = cv2.calcOpticalFlowPyrLK
    # Of the width: a point that is farther off was lost.
    most_error = 3.3e-3 * film.shape[2]
    matrix = lens.astype(np.float64)
    result = []
    for i, place in enumerate(between):
        own = points.instants == i
        pixels = points.pixels[own].astype(np.float32)
        # OpenCV counts from the first pixel's centre.
        now = pixels - np.float32(0.5)
        alive = np.ones(len(now), bool)
        for before, after in pairwise(range(instants[i], place + 1)):
            if len(now):
                now, status, _ = track(film[before], film[after], now, now.copy())
                alive &= status[:, 0] > 0
        if alive.sum() < FEWEST_POINTS:
            return None
        homogeneous = np.append(pixels, np.ones((len(pixels), 1)), 1)
        seen = homogeneous @ np.linalg.inv(matrix).T * points.depth[own, None]
        seen = seen[alive]
        there = (now[alive] + 0.5).astype(np.float64)
        cv2.setRNGSeed(0)
        start = np.zeros(3), np.zeros(3)
        robust = {"useExtrinsicGuess": True, "reprojectionError": most_error}
        good, turn, shift, near = cv2.solvePnPRansac(
            seen, there, matrix, None, *start, **robust
        )
        if not good or len(near) < FEWEST_POINTS:
            return None
        near = near[:, 0]
        turn, shift = cv2.solvePnPRefineLM(
            seen[near], there[near], matrix, None, turn, shift
        )
        motion = np.eye(4)
        motion[:3, :3] = cv2.Rodrigues(turn)[0]
        motion[:3, 3] = shift[:, 0]
        result.append(motion @ poses[i])
    return np.stack(result)
