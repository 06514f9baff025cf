"""What a grid of views looks like without any model: the rows that the prior has to beat.

Frames are in [-1, 1]. The third baseline, the projection with its holes filled by push-pull, is the
prior's own starting point and lives in `projection_guidance`.
"""

import cv2
import numpy as np
from einops import repeat
from jaxtyping import ArrayLike, Float

INPAINT_RADIUS = 3  # pixels around a hole that Telea's method looks at


def copy_source(frames: Float[ArrayLike, "t h w 3"], views: int) -> Float[np.ndarray, "v t h w 3"]:
    """The source video in every view."""
    return repeat(np.asarray(frames), "t h w c -> v t h w c", v=views)


def inpaint(
    frames: Float[ArrayLike, "v t h w 3"], mask: Float[ArrayLike, "v t h w"]
) -> Float[np.ndarray, "v t h w 3"]:
    """Fill the holes (mask 0) of every frame by Telea's fast marching (2004), `cv2.inpaint`.

    OpenCV works on 8 bits, so seen pixels come back rounded. A frame without any seen pixel becomes
    mid-grey.
    """
    images = np.rint(127.5 * (np.clip(frames, -1, 1) + 1)).astype(np.uint8)
    seen = np.asarray(mask) > 0
    filled = np.full(images.shape, 127.5, np.float32)
    for index in np.ndindex(images.shape[:2]):
        if seen[index].any():
            hole = (~seen[index]).astype(np.uint8)
            filled[index] = cv2.inpaint(images[index], hole, INPAINT_RADIUS, cv2.INPAINT_TELEA)
    return filled / 127.5 - 1
