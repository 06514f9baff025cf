"""What each Gaussian of a scene adds to the pictures of its page, for `squeezing.py`.

Without a faint Gaussian a picture changes by what its derivative in the logarithm of that opacity
says. How long such derivatives are, of all Gaussians at once, the products of the picture's
gradient with random signs tell: the mean of their squares is the squared length (Hutchinson 1990).
"""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpy import ndarray

from full4d_jax.cameras import Cameras
from gaussians import Camera, Gaussians, Scene, intersection_budget, render
from input_pipeline.cameras import centers, orbit, resize_intrinsics

INSTANTS = 16  # at which pictures are taken
ROWS = 256  # of a picture
SEED = 0  # of the signs
OPAQUE = 0.98  # of an opacity, whose derivative vanishes at the largest that is drawn


def contributions(
    scene: Scene,
    cameras: Cameras,
    pivot: Float[ndarray, "3"],
    up: Float[ndarray, "3"],
    limit: tuple[float, float],
) -> Float[ndarray, " g"]:
    """Return how far pictures of `ROWS` rows are from those without each Gaussian.

    That is the root of the sum of squares over pixels and channels, of colours up to 1, of the mean
    over instants, in whichever view it is largest: the first camera's, or an end of its orbit.

    Args:
      scene: in world units.
      cameras: of the views.
      pivot: around which the orbit turns, world units.
      up: unit vector along the axis around which it turns to the sides.
      limit: azimuth and elevation in degrees, to which it goes.
    """
    pictures = partial(_pictures, scene, cameras, pivot, up, limit)
    # One budget for all pictures, since each would need a program of its own.
    budget = max(
        intersection_budget(instant, camera, antialiased=True) for _, instant, camera in pictures()
    )
    squares = np.zeros((5, len(scene.gaussians.means)))
    counts = np.zeros((5, 1))
    for i, (view, instant, camera) in enumerate(pictures()):
        key = jax.random.fold_in(jax.random.key(SEED), i)
        squares[view] += np.asarray(_squared_products(key, instant, camera, budget))
        counts[view] += 1
    return np.sqrt((squares / counts).max(0))


@partial(jax.jit, static_argnames=("max_intersections",))
def _squared_products(
    key: Key[Array, ""], instant: Gaussians, camera: Camera, max_intersections: int
) -> Float[Array, " g"]:
    """Return squares of a picture's derivatives in log-opacities, summed with random signs."""

    def picture(logs: Float[Array, " g"]) -> Float[Array, "h w 3"]:
        faint = instant._replace(logit_opacities=logs - jnp.log1p(-jnp.exp(logs)))
        return render(faint, camera, antialiased=True, max_intersections=max_intersections).rgb

    logs = jax.nn.log_sigmoid(instant.logit_opacities) + jnp.log(OPAQUE)
    image, pull_back = jax.vjp(picture, logs)
    (products,) = pull_back(jax.random.rademacher(key, image.shape, image.dtype))
    return products**2


def _pictures(
    scene: Scene,
    cameras: Cameras,
    pivot: Float[ndarray, "3"],
    up: Float[ndarray, "3"],
    limit: tuple[float, float],
) -> Iterator[tuple[int, Gaussians, Camera]]:
    """Yield views, instants and cameras: at each the first view, and two ends of its orbit."""
    poses = np.asarray(cameras.world_to_camera[0], np.float64)
    scale = ROWS / cameras.height
    lens = resize_intrinsics(np.asarray(cameras.intrinsics[0]), rows=scale, columns=scale)
    width = round(cameras.width * scale)
    azimuth, elevation = limit
    ends = [(azimuth, 0.0), (-azimuth, 0.0), (0.0, elevation), (0.0, -elevation)]
    at = jax.jit(type(scene).at)
    for i, time in enumerate(np.linspace(0, 1, INSTANTS)):
        instant = at(scene, np.float32(time))
        pose = poses[round(time * (len(poses) - 1))]
        distance = float(np.linalg.norm(centers(pose) - pivot))
        first = i % 4
        second = (i + 2 + i // 4) % 4
        turned = [orbit(*ends[end], distance, tuple(pivot), up) for end in (first, second)]
        for view, moved in ((4, pose), (first, turned[0]), (second, turned[1])):
            world_to_camera = jnp.asarray(moved, jnp.float32)
            yield view, instant, Camera(world_to_camera, jnp.asarray(lens), width, ROWS)
