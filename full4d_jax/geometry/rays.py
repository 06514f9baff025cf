"""The pinhole camera as equations over arrays: rays of pixels, and the pixels that points lie in.

Pixel (row i, column j) has its centre at (x, y) = (j + 1/2, i + 1/2). With intrinsics K, its ray is
K^-1 (x, y, 1), whose z is 1, so that z times the ray is the point of the pixel in the camera's
axes. A point X lies in the pixel in which (u, v, w) = K X has u / w and v / w.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.cameras import inverse_lens
from gaussians.precision import exact_products

# Homogeneous coordinates are divided by this at least.
LEAST_DEPTH_AHEAD = 1e-6


def homogeneous_pixels(height: int, width: int) -> Float[Array, "{height} {width} 3"]:
    """Return (x, y, 1) of the pixel centres."""
    y, x = jnp.meshgrid(
        jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij"
    )
    return jnp.stack([x, y, jnp.ones_like(x)], -1)


@exact_products
def pixel_rays(
    intrinsics: Float[Array, "3 3"], height: int, width: int
) -> Float[Array, "{height} {width} 3"]:
    """Return the rays of the pixel centres in the camera's axes, with z = 1."""
    return homogeneous_pixels(height, width) @ inverse_lens(intrinsics).T


@exact_products
def relative_pose(
    target: Float[Array, "*#n 4 4"], source: Float[Array, "*#n 4 4"]
) -> Float[Array, "*n 4 4"]:
    """Return the motion from one camera's axes to another's, of two world-to-camera motions."""
    return target @ jnp.linalg.inv(source)


def pixels_of(
    places: Float[Array, "*n 3"], height: int, width: int
) -> tuple[Int[Array, "*n"], Int[Array, "*n"], Bool[Array, "*n"]]:
    """Return the pixels of points with homogeneous coordinates (u, v, w).

    These are rows and columns, clipped to the picture, and whether a point lies ahead of the camera
    and in its picture.
    """
    u, v, w = jnp.moveaxis(places, -1, 0)
    ahead = jnp.maximum(w, LEAST_DEPTH_AHEAD)
    column = jnp.floor(u / ahead).astype(int)
    row = jnp.floor(v / ahead).astype(int)
    inside = (w > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1), inside
