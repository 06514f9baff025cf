"""Baselines without a prior, which the prior has to beat.

The first three fill the views around a source video, in [-1, 1]; another such baseline, the
projection with its holes filled by push-pull, is where the prior starts (`projection_guidance`).
The last two fill a grid in [0, 1] from its first row, a video by a fixed camera, and its first
column, one instant in all views. There another baseline is `real_frames.copy_nearest`.
"""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, repeat
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from full4d_jax.cameras import Cameras
from full4d_jax.config import LiftConfig
from full4d_jax.generation.projection_guidance import project
from full4d_jax.scene.fit_settings import FitKind, fit_settings, sized
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.seeds import first_scene
from full4d_jax.scene.source_fit import grid_targets, picture_distance
from gaussians import fit

INPAINT_RADIUS = 3  # pixels around a hole that Telea's method looks at
ITERATIONS = 200  # of the search for a homography
Frames = Float[np.ndarray, "v t h w 3"]


def copy_source(frames: Float[ArrayLike, "t h w 3"], views: int) -> Float[np.ndarray, "v t h w 3"]:
    """Return the source video in every view."""
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


def fit_projection(
    lift: LiftConfig,
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
) -> Float[np.ndarray, "targets t h w 3"]:
    """Fit 4D Gaussians to the source and its projection alone, without a prior; return the targets.

    They start at the source's pixels and are fitted to the source and, where one of its pixels
    lands, to its projections. Pixels that it does not see are not fitted, and black at last.

    Args:
      lift: settings of the fit, those of scenes.
      frames: the source's.
      depth: the source's z in world units, 0 where unknown.
      cameras: of all views, the source first.
      key: random key of the fit.
    """
    t, h, w, _ = frames.shape
    seen = jax.jit(project)(frames / 2 + 0.5, depth, cameras)
    pictures = jnp.concatenate([frames[None] / 2 + 0.5, seen.frames])
    known = jnp.concatenate([jnp.ones((1, t, h, w)), seen.mask])
    seeds = jnp.concatenate([depth[None], jnp.zeros_like(seen.mask)])
    start_key, fit_key = jax.random.split(key)
    sized_lift = sized(lift, h, w, kind=FitKind.AROUND_SOURCE)
    targets = grid_targets(pictures, cameras, lift.source_weight)
    scene = fit(
        first_scene(sized_lift, pictures, seeds, cameras, start_key),
        targets._replace(known=rearrange(known, "v t h w -> (v t) h w")),
        fit_settings(sized_lift),
        fit_key,
        perceptual=picture_distance() if lift.perceptual > 0 else None,
    ).scene
    pictures = render_views(scene, cameras.views(slice(1, None)), np.linspace(0, 1, t))
    return pictures / np.float32(127.5) - 1


def add_change(frames: Frames) -> Frames:
    """Add what changed in the row to the first frame of each view; exact where nothing moves.

    Args:
      frames: a grid in [0, 1]; only its first row and column are read.
    """
    return np.clip(frames[:, :1] + frames[:1] - frames[:1, :1], 0, 1)


def warp_row(frames: Frames) -> Frames:
    """Warp the fixed-view video by one homography for each view.

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
    """Return the homography from pixels of the target to pixels of the source."""
    target, source = (
        cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2GRAY) for x in (target, source)
    )
    warp = np.eye(3, dtype=np.float32)
    everywhere = np.ones(target.shape, np.uint8)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, 1e-6)
    kind = cv2.MOTION_HOMOGRAPHY
    blur = 5
    return cv2.findTransformECC(target, source, warp, kind, criteria, everywhere, blur)[1]
