"""What moves by itself before a camera that moves, by optical flow.

With z the depth of a pixel p at instant t, and the path of the camera, p is seen at a neighbouring
instant u at q(z). If nothing moves there, flow leads from p to some point between q(z / 2) and
q(2 z), however wrong the depth: to one point, of a camera that turns on its place. What moves
leaves this line, and its colour is not seen at q(z). Where only the brightness differs, a shadow or
a light moves, which is no thing.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.geometry.arrays import Lens, Mask, Masks, Picture, Pictures, Poses
from full4d_jax.geometry.image_motion import differs, moving_pixels, warp
from full4d_jax.grid import Grid
from full4d_jax.source.along_flow import Flow, SureFlows
from full4d_jax.source.backdrop import as_bytes, disc, is_lit, thick
from gaussians.fitting.stillness import camera_moves
from input_pipeline.pinhole import pixel_centers, project, unproject


class OwnMotion(NamedTuple):
    """What moves by itself.

    Attributes:
      things: where things do.
      shades: where shadows and lights do.
    """

    things: Masks
    shades: Masks


def find_own_motion(
    frames: Pictures,
    flows: SureFlows,
    depth: Float[ndarray, "t h w"],
    lens: Lens,
    poses: Poses,
) -> OwnMotion:
    """Return what moves by itself in a film.

    Args:
      frames: sRGB.
      flows: of the frames, sure where they lead to the same colour.
      depth: z, world units, 0 where unknown; nothing is said of such pixels.
      lens: intrinsics, pixels.
      poses: world-to-camera at every instant.
    """
    # Pixels of each side that pieces are closed by.
    gap_pixels = 2
    things, shades = np.zeros((2, *depth.shape), bool)
    steps = [(t, t + 1) for t in range(len(frames) - 1)]
    ahead = zip(steps, flows.there, flows.there_sure, strict=True)
    behind = zip([(u, t) for t, u in steps], flows.back, flows.back_sure, strict=True)
    exact = lens.astype(np.float64)
    for (now, then), flow, sure in (*ahead, *behind):
        z = depth[now].astype(np.float64)
        seen = [
            project(unproject(share * z, exact, poses[now]), exact, poses[then])[0]
            for share in (0.5, 1.0, 2.0)
        ]
        moves, lit = _leaves(frames[now], frames[then], flow, seen)
        moves &= sure & (depth[now] > 0)
        things[now] |= moves & ~lit
        shades[now] |= moves & lit
    kernel = disc(gap_pixels)

    def whole(masks: Masks) -> Masks:
        """Return masks without gaps, and without what is thin."""
        close = cv2.MORPH_CLOSE
        closed = [cv2.morphologyEx(as_bytes(mask), close, kernel) for mask in masks]
        return np.stack([thick(mask > 0) for mask in closed])

    return OwnMotion(whole(things), whole(shades))


def passing_in(grid: Grid, levels: float) -> Masks:
    """Return which pixels of the source show what passes.

    Before a camera at rest these differ from their median over time by more than `levels` of 255;
    before one that moves the masks tell, and without any, nothing passes.
    """
    frames = grid.frames[0]
    if not camera_moves(grid.source_camera[1]):
        return moving_pixels(frames, levels)
    if grid.masks is None:
        return np.zeros(frames.shape[:3], bool)
    return grid.masks[0]


def _leaves(
    frame: Picture, other: Picture, flow: Flow, seen: list[Float[ndarray, "h w 2"]]
) -> tuple[Mask, Mask]:
    """Return the pixels that move by themselves, and those of which the brightness alone differs.

    Args:
      frame: sRGB.
      other: the picture that flow leads to.
      flow: pixels.
      seen: where the other picture would see them at half, once and twice their depth, pixels.
    """
    # Pixels from the line.
    own_pixels = 2.0
    # Of 255 levels.
    same_colour_levels = 20
    height, width = flow.shape[:2]
    near, middle, far = seen
    centers = pixel_centers(height, width)
    # Distance of the flow's end from the line between far and near.
    line = near - far
    end = centers + flow - far
    length = np.maximum((line**2).sum(-1), 1e-9)
    share = ((end * line).sum(-1) / length).clip(0, 1)
    off = np.linalg.norm(end - share[..., None] * line, axis=-1)
    # What the other picture would show if nothing moved.
    still_flow = (middle - centers).astype(np.float32)
    still = warp(other.astype(np.float32), still_flow)
    now = frame.astype(np.float32)
    inside = ((middle > 0) & (middle < (width, height))).all(-1)
    moves = inside & (off > own_pixels) & differs(now, still, same_colour_levels)
    return moves, is_lit(now, still)
