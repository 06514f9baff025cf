"""Exposure follows its equation and leaves the average view alone."""

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.fitting.exposure import expose


def test_gain_and_offset_are_relative_to_the_mean_of_all_views():
    rng = np.random.default_rng(1)
    rgb, exposures = rng.uniform(size=(2, 3, 3)), rng.normal(size=(4, 2, 3))
    gain, offset = (exposures - exposures.mean(0))[2]
    found = jax.jit(expose)(jnp.float32(rgb), jnp.float32(exposures), 2)
    np.testing.assert_allclose(found, rgb * np.exp(gain) + offset, atol=1e-5)
    # the same change of all views changes no picture
    shifted = jax.jit(expose)(jnp.float32(rgb), jnp.float32(exposures + 0.7), 2)
    np.testing.assert_allclose(shifted, found, atol=1e-5)


def test_the_gradient_is_that_of_differences():
    rng = np.random.default_rng(3)
    rgb, weights = jnp.float32(rng.uniform(size=(2, 2, 3, 3)))
    peers = jnp.array([0.0, 0.25, 0.75])

    @jax.jit
    def value(exposures):
        return (expose(rgb, exposures, jnp.int32(0), peers) * weights).sum()

    at, direction = jnp.float32(0.1 * rng.normal(size=(2, 3, 2, 3)))
    slope = (jax.jit(jax.grad(value))(at) * direction).sum()
    difference = (value(at + 0.05 * direction) - value(at - 0.05 * direction)) / 0.1
    np.testing.assert_allclose(slope, difference, rtol=1e-2)
