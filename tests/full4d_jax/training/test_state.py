"""States made in place on a mesh; optimizers against optax's own."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from changed import changed
from optax.contrib import MuonDimensionNumbers, muon

from full4d_jax.config import OptimizerConfig, load_config
from full4d_jax.models.dit.sharding import dotted, make_mesh, tree_shardings
from full4d_jax.training.optimizer import make_optimizer
from full4d_jax.training.state import init_state

DEVICES = 8
# Of which most is in matrices that no other shares a place with.
SHARDED = changed(
    load_config("configs/debug.py"),
    model={"width": 512, "ffn": 1024},
    mesh={"fsdp": DEVICES},
)


def bytes_of(tree) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def bytes_on(device, tree) -> int:
    shards = (shard for x in jax.tree.leaves(tree) for shard in x.addressable_shards)
    return sum(shard.data.nbytes for shard in shards if shard.device == device)


def test_a_sharded_state_is_that_of_one_device_in_parts():
    key = jax.random.key(3)
    whole = init_state(SHARDED, key)
    mesh = make_mesh(SHARDED.mesh)
    parts = init_state(SHARDED, key, mesh)
    shardings = tree_shardings(mesh, parts, SHARDED.model.width)
    assert jax.tree.map(lambda x: x.sharding, parts) == shardings
    for a, b in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    # Vectors stay whole, and are a larger share of a small model.
    held = [bytes_on(device, parts) for device in mesh.devices.flat]
    assert len(held) == DEVICES
    assert max(held) < bytes_of(whole) / DEVICES * 1.5


def test_no_device_holds_the_state_of_5b_parameters_at_once():
    """By the plan of the compiler: parts as long as they are, and no whole matrix in between."""
    config = replace(load_config("configs/wan22_5b.py"), mesh=SHARDED.mesh)

    def make():
        return init_state(config, jax.random.key(0))

    shapes = jax.eval_shape(make)
    shardings = tree_shardings(make_mesh(config.mesh), shapes, config.model.width)
    plan = jax.jit(make, out_shardings=shardings).lower().compile().memory_analysis()
    assert plan is not None
    share = bytes_of(shapes) / DEVICES
    assert bytes_of(shapes) > 49 * 2**30
    assert plan.output_size_in_bytes < 1.01 * share
    assert plan.temp_size_in_bytes < share / 4


CONFIG = OptimizerConfig(warmup=3, clip=1e9)
PARAMS = {
    "blocks": {
        "ffn_in": {"kernel": jnp.ones((1, 32, 32))},
        "ffn_out": {"kernel": jnp.ones((1, 64, 32))},
        "camera": {"kernel": jnp.ones((1, 32, 32)), "bias": jnp.ones((1, 32))},
    },
    "head": {"bias": jnp.ones(4)},
    "context": jnp.ones((2, 32)),
}


def applied(optimizer: optax.GradientTransformation) -> list[dict[str, np.ndarray]]:
    """Return what the optimizer adds to the parameters in each of its first four steps."""
    state, params, found = optimizer.init(PARAMS), PARAMS, []
    for i in range(4):
        keys = iter(jax.random.split(jax.random.key(i), 10))
        arrays, tree = jax.tree.flatten(params)
        drawn = [jax.random.normal(next(keys), x.shape) for x in arrays]
        change, state = optimizer.update(jax.tree.unflatten(tree, drawn), state, params)
        params = optax.apply_updates(params, change)
        leaves = jax.tree.leaves_with_path(change)
        found.append({dotted(path): np.asarray(x) for path, x in leaves})
    return found


def check_against(
    theirs: optax.GradientTransformation,
    config: OptimizerConfig,
    rtol: float = 1e-5,
    atol: float = 1e-9,
):
    expected = applied(theirs)
    for ours, step in zip(applied(make_optimizer(config, 10)), expected, strict=True):
        for name, x in step.items():
            np.testing.assert_allclose(
                ours[name], x, rtol=rtol, atol=atol, err_msg=name
            )
    assert np.abs(expected[-1]["head.bias"]).max() > 0


@pytest.mark.parametrize("clip", [1e9, 0.1])
def test_plain_adamw_is_optaxs(clip):
    config = replace(CONFIG, kind="adamw", clip=clip)
    rate = optax.linear_schedule(0.0, config.adam_learning_rate, 3)
    rule = optax.adamw(rate, b2=0.98, weight_decay=config.adam_weight_decay)
    check_against(optax.chain(optax.clip_by_global_norm(clip), rule), config)


def test_muon_is_optaxs():
    matrix = MuonDimensionNumbers(1, 2)
    rates = CONFIG.learning_rate, CONFIG.adam_learning_rate
    rate, adam_rate = (optax.linear_schedule(0.0, x, 3) for x in rates)
    rule = muon(
        rate,
        weight_decay=0.01,
        adam_learning_rate=adam_rate,
        adam_b2=0.98,
        adam_weight_decay=CONFIG.adam_weight_decay,
        muon_weight_dimension_numbers=lambda tree: jax.tree.map(
            lambda x: matrix if x.ndim == 3 else None, tree
        ),
    )
    # Matrices of one shape are multiplied as one stack.
    check_against(rule, CONFIG, rtol=1e-4, atol=1e-8)
