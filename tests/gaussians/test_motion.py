"""The `freetime` model against its equations in numpy, and the `deformation` model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.deformation import DeformingGaussians, deforming
from gaussians.motion import DynamicGaussians


@pytest.fixture
def dynamic(make_scene) -> DynamicGaussians:
    rng = np.random.default_rng(0)
    return DynamicGaussians(
        make_scene(30),
        velocities=jnp.float32(rng.normal(size=(30, 3))),
        moments=jnp.float32(rng.uniform(size=30)),
        log_durations=jnp.float32(rng.normal(-1, 0.5, 30)),
        logit_gates=jnp.float32(rng.normal(size=30)),
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_centres_and_opacities_follow_the_equations(dynamic):
    time = 0.3
    now = jax.jit(DynamicGaussians.at)(dynamic, time)
    since = time - np.asarray(dynamic.moments, np.float64)
    centers = dynamic.gaussians.means + np.asarray(dynamic.velocities) * since[:, None]
    np.testing.assert_allclose(now.means, centers, atol=1e-6)
    gate = sigmoid(dynamic.logit_gates)
    falloff = np.exp(-0.5 * (since / np.exp(np.asarray(dynamic.log_durations))) ** 2)
    opacities = sigmoid(dynamic.gaussians.logit_opacities)
    expected = opacities * (gate + (1 - gate) * falloff)
    np.testing.assert_allclose(sigmoid(now.logit_opacities), expected, rtol=1e-5)
    np.testing.assert_array_equal(now.harmonics, dynamic.gaussians.harmonics)


def test_extreme_parameters_keep_finite_gradients(dynamic):
    extreme = dynamic._replace(
        gaussians=dynamic.gaussians._replace(logit_opacities=jnp.full(30, 100.0)),
        log_durations=jnp.full(30, -20.0),
        logit_gates=jnp.full(30, -100.0),
    )
    gradient = jax.jit(jax.grad(lambda s: s.at(0.5).logit_opacities.sum()))(extreme)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()


def test_a_new_scene_is_still_and_its_network_can_learn(make_scene):
    scene = deforming(make_scene(50), 4, jax.random.key(0))
    at = jax.jit(DeformingGaussians.at)
    for time in (0.0, 0.7):
        np.testing.assert_equal(*jax.device_get((at(scene, time), scene.gaussians)))
    slope = jax.jit(jax.grad(lambda s: s.at(0.7).means.sum()))(scene)
    assert float(jnp.abs(slope.outer).max()) > 0
    np.testing.assert_array_equal(slope.reach, 0)


def test_at_moves_turns_and_scales_and_leaves_colour_and_opacity(make_scene):
    scene = deforming(make_scene(50), 4, jax.random.key(0))
    scene = scene._replace(outer=jnp.ones_like(scene.outer) * 0.1)
    now = jax.jit(DeformingGaussians.at)(scene, 0.5)
    bias = (scene.biases[1] + scene.biases[2]) / 2
    hidden = np.asarray(scene.embeddings @ scene.inner + bias[None])
    change = np.maximum(hidden, 0).sum(1, keepdims=True) * 0.1
    assert change.max() > 0.01
    for name in ("means", "quaternions", "log_scales"):
        moved = getattr(now, name) - getattr(scene.gaussians, name)
        scale = float(scene.reach) if name == "means" else 1
        np.testing.assert_allclose(moved, scale * change + 0 * moved, atol=1e-5)
    np.testing.assert_array_equal(now.logit_opacities, scene.gaussians.logit_opacities)
    np.testing.assert_array_equal(now.harmonics, scene.gaussians.harmonics)
