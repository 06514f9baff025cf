"""How much of a picture each Gaussian of a scene colours, from where its page looks at it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.cameras import Cameras
from gaussians import Camera, Scene, intersection_budget
from gaussians.rendering.rasterizer import pixel_weights
from input_pipeline.cameras import centers, orbit, resize_intrinsics

INSTANTS = 16  # at which pictures are taken
ROWS = 256  # of a picture, in whose pixels weights are


def seen_weights(
    scene: Scene, cameras: Cameras, pivot: Float[ndarray, "3"], limit: tuple[float, float]
) -> Float[ndarray, " g"]:
    """Return how many pixels each Gaussian colours in the picture where these are most.

    At each instant the first view's camera takes one picture, and two from the ends of its orbit.

    Args:
      scene: in world units.
      cameras: of the views.
      pivot: around which the first view's camera goes, world units.
      limit: azimuth and elevation in degrees, to which it goes.
    """
    poses = np.asarray(cameras.world_to_camera[0], np.float64)
    scale = ROWS / cameras.height
    lens = resize_intrinsics(np.asarray(cameras.intrinsics[0]), rows=scale, columns=scale)
    width = round(cameras.width * scale)
    azimuth, elevation = limit
    ends = [(azimuth, 0.0), (-azimuth, 0.0), (0.0, elevation), (0.0, -elevation)]
    at = jax.jit(type(scene).at)
    weights = np.zeros(len(scene.gaussians.means), np.float32)
    for i, time in enumerate(np.linspace(0, 1, INSTANTS)):
        instant = at(scene, np.float32(time))
        pose = poses[round(time * (len(poses) - 1))]
        distance = float(np.linalg.norm(centers(pose) - pivot))
        first = ends[i % 4]
        second = ends[(i + 2 + i // 4) % 4]
        turned = [orbit(*end, distance, tuple(pivot)) for end in (first, second)]
        for moved in (pose, *turned):
            camera = Camera(jnp.asarray(moved, jnp.float32), jnp.asarray(lens), width, ROWS)
            budget = intersection_budget(instant, camera, antialiased=True)
            seen = pixel_weights(instant, camera, antialiased=True, max_intersections=budget)
            weights = np.maximum(weights, np.asarray(seen))
    return weights
