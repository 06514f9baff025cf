"""States made in place on a mesh."""

from dataclasses import replace

import jax
import numpy as np

from full4d_jax.config import MeshConfig, load_config
from full4d_jax.models.sharding import make_mesh, tree_shardings
from full4d_jax.training.state import init_state

DEVICES = 8
CONFIG = replace(load_config("configs/debug.py"), mesh=MeshConfig(fsdp=DEVICES))


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
