"""The sampler on flows whose solution is known."""

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.flow import velocity_from_residual
from full4d_jax.generation.sampling import guided, sample, schedule


def test_straight_paths_are_exact_in_one_step_and_in_many():
    noise, data = (jax.random.normal(jax.random.key(i), (2, 5)) for i in range(2))
    for steps in (1, 7):
        found = sample(lambda z, tau: noise - data, noise, schedule(steps))
        np.testing.assert_allclose(found, data, atol=1e-5)


def test_twice_the_steps_halve_the_error():
    """dz/dtau = z has the solution z(0) = z(1) / e."""
    z = jnp.ones((1, 1))
    coarse, fine = (
        abs(float(sample(lambda z, tau: z, z, schedule(n))[0, 0]) - np.exp(-1)) for n in (16, 32)
    )
    assert 1.8 < coarse / fine < 2.2


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


def test_schedule_falls_from_one_to_zero():
    for shift in (1.0, 5.0):
        times = np.asarray(schedule(5, shift))
        assert times[0] == 1
        assert times[-1] == 0
        assert (np.diff(times) < 0).all()


def test_guidance_extrapolates():
    flow = guided(lambda z, tau: 3 * z, [(lambda z, tau: z, 2.0)])
    np.testing.assert_allclose(flow(jnp.ones(2), jnp.ones(2)), 5)


def test_guidances_add_up():
    def flow(*scales):
        others = [lambda z, tau: z, lambda z, tau: 2 * z]
        return guided(lambda z, tau: 3 * z, list(zip(others, scales, strict=True)))(1.0, 0.5)

    assert flow(1.0, 1.0) == 3
    assert flow(2.0, 1.0) == 5
    assert flow(1.0, 3.0) == 5
    assert flow(2.0, 3.0) == 7
