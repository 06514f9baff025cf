"""What most of the picture does from one frame to the next: tracked corners and their homography.

Corners are tracked there and back (Lucas and Kanade) and a homography is fitted to them by RANSAC.
It follows most of the picture: the background, unless something fills the view.
"""

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

MOST_CORNERS = 400  # that are looked for in a picture
FEWEST_CORNERS = 12  # corners that determine a motion


class Step(NamedTuple):
    """What most of the picture does from one frame to the next.

    Attributes:
      points: corners of the first frame and where they are in the second, pixels, centres at +0.5.
      homography: the map that they follow, of pixels with centres at +0.5.
    """

    points: Float[ndarray, "n 2 2"]
    homography: Float[ndarray, "3 3"]


def track_steps(gray: UInt8[ndarray, "t r q"]) -> list[Step | None]:
    """Return the motion from each frame to the next; None where too little can be tracked."""
    return [_step(before, after) for before, after in pairwise(gray)]


def displacement(
    maps: list[Float[ndarray, "3 3"]], rows: int, columns: int
) -> Float[ndarray, " t"]:
    """Return how far homographies move a grid of points on average, as shares of the width."""
    grid_shares = np.stack(np.meshgrid(np.linspace(0.1, 0.9, 5), np.linspace(0.1, 0.9, 5)), -1)
    grid = (grid_shares * (columns, rows)).reshape(-1, 1, 2)
    moved = [cv2.perspectiveTransform(grid, each) - grid for each in maps]
    return np.array([np.linalg.norm(x, axis=-1).mean() / columns for x in moved])


def from_first(steps: list[Step | None]) -> list[Float[ndarray, "3 3"]]:
    """Return the homographies from the first frame to each; a lost step moves nothing."""
    totals = [np.eye(3)]
    for step in steps:
        totals.append(totals[-1] if step is None else step.homography @ totals[-1])
    return totals


def standing_share(gray: UInt8[ndarray, "t r q"]) -> float:
    """Return the share of corners that stay where the first frame has them, in the worst frame.

    Where something fills most of a still picture, homographies follow it, but some corners stay;
    where the camera moves, hardly any does.
    """
    still_distance = 0.0015  # of the width: half a pixel of 320
    shares = [0.0] * (len(gray) - 1)
    for i, frame in enumerate(gray[1:]):
        pairs = track_corners(gray[0], frame)
        if len(pairs) >= FEWEST_CORNERS:
            moved = np.linalg.norm(pairs[:, 1] - pairs[:, 0], axis=-1)
            shares[i] = float((moved < still_distance * gray.shape[2]).mean())
    return min(shares, default=1.0)


def track_corners(
    before: UInt8[ndarray, "r q"], after: UInt8[ndarray, "r q"], most: int = MOST_CORNERS
) -> Float[ndarray, "n 2 2"]:
    """Return corners of one frame and where they are in the next, pixels, centres at +0.5."""
    corners = spread_corners(before, most)
    if not len(corners):
        return np.zeros((0, 2, 2))
    tracked, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.zeros_like(corners))
    back, status_back, _ = cv2.calcOpticalFlowPyrLK(after, before, tracked, np.zeros_like(corners))
    returned = np.linalg.norm(back - corners, axis=-1).ravel() < 1.0  # tracks that come back
    good = (status.ravel() == 1) & (status_back.ravel() == 1) & returned
    pairs = np.stack([corners[good, 0], tracked[good, 0]], 1)
    return pairs.astype(np.float64) + 0.5  # OpenCV counts from 0


def spread_corners(gray: UInt8[ndarray, "r q"], most: int) -> Float32[ndarray, "n 1 2"]:
    """Return corners of all parts of a picture, as OpenCV counts pixels.

    The strongest of the whole picture may all be on one thing with sharp edges, which moves.
    """
    flat_share = 0.001  # of the strongest corner, below which a part has none
    rows, columns = gray.shape
    corners_of_cells = [np.zeros((0, 1, 2), np.float32)]
    strongest = float(cv2.cornerMinEigenVal(gray, 3).max())
    parts_across = 6
    parts_down = 4
    most_of_part = most // (parts_across * parts_down)
    for i in range(parts_down):
        for j in range(parts_across):
            top = i * rows // parts_down
            left = j * columns // parts_across
            part = np.ascontiguousarray(
                gray[top : (i + 1) * rows // parts_down, left : (j + 1) * columns // parts_across]
            )
            own = float(cv2.cornerMinEigenVal(part, 3).max())
            if own <= flat_share * strongest:
                continue
            corners = cv2.goodFeaturesToTrack(part, most_of_part, 0.05, 5)
            if corners is not None:
                corners_of_cells.append(corners + np.array([left, top], np.float32))
    return np.concatenate(corners_of_cells)


def _step(before: UInt8[ndarray, "r q"], after: UInt8[ndarray, "r q"]) -> Step | None:
    max_homography_error = 1.5  # pixels from the homography
    pairs = track_corners(before, after)
    if len(pairs) < FEWEST_CORNERS:
        return None
    cv2.setRNGSeed(0)
    homography, inliers = cv2.findHomography(
        pairs[:, 0], pairs[:, 1], cv2.RANSAC, max_homography_error
    )
    if homography is None or inliers.sum() < FEWEST_CORNERS:
        return None
    return Step(pairs[inliers[:, 0] > 0], homography)
