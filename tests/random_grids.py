"""Small grids: cameras on an arc, noise on a wall, and conditions that a network reads."""

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.config import ModelConfig
from full4d_jax.grid import Grid, around_source
from full4d_jax.models.dit.conditions import Conditions
from input_pipeline.pinhole import intrinsics_from_fov, orbit

B, V, T, SIDE = 1, 3, 2, 16


def arc(
    views: int, frames: int, height: int, width: int, degrees: float = 40.0
) -> Cameras:
    """Cameras at rest that look at the pivot, the first from the front."""
    poses = orbit(np.linspace(0, degrees, views), np.zeros(views)).astype(np.float32)
    lens = intrinsics_from_fov(55.0, height, width).astype(np.float32)
    paths = np.repeat(poses[:, None], frames, 1)
    return Cameras(np.tile(lens, (views, 1, 1)), paths, height, width)


def noisy_wall(views: int, frames: int, side: int) -> Grid:
    """Noise on a wall, seen from an arc, of which view 0 is real."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (views, frames, side, side, 3), np.uint8)
    depth = np.ones((1, frames, side, side), np.float32)
    return around_source(pictures, depth, arc(views, frames, side, side, 20.0))


def random_grid(model: ModelConfig) -> tuple[jax.Array, Conditions]:
    """Draw noisy latents of the generated views, and conditions, by NumPy."""
    rng = np.random.default_rng(0)

    def put(array: np.ndarray) -> jax.Array:
        return jax.device_put(array.astype(np.float32))

    shape = (B, V, T, SIDE, SIDE, 3)
    rotations = np.linalg.qr(rng.normal(size=(B, V, T, 3, 3)))[0]
    poses = np.tile(np.eye(4), (B, V, T, 1, 1))
    poses[..., :3, :3] = rotations * np.linalg.det(rotations)[..., None, None]
    poses[..., :3, 3] = rng.normal(size=(B, V, T, 3))
    lenses = np.tile(np.eye(3), (B, V, 1, 1))
    lenses[..., (0, 1), (0, 1)] = rng.uniform(0.4, 1.2, (B, V, 2))
    lenses[..., :2, 2] = rng.uniform(0.2, 0.6, (B, V, 2))
    text = rng.normal(size=(B, 5, model.text_width))
    conditions = Conditions(
        projection=put(rng.normal(size=shape)),
        base=put(rng.normal(size=shape)),
        mask=put(rng.random(shape[:-1]) < 0.7),
        disparity=put(rng.random(shape[:-1])),
        world_to_camera=put(poses),
        intrinsics=put(lenses),
        text=put(text) if model.text_width else None,
    )
    generated = V if model.guide.projected_half else V - 1
    return put(rng.normal(size=(B, generated, *shape[2:]))), conditions


def without_projection(latents: jax.Array, text: jax.Array | None = None) -> Conditions:
    """Conditions of a grid from which nothing is projected, and whose cameras are all alike."""
    empty = latents[:, :, :0]
    b, v, t = latents.shape[:3]
    return Conditions(
        projection=empty,
        base=empty,
        mask=empty[..., 0],
        disparity=empty[..., 0],
        world_to_camera=jnp.broadcast_to(jnp.eye(4), (b, v, t, 4, 4)),
        intrinsics=jnp.broadcast_to(jnp.eye(3), (b, v, 3, 3)),
        text=text,
    )
