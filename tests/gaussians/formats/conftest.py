"""Reference pictures for scenes that are read back."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.motion import DynamicGaussians
from gaussians.rendering.rasterizer import render
from gaussians.types import Camera, Gaussians

SIZE = 96


@pytest.fixture(scope="session")
def picture() -> Callable[[Gaussians], np.ndarray]:
    """A function that draws a scene from before it, (h w 3) in [0, 1]."""
    lens = jnp.array([[100, 0, 48], [0, 100, 48], [0, 0, 1]], jnp.float32)
    camera = Camera(jnp.eye(4).at[2, 3].set(5), lens, SIZE, SIZE)
    draw = jax.jit(lambda scene: render(scene, camera, max_intersections=200_000).rgb)
    return lambda scene: np.clip(np.asarray(draw(scene)), 0, 1)


@pytest.fixture
def psnr() -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda a, b: float(-10 * np.log10(((a - b) ** 2).mean()))


@pytest.fixture
def moving(make_scene) -> Callable[[int], DynamicGaussians]:
    """A function of the degree: a scene with every kind of gate, in the middle of the picture."""

    def make(degree: int) -> DynamicGaussians:
        rng = np.random.default_rng(7)
        still = make_scene(600, degree)
        harmonics = still.harmonics.at[:, 1:].multiply(0.3)
        still = still._replace(log_scales=still.log_scales + 1.5, harmonics=harmonics)
        kinds = (-6, 250), (6, 250), (0, 100)
        gates = np.concatenate([rng.normal(mean, 1, count) for mean, count in kinds])
        velocities = rng.normal(0, 0.5, (600, 3))
        parts = velocities, rng.uniform(0, 1, 600), rng.normal(-1.5, 0.5, 600), gates
        return DynamicGaussians(still, *(jnp.asarray(x, jnp.float32) for x in parts))

    return make
