"""The `freetime` model against its equations in numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians


def scene(g=30, seed=0) -> DynamicGaussians:
    rng = np.random.default_rng(seed)
    arrays = map(
        jnp.float32,
        (
            rng.normal(size=(g, 3)),
            rng.normal(size=(g, 4)),
            rng.normal(-2, 0.3, (g, 3)),
            rng.normal(size=g),
            rng.normal(size=(g, 1, 3)),
        ),
    )
    return DynamicGaussians(
        Gaussians(*arrays),
        velocities=jnp.float32(rng.normal(size=(g, 3))),
        moments=jnp.float32(rng.uniform(size=g)),
        log_durations=jnp.float32(rng.normal(-1, 0.5, g)),
        logit_gates=jnp.float32(rng.normal(size=g)),
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_centres_and_opacities_follow_the_equations():
    dynamic, time = scene(), 0.3
    now = jax.jit(DynamicGaussians.at)(dynamic, time)
    since = time - np.asarray(dynamic.moments, np.float64)
    centers = dynamic.gaussians.means + np.asarray(dynamic.velocities) * since[:, None]
    np.testing.assert_allclose(now.means, centers, atol=1e-6)
    gate = sigmoid(dynamic.logit_gates)
    falloff = np.exp(-0.5 * (since / np.exp(np.asarray(dynamic.log_durations))) ** 2)
    expected = sigmoid(dynamic.gaussians.logit_opacities) * (gate + (1 - gate) * falloff)
    np.testing.assert_allclose(sigmoid(now.logit_opacities), expected, rtol=1e-5)
    np.testing.assert_array_equal(now.harmonics, dynamic.gaussians.harmonics)


def test_extreme_parameters_keep_finite_gradients():
    dynamic = scene()
    extreme = dynamic._replace(
        gaussians=dynamic.gaussians._replace(logit_opacities=jnp.full(30, 100.0)),
        log_durations=jnp.full(30, -20.0),
        logit_gates=jnp.full(30, -100.0),
    )
    gradient = jax.jit(jax.grad(lambda s: s.at(0.5).logit_opacities.sum()))(extreme)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
