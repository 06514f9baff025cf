"""Conversion in both directions and layouts, and what is refused.

The names are compared with diffusers' own where the `parity` extra is installed.
"""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from toy_wan import random_wan

from full4d_jax.config import load_config
from full4d_jax.config.wan import WAN
from full4d_jax.models.wan.conversion import export_wan, import_wan
from full4d_jax.models.wan.layouts import (
    check_config_json,
    diffusers_config,
    original_config,
    wan_names,
)
from full4d_jax.session.errors import InputError

MODEL = dataclasses.replace(
    WAN.model, width=24, layers=2, heads=2, ffn=40, text_width=10
)
PRESETS = Path(__file__).parents[4] / "configs"


@pytest.mark.parametrize(
    "dtype", [np.float32, jnp.bfloat16], ids=["float32", "bfloat16"]
)
def test_round_trip_is_equal_bit_for_bit(dtype, tmp_path):
    theirs = random_wan(MODEL, "diffusers", dtype)
    names = sorted(theirs)
    (tmp_path / "from").mkdir()
    save_file({k: theirs[k] for k in names[::2]}, tmp_path / "from" / "a-1.safetensors")
    save_file(
        {k: theirs[k] for k in names[1::2]}, tmp_path / "from" / "a-2.safetensors"
    )
    target, folder = tmp_path / "ours.safetensors", tmp_path / "to"
    assert import_wan(MODEL, tmp_path / "from", target) == "diffusers"
    ours = load_file(target)
    assert ours["blocks.ffn_in.kernel"].dtype == dtype
    assert ours["blocks.ffn_in.kernel"].shape == (2, 24, 40)
    assert export_wan(MODEL, target, folder, 20_000) == []
    (file,) = folder.glob("*.index.json")
    index = json.loads(file.read_text())
    assert index["metadata"]["total_size"] == sum(x.nbytes for x in theirs.values())
    back = {}
    for path in folder.glob("*.safetensors"):
        part = load_file(path)
        assert all(index["weight_map"][name] == path.name for name in part)
        back |= part
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert back.keys() == theirs.keys()
    for name, x in theirs.items():
        assert back[name].dtype == dtype
        assert back[name].tobytes() == x.tobytes(), name


def test_both_layouts_give_the_same_checkpoint(tmp_path):
    for layout, prefix in (("diffusers", ""), ("original", ""), ("original", "comfy")):
        tensors = random_wan(MODEL, layout)
        if prefix:
            tensors = {f"model.diffusion_model.{k}": x for k, x in tensors.items()}
        source = tmp_path / f"{layout}{prefix}.safetensors"
        save_file(tensors, source)
        assert import_wan(MODEL, source, source.with_suffix(".ours")) == layout
    first, *others = (load_file(path) for path in sorted(tmp_path.glob("*.ours")))
    for other in others:
        assert first.keys() == other.keys()
        assert all(np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blocks.1.attn1.to_q.bias": None}, ["no blocks.1.attn1.to_q.bias (1 of"]),
        (
            {"blocks.0.attn1.to_q.weight": np.zeros((24, 25), np.float32)},
            ["tensor blocks.0.attn1.to_q.weight", "(24, 25)", "(24, 24)"],
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(change, words, tmp_path):
    tensors = random_wan(MODEL, "diffusers") | change
    tensors = {name: x for name, x in tensors.items() if x is not None}
    save_file(tensors, tmp_path / "wan.safetensors")
    with pytest.raises(InputError) as error:
        import_wan(MODEL, tmp_path, tmp_path / "ours")
    assert all(word in str(error.value) for word in words), error.value
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("layout", [diffusers_config, original_config])
def test_every_field_of_the_config_beside_the_weights_is_compared(layout, tmp_path):
    about, fields = tmp_path / "config.json", layout(MODEL)

    def check(fields) -> None:
        about.write_text(json.dumps(fields))
        check_config_json(MODEL, about)

    theirs = fields | {"_diffusers_version": "0.33.0"}
    free = {"model_type": "ti2v"} if "num_heads" in fields else {"image_dim": None}
    check(theirs | free)
    for field in fields.keys() - {"rope_max_seq_len"}:
        with pytest.raises(InputError, match=rf"{field} other, expected {field} "):
            check(theirs | {field: "other"})


@pytest.mark.extra("diffusers", "torch")
@pytest.mark.parametrize("name", ["wan21_1_3b", "wan22_5b", "wan21_14b"])
def test_presets_have_diffusers_tensors(name):
    import torch
    from diffusers import WanTransformer3DModel

    model = load_config(PRESETS / f"{name}.py").model
    fields = {k: x for k, x in diffusers_config(model).items() if not k.startswith("_")}
    with torch.device("meta"):
        network = WanTransformer3DModel(**fields)
    expected = {key: tuple(x.shape) for key, x in network.state_dict().items()}
    found = {name: place.shape for name, place in wan_names(model, "diffusers").items()}
    assert found == expected


@pytest.mark.extra("diffusers", "torch")
def test_names_of_the_original_are_those_that_diffusers_knows():
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    renamed = convert_wan_transformer_to_diffusers(random_wan(MODEL, "original"))
    expected = random_wan(MODEL, "diffusers")
    assert renamed.keys() == expected.keys()
    assert all(np.array_equal(renamed[name], expected[name]) for name in expected)


@pytest.mark.extra("accelerate", "diffusers", "torch")
def test_diffusers_loads_what_we_export(tmp_path):
    # Without it diffusers loads no model that keeps some layers in float32, whatever the file.
    from diffusers import WanTransformer3DModel

    theirs = random_wan(MODEL, "diffusers")
    save_file(theirs, tmp_path / "wan.safetensors")
    import_wan(MODEL, tmp_path / "wan.safetensors", tmp_path / "ours")
    export_wan(MODEL, tmp_path / "ours", tmp_path / "hub", 20_000)
    load = WanTransformer3DModel.from_pretrained
    network, report = load(tmp_path / "hub", output_loading_info=True)
    assert not any(report.values()), report
    assert network.config.num_attention_heads == 2
    for name, x in network.state_dict().items():
        np.testing.assert_array_equal(x.numpy(), theirs[name])
