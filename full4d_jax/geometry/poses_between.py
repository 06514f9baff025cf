"""Poses of a camera between instants at which its path is known.

Points that an instant sees are followed on to a picture soon after it. Its pose is the one that
sees them there, by least squares with Cauchy's loss.
"""

from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from scipy.optimize import least_squares

from full4d_jax.geometry.arrays import Lens, Poses
from full4d_jax.geometry.camera_path import AGREEING_ERROR, FEWEST_POINTS
from full4d_jax.geometry.paths import interpolate_poses, travels
from input_pipeline.depth_alignment import SparseDepth
from input_pipeline.pinhole import project, rigid

Pose = Float[ndarray, "4 4"]


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
    # Of the points, which agree with the pose.
    least_agreeing = 0.5
    unknowns = 6 if travels(poses) else 3
    inverse_lens = np.linalg.inv(lens)
    places = np.interp(between, instants, np.arange(len(instants)))
    starts = interpolate_poses(poses, np.arange(len(poses), dtype=float), places)
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
        homogeneous = np.append(pixels, np.ones((len(pixels), 1)), 1)[alive]
        seen = homogeneous @ inverse_lens.T * points.depth[own][alive, None]
        world = (seen - poses[i, :3, 3]) @ poses[i, :3, :3]
        pose = pose_of(world, now[alive] + 0.5, lens, starts[i], unknowns)
        pixels_there, _ = project(world, lens, pose)
        off = np.linalg.norm(pixels_there - now[alive] - 0.5, axis=1)
        if (off < AGREEING_ERROR * film.shape[2]).mean() < least_agreeing:
            return None
        result.append(pose)
    return np.stack(result)


def pose_of(
    world: Float[ndarray, "n 3"],
    there: Float[ndarray, "n 2"],
    lens: Lens,
    start: Pose,
    unknowns: int,
) -> Pose:
    """Return the pose that sees points where they are, most of them nearly.

    Args:
      world: the points.
      there: where they are seen, pixels.
      lens: intrinsics, pixels.
      start: a pose that is near.
      unknowns: 3 of a camera that turns on its place, 6 of any.
    """

    def pose_after(step: Float[ndarray, " u"]) -> Pose:
        turn, shift = np.append(step, np.zeros(6 - unknowns)).reshape(2, 3)
        motion = rigid(cv2.Rodrigues(turn)[0], shift)
        return motion @ start

    def misfit(step: Float[ndarray, " u"]) -> Float[ndarray, " m"]:
        pixels, _ = project(world, lens, pose_after(step))
        return (pixels - there).ravel()

    return pose_after(least_squares(misfit, np.zeros(unknowns), loss="cauchy").x)
