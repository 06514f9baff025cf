"""Wan's VAEs against diffusers' (committed goldens).

The live comparison, in more shapes, is in test_wan_vae_diffusers.py.
"""

import json
import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from full4d_jax.models.codecs import wan_vae
from full4d_jax.models.codecs.wan_vae_weights import convert_vae

GOLDENS = Path(__file__).parents[1] / "goldens"
# Networks this small spend their time in the compiler.
QUICK: dict[str, Any] = {"xla_backend_optimization_level": 0}


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
        golden = {name.removeprefix(f"{case}_"): file[name] for name in file if case in name}
    shapes = json.loads(str(golden["shapes"]))
    tensors = {name: make_wan_vae.weight(name, tuple(shape)) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_text(str(golden["config"]))
    config, params = convert_vae(tmp_path)
    given = make_wan_vae.inputs(case)

    @partial(jax.jit, compiler_options=QUICK, static_argnums=0)
    def solve(code, params, x, cotangent):
        out, pull_back = jax.vjp(partial(code, config, params), x)
        return out, pull_back(cotangent)[0]

    latents, gradient = solve(wan_vae.encode, params, given["video"], given["to_latents"])
    np.testing.assert_allclose(latents, golden["latents"], atol=1e-4)
    scale = np.abs(golden["video_gradient"]).max()
    assert scale > 0.1
    np.testing.assert_allclose(
        subsampled(gradient) / scale, golden["video_gradient"] / scale, atol=1e-4
    )
    video, gradient = solve(wan_vae.decode, params, given["latents"], given["to_video"])
    np.testing.assert_allclose(subsampled(video), golden["video"], atol=1e-4)
    scale = np.abs(golden["latents_gradient"]).max()
    assert scale > 0.1
    np.testing.assert_allclose(gradient / scale, golden["latents_gradient"] / scale, atol=1e-4)
