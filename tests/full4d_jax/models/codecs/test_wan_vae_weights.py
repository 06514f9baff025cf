"""Published weights of Wan's VAEs: names in both layouts, and what is refused."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from full4d_jax.config.codecs import WAN21, WAN22
from full4d_jax.models.codecs.wan_vae import abstract_params
from full4d_jax.models.codecs.wan_vae_weights import convert_vae, source_name
from full4d_jax.session.errors import InputError

KINDS = {
    "wan21": dataclasses.replace(WAN21, base=2, decoder_base=2),
    "wan22": dataclasses.replace(WAN22, base=2, decoder_base=4),
}
# Names in Wan's own files, by what they hold here; one of every kind, and the places of stages.
ORIGINAL = {
    "wan21": {
        "encoder.enter.kernel": "encoder.conv1.weight",
        "encoder.stages.1.blocks.0.shortcut.bias": "encoder.downsamples.3.shortcut.bias",
        "encoder.stages.2.resample.time.kernel": "encoder.downsamples.8.time_conv.weight",
        "encoder.stages.3.blocks.1.norm1.scale": "encoder.downsamples.10.residual.0.gamma",
        "encoder.middle.attention.to_qkv.kernel": "encoder.middle.1.to_qkv.weight",
        "encoder.middle.attention.norm.scale": "encoder.middle.1.norm.gamma",
        "encoder.leave.bias": "encoder.head.2.bias",
        "decoder.middle.after.conv2.kernel": "decoder.middle.2.residual.6.weight",
        "decoder.stages.0.resample.space.kernel": "decoder.upsamples.3.resample.1.weight",
        "decoder.stages.1.blocks.0.shortcut.kernel": "decoder.upsamples.4.shortcut.weight",
        "decoder.stages.3.blocks.2.conv1.bias": "decoder.upsamples.14.residual.2.bias",
        "decoder.norm.scale": "decoder.head.0.gamma",
        "to_moments.kernel": "conv1.weight",
        "from_latents.bias": "conv2.bias",
    },
    "wan22": {
        "encoder.stages.1.blocks.0.conv1.kernel": (
            "encoder.downsamples.1.downsamples.0.residual.2.weight"
        ),
        "encoder.stages.2.resample.time.bias": "encoder.downsamples.2.downsamples.2.time_conv.bias",
        "decoder.stages.0.resample.space.bias": "decoder.upsamples.0.upsamples.3.resample.1.bias",
        "decoder.stages.3.blocks.2.norm2.scale": (
            "decoder.upsamples.3.upsamples.2.residual.3.gamma"
        ),
        "decoder.middle.attention.to_out.bias": "decoder.middle.1.proj.bias",
    },
}


def tensors_of(config, *, diffusers):
    """Distinct numbers under a layout's names, with PyTorch's order of axes."""
    tensors = {}
    like: dict[str, Any] = flatten_dict(abstract_params(config), sep=".")
    for name, x in like.items():
        shape = (*x.shape[:-3:-1], *x.shape[:-2]) if len(x.shape) > 1 else (*x.shape, 1, 1, 1)
        shape = x.shape if name.endswith("bias") else shape
        size = np.prod(shape, dtype=int)
        start = len(tensors) * 7.0
        values = (start + np.arange(size)).reshape(shape).astype(np.float32)
        tensors[source_name(name, config, diffusers=diffusers)] = values
    return tensors


def write_diffusers(folder, config, tensors):
    folder.mkdir(exist_ok=True)
    described = {
        "_class_name": "AutoencoderKLWan",
        "base_dim": config.base,
        "decoder_base_dim": config.decoder_base,
        "latents_mean": config.mean,
        "latents_std": config.std,
        "is_residual": config.residual,
        "patch_size": config.patch if config.residual else None,
        "dim_mult": config.multipliers,
        "num_res_blocks": config.blocks,
        "temperal_downsample": config.temporal,
        "attn_scales": [],
    }
    (folder / "config.json").write_text(json.dumps(described))
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_both_layouts_give_the_same_parameters(kind, tmp_path):
    config = KINDS[kind]
    write_diffusers(tmp_path / "vae", config, tensors_of(config, diffusers=True))
    save_file(tensors_of(config, diffusers=False), tmp_path / "x.safetensors")
    found, params = convert_vae(tmp_path)
    assert found == config
    guessed, again = convert_vae(tmp_path / "x.safetensors")
    assert guessed == config
    jax.tree.map(np.testing.assert_array_equal, params, again)
    kernel = params["decoder"]["leave"]["kernel"]
    tensor = tensors_of(config, diffusers=True)["decoder.conv_out.weight"]
    np.testing.assert_array_equal(kernel, tensor.transpose(2, 3, 4, 1, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_wans_own_files(kind):
    config, names = KINDS[kind], ORIGINAL[kind]
    found = {name: source_name(name, config, diffusers=False) for name in names}
    assert found == names


@pytest.mark.extra("diffusers", "torch")
def test_names_of_wan21_agree_with_the_converter_of_diffusers():
    from diffusers.loaders import single_file_utils as single_file

    names = flatten_dict(abstract_params(WAN21), sep=".")
    ours = {
        source_name(name, WAN21, diffusers=False): source_name(name, WAN21, diffusers=True)
        for name in names
    }
    theirs = single_file.convert_wan_vae_to_diffusers({name: name for name in ours})
    assert {original: name for name, original in theirs.items()} == ours


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.pop("decoder.conv_in.bias"), "no decoder.conv_in.bias"),
        (lambda x: x.update(other=np.zeros(3, np.float32)), "also other"),
        (
            lambda x: x.update({"quant_conv.bias": np.zeros(5, np.float32)}),
            "tensor quant_conv.bias: found (5,), expected (32,)",
        ),
        (lambda x: [x.pop(name) for name in list(x) if "up_blocks" in name], "and 79 more"),
        (
            lambda x: x.update({"quant_conv.bias": np.zeros(32, np.int32)}),
            "tensor quant_conv.bias: found I32, expected F32, F16, BF16",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, words, tmp_path):
    config = KINDS["wan21"]
    tensors = tensors_of(config, diffusers=True)
    change(tensors)
    write_diffusers(tmp_path, config, tensors)
    with pytest.raises(InputError) as error:
        convert_vae(tmp_path)
    assert words in str(error.value)


def test_other_networks_are_refused(tmp_path):
    config = KINDS["wan21"]
    write_diffusers(tmp_path, config, tensors_of(config, diffusers=True))
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(InputError, match="found AutoencoderKL, expected AutoencoderKLWan"):
        convert_vae(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match="AttributeError"):
        convert_vae(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match="keep it beside it"):
        convert_vae(tmp_path)
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="expected a VAE of Wan"):
        convert_vae(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="no such file or folder"):
        convert_vae(tmp_path / "nothing")
