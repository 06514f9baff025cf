"""Measure whether the camera of a video moves; the pipeline assumes that it does not.

Corners are tracked from frame to frame (Lucas-Kanade) and a homography is fitted to them by RANSAC.
It follows most of the picture: the background, unless something fills the view.
"""

from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

NOTICEABLE = 0.015  # of the picture's width: one pixel in 64


def background_motion(gray: UInt8[ndarray, "t r q"]) -> float:
    """Return how far the background moves over the clip, as a share of the picture's width.

    A grid of points is carried along by the homographies from each frame to the next. The result is
    the largest mean displacement over the frames; 0 where too little can be tracked to tell.

    Args:
      gray: the clip in gray, some 300 pixels across.
    """
    rows, columns = gray.shape[1:]
    grid = np.stack(np.meshgrid(np.linspace(0.1, 0.9, 5), np.linspace(0.1, 0.9, 5)), -1)
    grid = (grid * (columns, rows)).reshape(-1, 1, 2).astype(np.float32)
    total, largest = np.eye(3), 0.0
    for before, after in pairwise(gray):
        step = _homography(before, after)
        if step is None:
            continue
        total = step @ total
        moved = cv2.perspectiveTransform(grid, total)
        largest = max(largest, float(np.linalg.norm(moved - grid, axis=-1).mean()) / columns)
    return largest


def camera_motion_warning(gray: UInt8[ndarray, "t r q"]) -> str | None:
    """Return a sentence when the background moves noticeably, else None."""
    moved = background_motion(gray)
    if moved < NOTICEABLE:
        return None
    return (
        f"the camera of the video seems to move: the background shifts by {100 * moved:.0f} % of "
        "the width, but a static source camera is assumed, so the scene will smear; "
        "use a clip from a tripod, or a shorter one (--start, --fps)"
    )


def _homography(before: UInt8[ndarray, "r q"], after: UInt8[ndarray, "r q"]) -> ndarray | None:
    """Return the map that most tracked corners follow; None with fewer than 12 of them."""
    corners = cv2.goodFeaturesToTrack(before, 400, 0.01, 5)
    if corners is None:
        return None
    tracked, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.zeros_like(corners))
    back, status_back, _ = cv2.calcOpticalFlowPyrLK(after, before, tracked, np.zeros_like(corners))
    returned = np.linalg.norm(back - corners, axis=-1).ravel() < 1.0  # tracks that come back
    good = (status.ravel() == 1) & (status_back.ravel() == 1) & returned
    if good.sum() < 12:
        return None
    homography, inliers = cv2.findHomography(corners[good], tracked[good], cv2.RANSAC, 1.5)
    if homography is None or inliers.sum() < 12:
        return None
    return homography
