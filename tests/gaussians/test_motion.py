"""The `freetime` model against its equations in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
    expected = sigmoid(dynamic.gaussians.logit_opacities) * (gate + (1 - gate) * falloff)
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
