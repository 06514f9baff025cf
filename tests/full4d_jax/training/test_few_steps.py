"""Adapters that learn to take few steps: their target, and that they follow their teacher."""

import jax
import jax.numpy as jnp
import numpy as np
from changed import changed
from some_batches import random_batch

from full4d_jax.config import check_config, load_config
from full4d_jax.generation.sampling import sample, schedule
from full4d_jax.models.dit.dit import init_params
from full4d_jax.training.few_steps import TEACHER_STEPS, SegmentTimes, segment_velocity
from full4d_jax.training.state import state_from_params
from full4d_jax.training.step import train_step

SPREAD = 0.5  # standard deviation of Gaussian data, whose flow is known


def variance(tau):
    """Return the variance of z at a flow time."""
    return (SPREAD * (1 - tau)) ** 2 + tau**2


def exact(z, tau):
    """The velocity of the flow from noise to Gaussian data: z / sqrt(variance) stays."""
    tau = tau.reshape(-1, 1, 1, 1, 1, 1)
    return (tau - SPREAD**2 * (1 - tau)) / variance(tau) * z


def test_a_step_a_segment_ends_where_many_steps_end():
    """Targets that are followed exactly, one part after the other, are the teacher's own path."""
    z = jax.random.normal(jax.random.key(0), (1, 1, 1, 4, 4, 3))
    fine = schedule(TEACHER_STEPS, 1.0)

    def student(place):
        def velocity(z, _):
            if place == TEACHER_STEPS:
                return jnp.zeros_like(z)
            places = place, place + 1, TEACHER_STEPS
            times = SegmentTimes(*(fine[jnp.array([x])] for x in places))
            return segment_velocity(student(place + 1), exact, z, times)

        return velocity

    end = sample(student(0), z, schedule(1))
    np.testing.assert_allclose(end, sample(exact, z, fine), atol=1e-5)
    assert float(jnp.abs(end - sample(exact, z, schedule(1))).max()) > 0.1


def test_adapters_follow_and_nothing_else_changes():
    config = changed(
        load_config("debug"),
        model={"lora_rank": 4},
        flow={"segments": 2, "mean_share": 0.0},
        optimizer={"trainable": "adapters", "adam_learning_rate": 0.01},
        sampler={"steps": 2, "noise": 1.0},
    )
    check_config(config)
    fresh = init_params(config.model, jax.random.key(0))
    rng = np.random.default_rng(1)
    # The last layers begin at zero, before which no adapter matters.

    def shifted(path, x):
        if "lora_out" in jax.tree_util.keystr(path):
            return x
        return jax.device_put(x + 0.05 * rng.normal(size=x.shape).astype(np.float32))

    params = jax.tree.map_with_path(shifted, jax.device_get(fresh))
    before = state_from_params(config, params)
    batch = random_batch(2)
    step = jax.jit(train_step(config))
    state = before
    losses = []
    for _ in range(12):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.isfinite(losses).all()
    after = jax.tree_util.tree_leaves_with_path(state.params)
    for (path, x), old in zip(after, jax.tree.leaves(before.params), strict=True):
        name = jax.tree_util.keystr(path)
        assert np.array_equal(x, old) != ("lora" in name), name
