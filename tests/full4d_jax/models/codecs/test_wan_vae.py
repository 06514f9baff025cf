"""Wan's VAEs against diffusers' (committed goldens), and what going chunk by chunk must not change.

The live comparison, in more shapes, is in test_wan_vae_diffusers.py.
"""

import dataclasses
import importlib.util
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from full4d_jax.config.codecs import WAN21, WAN22
from full4d_jax.models.codecs import wan_vae
from full4d_jax.models.codecs.wan_vae_weights import convert_vae

GOLDENS = Path(__file__).parents[1] / "goldens"
# Networks this small spend their time in the compiler.
QUICK: dict[str, Any] = {"xla_backend_optimization_level": 0}
SMALL = {"blocks": 1, "multipliers": (1, 2, 2), "temporal": (False, True)}
KINDS = {
    "wan21": dataclasses.replace(WAN21, base=4, decoder_base=4, **SMALL),
    "wan22": dataclasses.replace(WAN22, base=4, decoder_base=8, **SMALL),
}


def load(path: Path):
    """A module from its file; `tests` is not a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_wan_vae = load(GOLDENS / "make_wan_vae.py")


def random_params(config):
    def one(path, x):
        name = jax.tree_util.keystr(path)
        noise = make_wan_vae.draw(name, x.shape)
        if "scale" in name:
            return 1 + 0.1 * noise
        return noise * np.float32(0.1 if x.ndim == 1 else np.prod(x.shape[:-1]) ** -0.5)

    return jax.tree_util.tree_map_with_path(one, wan_vae.abstract_params(config))


def random_pair(config, frames, rows=2, columns=3):
    """A video and latents of the same size, batch of one."""
    side, stride, channels = config.strides
    video = make_wan_vae.draw("video", (1, frames, rows * side, columns * side, 3))
    shape = (1, 1 + (frames - 1) // stride, rows, columns, channels)
    return video.clip(-1, 1), make_wan_vae.draw("latents", shape)


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


def at_once(chunk, config, params, x):
    """Without the scan: the first frame, then all others as one chunk."""
    first, past = chunk(config, params, x[:, :1], None)
    rest, _ = chunk(config, params, x[:, 1:], past)
    return jnp.concatenate([first, rest], 1)


each_way = pytest.mark.parametrize(
    ("kind", "code", "chunk", "x"),
    [
        ("wan21", wan_vae.encode, wan_vae.encode_chunk, 0),
        ("wan22", wan_vae.decode, wan_vae.decode_chunk, 1),
    ],
)


@each_way
def test_chunk_by_chunk_equals_all_at_once(kind, code, chunk, x):
    config, compiled = KINDS[kind], partial(jax.jit, compiler_options=QUICK, static_argnums=0)
    params, given = random_params(config), random_pair(config, frames=7)[x]
    found = compiled(code)(config, params, given)
    expected = compiled(partial(at_once, chunk))(config, params, given)
    assert expected.shape[1] == (7 if x else 4)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_later_frames_change_nothing_before_them():
    config = KINDS["wan22"]
    params, (video, _) = random_params(config), random_pair(config, frames=5)
    encode = jax.jit(partial(wan_vae.encode, config), compiler_options=QUICK)
    other = np.concatenate([video[:, :3], -video[:, 3:]], 1)
    changed = encode(params, other) - encode(params, video)
    assert not changed[:, :2].any()
    assert float(jnp.abs(changed[:, 2]).max()) > 0.1
