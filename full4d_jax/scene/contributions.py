"""Contribution of each Gaussian to the pictures of a page, for `squeezing.py`.

Two numbers of a Gaussian count. Its weights, added up, are the pixels that it colours: faint ones
that lie over each other count here, where leaving out any one of them changes nothing. And a
picture without it differs by what the derivative in the logarithm of its opacity says, however
large it is, where that changes nothing either.

One gradient has both for all Gaussians: that of a picture multiplied by random signs has the
derivative's length, as the mean of its squares (Hutchinson 1990), and that of a feature of zeros
the weights.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpy import ndarray

from full4d_jax.cameras import Cameras
from gaussians import Camera, Gaussians, Scene, intersection_budget, render
from input_pipeline.pinhole import centers, orbit, resize_intrinsics

PICTURE_PIXELS = 2**17
MEASURED_INSTANTS = 16
# Ends of the orbit, as shares of its azimuth and elevation.
ORBIT_ENDS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def contributions(
    scene: Scene,
    cameras: Cameras,
    pivot: Float[ndarray, "3"],
    up: Float[ndarray, "3"],
    limit: tuple[float, float],
) -> Float[ndarray, " g"]:
    """Return the contribution of each Gaussian to pictures of `PICTURE_PIXELS` pixels; 0 if tiny.

    It is the geometric mean of the pixels that it colours, in the picture where these are most,
    and of the distance to pictures without it: the root of the sum of squares over pixels and
    channels, of colours up to 1, and of the mean over instants, in the view where that is largest.

    Args:
      scene: in world units.
      cameras: of the views; pictures are taken by the first, and from the ends of its orbit.
      pivot: around which the orbit turns, world units.
      up: unit vector along the axis around which it turns to the sides.
      limit: azimuth and elevation in degrees, to which it goes.
    """
    shots = []
    poses = np.asarray(cameras.world_to_camera[0], np.float64)
    scale = (PICTURE_PIXELS / (cameras.width * cameras.height)) ** 0.5
    lens_of_source = np.asarray(cameras.intrinsics[0])
    lens = resize_intrinsics(lens_of_source, rows=scale, columns=scale)
    size = round(cameras.width * scale), round(cameras.height * scale)
    at = jax.jit(type(scene).at)
    # At each instant two of the ends and the first camera take pictures.
    for i, time in enumerate(np.linspace(0, 1, MEASURED_INSTANTS)):
        instant = at(scene, np.float32(time))
        pose = poses[round(time * (len(poses) - 1))]
        distance = float(np.linalg.norm(centers(pose) - pivot))
        for view in (i % 4, (i + 2 + i // 4) % 4, len(ORBIT_ENDS)):
            pose_of_view = pose
            if view < len(ORBIT_ENDS):
                azimuth, elevation = np.multiply(ORBIT_ENDS[view], limit)
                pose_of_view = orbit(azimuth, elevation, distance, tuple(pivot), up)
            camera = Camera(
                jnp.asarray(pose_of_view, jnp.float32), jnp.asarray(lens), *size
            )
            shots.append((view, instant, camera))
    # One budget for all pictures, since each would need a program of its own.
    budget = max(intersection_budget(*shot[1:], antialiased=True) for shot in shots)
    # A Gaussian colours at least so many in its best picture.
    least_pixels = 0.41
    count = len(scene.gaussians.means)
    pixels = np.zeros(count)
    squares = np.zeros((len(ORBIT_ENDS) + 1, count))
    instants = np.bincount([view for view, *_ in shots])[:, None]
    for i, (view, instant, camera) in enumerate(shots):
        key = jax.random.fold_in(jax.random.key(0), i)
        weights, products = map(np.asarray, _gradient(key, instant, camera, budget))
        pixels = np.maximum(pixels, weights)
        squares[view] += products.astype(np.float64) ** 2
    distances = np.sqrt((squares / instants).max(0))
    return np.where(pixels < least_pixels, 0, np.sqrt(pixels * distances))


@partial(jax.jit, static_argnames="budget")
def _gradient(
    key: Key[Array, ""], instant: Gaussians, camera: Camera, budget: int
) -> tuple[Float[Array, " g"], Float[Array, " g"]]:
    """Return weights, and derivatives of colours in log-opacities summed with random signs."""

    def drawn(logs, feature):
        faint = instant._replace(logit_opacities=logs - jnp.log1p(-jnp.exp(logs)))
        draw = partial(render, antialiased=True, max_intersections=budget)
        picture = draw(faint, camera, features=feature)
        assert picture.features is not None, "it was asked for"
        return picture.rgb, picture.features

    # Opacities are less: at the largest that is drawn the derivative vanishes.
    dimming = 0.98
    logs = jax.nn.log_sigmoid(instant.logit_opacities) + jnp.log(dimming)
    (rgb, feature), pull_back = jax.vjp(drawn, logs, jnp.zeros((len(logs), 1)))
    signs = jax.random.rademacher(key, rgb.shape, rgb.dtype)
    products, weights = pull_back((signs, jnp.ones_like(feature)))
    return weights[:, 0], products
