"""Paths of a camera: poses at every instant, tests of motion, interpolation."""

import cv2
import numpy as np
from jaxtyping import Float

from full4d_jax.geometry.arrays import Poses, Values
from input_pipeline.pinhole import centers, invert, rigid


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
