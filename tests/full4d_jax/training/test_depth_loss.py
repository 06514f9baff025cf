"""The loss of the depth network: what it forgives, and what it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.training import depth_loss
from full4d_jax.training.depth_loss import FARTHEST, depth_roughness

loss = jax.jit(depth_loss.loss)
standardised = jax.jit(depth_loss.standardised)
DEPTH = jnp.exp(0.3 * jax.random.normal(jax.random.key(1), (2, 16, 16)))


@pytest.fixture
def depth():
    """True depth whose sparse median is one."""
    return DEPTH / jnp.median(DEPTH[:, ::4, ::4], (1, 2), keepdims=True)


def test_it_knows_no_scale(depth):
    predicted = jax.random.normal(jax.random.key(0), (2, 16, 16))
    moved = loss(predicted + jnp.array([3.0, -1.0])[:, None, None], depth)
    np.testing.assert_allclose(moved, loss(predicted, depth), rtol=1e-5)
    assert loss(jnp.log(depth) + 2, depth) < 1e-5 < loss(predicted, depth)


def test_a_shift_of_disparity_costs_its_range_and_its_mirror_image_its_shape(depth):
    """Disparity d / 2 + 1 / 2 has the same shape and half the range; FLATTEST tells them apart."""
    disparity = 1 / depth
    shifted, mirrored = 0.5 * disparity + 0.5, jnp.clip(2 - disparity, 0.1)
    truth = standardised(disparity)
    changes = [jnp.abs(standardised(x) - truth).mean() for x in (shifted, mirrored)]
    assert changes[0] < 0.2 * changes[1]
    assert 0.01 < loss(-jnp.log(shifted), depth) < loss(-jnp.log(mirrored), depth)


def test_beyond_the_farthest_all_is_alike(depth):
    far = depth.at[:, 1, 1].set(2 * FARTHEST)
    farther = depth.at[:, 1, 1].set(50 * FARTHEST)
    predicted = jnp.log(far)
    np.testing.assert_allclose(loss(predicted, far), loss(predicted, farther), rtol=1e-6)


def test_roughness_is_the_mean_step_of_a_ramp():
    """Neighbours 1, 2 and 4 pixels apart in x differ by 1, 2 and 4, in y by nothing."""
    ramp = jnp.broadcast_to(jnp.arange(16.0), (1, 16, 16))
    np.testing.assert_allclose(depth_roughness(ramp), 7 / 6, rtol=1e-6)


def test_gradients_are_finite_before_a_wall():
    """A flat true depth and a flat estimate: nothing to divide by."""
    flat = jnp.ones((1, 16, 16))
    gradient = jax.jit(jax.grad(depth_loss.loss))(jnp.zeros((1, 16, 16)), flat)
    assert np.isfinite(gradient).all()
