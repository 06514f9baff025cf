"""Baselines without a prior, which the prior has to beat."""

from collections.abc import Mapping

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat
from jaxtyping import Array, ArrayLike, Bool, Float

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation.fidelity import ClipRows, Frames, Mask, moving_region
from full4d_jax.evaluation.table import CHANGE, COPY, INPAINT, MOVED, NEAREST, PUSH_PULL
from full4d_jax.generation.projection_guidance import Projection, fill_holes, project_video
from full4d_jax.generation.real_frames import copy_nearest
from full4d_jax.geometry.carried_motion import carried_motion
from full4d_jax.grid import Grid
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.models.warp import mixture

LEVELS = np.float32(255)  # of a picture in bytes


def compare(truth: Grid, depths: Mapping[str, Float[ArrayLike, "t h w"]]) -> ClipRows:
    """Return the true views of a grid beside what each baseline makes of its source.

    Args:
      truth: the source, then the views to score.
      depths: z-depth of the source, by the names of who tells it; without any the copied source is
        alone. Pixels that the source does not see are where its projection by the first of them has
        no point.
    """
    frames = truth.frames / LEVELS
    cameras = truth.known_cameras
    copied = repeat(frames[0], "t h w c -> v t h w c", v=len(frames) - 1)
    rows = {(COPY, "none"): copied}
    regions: dict[str, Mask | None] = {"": None}
    for name, depth in depths.items():
        seen, filled = _project_and_fill(to_model(truth.frames[0]), jnp.asarray(depth), cameras)
        rows[INPAINT, name] = to_unit(inpaint_by_marching(seen.frames, seen.mask))
        rows[PUSH_PULL, name] = to_unit(filled)
        regions.setdefault("_unseen", 1 - np.asarray(seen.mask))
    poses = np.asarray(cameras.world_to_camera[1:])
    regions["_moving"] = moving_region(frames[1:], poses)
    return ClipRows(frames[1:], regions, rows)


def inpaint_by_marching(
    frames: Float[ArrayLike, "v t h w 3"], mask: Float[ArrayLike, "v t h w"]
) -> Frames:
    """Fill the holes (mask 0) of every frame in [-1, 1] by Telea's fast marching (2004).

    OpenCV works on 8 bits, so seen pixels come back rounded. A frame without any seen pixel becomes
    mid-grey.
    """
    # The method looks at so many pixels around a hole.
    radius = 3
    images = np.rint(127.5 * (np.clip(frames, -1, 1) + 1)).astype(np.uint8)
    seen = np.asarray(mask) > 0
    filled = np.full(images.shape, 127.5, np.float32)
    for index in np.ndindex(images.shape[:2]):
        if seen[index].any():
            hole = (~seen[index]).astype(np.uint8)
            filled[index] = cv2.inpaint(images[index], hole, radius, cv2.INPAINT_TELEA)
    return filled / 127.5 - 1


@jax.jit
def _project_and_fill(
    source: Float[Array, "t h w 3"], depth: Float[Array, "t h w"], cameras: Cameras
) -> tuple[Projection, Float[Array, "v t h w 3"]]:
    projection = project_video(source, depth, cameras)
    return projection, fill_holes(projection)


def rows_of_grid(frames: Frames, real: Bool[np.ndarray, "v t"]) -> dict[str, Frames]:
    """Fill a grid from its real frames, the first row and column, by each baseline.

    The nearest given frame; the first frame of each view with what changed in the row, exact where
    nothing moves; and the two, moved as the row moves and mixed.
    """
    nearest = np.asarray(copy_nearest(jnp.asarray(frames), jnp.asarray(real)))
    row = np.where(real[..., None, None, None], frames, frames[:1])
    moved = mixture(nearest, row, carried_motion(to_uint8(frames))).picture
    changed = np.clip(frames[:, :1] + frames[:1] - frames[:1, :1], 0, 1)
    return {NEAREST: nearest, CHANGE: changed, MOVED: np.asarray(moved)}
