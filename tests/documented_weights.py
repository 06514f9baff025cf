"""Random weights in the files that Wan publishes, small, for the commands that read them.

Networks of diffusers; the VAE's tensors get the names of Wan's own repositories.
"""

import dataclasses
from pathlib import Path

import pytest
from flax.traverse_util import flatten_dict

from full4d_jax.config.codecs import WAN22
from full4d_jax.models.codecs.wan_vae import abstract_params
from full4d_jax.models.codecs.wan_vae_weights import source_name

# What `documented_world.MODEL` makes of configs/wan22_5b.py.
TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "in_channels": 48,
    "out_channels": 48,
    "ffn_dim": 48,
    "num_layers": 1,
}
# Diffusers' settings of Wan 2.2's VAE, but for its widths.
WAN22_VAE = {
    "z_dim": 48,
    "latents_mean": list(WAN22.mean),
    "latents_std": list(WAN22.std),
    "is_residual": True,
    "patch_size": 2,
    "in_channels": 12,
    "out_channels": 12,
    "scale_factor_spatial": 16,
}


def write_wan(folder: Path) -> None:
    """`Wan2.2-TI2V-5B` and `Wan2.2_VAE.pth`; a test is skipped without the extra `parity`."""
    torch = pytest.importorskip("torch", reason="the `parity` extra is not installed")
    diffusers = pytest.importorskip("diffusers", reason="the `parity` extra is not installed")
    torch.manual_seed(0)
    diffusers.WanTransformer3DModel(**TRANSFORMER).save_pretrained(folder / "Wan2.2-TI2V-5B")
    config = dataclasses.replace(WAN22, base=4, decoder_base=8)
    vae = diffusers.AutoencoderKLWan(**WAN22_VAE, base_dim=4, decoder_base_dim=8)
    theirs, state = vae.state_dict(), {}
    for name in flatten_dict(abstract_params(config), sep="."):
        tensor = theirs[source_name(name, config, diffusers=True)]
        state[source_name(name, config, diffusers=False)] = tensor
    torch.save(state, folder / "Wan2.2_VAE.pth")
