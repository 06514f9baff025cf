"""Wan's VAEs against diffusers', live, with the real four stages; needs torch and diffusers."""

import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config.codecs import WAN22
from full4d_jax.models.codecs import wan_vae
from full4d_jax.models.codecs.wan_vae_weights import convert_vae

MAKER = Path(__file__).parents[1] / "goldens" / "make_wan_vae.py"
QUICK = {"xla_backend_optimization_level": 0}
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


@pytest.mark.extra("diffusers", "torch")
@pytest.mark.parametrize(
    ("settings", "frames", "sides"),
    [
        ({"base_dim": 4}, 13, (1, 3)),
        (WAN22_VAE | {"base_dim": 4, "decoder_base_dim": 8}, 9, (3, 1)),
        (WAN22_VAE | {"base_dim": 8, "num_res_blocks": 1}, 1, (1, 5)),
    ],
    ids=["wan21-13", "wan22-9", "wan22-1"],
)
def test_values_equal_diffusers(settings, frames, sides, tmp_path):
    import torch

    torch.set_num_threads(1)
    maker = SimpleNamespace(**runpy.run_path(str(MAKER)))
    vae = maker.module(settings)
    vae.save_pretrained(tmp_path)
    config, params = convert_vae(tmp_path)
    pixels, stride, channels = config.strides
    latent = (2, 1 + (frames - 1) // stride, *sides, channels)
    video = maker.draw("video", (2, frames, *(n * pixels for n in sides), 3)).clip(-1, 1)
    latents = maker.draw("latents", latent)
    mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (config.mean, config.std))
    with torch.no_grad():
        encoded = vae.encode(torch.tensor(video).movedim(-1, 1)).latent_dist.mode()
        decoded = vae.decode(torch.tensor(latents).movedim(-1, 1) * std + mean).sample
    assert float(decoded.abs().max()) < 1  # not clipped
    compiled = partial(jax.jit, compiler_options=QUICK)
    found = compiled(partial(wan_vae.encode, config))(params, jnp.asarray(video))
    assert found.shape == latent
    expected = ((encoded - mean) / std).movedim(1, -1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    found = compiled(partial(wan_vae.decode, config))(params, jnp.asarray(latents))
    np.testing.assert_allclose(found, decoded.movedim(1, -1).numpy(), atol=1e-4)
