"""Networks that know mean velocities, and how they start."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config import ModelConfig, check_config, load_config
from full4d_jax.generation.sampling import euler, integrate, leap, schedule
from full4d_jax.models import dit
from full4d_jax.models.conditions import Conditions
from full4d_jax.models.start import start_from
from full4d_jax.models.weights import save_params
from full4d_jax.session.errors import InputError

PLAIN = ModelConfig(width=48, layers=2, heads=2, ffn=64, refiner=4, patch=4)
MODEL = dataclasses.replace(PLAIN, mean_flow=True)
SHAPE = (1, 3, 2, 8, 8, 3)


@pytest.fixture(scope="module")
def conditions() -> Conditions:
    keys = jax.random.split(jax.random.key(0), 4)
    return Conditions(
        projection=jax.random.normal(keys[0], SHAPE),
        base=jax.random.normal(keys[1], SHAPE),
        mask=jax.random.bernoulli(keys[2], 0.7, SHAPE[:-1]).astype(jnp.float32),
        disparity=jax.random.uniform(keys[3], SHAPE[:-1]),
        world_to_camera=jnp.broadcast_to(jnp.eye(4), (1, 3, 2, 4, 4)),
        intrinsics=jnp.broadcast_to(jnp.eye(3), (1, 3, 3, 3)),
    )


def random_params(model: ModelConfig):
    params = dit.init_params(model, jax.random.key(1))
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(2)
    leaves = [x + 0.1 * rng.normal(size=x.shape).astype(np.float32) for x in leaves]
    return jax.tree.unflatten(tree, leaves)


def test_the_velocity_is_the_mean_velocity_of_no_interval(conditions):
    velocity = dit.velocity(MODEL, random_params(MODEL))
    z, tau = jax.random.normal(jax.random.key(3), (1, 2, *SHAPE[2:])), jnp.full(1, 0.7)
    at_once = velocity(z, tau, conditions)
    np.testing.assert_allclose(at_once, velocity(z, tau, conditions, tau), atol=1e-5)
    longer = velocity(z, tau, conditions, jnp.full(1, 0.2))
    assert float(jnp.abs(longer - at_once).max()) > 0.01


def test_it_starts_as_the_network_that_knows_none(tmp_path, conditions):
    path, params = tmp_path / "x.safetensors", random_params(PLAIN)
    save_params(path, params, {"model": dataclasses.asdict(PLAIN)})
    started = start_from(MODEL, path, jax.random.key(0))
    plain = start_from(PLAIN, path, jax.random.key(0))
    z, tau = jax.random.normal(jax.random.key(3), (1, 2, *SHAPE[2:])), jnp.full(1, 0.7)
    expected = dit.velocity(PLAIN, plain)(z, tau, conditions)
    np.testing.assert_allclose(
        dit.velocity(MODEL, started)(z, tau, conditions), expected, atol=1e-6
    )


def test_leaps_ask_for_intervals(conditions):
    velocity = dit.velocity(MODEL, random_params(MODEL))
    noise, times = jax.random.normal(jax.random.key(3), (1, 2, *SHAPE[2:])), schedule(2)

    def bound(z, tau, rho=None):
        return velocity(z, tau, conditions, rho)

    found = integrate(lambda _: bound, noise, times, leap)
    half = noise - 0.5 * bound(noise, jnp.ones(1), jnp.full(1, 0.5))
    expected = half - 0.5 * bound(half, jnp.full(1, 0.5), jnp.zeros(1))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    steps = integrate(lambda _: bound, noise, times, euler)
    assert float(jnp.abs(steps - found).max()) > 0.01


def test_intervals_need_a_model_that_is_told_of_them():
    config = load_config("configs/demo_few_step.py")
    check_config(config)
    with pytest.raises(InputError, match=r"flow.interval_share: found 0.5, expected 0 without"):
        check_config(dataclasses.replace(config, model=load_config("configs/demo.py").model))
