"""What a grid of views looks like without any model: the rows that the prior has to beat.

Frames are in [-1, 1]. Another baseline, the projection with its holes filled by push-pull, is the
prior's own starting point and lives in `projection_guidance`.
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
from full4d_jax.scene import lifting
from full4d_jax.scene.renders import render_views
from gaussians import fit

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


def fit_projection(
    lift: LiftConfig,
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
) -> Float[np.ndarray, "v-1 t h w 3"]:
    """The targets of 4D Gaussians that know the source and its projection alone, no prior.

    They start at the source's pixels and are fitted to the source and, where a pixel of it lands,
    to its projections. What it does not see is whatever they make of it, black at last.

    Args:
      lift: how they are fitted, as scenes are.
      frames: of the source.
      depth: its z in world units, 0 where unknown.
      cameras: of all views, the source first.
      key: of the fit.
    """
    t, h, w, _ = frames.shape
    seen = jax.jit(project)(frames / 2 + 0.5, depth, cameras)
    pictures = jnp.concatenate([frames[None] / 2 + 0.5, seen.frames])
    known = jnp.concatenate([jnp.ones((1, t, h, w)), seen.mask])
    seeds = jnp.concatenate([depth[None], jnp.zeros_like(seen.mask)])
    start_key, fit_key = jax.random.split(key)
    targets = lifting.grid_targets(pictures, cameras, lift.source_weight)
    scene = fit(
        lifting.first_scene(lift, pictures, seeds, cameras, start_key),
        targets._replace(known=rearrange(known, "v t h w -> (v t) h w")),
        lifting.fit_settings(lift),
        fit_key,
        perceptual=lifting.picture_distance() if lift.perceptual > 0 else None,
    ).scene
    pictures = render_views(scene, cameras.views(slice(1, None)), np.linspace(0, 1, t))
    return pictures / np.float32(127.5) - 1
