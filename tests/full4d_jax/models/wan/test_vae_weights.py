"""Published weights of Wan's VAEs: names in both layouts, and what is refused."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from toy_codec import vae_tensors

from full4d_jax.config.codecs import WAN21, WAN22
from full4d_jax.models.wan.vae import abstract_params
from full4d_jax.models.wan.vae_weights import convert_vae, source_name
from full4d_jax.session.errors import InputError

KINDS = {
    "wan21": dataclasses.replace(WAN21, base=2, decoder_base=2),
    "wan22": dataclasses.replace(WAN22, base=2, decoder_base=4),
}


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
    write_diffusers(tmp_path / "vae", config, vae_tensors(config, diffusers=True))
    save_file(vae_tensors(config, diffusers=False), tmp_path / "x.safetensors")
    found, params = convert_vae(tmp_path)
    assert found == config
    guessed, again = convert_vae(tmp_path / "x.safetensors")
    assert guessed == config
    jax.tree.map(np.testing.assert_array_equal, params, again)
    kernel = params["decoder"]["leave"]["kernel"]
    tensor = vae_tensors(config, diffusers=True)["decoder.conv_out.weight"]
    np.testing.assert_array_equal(kernel, tensor.transpose(2, 3, 4, 1, 0))


@pytest.mark.extra("diffusers", "torch")
def test_names_of_wan21_agree_with_the_converter_of_diffusers():
    from diffusers.loaders import single_file_utils as single_file

    names = flatten_dict(abstract_params(WAN21), sep=".")
    ours = {
        source_name(name, WAN21, diffusers=False): source_name(
            name, WAN21, diffusers=True
        )
        for name in names
    }
    theirs = single_file.convert_wan_vae_to_diffusers({name: name for name in ours})
    assert {original: name for name, original in theirs.items()} == ours


def test_tensors_that_do_not_fit_are_named(tmp_path):
    config = KINDS["wan21"]
    tensors = vae_tensors(config, diffusers=True)
    tensors["quant_conv.bias"] = np.zeros(5, np.float32)
    write_diffusers(tmp_path, config, tensors)
    with pytest.raises(InputError) as error:
        convert_vae(tmp_path)
    assert "tensor quant_conv.bias: found (5,), expected (32,)" in str(error.value)
