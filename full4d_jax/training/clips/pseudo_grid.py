"""Pseudo-4D: a grid of views from one ordinary video by planar warps (4Real-Video, section 4).

View v shows the video through a homography H_v, the same at all times. The path of homographies
starts at the centre crop and moves evenly. Half of the paths are affine (shift, turn, zoom, shear);
the others tilt the plane too. There is no parallax, but views and times are synchronized exactly,
and videos are plenty. A warp that would reach over the border of the picture is shrunk.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from gaussians.precision import exact_products

# Ratio of their sides.
VIDEO_PER_CROP = 1.5
CORNERS = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], np.float32)


def warp_path(key: PRNGKeyArray, views: int) -> Float[Array, "v 3 3"]:
    """Draw homographies from the crop to the video, both with corners at (+-1, +-1).

    The first is the centre crop, of 1 / VIDEO_PER_CROP of the video's sides.
    """
    tilt_key, end_key = jax.random.split(key)
    # The largest parameters of a warp, at the end of a path.
    # In units of half a side.
    shift = 0.25
    # Radians.
    turn = 0.25
    # Of the logarithm of the scale.
    zoom = 0.2
    shear = 0.12
    # Relative change of depth at half a side.
    tilt = 0.2
    limits = jnp.array([shift, shift, turn, zoom, shear, tilt, tilt])
    end = limits * jax.random.uniform(end_key, limits.shape, minval=-1, maxval=1)
    end = end.at[5:].multiply(jax.random.bernoulli(tilt_key).astype(end.dtype))

    @exact_products
    def homography(share: Float[Array, ""]) -> Float[Array, "3 3"]:
        x, y, turn, zoom, shear, *tilt = end * share
        cos = jnp.cos(turn)
        sin = jnp.sin(turn)
        linear = jnp.array([[cos, -sin], [sin, cos]]) @ jnp.array([[1.0, shear], [0.0, 1.0]])
        warp = jnp.eye(3).at[:2, :2].set(jnp.exp(zoom) * linear)
        warp = warp.at[:2, 2].set(jnp.array([x, y])).at[2, :2].set(jnp.array(tilt))
        crop = jnp.diag(jnp.array([1 / VIDEO_PER_CROP, 1 / VIDEO_PER_CROP, 1.0])) @ warp
        corners = crop @ CORNERS.T
        reach = jnp.abs(corners[:2] / corners[2:]).max()
        return jnp.diag(jnp.stack([*[jnp.minimum(1.0, 1 / reach)] * 2, jnp.ones(())])) @ crop

    return jax.vmap(homography)(jnp.linspace(0.0, 1.0, views))


def pseudo_grid(
    key: PRNGKeyArray, video: Float[Array, "t H W 3"], views: int, height: int, width: int
) -> Float[Array, "v t h w 3"]:
    """Return a grid whose first view is the centre of the video."""
    return jax.vmap(lambda path: warped(video, path, height, width))(warp_path(key, views))


@exact_products
def warped(
    video: Float[Array, "t H W 3"], homography: Float[Array, "3 3"], height: int, width: int
) -> Float[Array, "t h w 3"]:
    """Return the pictures that a homography takes to the video, both with corners at (+-1, +-1)."""
    rows, columns = video.shape[1:3]
    centers = ((2 * np.arange(side) + 1) / side - 1 for side in (height, width))
    y, x = np.meshgrid(*centers, indexing="ij")
    points = np.stack([x, y, np.ones_like(x)]).reshape(3, -1).astype(np.float32)
    x, y, depth = homography @ points
    x = (x / depth + 1) * columns / 2 - 0.5
    y = (y / depth + 1) * rows / 2 - 0.5
    x0 = jnp.clip(jnp.floor(x), 0, columns - 2).astype(int)
    y0 = jnp.clip(jnp.floor(y), 0, rows - 2).astype(int)
    fx, fy = (jnp.clip(a - b, 0, 1)[None, :, None] for a, b in ((x, x0), (y, y0)))
    top = (1 - fx) * video[:, y0, x0] + fx * video[:, y0, x0 + 1]
    bottom = (1 - fx) * video[:, y0 + 1, x0] + fx * video[:, y0 + 1, x0 + 1]
    return ((1 - fy) * top + fy * bottom).reshape(-1, height, width, 3)
