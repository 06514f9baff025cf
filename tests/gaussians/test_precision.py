"""Whatever jax is set to, 32-bit scenes give what they give without settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians import (
    Camera,
    FitConfig,
    Gaussians,
    Targets,
    fit,
    initialize,
    render,
    render_clip,
    render_surfaces,
    still,
)
from gaussians.deformation import deforming

SIDE = 16
POSE = np.eye(4)
LENS = np.array([[20, 0, 8], [0, 20, 8], [0, 0, 1.0]])


def camera(*shape: int) -> Camera:
    """Cameras as a caller with 64 bits makes them, of these leading axes."""
    lens, pose = (jnp.broadcast_to(x, (*shape, *x.shape)) for x in (LENS, POSE))
    return Camera(jnp.asarray(pose), jnp.asarray(lens), SIDE, SIDE)


def scene() -> Gaussians:
    """A few Gaussians before the camera."""
    rng = np.random.default_rng(0)
    shapes = (20, 3), (20, 4), (20, 3), (20,), (20, 4, 3)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    arrays[0] += np.array([0, 0, 4], np.float32)
    return Gaussians(*map(jnp.asarray, arrays))


def gradient():
    def loss(scene, pose, background):
        view = Camera(pose, camera().intrinsics, SIDE, SIDE)
        made = render(scene, view, background=background, max_intersections=256)
        return (made.rgb**2).mean()

    inputs = scene(), camera().world_to_camera, jnp.ones(3)
    return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*inputs)


def fitted():
    rng = np.random.default_rng(1)
    frames = rng.random((1, 3, SIDE, SIDE, 3), np.float32)
    depth = np.full((1, 3, SIDE, SIDE), 4, np.float32)
    poses = np.tile(POSE, (1, 3, 1, 1))
    start = initialize(frames, depth, LENS[None], poses, 30, jax.random.key(0))
    pictures = jnp.asarray(frames[0])
    targets = Targets(pictures, camera(3), jnp.linspace(0, 1, 3), jnp.ones(3))
    return fit(start, targets, FitConfig(steps=2, chunk=2), jax.random.key(0)).scene


CALLS = {
    "render": lambda: render(camera=camera(), gaussians=scene()),
    "surfaces": lambda: render_surfaces(scene(), camera()),
    "clip": lambda: render_clip(still(scene()), camera(2), jnp.linspace(0, 1, 2)),
    "moved": lambda: deforming(scene(), 3, jax.random.key(0)).at(0.5),
    "gradient": gradient,
    "fit": fitted,
}


@pytest.mark.parametrize("name", CALLS)
def test_settings_of_jax_change_no_value(name):
    usual = CALLS[name]()
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        wide = CALLS[name]()
    assert np.any(jax.tree.leaves(usual)[0] != 0)
    for a, b in zip(jax.tree.leaves(usual), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-7)


def test_64_bits_stay_64_bits():
    with jax.enable_x64(True):
        double = jax.tree.map(lambda x: x.astype(jnp.float64), scene())
        assert render(double, camera()).rgb.dtype == jnp.float64


@pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float16])
def test_narrow_parameters_are_drawn_in_32_bits(kind):
    narrow = jax.tree.map(lambda x: x.astype(kind), scene())
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), narrow)

    def loss(scene):
        return (render(scene, camera(), max_intersections=256).rgb ** 2).sum()

    value, slope = jax.value_and_grad(loss)(narrow)
    expected, expected_slope = jax.value_and_grad(loss)(wide)
    assert value == expected > 0
    for a, b in zip(slope, expected_slope, strict=True):
        np.testing.assert_array_equal(a, b.astype(kind))
