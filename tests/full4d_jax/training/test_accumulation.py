"""Gradients in parts against those of the whole batch."""

import jax
import numpy as np
import pytest
from changed import changed
from some_batches import random_batch

from full4d_jax.config import Config, load_config
from full4d_jax.models.dit import init_params
from full4d_jax.training.state import TrainState, state_from_params
from full4d_jax.training.step import train_step

DEBUG = load_config("configs/debug.py")
# Three of four clips are regressed: parts of two have two of them and one.
CHANNELS = changed(
    DEBUG,
    model={"layers": 1, "refiner": 0},
    flow={"mean_share": 0.75},
    data={"drop_projection": 0.5},
    optimizer={"clip": 1e9},
    training={"batch": 4},
)
LINES = changed(
    CHANNELS,
    model={"projection": "none", "cameras": ()},
    data={"lines": True, "orbit": True},
    flow={"mean_share": 0.4},
)


def random_state(config: Config) -> TrainState:
    """With no parameter zero, so that all get a gradient."""
    params = jax.jit(init_params, static_argnums=0)(config.model, jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    leaves = [np.asarray(x) + 0.1 * rng.normal(size=x.shape).astype(np.float32) for x in leaves]
    return state_from_params(config, jax.device_put(jax.tree.unflatten(tree, leaves)))


def first_step(config: Config, parts: int) -> tuple[dict, list[np.ndarray]]:
    """Metrics, and all gradients: AdamW's first moments after a step are a tenth of them."""
    config = changed(config, optimizer={"kind": "adamw"}, training={"accumulate": parts})
    state, metrics = jax.jit(train_step(config))(random_state(config), random_batch(4))
    moments = [
        leaf
        for path, leaf in jax.tree.leaves_with_path(state.optimizer)
        if ".mu" in jax.tree_util.keystr(path)
    ]
    return jax.device_get(metrics), jax.device_get(moments)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CHANNELS, id="channels"),
        pytest.param(LINES, id="lines", marks=pytest.mark.slow),
    ],
)
def test_parts_add_up_to_the_whole(config):
    metrics, gradients = first_step(config, 1)
    assert sum(np.abs(x).max() > 0 for x in gradients) > 20
    again, in_parts = first_step(config, 2)
    assert again.keys() == metrics.keys()
    for name, value in metrics.items():
        np.testing.assert_allclose(again[name], value, rtol=2e-5, err_msg=name)
    for found, expected in zip(in_parts, gradients, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * scale)
