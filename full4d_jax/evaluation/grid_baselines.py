"""What a learned prior must beat when the first row and column of a grid are given.

All read the freeze-time video (column) and the fixed-view video (row) only. Copying the nearest
visible frame is `visible_frames.copy_nearest`.
"""

import cv2
import numpy as np
from jaxtyping import Float

ITERATIONS = 200
Frames = Float[np.ndarray, "v t h w 3"]


def add_change(frames: Frames) -> Frames:
    """The first frame of each view, plus what changed in the row; exact where nothing moves.

    Args:
      frames: a grid in [0, 1]; only its first row and column are read.
    """
    return np.clip(frames[:, :1] + frames[:1] - frames[:1, :1], 0, 1)


def warp_row(frames: Frames) -> Frames:
    """The fixed-view video seen through one homography per view.

    The homography of view v maps the first frame of the row to that of view v (ECC, Evangelidis and
    Psarakis 2008); it is the planar mean of what the camera's motion does to the picture. Where the
    warped row has no pixel, and where the estimate does not converge, view v's first frame stays.

    Args:
      frames: a grid in [0, 1]; only its first row and column are read.
    """
    filled = np.array(frames)
    height, width = frames.shape[2:4]
    for view in range(1, len(frames)):
        still = frames[view, 0]
        try:
            warp = _homography(frames[0, 0], still)
        except cv2.error:  # the two pictures do not correlate
            filled[view, 1:] = still
            continue
        for time in range(1, frames.shape[1]):
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpPerspective(frames[0, time], warp, (width, height), flags=flags)
            inside = np.ones((height, width), np.float32)
            inside = cv2.warpPerspective(inside, warp, (width, height), flags=flags)[..., None]
            filled[view, time] = np.where(inside > 0.999, moved, still)
    return filled


def _homography(
    source: Float[np.ndarray, "h w 3"], target: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "3 3"]:
    """Pixels of the target to those of the source."""
    target, source = (
        cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2GRAY) for x in (target, source)
    )
    warp, everywhere = np.eye(3, dtype=np.float32), np.ones(target.shape, np.uint8)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, 1e-6)
    kind, blur = cv2.MOTION_HOMOGRAPHY, 5
    return cv2.findTransformECC(target, source, warp, kind, criteria, everywhere, blur)[1]
