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
from full4d_jax.models.upsampler import UpsamplerNetConfig
from full4d_jax.models.weights import (
    described,
    load_metadata,
    load_params,
    require_model,
    save_params,
)
from full4d_jax.session.errors import InputError
from full4d_jax.session.stages import fingerprint

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


def test_one_tensor_at_a_time_is_beside_the_result(tmp_path):
    """NumPy's memory is counted, XLA's own is not; a result may share NumPy's."""
    count, size = 64, 2**18  # half a MiB each in the file, one as a result
    weights = {str(i): jnp.full(size, float(i)) for i in range(count)}
    save_params(tmp_path / "w.safetensors", weights, {})
    load_params(tmp_path / "w.safetensors")  # whatever is only allocated once
    tracemalloc.start()
    try:
        params, _ = load_params(tmp_path / "w.safetensors")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert float(params["7"][-1]) == 7
    assert peak - kept < 8 * 2**20  # of the file's 32 MiB


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


def test_weights_are_described_layer_by_layer_wherever_they_lie():
    layers, size = 64, 2**17
    stacked = jax.random.normal(jax.random.key(0), (layers, size // 64, 64), jnp.bfloat16)
    params = {"blocks": {"kernel": stacked}, "bias": jnp.ones(8, jnp.bfloat16)}
    whole = [np.asarray(x, np.float32) for x in jax.tree.leaves(params)]
    mark = fingerprint("x", {"weights": whole}, {})
    mesh = make_mesh(MeshConfig(data=1, fsdp=2, view=2, tensor=2))
    shards = jax.device_put(params, tree_shardings(mesh, params, size // 64))
    assert shards["blocks"]["kernel"].addressable_shards[0].data.size == stacked.size // 4
    for found in (params, shards):
        tracemalloc.start()
        try:
            assert fingerprint("x", {"weights": described(found)}, {}) == mark
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 6 * 4 * size  # of 64 layers in float32
    other = params | {"blocks": {"kernel": stacked.at[-1, -1, -1].add(1)}}
    assert fingerprint("x", {"weights": described(other)}, {}) != mark


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


def test_metadata_like_a_checksum_stay_what_they_are(tmp_path):
    path = tmp_path / "w.safetensors"
    for value in ("00000000", json.dumps("00000000"), {"crc32": "00000000"}):
        save_params(path, PARAMS, {"note": value})
        assert load_params(path)[1] == {"note": value}


def test_files_without_a_checksum_are_read(tmp_path):
    save_file(
        {"a.kernel": np.ones((2, 3), np.float32), "b": np.ones(2, np.float32)}, tmp_path / "w"
    )
    params, metadata = load_params(tmp_path / "w", like=PARAMS)
    np.testing.assert_array_equal(params["b"], np.ones(2))
    assert metadata == {}


@pytest.mark.parametrize("read", [load_params, load_metadata])
def test_other_files_are_refused(tmp_path, read):
    (tmp_path / "w.safetensors").write_text("no weights")
    with pytest.raises(InputError, match="safetensors"):
        read(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.safetensors")


def test_a_removed_field_passes_with_the_value_of_today():
    require_model("w", {"model": {"mask_terms": ["view", "time", "half"]}}, ModelConfig())
    with pytest.raises(InputError, match=r"^checkpoint: w, model.mask_terms: found \['view'\], ex"):
        require_model("w", {"model": {"mask_terms": ["view"]}}, ModelConfig())


def test_a_field_that_nobody_knows_passes_whatever_it_holds():
    require_model("w", {"model": {"of_tomorrow": float("nan")}}, ModelConfig())


def test_a_checkpoint_that_names_no_mask_has_that_of_the_paper():
    told = {"model": {"width": ModelConfig().width}}
    require_model("w", told, ModelConfig())
    require_model("w", told, ModelConfig(mask="causal"), free=("mask",))
    require_model("w", {"model": {"widths": [1, 2, 3]}}, UpsamplerNetConfig(widths=(1, 2, 3)))
    with pytest.raises(InputError, match=r"model.mask: found time_view, expected causal; use the"):
        require_model("w", told, ModelConfig(mask="causal"))
