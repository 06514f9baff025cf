"""Motion of a grid's hidden frames, carried over from its first row without cameras.

Of a grid with pictures I_vt the first row I_0t and the first column I_v0 are real. With optical
flow `a -> b` from pixels of a to where b shows the same,

    back_t(q) = I_0t -> I_00, 0 where the row did not change
    to_0_v(p) = I_v0 -> I_00, by steps from each view to the one before
    w_vt(p)   = back_t(p + to_0_v(p))

so that view v at instant t shows at p about what it showed at p + w_vt(p) at instant 0. View v
moves like the first one, which is so where both look at the same thing from about the same side.
It also shows about what I_0t shows at p + to_0_v(p). The view's own frame knows the side from which
v looks, the row's what came into sight since instant 0, and gets a share where the row changed.
"""

from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray

from full4d_jax.geometry.arrays import Picture
from full4d_jax.geometry.motion import differs, optical_flow, warp

# Shorter side in pixels to which small pictures are enlarged for their flow.
FINE_SIDE_PIXELS = 192
# Logit of the row's share where it changed: .31 after `models.warp.RARE_LOGIT`.
ROW_SHARE_LOGIT = 4.2

Frames = UInt8[ndarray, "v t h w 3"]
Motion = Float32[ndarray, "v t h w 2"]
Flow = Float32[ndarray, "h w 2"]


def carried_motion(frames: Frames) -> Float32[ndarray, "v t h w 5"]:
    """Return w and to_0_v of all frames, pixels, x then y, and the logit of the row's share.

    All are 0 in the first row and the first column. `models.warp.mixture` applies them.

    Args:
      frames: of which the first row and the first column alone are read.
    """
    first = frames[0, 0]
    row = [_changed_flow(picture, first) for picture in frames[0, 1:]]
    motion = np.zeros((*frames.shape[:4], 2 + 2 + 1), np.float32)
    to_first = np.zeros((*first.shape[:2], 2), np.float32)
    for view, (before, picture) in enumerate(pairwise(frames[:, 0]), 1):
        step = fine_flow(picture, before)
        to_first = step + warp_inside(to_first, step)
        for instant, (back, changed) in enumerate(row, 1):
            own, share = (warp_inside(x, to_first) for x in (back, ROW_SHARE_LOGIT * changed))
            motion[view, instant] = np.concatenate([own, to_first, share], -1)
    return motion


def motion_from_first(frames: Frames) -> tuple[Motion, Bool[ndarray, "v t h w"]]:
    """Return the true w by flow of the true pictures, and where it leads to the same colour."""
    # Levels of 255 by which a picture moved along its flow may miss the other.
    trusted_levels = 25.5
    motion = np.zeros((*frames.shape[:4], 2), np.float32)
    trusted = np.zeros(frames.shape[:4], bool)
    for view, pictures in enumerate(frames):
        for instant, picture in enumerate(pictures[1:], 1):
            flow = fine_flow(picture, pictures[0])
            moved = warp_inside(pictures[0].astype(np.float32), flow)
            motion[view, instant] = flow
            trusted[view, instant] = ~differs(moved, picture, trusted_levels)
    return motion, trusted


def fine_flow(now: Picture, then: Picture) -> Flow:
    """Return the optical flow of pictures, enlarged to `FINE_SIDE_PIXELS` if smaller."""
    height, width = now.shape[:2]
    scale = -(-FINE_SIDE_PIXELS // min(height, width))
    if scale == 1:
        return optical_flow(now, then)
    size = (scale * width, scale * height)
    large = [cv2.resize(x, size, interpolation=cv2.INTER_CUBIC) for x in (now, then)]
    flow = optical_flow(large[0], large[1], finest=1)
    return cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / scale


def warp_inside(image: Float32[ndarray, "h w c"], flow: Flow) -> Float32[ndarray, "h w c"]:
    """Return the image where the flow leads; outside, the nearest pixel inside."""
    return warp(image, flow, border=cv2.BORDER_REPLICATE)


def _changed_flow(now: Picture, first: Picture) -> tuple[Flow, Float32[ndarray, "h w 1"]]:
    """Return the flow from a picture of the row to its first, and 1; 0 where nothing changed."""
    # Levels of 255 by which a colour differs from instant 0 where something moves.
    changed_levels = 15.0
    changed = differs(now.astype(np.float32), first.astype(np.float32), changed_levels)
    around = cv2.dilate(changed.astype(np.float32), np.ones((3, 3), np.uint8))[..., None]
    return fine_flow(now, first) * around, around
