"""How far generated views disagree with each other, as the corrections of a fit show.

A fit to generated views gives each view an exposure, against the mean of the views that stand
nearest, and a correction of its camera, against the mean of all (`gaussians.fitting.exposure`,
`pose_corrections`). What these change in the view's own pictures is its disagreement; the scene
takes no part in it.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int
from numpy import ndarray

from full4d_jax.grid import Grid
from gaussians import Camera
from gaussians.fitting.exposure import expose
from gaussians.fitting.pose_corrections import correct_camera
from gaussians.precision import exact_products
from input_pipeline.cameras import centers, nearest_to_axes

PEERS = 6  # nearest views that a view's exposure is measured against
SAMPLED = 5  # points a row and a column of a picture, whose shift is measured


class Disagreement(NamedTuple):
    """By how much each fitted view differs from the mean of all.

    Attributes:
      views: their numbers.
      color: root mean square change of colours, relative to that of the colours.
      place: root mean square shift, pixels, of points as far away as what the cameras look at.
    """

    views: Int[ndarray, " n"]
    color: Float[ndarray, " n"]
    place: Float[ndarray, " n"]


def peer_weights(grid: Grid, views: Int[ndarray, " n"]) -> Float32[ndarray, "n n"]:
    """Return for each of these views the weights of its peers, the nearest others."""
    eyes = _eyes(grid, views)
    distances = np.linalg.norm(eyes[:, None] - eyes[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    count = min(PEERS, len(views) - 1)
    weights = np.zeros(distances.shape, np.float32)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
    np.put_along_axis(weights, nearest, np.float32(1 / max(count, 1)), axis=1)
    return weights


def measure_disagreement(
    grid: Grid,
    views: Int[ndarray, " n"],
    exposures: Float[Array, "n 2 3"],
    poses: Float[Array, "n 2 3"],
) -> Disagreement:
    """Return by how much views disagree.

    Args:
      grid: of the views.
      views: numbers of those that were fitted.
      exposures: their log-gains and offsets.
      poses: turns and shifts of their cameras, radians and world units.
    """
    assert grid.cameras is not None, "a scene was fitted to it"
    cameras = grid.cameras
    peers = jnp.asarray(peer_weights(grid, views))
    middle = nearest_to_axes(np.asarray(cameras.world_to_camera[views, 0], np.float64))
    distances = np.ones(len(views))
    if middle is not None:
        distances = np.linalg.norm(_eyes(grid, views) - middle, axis=1)
    color = []
    place = []
    for i, view in enumerate(views.tolist()):
        picture = jnp.asarray(grid.frames[view, 0], jnp.float32) / 255
        changed = expose(picture, exposures, jnp.int32(i), peers[i]) - picture
        scale = jnp.sqrt((picture**2).mean())
        color.append(float(jnp.sqrt((changed**2).mean()) / jnp.maximum(scale, 1 / 255)))
        camera = Camera(
            jnp.asarray(cameras.world_to_camera[view, 0]),
            jnp.asarray(cameras.intrinsics[view]),
            cameras.width,
            cameras.height,
        )
        place.append(_shift(camera, correct_camera(camera, poses, jnp.int32(i)), distances[i]))
    return Disagreement(views, np.array(color), np.array(place))


def words_of_disagreement(disagreement: Disagreement) -> str:
    """Return how far views disagree, and which does most, for people."""
    color = float(np.sqrt((disagreement.color**2).mean()))
    place = float(np.sqrt((disagreement.place**2).mean()))
    most = disagreement.views[[disagreement.color.argmax(), disagreement.place.argmax()]].tolist()
    which = f"view {most[0]} most"
    if most[0] != most[1]:
        which = f"view {most[0]} most in colour, view {most[1]} in place"
    return f"views disagree by {color:.1%} in colour and {place:.1f} pixels in place; {which}"


def disagreement_arrays(disagreement: Disagreement) -> dict[str, ndarray]:
    """Return what the stage `scene` saves of it: means over views, and the words."""
    return {
        "color_disagreement": np.asarray(np.sqrt((disagreement.color**2).mean())),
        "place_disagreement": np.asarray(np.sqrt((disagreement.place**2).mean())),
        "disagreement": np.asarray(words_of_disagreement(disagreement)),
    }


def _eyes(grid: Grid, views: Int[ndarray, " n"]) -> Float[ndarray, "n 3"]:
    """Return where the cameras of views stand at the first instant."""
    assert grid.cameras is not None, "a scene is fitted to it"
    return centers(np.asarray(grid.cameras.world_to_camera[views, 0], np.float64))


@exact_products
def _shift(camera: Camera, corrected: Camera, distance: float) -> float:
    """Return the root mean square shift in pixels of points that many world units away."""
    share = (jnp.arange(SAMPLED) + 0.5) / SAMPLED
    x, y = jnp.meshgrid(camera.width * share, camera.height * share)
    pixels = jnp.stack([x.ravel(), y.ravel(), jnp.ones(x.size)])
    seen = distance * jnp.linalg.inv(camera.intrinsics) @ pixels
    pose = camera.world_to_camera
    world = pose[:3, :3].T @ (seen - pose[:3, 3:])
    moved = corrected.world_to_camera[:3, :3] @ world + corrected.world_to_camera[:3, 3:]
    shown = camera.intrinsics @ moved
    off = shown[:2] / shown[2:] - pixels[:2]
    return float(jnp.sqrt((off**2).sum(0).mean()))
