"""Maps of depth: at another size, without smeared edges, and fused over instants.

Fusion. Before a camera that moves, a pixel's point is looked up in other instants. Where one shows
its colour at nearly its depth, that instant's depth is a second estimate of it: z times the ratio
of the depth there to that of the point. The result is z times the median of these ratios, its own 1
among them.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.geometry.rays import (
    LEAST_DEPTH_AHEAD,
    pixel_rays,
    pixels_of,
    relative_pose,
)
from gaussians.precision import exact_products

# Relative bend of disparity above which an estimated depth counts as smeared.
EDGE_BEND = 0.1

AnyMap = TypeVar("AnyMap", np.ndarray, jax.Array)


def nearest(values: AnyMap, height: int, width: int) -> AnyMap:
    """Resize maps (... r q) to (... height width) by nearest neighbours.

    Means, as of depth, would smear edges.
    """
    rows, columns = values.shape[-2:]
    row = ((np.arange(height) + 0.5) * rows / height).astype(int)
    column = ((np.arange(width) + 0.5) * columns / width).astype(int)
    return values[..., row[:, None], column]


@jax.jit
def drop_depth_edges(depth: Float[Array, "*b h w"]) -> Float[Array, "*b h w"]:
    """Set depth to 0 (unknown) where an estimate smears a foreground edge into its background.

    Disparity is linear on planes of any slant, so its second difference, relative to the disparity,
    tells edges from slopes.
    """
    disparity = jnp.where(depth > 0, 1 / jnp.maximum(depth, 1e-6), 0.0)
    bend = jnp.zeros_like(disparity)
    for axis in (-2, -1):
        ends = [(0, 0)] * depth.ndim
        ends[axis] = (1, 1)
        inner = jnp.abs(jnp.diff(disparity, n=2, axis=axis))
        bend = jnp.maximum(bend, jnp.pad(inner, ends))
    return jnp.where(bend > EDGE_BEND * disparity, 0.0, depth)


@jax.jit
@exact_products
def fuse_depth(
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    lens: Float[Array, "3 3"],
    poses: Float[Array, "t 4 4"],
) -> Float[Array, "t h w"]:
    """Return depth in which static points have the median of their estimates.

    Args:
      frames: the clip, [-1, 1].
      depth: its z-depth in the path's unit, 0 where unknown.
      lens: intrinsics, pixels.
      poses: world to camera, of each frame.
    """
    # Of its depth: a larger difference is that of another surface.
    max_ratio_error = 0.2
    # Of colours in [-1, 1].
    max_colour_distance = 0.16
    # Instants, evenly spaced, in which points are looked up.
    max_instants = 8
    times, height, width = depth.shape
    instants = jnp.linspace(0, times - 1, min(max_instants, times)).round().astype(int)
    rays = pixel_rays(lens, height, width)

    def ratios(time, other):
        motion = relative_pose(poses[other], poses[time])
        shift = motion[None, None, :3, 3]
        points = (rays * depth[time][..., None]) @ motion[:3, :3].T + shift
        row, column, inside = pixels_of(points @ lens.T, height, width)
        ratio = depth[other][row, column] / jnp.maximum(
            points[..., 2], LEAST_DEPTH_AHEAD
        )
        contrast = jnp.abs(frames[other][row, column] - frames[time]).max(-1)
        alike = (contrast < max_colour_distance) & (
            jnp.abs(ratio - 1) < max_ratio_error
        )
        same = inside & alike & (other != time)
        return jnp.where(same, ratio, jnp.nan)

    def one(time):
        elsewhere = jax.lax.map(lambda other: ratios(time, other), instants)
        own = jnp.ones((1, height, width))
        return depth[time] * jnp.nanmedian(jnp.concatenate([elsewhere, own]), 0)

    return jax.lax.map(one, jnp.arange(times))
