"""Work on items of samples, on meshes that divide neither evenly, is that of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from full4d_jax.config import MeshConfig
from full4d_jax.models.sharded_map import map_items
from full4d_jax.models.sharding import make_mesh


def work(items: jax.Array, of_sample: jax.Array, of_all: jax.Array) -> jax.Array:
    return map_items(lambda item, own, all_: item * own.sum() + all_, items, of_sample, of_all, 1)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("axes", [(4, 1, 2), (2, 2, 1)])
def test_any_number_of_samples_and_items(samples, axes):
    data, fsdp, view = axes
    items, of_sample = (
        jax.random.normal(jax.random.key(i), shape)
        for i, shape in enumerate([(samples, 3, 2), (samples, 5)])
    )
    of_all = jnp.float32(7)
    count = data * fsdp * view
    config = MeshConfig(data=data, fsdp=fsdp, view=view, time=1)
    mesh = make_mesh(config, jax.devices()[:count])
    everywhere = jax.device_put((items, of_sample, of_all), NamedSharding(mesh, PartitionSpec()))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        divided = jax.jit(work)(*everywhere)
    np.testing.assert_array_equal(divided, work(items, of_sample, of_all))
