"""Exposure follows its equation and leaves the average view alone."""

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.fitting.exposure import expose, no_exposure


def test_no_exposure_changes_nothing():
    rgb = jnp.float32(np.random.default_rng(0).uniform(size=(2, 3, 3)))
    np.testing.assert_array_equal(jax.jit(expose)(rgb, no_exposure(4), 2), rgb)


def test_gain_and_offset_are_relative_to_the_mean_of_all_views():
    rng = np.random.default_rng(1)
    rgb, exposures = rng.uniform(size=(2, 3, 3)), rng.normal(size=(4, 2, 3))
    gain, offset = (exposures - exposures.mean(0))[2]
    found = jax.jit(expose)(jnp.float32(rgb), jnp.float32(exposures), 2)
    np.testing.assert_allclose(found, rgb * np.exp(gain) + offset, atol=1e-5)
    # the same change of all views changes no picture
    shifted = jax.jit(expose)(jnp.float32(rgb), jnp.float32(exposures + 0.7), 2)
    np.testing.assert_allclose(shifted, found, atol=1e-5)
