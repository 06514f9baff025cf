"""The sampler on flows whose solution is known, of more views and frames than are seen at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import normal

from full4d_jax.flow import velocity_from_residual
from full4d_jax.generation.sampling import (
    in_groups,
    integrate,
    sample,
    sample_in_windows,
    schedule,
    view_groups,
)


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


TARGETS, GROUP = 11, 3  # 12 views for a model of 4: the source belongs to every group


def mean_of(members):
    """A different picture for every view."""
    return jnp.sin(1.0 + members)[None, :, None]


def test_views_on_their_own_get_what_plain_sampling_gives():
    """Independent Gaussians: which group a view is in cannot matter."""
    noise = normal(0, (2, TARGETS, 1, 1, 1, 5))

    def velocity(members, z, tau):
        mean = jnp.broadcast_to(mean_of(members)[..., None, None, None], z.shape)
        return velocity_from_residual(jnp.zeros_like(z), z, tau, mean, 0.3)

    times = schedule(8, 2.0)
    everyone = jnp.arange(TARGETS)
    expected = sample(functools.partial(velocity, everyone), noise, times)
    groups = view_groups(TARGETS, GROUP, len(times) - 1)
    found = integrate(in_groups(velocity, groups), noise, times)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("frames", "size", "overlap"), [(11, 4, 1), (3, 4, 2)])
def test_windows_get_a_known_video(frames, size, overlap):
    video, noise = (normal(i, (1, 2, frames, 3)) for i in range(2))
    size_used, calls = min(size, frames), []

    def velocity(start, z, tau):
        calls.append(z.shape)
        data = jax.lax.dynamic_slice_in_dim(video, start, size_used, axis=2)
        return (z - data) / tau.reshape(-1, 1, 1, 1)

    def window(start):
        return lambda _: functools.partial(velocity, start)

    found = sample_in_windows(window, noise, schedule(5), size, overlap)
    np.testing.assert_allclose(found, video, atol=1e-5)
    assert {shape[2] for shape in calls} == {size_used}
