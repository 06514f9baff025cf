"""Which way is up in a capture: as its cameras are held, or across the floor that they see."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from input_pipeline.cameras import centers

HELD = 2 / 3  # share of the cameras that must be held upright, else only a floor can tell
ROLL = np.sin(np.radians(15))  # of a camera that is held upright, or on its side
RISE = 0.3  # the least of the own up of an upright camera along up: it looks down by up to 72°
PRIOR = 0.001  # weight of the mean of the cameras' own up beside their horizontal axes
SPREAD = (
    0.02  # share of the horizontal axes beside the main one that tells how far cameras look down
)
NEAR, FAR = np.cos(np.radians(8)), np.cos(np.radians(35))  # axes of the world that up is taken for
ENOUGH = 50  # points to look for a floor among
TRIES = 500
THICK = 0.01  # of the distance to the scene: how far points of a floor may lie from it
FLOOR = 0.15  # share of the points that a floor must hold
BELOW = 0.05  # share of the points that may lie below it
FACED = 0.85  # a plane that cameras face more squarely than that may be a wall
SEEN = 0.3  # of up, the least that a picture must show of it to tell how the camera is held


class Upright(NamedTuple):
    """Up in a capture."""

    direction: Float[ndarray, "3"]
    """Unit vector, world coordinates."""
    floor: float | None
    """Height of the floor along it; None where up comes from the cameras alone."""


def find_up(
    world_to_camera: Float[ndarray, "v 4 4"], points: Float[ndarray, "n 3"]
) -> Upright | None:
    """Return up; None where neither the cameras nor the points tell.

    Two thirds of the cameras that are held upright tell it: up is perpendicular to their horizontal
    axes. Otherwise up is across the plane that many `points` lie in, few lie below and no camera
    does, if it stands upright or on its side in the pictures, and upright in most.
    """
    poses = world_to_camera.astype(np.float64)
    up = _held(poses)
    return Upright(up, None) if up is not None else _floor(poses, points)


def _held(poses: Float[ndarray, "v 4 4"]) -> Float[ndarray, "3"] | None:
    """Return up by the cameras; None where too few are held upright."""
    across, own = poses[:, 0, :3], -poses[:, 1, :3]
    upright = np.ones(len(poses), bool)
    up = np.zeros(3)
    for _ in range(3):
        mean = own[upright].mean(0)
        if np.linalg.norm(mean) < 0.1:  # turned every way
            return None
        spread = across[upright].T @ across[upright] / upright.sum()
        up = np.linalg.solve(spread + PRIOR * np.eye(3), mean)
        up /= np.linalg.norm(up)
        upright = (np.abs(across @ up) < ROLL) & (own @ up > RISE)
        if upright.mean() < HELD:
            return None
    # Cameras side by side leave open how far down they look: their world's axes may tell.
    certain = np.linalg.eigvalsh(spread)[1] > SPREAD
    axis = np.abs(up).argmax()
    snapped = np.eye(3)[axis] * np.sign(up[axis])
    return snapped if up @ snapped > (NEAR if certain else FAR) else up


def _floor(poses: Float[ndarray, "v 4 4"], points: Float[ndarray, "n 3"]) -> Upright | None:
    """Return up by the plane of a floor; None without any."""
    if len(points) < ENOUGH:
        return None
    eyes, rng = centers(poses), np.random.default_rng(0)
    thick = THICK * float(np.median(np.linalg.norm(eyes - np.median(points, 0), axis=-1)))
    best, most = None, FLOOR * len(points)
    for _ in range(TRIES):
        corner, *others = points[rng.choice(len(points), 3, replace=False)]
        normal = np.cross(others[0] - corner, others[1] - corner)
        length = np.linalg.norm(normal)
        if length == 0:
            continue
        normal *= np.sign((eyes.mean(0) - corner) @ normal) / length
        heights = points @ normal - corner @ normal
        near = np.abs(heights) < thick
        above = (eyes @ normal > corner @ normal + thick).all()
        under = (heights < -thick).mean()
        if near.sum() > most and above and under < BELOW and _stands(poses, normal):
            best, most = near, near.sum()
    if best is None:
        return None
    middle = points[best].mean(0)
    normal = np.linalg.svd(points[best] - middle, full_matrices=False)[2][2]
    normal *= np.sign((eyes.mean(0) - middle) @ normal)
    return Upright(normal, float(middle @ normal))


def _stands(poses: Float[ndarray, "v 4 4"], up: Float[ndarray, "3"]) -> bool:
    """Return whether most cameras stand upright, and few neither upright nor on a side."""
    across, own, ahead = poses[:, 0, :3] @ up, -poses[:, 1, :3] @ up, poses[:, 2, :3] @ up
    shown: Bool[ndarray, " v"] = np.hypot(across, own) > SEEN
    if not shown.any() or np.abs(ahead).mean() > FACED:
        return False
    across, own = across[shown], own[shown]
    quarters = np.minimum(np.abs(across), np.abs(own)) < ROLL * np.hypot(across, own)
    upright = quarters & (own > np.abs(across))
    upside_down = quarters & (-own > np.abs(across))
    return bool(quarters.mean() >= HELD and upright.sum() > upside_down.sum())
