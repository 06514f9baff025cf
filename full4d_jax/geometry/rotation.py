"""Rotations of a camera that stays in its place, from corners that most of the picture shares.

With x the ray of a pixel, a rotation R from one frame to the next gives x' = R x up to scale, which
is the homography K R K^-1. R is the rotation nearest to all tracked rays (Kabsch), with weights
1 / (1 + (e / s)^2), e the distance in pixels, so that a few others do not count.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.geometry.tracking import displacement, from_first, track_steps


class Turning(NamedTuple):
    """A camera's motion, from rotations alone.

    Attributes:
      rotations: from the first camera's axes to those at every instant.
      moved: the largest motion of the background, as a share of the picture's width.
      left: the same after undoing the rotations: what they do not explain.
      lost: number of frames to which too little could be tracked.
    """

    rotations: Float[ndarray, "t 3 3"]
    moved: float
    left: float
    lost: int


def find_turning(gray: UInt8[ndarray, "t r q"], lens: Float[ndarray, "3 3"]) -> Turning:
    """Return the rotations of a clip's camera, and how well they explain its motion.

    Args:
      gray: the clip in gray, some 300 pixels across.
      lens: intrinsics of these pictures, pixels.
    """
    steps = track_steps(gray)
    inverse = np.linalg.inv(lens)
    rotations = [np.eye(3)]
    for step in steps:
        turn = np.eye(3) if step is None else fit_rotation(step.points, lens)
        rotations.append(turn @ rotations[-1])
    whole = from_first(steps)
    undone = [
        np.linalg.inv(lens @ turn @ inverse) @ total
        for turn, total in zip(rotations, whole, strict=True)
    ]
    size = gray.shape[1:]
    return Turning(
        np.stack(rotations),
        float(displacement(whole, *size).max()),
        float(displacement(undone, *size).max()),
        sum(step is None for step in steps),
    )


def fit_rotation(
    points: Float[ndarray, "n 2 2"], lens: Float[ndarray, "3 3"]
) -> Float[ndarray, "3 3"]:
    """Return the rotation of rays that most matches of pixels follow."""
    pixel_scale = 0.5  # pixels: s above
    fit_rounds = 10
    pixels = np.concatenate([points, np.ones_like(points[..., :1])], -1)
    rays = pixels @ np.linalg.inv(lens).T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    weights = np.ones(len(points))
    turn = np.eye(3)
    for _ in range(fit_rounds):
        u, _, vt = np.linalg.svd((rays[:, 1] * weights[:, None]).T @ rays[:, 0])
        turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        seen = rays[:, 0] @ (lens @ turn).T
        error = np.linalg.norm(seen[:, :2] / seen[:, 2:] - points[:, 1], axis=-1)
        weights = 1 / (1 + (error / pixel_scale) ** 2)
    return turn


def steadied(
    pictures: Float[ndarray, "t h w *c"] | UInt8[ndarray, "t h w *c"],
    rotations: Float[ndarray, "t 3 3"],
    lens: Float[ndarray, "3 3"],
) -> ndarray:
    """Return pictures as the first camera would see them, 0 beyond their borders."""
    size = pictures.shape[2], pictures.shape[1]
    warped = [
        cv2.warpPerspective(picture, to_first, size, flags=cv2.INTER_NEAREST)
        for picture, to_first in zip(pictures, homographies(rotations, lens), strict=True)
    ]
    return np.stack(warped)


def homographies(
    rotations: Float[ndarray, "t 3 3"], lens: Float[ndarray, "3 3"]
) -> Float[ndarray, "t 3 3"]:
    """Return where the pixels of each frame lie in the first, of a camera that turns on its place.

    OpenCV counts pixels from their centres, so these differ by half a pixel from those of `lens`.
    """
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    lens_of_centres = np.linalg.inv(half) @ lens
    turns = rotations.astype(np.float64)
    back = rotations[0] @ turns.transpose(0, 2, 1)
    return lens_of_centres @ back @ np.linalg.inv(lens_of_centres)
