import json
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params
from safetensors import safe_open
from safetensors.numpy import save_file

from full4d_jax.config import MeshConfig, ModelConfig
from full4d_jax.models.sharding import make_mesh, tree_shardings
from full4d_jax.models.weights import (
    load_metadata,
    load_params,
    save_params,
)
from full4d_jax.session.errors import InputError

PARAMS = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.ones(2)}


def test_round_trip(tmp_path):
    save_params(tmp_path / "w.safetensors", PARAMS, {"model": {"width": 3}, "angle": 60.0})
    params, metadata = load_params(tmp_path / "w.safetensors", like=PARAMS)
    np.testing.assert_array_equal(params["a"]["kernel"], PARAMS["a"]["kernel"])
    assert metadata == {"model": {"width": 3}, "angle": 60.0}
    assert load_metadata(tmp_path / "w.safetensors") == metadata


def test_the_same_weights_are_the_same_bytes(tmp_path):
    told = {str(i): i for i in range(9)}
    for name in "ab":
        save_params(tmp_path / name, PARAMS, told)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", "numpy") as file:
        metadata = file.metadata()
    assert len(json.loads(metadata.pop("crc32"))) == 8
    assert metadata == {key: str(value) for key, value in told.items()}


def test_every_device_reads_its_own_shard_in_the_type_that_is_asked_for(tmp_path):
    model = ModelConfig(width=32, heads=2, ffn=64, layers=3)
    params, path = random_params(model), tmp_path / "w.safetensors"
    save_params(path, params, {})
    mesh = make_mesh(MeshConfig(data=1, fsdp=2, view=2, tensor=2))
    cut = tree_shardings(mesh, params, model.width)

    def wanted(x, sharding):
        return jax.ShapeDtypeStruct(x.shape, jnp.bfloat16, sharding=sharding)

    found, _ = load_params(path, jax.tree.map(wanted, params, cut))
    expected = jax.tree.map(lambda x: np.asarray(x, jnp.bfloat16), params)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}
    assert jax.tree.map(lambda x: x.sharding, found) == cut
    held = [x.addressable_shards[0].data.shape for x in jax.tree.leaves(found)]
    whole = [x.shape for x in jax.tree.leaves(params)]
    query = found["blocks"]["attention"]["query"]["kernel"]  # over fsdp x view, and over heads
    assert query.addressable_shards[5].data.shape == (3, 32 // 4, 32 // 2)
    assert sum(map(np.prod, held)) < sum(map(np.prod, whole)) / 2


def test_one_layer_at_a_time_is_written_wherever_they_lie(tmp_path):
    """NumPy's memory is counted, as above."""
    layers, size = 64, 2**17
    stacked = jax.random.normal(jax.random.key(0), (layers, size // 64, 64))
    params = {"blocks": {"kernel": stacked}, "bias": jnp.ones(8)}
    mesh = make_mesh(MeshConfig(data=1, fsdp=2, view=2, tensor=2))
    shards = jax.device_put(params, tree_shardings(mesh, params, size // 64))
    assert shards["blocks"]["kernel"].addressable_shards[0].data.size == stacked.size // 4
    path = tmp_path / "w.safetensors"
    for given in (params, shards, jax.device_get(params)):
        save_params(path, given, {})  # whatever is only allocated once
        path.unlink()
        tracemalloc.start()
        try:
            save_params(path, given, {})
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * 2 * size  # of 64 layers in bfloat16
        found, _ = load_params(path)
        rounded = np.asarray(stacked, jnp.bfloat16).astype(np.float32)
        np.testing.assert_array_equal(found["blocks"]["kernel"], rounded)
        np.testing.assert_array_equal(found["bias"], 1)


@pytest.mark.parametrize(
    ("like", "names"),
    [
        ({**PARAMS, "b": jnp.ones(3)}, ["tensor b", "(2,)", "(3,)"]),
        ({**PARAMS, "c": jnp.ones(3)}, ["tensor c", "no such tensor"]),
        ({"b": PARAMS["b"]}, ["a.kernel"]),
    ],
)
def test_other_shapes_are_named(tmp_path, like, names):
    save_params(tmp_path / "w.safetensors", PARAMS, {})
    with pytest.raises(InputError) as error:
        load_params(tmp_path / "w.safetensors", like=like)
    assert all(name in str(error.value) for name in names)


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.int32, "I32"), (np.uint8, "U8"), (jnp.float8_e4m3fn, "F8_E4M3")]
)
def test_tensors_that_are_not_floats_are_named(tmp_path, dtype, kind):
    path = tmp_path / "w.safetensors"
    save_file({"a.kernel": np.ones((2, 3), np.float32), "b": np.ones(2, dtype)}, path)
    with pytest.raises(InputError, match=f"tensor b: found {kind}, expected F32, F16, BF16"):
        load_params(path, like=PARAMS)


def test_damaged_bytes_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_params(path, PARAMS, {"angle": 60.0})
    whole = path.read_bytes()
    for place in range(len(whole) - 16, len(whole)):  # of the eight numbers
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"found damaged bytes, of checksum .*; get"):
            load_params(path, like=PARAMS)
    path.write_bytes(whole.replace(b"60.0", b"61.0"))
    with pytest.raises(InputError, match="found damaged bytes"):
        load_params(path)


@pytest.mark.parametrize("read", [load_params, load_metadata])
def test_other_files_are_refused(tmp_path, read):
    (tmp_path / "w.safetensors").write_text("no weights")
    with pytest.raises(InputError, match="safetensors"):
        read(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.safetensors")
