"""The sampler on flows whose solution is known."""

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.flow import velocity_from_residual
from full4d_jax.generation.sampling import sample, schedule


def test_straight_paths_are_exact_in_one_step_and_in_many():
    noise, data = (jax.random.normal(jax.random.key(i), (2, 5)) for i in range(2))
    for steps in (1, 7):
        found = sample(lambda z, tau: noise - data, noise, schedule(steps))
        np.testing.assert_allclose(found, data, atol=1e-5)


def test_gaussian_data_gets_its_mean_and_deviation():
    """The exact velocity of N(mean, s^2) carries unit noise to that Gaussian."""
    mean, s = 0.5, 0.3
    noise = jax.random.normal(jax.random.key(0), (1, 1, 1, 40, 40, 1))

    def velocity(z, tau):
        return velocity_from_residual(jnp.zeros_like(z), z, tau, jnp.full_like(z, mean), s)

    found = sample(velocity, noise, schedule(200))
    np.testing.assert_allclose(found, mean + s * noise, atol=0.02)
    one_call = sample(velocity, 0 * noise, schedule(1))
    np.testing.assert_allclose(one_call, mean, atol=1e-6)
