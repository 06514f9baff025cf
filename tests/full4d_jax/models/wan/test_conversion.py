"""Conversion in both directions and layouts, and what is refused.

The names are compared with diffusers' own where the `parity` extra is installed.
"""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from toy_wan import random_wan

from full4d_jax.cli import main
from full4d_jax.config import load_config
from full4d_jax.config.wan import WAN
from full4d_jax.generation.prior import load_network
from full4d_jax.models.wan.conversion import import_wan
from full4d_jax.models.wan.export import export_wan
from full4d_jax.models.wan.names import ADDED
from full4d_jax.session.errors import InputError

MODEL = dataclasses.replace(WAN.model, width=24, layers=2, heads=2, ffn=40, text_width=10)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_round_trip_is_equal_bit_for_bit(dtype, tmp_path):
    theirs = random_wan(MODEL, "diffusers", dtype)
    names = sorted(theirs)
    (tmp_path / "from").mkdir()
    save_file({k: theirs[k] for k in names[::2]}, tmp_path / "from" / "a-1.safetensors")
    save_file({k: theirs[k] for k in names[1::2]}, tmp_path / "from" / "a-2.safetensors")
    assert import_wan(MODEL, tmp_path / "from", tmp_path / "ours.safetensors") == "diffusers"
    ours = load_file(tmp_path / "ours.safetensors")
    assert ours["blocks.ffn_in.kernel"].dtype == dtype
    assert ours["blocks.ffn_in.kernel"].shape == (2, 24, 40)
    assert export_wan(MODEL, tmp_path / "ours.safetensors", tmp_path / "to", 20_000) == []
    index = json.loads((tmp_path / "to/diffusion_pytorch_model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(x.nbytes for x in theirs.values())
    back = {}
    for path in (tmp_path / "to").glob("*.safetensors"):
        part = load_file(path)
        assert all(index["weight_map"][name] == path.name for name in part)
        back |= part
    assert len(list((tmp_path / "to").glob("*.safetensors"))) > 2
    assert back.keys() == theirs.keys()
    for name, x in theirs.items():
        assert back[name].dtype == dtype
        assert back[name].tobytes() == x.tobytes(), name


def test_both_layouts_give_the_same_checkpoint(tmp_path):
    for layout, prefix in (("diffusers", ""), ("original", ""), ("original", "comfy")):
        tensors = random_wan(MODEL, layout)
        if prefix:
            tensors = {f"model.diffusion_model.{k}": x for k, x in tensors.items()}
        save_file(tensors, tmp_path / f"{layout}{prefix}.safetensors")
        target = tmp_path / f"{layout}{prefix}.ours"
        assert import_wan(MODEL, tmp_path / f"{layout}{prefix}.safetensors", target) == layout
    first, *others = (load_file(path) for path in sorted(tmp_path.glob("*.ours")))
    for other in others:
        assert first.keys() == other.keys()
        assert all(np.array_equal(first[name], other[name]) for name in first)


def test_added_parameters_start_as_the_identity(tmp_path):
    save_file(random_wan(MODEL, "original"), tmp_path / "wan.safetensors")
    import_wan(MODEL, tmp_path / "wan.safetensors", tmp_path / "ours")
    ours = load_file(tmp_path / "ours")
    added = {name: x for name, x in ours.items() if name.startswith(ADDED)}
    assert len(added) == 6
    projector = added.pop("blocks.projector.kernel")
    np.testing.assert_array_equal(projector, np.broadcast_to(np.eye(24), (2, 24, 24)))
    assert not any(x.any() for x in added.values())


def broken(change):
    tensors = random_wan(MODEL, "diffusers")
    change(tensors)
    return tensors


def cast(name, dtype):
    return lambda x: x.update({name: x[name].astype(dtype)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.pop("blocks.1.attn1.to_q.bias"), ["no blocks.1.attn1.to_q.bias (1 of"]),
        (
            lambda x: x.update({"blocks.0.attn2.add_k_proj.bias": np.zeros(24, np.float32)}),
            ["left over blocks.0.attn2.add_k_proj.bias"],
        ),
        (
            lambda x: x.update({"blocks.0.attn1.to_q.weight": np.zeros((24, 25), np.float32)}),
            ["tensor blocks.0.attn1.to_q.weight", "(24, 25)", "(24, 24)"],
        ),
        (cast("proj_out.weight", np.int8), ["proj_out.weight", "found I8", "quantised"]),
        (
            lambda x: x["blocks.1.attn1.to_q.bias"].__setitem__(3, np.nan),
            ["tensor blocks.1.attn1.to_q.bias", "1 NaN or infinite values"],
        ),
        (lambda x: (x.clear(), x.update(encoder=np.zeros(1))), ["such as encoder"]),
    ],
)
def test_weights_that_do_not_fit_are_named(change, words, tmp_path):
    save_file(broken(change), tmp_path / "wan.safetensors")
    with pytest.raises(InputError) as error:
        import_wan(MODEL, tmp_path, tmp_path / "ours")
    assert all(word in str(error.value) for word in words), error.value
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("prediction", "residual"), ("cameras", ("plucker", "linear")), ("text_width", 0)],
)
def test_models_that_are_not_wan_are_named(field, value, tmp_path):
    with pytest.raises(InputError, match=rf"model\.{field}"):
        import_wan(dataclasses.replace(MODEL, **{field: value}), tmp_path, tmp_path / "ours")


PRESET = """
import dataclasses
import importlib.util
from full4d_jax.config import Config, DataConfig, ModelConfig
config = Config(model=ModelConfig(**{!r}), data=DataConfig(height=16, width=16))
"""


def test_the_command_converts_both_ways(tmp_path, capsys):
    preset, ours = tmp_path / "tiny.py", tmp_path / "ours.safetensors"
    preset.write_text(PRESET.format(dataclasses.asdict(MODEL)))
    save_file(random_wan(MODEL, "original"), tmp_path / "wan.safetensors")

    def run(*words) -> int:
        return main(["convert", "wan", *map(str, words)])

    wan = tmp_path / "wan.safetensors"
    assert run("--config", preset, "--from", wan, "--to", ours) == 0
    assert "original layout" in capsys.readouterr().out
    params = load_network(load_config(preset), ours)
    assert params["blocks"]["camera"]["kernel"].shape == (2, 16, 24)
    assert run("--config", preset, "--from", ours, "--to", tmp_path / "hub", "--export") == 0
    assert "left out" not in capsys.readouterr().out
    assert run("--config", preset, "--from", ours, "--to", tmp_path / "hub", "--export") == 2
    assert "something there already" in capsys.readouterr().err
    trained = load_file(ours)
    trained["blocks.camera.bias"] = trained["blocks.camera.bias"] + 1
    save_file(trained, ours)
    assert run("--config", preset, "--from", ours, "--to", tmp_path / "other", "--export") == 0
    assert "left out, since Wan has no place for it: blocks.camera.bias" in capsys.readouterr().out


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
    network, report = WanTransformer3DModel.from_pretrained(
        tmp_path / "hub", output_loading_info=True
    )
    assert not any(report.values()), report
    assert network.config.num_attention_heads == 2
    for name, x in network.state_dict().items():
        np.testing.assert_array_equal(x.numpy(), theirs[name])
