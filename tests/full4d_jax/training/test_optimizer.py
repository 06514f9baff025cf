"""Optimizers against optax's own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from full4d_jax.config import OptimizerConfig
from full4d_jax.training.state import make_optimizer

CONFIG = OptimizerConfig(warmup=3, clip=1e9)
PARAMS = {
    "blocks": {
        "ffn_in": {"kernel": jnp.ones((1, 32, 32))},
        "camera": {"kernel": jnp.ones((1, 32, 32)), "bias": jnp.ones((1, 32))},
    },
    "head": {"bias": jnp.ones(4)},
    "context": jnp.ones((2, 32)),
}


def updates(config: OptimizerConfig, steps: int = 10) -> list[dict[str, np.ndarray]]:
    """Return what the optimizer adds to the parameters in each of its first four steps."""
    optimizer = make_optimizer(config, steps)
    return applied(optimizer)


def applied(optimizer: optax.GradientTransformation) -> list[dict[str, np.ndarray]]:
    state, params, found = optimizer.init(PARAMS), PARAMS, []
    for i in range(4):
        keys = iter(jax.random.split(jax.random.key(i), 10))
        gradients = jax.tree.map(lambda x, k=keys: jax.random.normal(next(k), x.shape), params)
        change, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, change)
        leaves = jax.tree.leaves_with_path(change)
        found.append(
            {jax.tree_util.keystr(p, simple=True, separator="."): np.asarray(x) for p, x in leaves}
        )
    return found


def test_plain_adamw_is_optaxs():
    config = dataclasses.replace(CONFIG, kind="adamw")
    rate = optax.linear_schedule(0.0, config.adam_learning_rate, 3)
    theirs = applied(optax.adamw(rate, b2=0.98, weight_decay=config.adam_weight_decay))
    for ours, expected in zip(updates(config), theirs, strict=True):
        for name, x in expected.items():
            np.testing.assert_allclose(ours[name], x, rtol=1e-5, atol=1e-9, err_msg=name)
    assert np.abs(theirs[-1]["head.bias"]).max() > 0
