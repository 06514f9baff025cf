"""States made in place on a mesh, and steps with an optimizer of the caller's."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
from random_batches import random_batch

from full4d_jax.config import MeshConfig, load_config
from full4d_jax.models.sharding import make_mesh, put_batch, tree_shardings
from full4d_jax.training.state import init_state
from full4d_jax.training.step import train_step

DEVICES = 8
CONFIG = replace(load_config("configs/debug.py"), mesh=MeshConfig(fsdp=DEVICES))
SMALL = replace(CONFIG, model=replace(CONFIG.model, layers=1, refiner=0))


def bytes_of(tree) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def bytes_on(device, tree) -> int:
    shards = (shard for x in jax.tree.leaves(tree) for shard in x.addressable_shards)
    return sum(shard.data.nbytes for shard in shards if shard.device == device)


def test_a_sharded_state_is_that_of_one_device_in_parts():
    key = jax.random.key(3)
    whole = init_state(CONFIG, key)
    mesh = make_mesh(CONFIG.mesh)
    parts = init_state(CONFIG, key, mesh)
    shardings = tree_shardings(mesh, parts, CONFIG.model.width)
    assert jax.tree.map(lambda x: x.sharding, parts) == shardings
    for a, b in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    # Vectors stay whole, and are a larger share of a small model.
    held = [bytes_on(device, parts) for device in mesh.devices.flat]
    assert len(held) == DEVICES
    assert max(held) < bytes_of(whole) / DEVICES * 1.5


def test_no_device_holds_the_state_of_5b_parameters_at_once():
    """By the plan of the compiler: parts as long as they are, and no whole matrix in between."""
    config = replace(load_config("configs/wan22_5b.py"), mesh=CONFIG.mesh)

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


@pytest.mark.parametrize("is_sharded", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_step_updates_by_the_optimizer_of_the_caller(is_sharded):
    """Plain gradient descent: parameters move by the rate times a gradient of this norm."""
    rate = 0.5
    mesh = make_mesh(CONFIG.mesh) if is_sharded else None
    rule = optax.sgd(rate, momentum=0.9)
    before = init_state(SMALL, jax.random.key(0), mesh, optimizer=rule)
    batch = random_batch(DEVICES)
    step = jax.jit(train_step(SMALL, rule))
    if mesh is None:
        after, metrics = step(before, batch)
    else:
        with jax.set_mesh(mesh):
            after, metrics = step(before, put_batch(mesh, jax.device_get(batch)))
        assert after.params["head"]["kernel"].sharding.mesh.shape["fsdp"] == DEVICES
    moved = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), after.params, before.params)
    assert float(metrics["gradient_norm"]) > 0
    reached = np.linalg.norm([np.linalg.norm(x) for x in jax.tree.leaves(moved)]) / rate
    assert reached == pytest.approx(float(metrics["gradient_norm"]), rel=1e-4)
