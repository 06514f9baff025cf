"""Dominant motion between consecutive frames: tracked corners and their homography.

Corners are tracked there and back (Lucas and Kanade) and a homography is fitted to them by RANSAC.
It follows most of the picture: the background, unless something fills the view.
"""

import math
from itertools import pairwise, product
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

Gray = UInt8[ndarray, "r q"]
GrayFilm = UInt8[ndarray, "t r q"]
Pairs = Float[ndarray, "n 2 2"]
Matrix = Float[ndarray, "3 3"]

# Corners that are looked for in a picture.
MOST_CORNERS = 400
# Corners that determine a motion.
FEWEST_CORNERS = 12
# Of the corners that stay before a camera that stands (`standing_share`), at least.
LEAST_STANDING_SHARE = 0.1


class Step(NamedTuple):
    """Dominant motion from one frame to the next.

    Attributes:
      points: corners of the first frame and where they are in the second, pixels, centres at +0.5.
      homography: the map that they follow, of pixels with centres at +0.5.
    """

    points: Pairs
    homography: Matrix


def dominant_motion(pairs: Pairs, width: int) -> Step | None:
    """Return the motion of most corners of two pictures; None where too few were tracked."""
    # Pixels from the homography, of 320 columns.
    most_error = 1.5 / 320 * width
    if len(pairs) < FEWEST_CORNERS:
        return None
    cv2.setRNGSeed(0)
    first, second = pairs[:, 0], pairs[:, 1]
    homography, inliers = cv2.findHomography(first, second, cv2.RANSAC, most_error)
    if homography is None or inliers.sum() < FEWEST_CORNERS:
        return None
    return Step(pairs[inliers[:, 0] > 0], homography)


def staying_share(pairs: Pairs, width: int) -> float:
    """Return the share of the tracked corners that stay in place; 0 where too few were tracked.

    Where something fills most of a still picture, homographies follow it, but some corners stay;
    where the camera moves, hardly any does.
    """
    # Of the width: half a pixel of 320.
    still_distance = 0.0015
    if len(pairs) < FEWEST_CORNERS:
        return 0.0
    distances = np.linalg.norm(pairs[:, 1] - pairs[:, 0], axis=-1)
    return float((distances < still_distance * width).mean())


def standing_share(gray: GrayFilm) -> float:
    """Return the share of the first frame's corners that stay in place, in the worst frame."""
    pairs = [track_corners(gray[0], frame) for frame in gray[1:]]
    return min((staying_share(x, gray.shape[2]) for x in pairs), default=1.0)


def track_corners(before: Gray, after: Gray, most: int = MOST_CORNERS) -> Pairs:
    """Return corners of one frame and where they are in the next, pixels, centres at +0.5."""
    corners = spread_corners(before, most)
    if not len(corners):
        return np.zeros((0, 2, 2))
    track = cv2.calcOpticalFlowPyrLK
    tracked, status, _ = track(before, after, corners, np.zeros_like(corners))
    back, status_back, _ = track(after, before, tracked, np.zeros_like(corners))
    # Tracks that come back.
    returned = np.linalg.norm(back - corners, axis=-1).ravel() < 1.0
    good = (status.ravel() == 1) & (status_back.ravel() == 1) & returned
    pairs = np.stack([corners[good, 0], tracked[good, 0]], 1)
    # OpenCV counts from 0.
    return pairs.astype(np.float64) + 0.5


def spread_corners(gray: Gray, most: int = MOST_CORNERS) -> Float32[ndarray, "n 1 2"]:
    """Return corners of all parts of a picture, as OpenCV counts pixels.

    The strongest of the whole picture may all be on one thing with sharp edges, which moves.
    """
    # Of the strongest corner, below which a part has none.
    flat_share = 0.001
    # Rows and columns of parts of a picture.
    parts = 4, 6
    rows, columns = (
        pairwise(np.arange(n + 1) * side // n)
        for n, side in zip(parts, gray.shape, strict=True)
    )
    strongest = cv2.cornerMinEigenVal(gray, 3).max()
    corners_of_parts = [np.zeros((0, 1, 2), np.float32)]
    for (top, bottom), (left, right) in product(rows, columns):
        part = np.ascontiguousarray(gray[top:bottom, left:right])
        if cv2.cornerMinEigenVal(part, 3).max() <= flat_share * strongest:
            continue
        corners = cv2.goodFeaturesToTrack(part, most // math.prod(parts), 0.05, 5)
        if corners is not None:
            corners_of_parts.append(corners + np.array([left, top], np.float32))
    return np.concatenate(corners_of_parts)
