"""Small scenes that move, and the cameras of a run, for tests of what shows them."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.scene.page import run_viewing, write_page
from gaussians import (
    Camera,
    DeformingGaussians,
    DynamicGaussians,
    Gaussians,
    Scene,
    deforming,
    render,
)
from gaussians.motion import still
from input_pipeline.pinhole import orbit

LENS = np.array([[100, 0, 66], [0, 104, 47], [0, 0, 1]], np.float32)  # 128 x 96 pixels
# Azimuths of 3 views, 2 frames.
ANGLES = np.array([[0.0, 0.0], [-25.0, -20.0], [40.0, 40.0]])


def cameras() -> Cameras:
    """The source, a view that moves, and one to the right."""
    poses = orbit(ANGLES, np.zeros_like(ANGLES)).astype(np.float32)
    return Cameras(np.tile(LENS, (3, 1, 1)), poses, 96, 128)


def beside(shifts: Sequence[float] | np.ndarray, instants: int) -> Camera:
    """Cameras of 16 x 16 pixels beside each other, batched (v t)."""
    poses = np.tile(np.eye(4, dtype=np.float32), (len(shifts), instants, 1, 1))
    poses[..., 0, 3] = np.asarray(shifts)[:, None]
    lens = np.array([[18.0, 0, 8], [0, 18.0, 8], [0, 0, 1]], np.float32)
    lenses = np.tile(lens, (len(shifts), instants, 1, 1))
    return Camera(jnp.asarray(poses), jnp.asarray(lenses), 16, 16)


def ball() -> Gaussians:
    """Something white around the pivot, a fifth of a unit across."""
    rng = np.random.default_rng(0)
    arrays = (
        rng.uniform(-0.1, 0.1, (200, 3)) + [0, 0, 1],
        np.tile([1, 0, 0, 0], (200, 1)),
        np.full((200, 3), np.log(0.03)),
        np.full(200, 3),
        np.full((200, 1, 3), 1.7),
    )
    return Gaussians(*(jax.device_put(np.float32(x)) for x in arrays))


def moving_ball() -> DynamicGaussians:
    """It goes from the left to the right."""
    velocities = np.tile([0.6, 0, 0], (200, 1))
    return still(ball())._replace(velocities=jnp.asarray(velocities, jnp.float32))


def scattered(
    rng: np.random.Generator, count: int, reach: float, log_scale: float
) -> Gaussians:
    """Some around the middle of the pictures, as many opaque ones as faint ones."""
    arrays = (
        rng.uniform(-reach, reach, (count, 3)) + [0, 0, 1],
        rng.normal(size=(count, 4)),
        rng.normal(log_scale, 0.2, (count, 3)),
        rng.uniform(0, 2, count),
        rng.normal(0, 1, (count, 1, 3)),
    )
    return Gaussians(*map(jnp.float32, arrays))


def twelve_gaussians() -> Gaussians:
    """Twelve of them, always the same."""
    return scattered(np.random.default_rng(0), 12, reach=0.3, log_scale=-2.2)


def twelve_moving() -> DynamicGaussians:
    """The same, all moving to the right."""
    moving = jnp.tile(jnp.array([[0.2, 0.0, 0.0]]), (12, 1))
    return still(twelve_gaussians())._replace(velocities=moving)


def random_scene(count: int) -> DynamicGaussians:
    """Nothing about it is regular, and all of it moves; many are needles or hardly visible."""
    rng = np.random.default_rng(1)
    arrays = (
        rng.normal(0, 0.4, (count, 3)) + [0, 0, 1.3],
        rng.normal(size=(count, 4)),
        rng.normal(-3.5, 0.9, (count, 3)),
        rng.normal(0, 2, count),
        rng.normal(size=(count, 1, 3)),
    )
    gaussians = Gaussians(*(jax.device_put(np.float32(x)) for x in arrays))
    motion = (
        rng.normal(0, 0.3, (count, 3)),
        rng.normal(0.5, 0.4, count),
        rng.normal(-1, 0.7, count),
        rng.normal(0, 4, count),
    )
    return DynamicGaussians(gaussians, *(jax.device_put(np.float32(x)) for x in motion))


def bending_scene(count: int) -> DeformingGaussians:
    """A scene with a network that has learned to bend it."""
    scene = deforming(random_scene(count).gaussians, 4, jax.random.key(0))
    keys = jax.random.split(jax.random.key(1))
    biases = 0.4 * jax.random.normal(keys[0], scene.biases.shape)
    outer = 0.06 * jax.random.normal(keys[1], scene.outer.shape)
    return scene._replace(biases=biases, outer=outer, reach=jnp.float32(0.3))


def written(folder: Path, scene: Scene, seconds: float = 4.0, **details) -> str:
    """The address of a page, of a scene before black unless the details of its viewing differ."""
    viewing = run_viewing(cameras(), **{"background": np.zeros(3), **details})
    write_page(folder / "scene.html", scene, viewing, seconds=seconds)
    return (folder / "scene.html").as_uri()


def drawn(scene: Scene, time: float, camera: Camera) -> np.ndarray:
    """Picture by `render`, (h, w, 3) in [0, 1]."""
    instant = jax.jit(type(scene).at)(scene, np.float32(time))
    return np.clip(np.asarray(render(instant, camera, antialiased=True).rgb), 0, 1)
