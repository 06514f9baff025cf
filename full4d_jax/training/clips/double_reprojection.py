"""Two views from one ordinary video: the video, and what another camera would see of it.

The video I with its depth is drawn into a camera P somewhere else, and holes are filled: that is
the source of a training clip, and the video itself, seen from P^-1 relative to it, is the truth of
its one target view. Drawn back, the source leaves the holes and smears of a real target view
(double reprojection, TrajectoryCrafter, arXiv 2503.05638). With P the identity the source is the
video.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.cameras import Cameras
from full4d_jax.generation.projection_guidance import Projection, fill_holes, splat
from gaussians.precision import exact_products

AZIMUTH = 35.0  # degrees around the middle of the picture, at most
ELEVATION = 10.0  # likewise
CLOSER = 0.15  # largest relative change of distance
FIELD_OF_VIEW = (40.0, 80.0)  # degrees along the longer side, as most phones have


class TwoViews(NamedTuple):
    """A clip of two views.

    Attributes:
      frames: the made source, then the video, [-1, 1].
      depth: z-depth of the source, with median 1 at t = 0; 0 where nothing is known.
      cameras: of both; the world is the source camera.
    """

    frames: Float[Array, "v t h w 3"]
    depth: Float[Array, "t h w"]
    cameras: Cameras


def random_lens(key: PRNGKeyArray, height: int, width: int) -> Float[Array, "3 3"]:
    """Draw the intrinsics that a video without metadata may have, pixels."""
    low, high = FIELD_OF_VIEW
    angle = jnp.deg2rad(jax.random.uniform(key, minval=low, maxval=high))
    focal = 0.5 * max(height, width) / jnp.tan(angle / 2)
    lens = jnp.diag(jnp.stack([focal, focal, jnp.ones(())]))
    return lens.at[:2, 2].set(jnp.array([width / 2, height / 2]))


def random_pose(key: PRNGKeyArray) -> Float[Array, "4 4"]:
    """Draw world-to-camera of a camera that looks at (0, 0, 1) from the side."""
    turn, lift, move = jax.random.uniform(key, (3,), minval=-1.0)
    return pose_beside(AZIMUTH * turn, ELEVATION * lift, 1 + CLOSER * move)


@exact_products
def pose_beside(
    azimuth: float | Float[Array, ""],
    elevation: float | Float[Array, ""] = 0.0,
    distance: float | Float[Array, ""] = 1.0,
) -> Float[Array, "4 4"]:
    """Return world-to-camera of a camera that looks at (0, 0, 1), degrees and world units."""
    turn = jnp.deg2rad(azimuth)
    lift = jnp.deg2rad(elevation)
    s = jnp.sin(turn)
    c = jnp.cos(turn)
    p = jnp.sin(lift)
    q = jnp.cos(lift)
    around = jnp.eye(3).at[0, 0].set(c).at[0, 2].set(s).at[2, 0].set(-s).at[2, 2].set(c)
    above = jnp.eye(3).at[1, 1].set(q).at[1, 2].set(-p).at[2, 1].set(p).at[2, 2].set(q)
    rotation = above @ around
    pivot = jnp.array([0.0, 0.0, 1.0])
    offset = distance * pivot - rotation @ pivot
    return jnp.eye(4).at[:3, :3].set(rotation).at[:3, 3].set(offset)


def two_views(
    video: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    lens: Float[Array, "3 3"],
    pose: Float[Array, "4 4"],
) -> TwoViews:
    """Return the clip of a video and a camera elsewhere.

    Args:
      video: frames in [-1, 1] of a camera at rest.
      depth: its z-depth, 0 where unknown.
      lens: intrinsics of both cameras, pixels.
      pose: world-to-camera of the other camera; the world is the video's.
    """
    drawn = jax.vmap(lambda frame, z: splat(frame, z, lens, pose, lens))(video, depth)
    source = fill_holes(Projection(*(x[None] for x in drawn)))[0]
    _, mask, disparity = drawn
    seen = jnp.where(mask > 0, 1 / jnp.maximum(disparity, 1e-6), 0.0)
    unit = jnp.nanmedian(jnp.where(seen[0] > 0, seen[0], jnp.nan))
    unit = jnp.where(jnp.isfinite(unit), unit, 1.0)
    back = jnp.linalg.inv(pose)
    back = back.at[:3, 3].divide(unit)
    poses = jnp.stack([jnp.eye(4), back])
    height, width = video.shape[1:3]
    cameras = Cameras(
        intrinsics=jnp.stack([lens, lens]),
        world_to_camera=jnp.repeat(poses[:, None], len(video), 1),
        height=height,
        width=width,
    )
    return TwoViews(jnp.stack([source, video]), seen / unit, cameras)
