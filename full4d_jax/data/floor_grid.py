"""A grid on the floor, drawn into every view: where it slides or tilts, cameras are wrong."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.data.upright import Upright, find_up
from input_pipeline.cameras import centers, nearest_to_axes

CELLS = 8  # each way
INK, AXES = (255, 210, 0), ((230, 40, 40), (40, 90, 230))
LOW = 0.05  # share of the points that may lie below the floor
ABOVE = 0.2  # the floor, at least, all cameras are where it is at 0; of their distance
ENOUGH = 50  # points to tell where the floor is
STEPS = 64  # points of a drawn line


class FloorGrid(NamedTuple):
    """Lines in the plane of the floor."""

    lines: Float[ndarray, "n s 3"]
    """World coordinates along each line; the first two pass through the middle."""
    label: str
    """The place of the floor plane and the length of a cell."""


def floor_grid(
    world_to_camera: Float[ndarray, "v 4 4"],
    points: Float[ndarray, "n 3"],
    up: Float[ndarray, "3"] | None = None,
) -> FloorGrid | None:
    """The floor below what the cameras look at; None where nothing tells which way is up.

    Up is given, or found by `find_up`. The plane is the floor that was found, or passes through the
    world's origin where all cameras are above that, else below `points`, else through the point
    that is nearest to all optical axes.
    """
    poses = world_to_camera.astype(np.float64)
    eyes = centers(poses)
    found = find_up(poses, points) if up is None else Upright(up / np.linalg.norm(up), None)
    if found is None:
        return None
    up = found.direction
    pivot = nearest_to_axes(poses)
    middle = eyes.mean(0) + poses[:, 2, :3].mean(0) if pivot is None else pivot
    distance = float(np.median(np.linalg.norm(eyes - middle, axis=-1)))
    if found.floor is not None:
        height, where = found.floor, "where points lie in a plane"
    elif (eyes @ up > ABOVE * distance).all():
        height, where = 0.0, "through the origin"
    elif len(points) >= ENOUGH:
        height, where = float(np.quantile(points @ up, LOW)), "below the matches"
    else:
        height, where = float(middle @ up), "where the cameras look"
    cell = _round_length(distance / CELLS)
    middle = middle + (height - middle @ up) * up
    across = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    across /= np.linalg.norm(across)
    along = np.cross(up, across)
    reach = np.linspace(-CELLS / 2, CELLS / 2, STEPS)[:, None] * cell
    offsets = sorted(np.arange(CELLS + 1) - CELLS / 2, key=abs)
    lines = [
        middle + first * offset * cell + second * reach
        for offset in offsets
        for first, second in ((across, along), (along, across))
    ]
    return FloorGrid(np.stack(lines), f"floor {where}, cells of {cell:g}")


def draw_floor(
    frame: UInt8[ndarray, "h w 3"],
    grid: FloorGrid,
    intrinsics: Float[ndarray, "3 3"],
    world_to_camera: Float[ndarray, "4 4"],
    distortion: Float[ndarray, "8"],
) -> UInt8[ndarray, "h w 3"]:
    """The frame with the grid as its camera would see it; nothing hides it."""
    h, w = frame.shape[:2]
    drawn = frame.copy()
    matrix = intrinsics.astype(np.float64)
    # Lenses are only described inside the picture: far outside the formula folds back into it.
    widest = 1.2 * np.hypot(w, h) / matrix[0, 0]
    thickness = max(1, round(max(h, w) / 400))
    for index in reversed(range(len(grid.lines))):  # the two in the middle last, on top
        ahead = grid.lines[index] @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        flat = ahead[:, :2] / np.maximum(ahead[:, 2:], 1e-9)
        seen = (ahead[:, 2] > 0) & (np.linalg.norm(flat, axis=1) < widest)
        none = np.zeros(3)
        there = np.where(seen[:, None], ahead, [0.0, 0.0, 1.0])
        pixels, _ = cv2.projectPoints(there, none, none, matrix, distortion.astype(np.float64))
        corners = np.round(pixels[:, 0] - 0.5).astype(int)
        ink = AXES[index] if index < 2 else INK
        for k in np.flatnonzero(seen[:-1] & seen[1:]):
            cv2.line(drawn, corners[k].tolist(), corners[k + 1].tolist(), ink, thickness)
    return drawn


def _round_length(length: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not longer."""
    power = 10.0 ** np.floor(np.log10(max(length, 1e-9)))
    return float(power * max(k for k in (1, 2, 5) if k * power <= length * (1 + 1e-9)))
