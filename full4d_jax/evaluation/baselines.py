"""Baselines without a prior, which the prior has to beat.

The first three fill the views around a source video, in [-1, 1]; the projection with its holes
filled by push-pull is where the prior starts (`projection_guidance`).
`add_change` fills a grid in [0, 1] from its first row, a video by a fixed camera, and its first
column, one instant in all views. There another baseline is `real_frames.copy_nearest`.
"""

import cv2
import jax
import numpy as np
from einops import repeat
from jaxtyping import Array, ArrayLike, Float, Num

from full4d_jax.cameras import Cameras
from full4d_jax.generation.projection_guidance import Projection, fill_holes, project_video

Frames = Float[np.ndarray, "v t h w 3"]


def copy_source(frames: Num[ArrayLike, "t h w 3"], views: int) -> Num[np.ndarray, "v t h w 3"]:
    """Return the source video in every view."""
    return repeat(np.asarray(frames), "t h w c -> v t h w c", v=views)


def inpaint_by_marching(
    frames: Float[ArrayLike, "v t h w 3"], mask: Float[ArrayLike, "v t h w"]
) -> Float[np.ndarray, "v t h w 3"]:
    """Fill the holes (mask 0) of every frame by Telea's fast marching (2004), `cv2.inpaint`.

    OpenCV works on 8 bits, so seen pixels come back rounded. A frame without any seen pixel becomes
    mid-grey.
    """
    radius = 3  # pixels around a hole that the method looks at
    images = np.rint(127.5 * (np.clip(frames, -1, 1) + 1)).astype(np.uint8)
    seen = np.asarray(mask) > 0
    filled = np.full(images.shape, 127.5, np.float32)
    for index in np.ndindex(images.shape[:2]):
        if seen[index].any():
            hole = (~seen[index]).astype(np.uint8)
            filled[index] = cv2.inpaint(images[index], hole, radius, cv2.INPAINT_TELEA)
    return filled / 127.5 - 1


@jax.jit
def project_and_fill(
    source: Float[Array, "t h w 3"], depth: Float[Array, "t h w"], cameras: Cameras
) -> tuple[Projection, Float[Array, "v t h w 3"]]:
    """Return a source's projection into the targets, and its form filled by push-pull."""
    projection = project_video(source, depth, cameras)
    return projection, fill_holes(projection)


def add_change(frames: Frames) -> Frames:
    """Add what changed in the row to the first frame of each view; exact where nothing moves.

    Args:
      frames: a grid in [0, 1]; only its first row and column are read.
    """
    return np.clip(frames[:, :1] + frames[:1] - frames[:1, :1], 0, 1)
