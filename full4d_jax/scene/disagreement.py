"""Disagreement of generated views, measured by the corrections of a fit.

A fit to generated views gives each view an exposure, against the mean of the views that stand
nearest, and a correction of its camera, against the mean of all
(`gaussians.fitting.view_corrections`). What these change in the view's own pictures is its
disagreement; the scene takes no part in it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int
from numpy import ndarray

from full4d_jax.grid import Grid
from gaussians.fitting.view_corrections import correct_camera, expose
from gaussians.precision import exact_products
from input_pipeline.pinhole import centers, nearest_to_axes


def peer_weights(grid: Grid, views: Int[ndarray, " n"]) -> Float32[ndarray, "n n"]:
    """Return for each of these views the weights of its peers, the nearest others."""
    poses = grid.known_cameras.world_to_camera[views, 0]
    eyes = centers(np.asarray(poses, np.float64))
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
) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
    """Return by how much views disagree with the mean of all.

    In colour, that is the root mean square change of colours, relative to that of the colours. In
    place it is the shift in pixels of a point on the axis, as far away as what the cameras look at.

    Args:
      grid: of the views.
      views: numbers of those that were fitted.
      exposures: their log-gains and offsets.
      poses: turns and shifts of their cameras, radians and world units.
    """
    cameras = grid.known_cameras.views(views).frames([0]).batched()
    cameras = jax.tree.map(lambda x: x[:, 0], cameras)
    numbers = jnp.arange(len(views))
    pictures = jnp.asarray(grid.frames[views, 0], jnp.float32) / 255
    peers = jnp.asarray(peer_weights(grid, views))
    changed = (
        jax.vmap(expose, (0, None, 0, 0))(pictures, exposures, numbers, peers)
        - pictures
    )
    change, scale = (jnp.sqrt((x**2).mean((1, 2, 3))) for x in (changed, pictures))
    # Where a point on the optical axis is seen after the correction, against the axis.
    places = np.asarray(cameras.world_to_camera, np.float64)
    middle = nearest_to_axes(places)
    distances = np.ones(len(views))
    if middle is not None:
        distances = np.linalg.norm(centers(places) - middle, axis=1)
    corrected = jax.vmap(correct_camera, (0, None, 0))(cameras, poses, numbers)
    motion = corrected.world_to_camera @ jnp.linalg.inv(cameras.world_to_camera)
    x, y, z = (motion[:, :3, 2] * distances[:, None] + motion[:, :3, 3]).T
    place = jnp.hypot(x, y) / z * cameras.intrinsics[:, 0, 0]
    return np.asarray(change / jnp.maximum(scale, 1 / 255)), np.asarray(place)


def disagreement_arrays(
    views: Int[ndarray, " n"], color: Float[ndarray, " n"], place: Float[ndarray, " n"]
) -> dict[str, ndarray]:
    """Return what the stage `scene` saves of it: means over views, and words for people."""
    means = [float(np.sqrt((x**2).mean())) for x in (color, place)]
    most = views[[color.argmax(), place.argmax()]].tolist()
    which = f"view {most[0]} most"
    if most[0] != most[1]:
        which = f"view {most[0]} most in colour, view {most[1]} in place"
    by = f"{means[0]:.1%} in colour and {means[1]:.1f} pixels in place"
    return {
        "color_disagreement": np.asarray(means[0]),
        "place_disagreement": np.asarray(means[1]),
        "disagreement": np.asarray(f"views disagree by {by}; {which}"),
    }
