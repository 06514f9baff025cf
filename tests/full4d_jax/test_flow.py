"""The flow against its definitions, the preconditioning against Gaussian algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax import flow

SHAPE = (2, 1, 1, 4, 4, 3)


def draw(seed):
    return jax.random.normal(jax.random.key(seed), SHAPE)


@pytest.mark.parametrize("tau", [1e-3, 0.2, 0.7, 1.0])
def test_zero_residual_is_the_gaussian_posterior_mean(tau):
    base, z, s = draw(0), draw(1), 0.2
    v = flow.velocity_from_residual(jnp.zeros(SHAPE), z, jnp.full(2, tau), base, s)
    found = flow.data_from_velocity(v, z, jnp.full(2, tau))
    # x ~ N(base, s^2), z = (1 - tau) x + tau e: a textbook product of two Gaussians.
    gain = s**2 * (1 - tau) / (s**2 * (1 - tau) ** 2 + tau**2)
    np.testing.assert_allclose(found, base + gain * (z - (1 - tau) * base), atol=2e-5)


def test_residual_moves_the_mean_by_its_posterior_deviation():
    base, z, residual, s, tau = draw(0), draw(1), draw(2), 0.2, 0.6
    args = z, jnp.full(2, tau), base, s
    at_base = flow.velocity_from_residual(0 * z, *args)
    change = flow.velocity_from_residual(residual, *args) - at_base
    deviation = s * tau / np.sqrt(s**2 * (1 - tau) ** 2 + tau**2)  # of x given z
    np.testing.assert_allclose(-tau * change, deviation * residual, atol=1e-5)


def test_the_network_sees_unit_variance():
    keys = jax.random.split(jax.random.key(0), 2)
    x, noise = (jax.random.normal(k, (4000, 1, 1, 1, 1, 3)) for k in keys)
    base, s = jnp.full(x.shape, 0.7), 0.2
    for tau in (0.05, 0.5, 1.0):
        time = jnp.full(4000, tau)
        z = flow.interpolate(base + s * x, noise, time)
        assert abs(float(flow.normalise_residual(z, time, base, s).std()) - 1) < 0.03


def test_flow_times_cover_the_interval_and_the_share_of_means():
    tau, is_mean = flow.sample_time(jax.random.key(0), 4000, shift=1.0, mean_share=0.25)
    assert int(is_mean.sum()) == 1000
    assert bool((tau[:1000] == 1).all())
    counts = np.histogram(tau[1000:], 10, (0, 1))[0]
    assert counts.min() > 240  # 300 expected in each


def test_shift_is_wans():
    shifted = flow.shift_time(jnp.array([0.0, 0.5, 1.0]), 5.0)
    np.testing.assert_allclose(shifted, [0, 5 / 6, 1])


def test_the_preconditioned_loss_is_the_error_of_the_residual():
    data, z, base, residual, error = map(draw, range(5))
    tau, sigma = jnp.array([0.4, 0.9]), 0.3

    def predicted(residual):
        v = flow.velocity_from_residual(residual, z, tau, base, sigma)
        return flow.data_from_velocity(v, z, tau)

    both = predicted(residual + error), predicted(residual)
    found = flow.flow_loss(*both, tau, sigma, 50.0)
    np.testing.assert_allclose(found, sigma**2 * (error**2).mean((3, 4, 5)), rtol=1e-3)
