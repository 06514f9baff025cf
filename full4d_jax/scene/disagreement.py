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
from gaussians.fitting.exposure import expose
from gaussians.fitting.pose_corrections import correct_camera
from gaussians.precision import exact_products
from input_pipeline.cameras import centers, nearest_to_axes


class Disagreement(NamedTuple):
    """By how much each fitted view differs from the mean of all.

    Attributes:
      views: their numbers.
      color: root mean square change of colours, relative to that of the colours.
      place: shift in pixels of a point on the axis, as far away as what the cameras look at.
    """

    views: Int[ndarray, " n"]
    color: Float[ndarray, " n"]
    place: Float[ndarray, " n"]


def peer_weights(grid: Grid, views: Int[ndarray, " n"]) -> Float32[ndarray, "n n"]:
    """Return for each of these views the weights of its peers, the nearest others."""
    eyes = _eyes(grid, views)
    distances = np.linalg.norm(eyes[:, None] - eyes[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    most_peers = 6
    count = min(most_peers, len(views) - 1)
    weights = np.zeros(distances.shape, np.float32)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
    np.put_along_axis(weights, nearest, np.float32(1 / max(count, 1)), axis=1)
    return weights


@exact_products
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
    cameras = grid.known_cameras
    peers = jnp.asarray(peer_weights(grid, views))
    eyes = _eyes(grid, views)
    middle = nearest_to_axes(np.asarray(cameras.world_to_camera[views, 0], np.float64))
    color = []
    place = []
    for i, view in enumerate(views.tolist()):
        picture = jnp.asarray(grid.frames[view, 0], jnp.float32) / 255
        changed = expose(picture, exposures, jnp.int32(i), peers[i]) - picture
        scale = jnp.sqrt((picture**2).mean())
        color.append(float(jnp.sqrt((changed**2).mean()) / jnp.maximum(scale, 1 / 255)))
        # Where a point on the optical axis is seen after the correction, against the axis.
        distance = 1.0 if middle is None else float(np.linalg.norm(eyes[i] - middle))
        camera = cameras.camera(view, 0)
        corrected = correct_camera(camera, poses, jnp.int32(i))
        motion = corrected.world_to_camera @ jnp.linalg.inv(camera.world_to_camera)
        x, y, z = motion[:3] @ jnp.array([0, 0, distance, 1])
        place.append(float(jnp.hypot(x, y) / z * camera.intrinsics[0, 0]))
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
    return centers(np.asarray(grid.known_cameras.world_to_camera[views, 0], np.float64))
