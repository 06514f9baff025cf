"""Wan's VAEs against diffusers': committed goldens and, live, the real four stages."""

import json
import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from full4d_jax.config.codecs import WAN22
from full4d_jax.models.wan import vae as wan_vae
from full4d_jax.models.wan.vae_weights import convert_vae

GOLDENS = Path(__file__).parents[1] / "goldens"
# Networks this small spend their time in the compiler.
QUICK: dict[str, Any] = {"xla_backend_optimization_level": 0}
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


make_wan_vae = SimpleNamespace(**runpy.run_path(str(GOLDENS / "make_wan_vae.py")))


def subsampled(video):
    return video[:, :, :: make_wan_vae.STEP, :: make_wan_vae.STEP]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] * (case == "wan21"))
        for case in make_wan_vae.CASES
    ],
)
def test_values_and_gradients_equal_diffusers(case, tmp_path):
    with np.load(GOLDENS / "wan_vae.npz") as file:
        golden = {x.removeprefix(f"{case}_"): file[x] for x in file if case in x}
    shapes = json.loads(str(golden["shapes"])).items()
    tensors = {name: make_wan_vae.weight(name, tuple(shape)) for name, shape in shapes}
    save_file(tensors, tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_text(str(golden["config"]))
    config, params = convert_vae(tmp_path)
    given = make_wan_vae.inputs(case)

    @partial(jax.jit, compiler_options=QUICK, static_argnums=0)
    def solve(code, params, x, cotangent):
        out, pull_back = jax.vjp(partial(code, config, params), x)
        return out, pull_back(cotangent)[0]

    def assert_gradient(found, expected):
        scale = np.abs(expected).max()
        assert scale > 0.1
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4)

    latents, gradient = solve(
        wan_vae.encode, params, given["video"], given["to_latents"]
    )
    np.testing.assert_allclose(latents, golden["latents"], atol=1e-4)
    assert_gradient(subsampled(gradient), golden["video_gradient"])
    video, gradient = solve(wan_vae.decode, params, given["latents"], given["to_video"])
    np.testing.assert_allclose(subsampled(video), golden["video"], atol=1e-4)
    assert_gradient(gradient, golden["latents_gradient"])


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
    vae = make_wan_vae.module(settings)
    vae.save_pretrained(tmp_path)
    config, params = convert_vae(tmp_path)
    pixels, stride, channels = config.strides
    latent = (2, 1 + (frames - 1) // stride, *sides, channels)
    height, width = (n * pixels for n in sides)
    video = make_wan_vae.draw("video", (2, frames, height, width, 3)).clip(-1, 1)
    latents = make_wan_vae.draw("latents", latent)
    mean, std = (
        torch.tensor(x).view(1, -1, 1, 1, 1) for x in (config.mean, config.std)
    )
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
