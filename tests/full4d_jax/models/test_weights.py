import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import MeshConfig, ModelConfig
from full4d_jax.models.dit.sharding import make_mesh, tree_shardings
from full4d_jax.models.weights import load_params, save_params
from full4d_jax.session.errors import InputError

PARAMS = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.ones(2)}


def test_every_device_reads_its_own_shard_in_the_type_that_is_asked_for(tmp_path):
    model = ModelConfig(width=32, heads=2, ffn=64, layers=3)
    params, path = random_params(model), tmp_path / "w.safetensors"
    save_params(path, params, {})
    mesh = make_mesh(MeshConfig(data=1, fsdp=2, view=2, tensor=2))
    cut = tree_shardings(mesh, params, model.width)

    def wanted(x, sharding):
        return jax.ShapeDtypeStruct(x.shape, jnp.bfloat16, sharding=sharding)

    found = load_params(path, jax.tree.map(wanted, params, cut))
    expected = jax.tree.map(lambda x: np.asarray(x, jnp.bfloat16), params)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}
    assert jax.tree.map(lambda x: x.sharding, found) == cut
    held = [x.addressable_shards[0].data.shape for x in jax.tree.leaves(found)]
    whole = [x.shape for x in jax.tree.leaves(params)]
    # Over fsdp x view, and over heads.
    query = found["blocks"]["attention"]["query"]["kernel"]
    assert query.addressable_shards[5].data.shape == (3, 32 // 4, 32 // 2)
    assert sum(map(np.prod, held)) < sum(map(np.prod, whole)) / 2


def test_other_shapes_are_named(tmp_path):
    save_params(tmp_path / "w.safetensors", PARAMS, {})
    with pytest.raises(InputError) as error:
        load_params(tmp_path / "w.safetensors", like={**PARAMS, "b": jnp.ones(3)})
    assert all(name in str(error.value) for name in ("tensor b", "(2,)", "(3,)"))


def test_damaged_bytes_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_params(path, PARAMS, {"angle": 60.0})
    whole = path.read_bytes()
    for place in range(len(whole) - 16, len(whole)):  # of the eight numbers
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(
            InputError, match=r"found damaged bytes, of checksum .*; get"
        ):
            load_params(path, like=PARAMS)
    path.write_bytes(whole.replace(b"60.0", b"61.0"))
    with pytest.raises(InputError, match="found damaged bytes"):
        load_params(path)
