"""Depth of what stands still, fused over the instants of a camera that moves.

A pixel's point is looked up in other instants. Where one shows its colour at nearly its depth, that
instant's depth is a second estimate of it: z times the ratio of the depth there to that of the
point. The result is z times the median of these ratios, its own 1 among them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from full4d_jax.geometry.rays import LEAST_DEPTH_AHEAD, pixel_rays, pixels_of, relative_pose
from gaussians.precision import exact_products


@jax.jit
@exact_products
def fuse_depth(
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    lens: Float[Array, "3 3"],
    world_to_camera: Float[Array, "t 4 4"],
) -> Float[Array, "t h w"]:
    """Return depth in which what stands still has the median of its estimates.

    Args:
      frames: the clip, [-1, 1].
      depth: its z-depth in the path's unit, 0 where unknown.
      lens: intrinsics, pixels.
      world_to_camera: of each frame.
    """
    max_ratio_error = 0.2  # of its depth: a larger difference is another surface's
    max_colour_distance = 0.16  # of colours in [-1, 1]
    max_instants = 8  # instants, evenly spaced, in which points are looked up
    times, height, width = depth.shape
    instants = jnp.linspace(0, times - 1, min(max_instants, times)).round().astype(int)
    rays = pixel_rays(lens, height, width)

    def ratios(time: Array, other: Array) -> Float[Array, "h w"]:
        motion = relative_pose(world_to_camera[other], world_to_camera[time])
        points = (rays * depth[time][..., None]) @ motion[:3, :3].T + motion[None, None, :3, 3]
        row, column, inside = pixels_of(points @ lens.T, height, width)
        ratio = depth[other][row, column] / jnp.maximum(points[..., 2], LEAST_DEPTH_AHEAD)
        alike = jnp.abs(frames[other][row, column] - frames[time]).max(-1) < max_colour_distance
        same = inside & alike & (jnp.abs(ratio - 1) < max_ratio_error) & (other != time)
        return jnp.where(same, ratio, jnp.nan)

    def one(time: Array) -> Float[Array, "h w"]:
        elsewhere = jax.lax.map(lambda other: ratios(time, other), instants)
        own = jnp.ones((1, height, width))
        return depth[time] * jnp.nanmedian(jnp.concatenate([elsewhere, own]), 0)

    return jax.lax.map(one, jnp.arange(times))
