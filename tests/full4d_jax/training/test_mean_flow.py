"""Training of mean velocities: the intervals, their targets, and what the loss reaches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy

from full4d_jax import flow
from full4d_jax.config import FlowConfig, SamplerConfig, load_config
from full4d_jax.generation.batch import procedural_batch
from full4d_jax.models.dit import init_params
from full4d_jax.training import loss as loss_module
from full4d_jax.training import mean_flow
from full4d_jax.training.accumulation import whole_batch
from full4d_jax.training.loss import loss

SHAPE = (2, 1, 1, 4, 4, 3)


def draw(seed):
    return jax.random.normal(jax.random.key(seed), SHAPE)


def gaussian(base, sigma):
    """The mean velocity where data are N(base, sigma^2)."""

    def velocity(z, tau, rho):
        return flow.velocity_from_residual(jnp.zeros_like(z), z, tau, base, sigma, rho)

    return velocity


def test_a_share_of_the_clips_gets_an_interval():
    config = FlowConfig(mean_share=0.25, interval_share=0.5)
    tau = jax.random.uniform(jax.random.key(1), (4000,))
    split, rho = mean_flow.draw_interval(config, jax.random.key(0), tau, whole_batch(4000))
    apart = np.asarray(rho < tau)
    assert bool(((rho <= split) & (split <= tau)).all())
    assert apart[1000:2500].all()
    assert not apart[:1000].any()
    assert not apart[2500:].any()
    share = np.float64(rho / tau)[1000:2500]
    assert scipy.stats.kstest(share, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("tau", "split", "rho"), [(1.0, 0.3, 0.0), (0.6, 0.6, 0.3), (0.4, 0.4, 0.4)]
)
def test_a_right_mean_velocity_is_that_of_its_parts(tau, split, rho):
    velocity, z = gaussian(draw(0), 0.5), draw(1)
    tau, split, rho = (jnp.full(2, x) for x in (tau, split, rho))
    found = mean_flow.split_velocity(velocity, z, tau, split, rho)
    np.testing.assert_allclose(found, velocity(z, tau, rho), atol=1e-5)


def test_parts_say_what_the_velocity_alone_does_not():
    """The first part tells a network that ignores the interval from one that does not."""
    velocity, z = gaussian(draw(0), 0.5), draw(1)
    tau, split, rho = (jnp.full(2, x) for x in (1.0, 0.5, 0.0))

    def ignorant(z, tau, rho):
        return velocity(z, tau, tau)

    error = mean_flow.split_velocity(ignorant, z, tau, split, rho) - ignorant(z, tau, rho)
    assert float(jnp.abs(error).mean()) > 0.05


def few_step_config(share: float):
    config = load_config("configs/debug.py")
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, layers=1, refiner=0, mean_flow=True),
        flow=dataclasses.replace(config.flow, mean_share=0.0, interval_share=share),
        sampler=SamplerConfig(steps=4, noise=1.0),
    )


def test_training_reaches_what_tells_of_the_interval():
    config = few_step_config(1.0)
    batch = jax.jit(lambda i: procedural_batch(i, config.data))(jnp.arange(2))
    key = jax.random.key(0)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32),
        init_params(config.model, key),
    )

    @jax.jit
    def gradients(params):
        return jax.grad(lambda params: loss(config, params, batch, key)[0])(params)

    assert float(jnp.abs(gradients(params)["interval_out"]["kernel"]).max()) > 0


def test_an_exact_mean_velocity_has_no_loss_on_intervals(monkeypatch):
    """Gaussian data have a known mean velocity; every flow time has its part in the target."""
    config = few_step_config(1.0)
    model = dataclasses.replace(config.model, prediction="velocity")
    config = dataclasses.replace(config, model=model)
    batch = jax.jit(lambda i: procedural_batch(i, config.data))(jnp.arange(2))

    def gaussian(*_):
        def velocity(z, tau, conditions, rho):
            return flow.velocity_from_residual(0 * z, z, tau, conditions.base[:, 1:], 0.5, rho)

        return velocity

    def total() -> float:
        return float(jax.jit(lambda batch: loss(config, {}, batch, jax.random.key(0))[0])(batch))

    monkeypatch.setattr(loss_module, "velocity", gaussian)
    assert total() < 1e-8
    parts = mean_flow.split_velocity
    swapped = lambda u, z, tau, split, rho: parts(u, z, tau, rho, split)  # noqa: E731
    monkeypatch.setattr(mean_flow, "split_velocity", swapped)
    assert total() > 1e-6
