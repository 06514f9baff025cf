"""TAESD: against diffusers, against PyTorch, and on a real photo with its real weights."""

from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save_file

from full4d_jax.models.codecs.codec import published_files, taesd
from full4d_jax.models.torch_files import PUBLISHED
from full4d_jax.session.errors import InputError


def random_params():
    rng = np.random.RandomState(0)
    params = {}
    for name, shape in taesd.shapes().items():
        size = 0.1 if len(shape) == 1 else np.sqrt(2 / np.prod(shape[:-1]))
        params[name] = np.float32(size) * rng.randn(*shape).astype(np.float32)
    return params


def as_torch(x):
    import torch

    return torch.tensor(np.asarray(x).transpose(3, 2, 0, 1) if x.ndim == 4 else np.asarray(x))


@pytest.mark.extra("diffusers", "torch")
def test_equals_diffusers_but_for_the_pool():
    """Diffusers has no pool; with its last kernel at zero neither have we."""
    import diffusers
    import torch

    torch.set_num_threads(1)
    params = random_params()
    for name in params:
        if name.endswith("pool.3.kernel"):
            params[name] *= 0
    tiny = diffusers.AutoencoderTiny(latent_channels=32).eval()
    state = {}
    for name, x in params.items():
        half, place, rest = name.split(".", 2)
        if "pool" in name:
            continue
        # Their decoder leaves the clamp out of the numbered layers.
        place = int(place) - (half == "decoder")
        leaf = rest.replace("kernel", "weight")
        state[f"{half}.layers.{place}.{leaf}"] = as_torch(x)
    tiny.load_state_dict(state)
    frames = np.random.RandomState(1).rand(2, 2, 24, 16, 3).astype(np.float32) * 2 - 1
    latents = np.random.RandomState(2).randn(2, 2, 3, 2, 32).astype(np.float32)
    nested = unflatten_dict(params, sep=".")
    with torch.no_grad():
        encoded = tiny.encode(torch.tensor(frames.reshape(-1, 24, 16, 3)).movedim(-1, 1)).latents
        decoded = tiny.decode(torch.tensor(latents.reshape(-1, 3, 2, 32)).movedim(-1, 1)).sample
    found = jax.jit(taesd.encode)(nested, frames)
    expected = encoded.movedim(1, -1).numpy().reshape(2, 2, 3, 2, 32)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)
    found = jax.jit(taesd.decode)(nested, latents)
    expected = decoded.movedim(1, -1).numpy().reshape(2, 2, 24, 16, 3)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


@pytest.mark.extra("torch")
def test_the_pool_equals_pytorch():
    import torch

    params, prefix = random_params(), "encoder.12.pool"
    x = np.random.RandomState(3).randn(2, 3, 5, 64).astype(np.float32)
    first, last = (as_torch(params[f"{prefix}.{i}.kernel"]) for i in (0, 3))
    scale, bias = (as_torch(params[f"{prefix}.1.{leaf}"]) for leaf in ("scale", "bias"))
    wide = torch.nn.functional.conv2d(torch.tensor(x).movedim(-1, 1), first)
    wide = torch.relu(torch.nn.functional.group_norm(wide, 4, scale, bias))
    expected = torch.nn.functional.conv2d(wide, last).movedim(1, -1).numpy()
    pool = unflatten_dict(params, sep=".")["encoder"]["12"]["pool"]
    np.testing.assert_allclose(taesd._pool(pool, jnp.asarray(x)), expected, atol=1e-5)


def test_a_real_photo_survives(shared_data):
    folder = shared_data / "weights" / "taesd_flux2"
    photo = shared_data / "data" / "fox_photos" / "images" / "0001.jpg"
    if not (folder.is_dir() and photo.is_file()):
        pytest.skip(f"no {folder} or no {photo}")
    params = taesd.convert_taesd(folder)
    bgr = cv2.imread(str(photo))
    assert bgr is not None
    picture = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    side = min(picture.shape[:2])
    picture = cv2.resize(picture[:side, :side], (256, 256), interpolation=cv2.INTER_AREA)
    frames = (picture.astype(np.float32) / 127.5 - 1)[None, None]
    latents = jax.jit(taesd.encode)(params, frames)
    assert latents.shape == (1, 1, 32, 32, 32)
    assert 0.5 < float(latents.std()) < 1.5
    again = np.clip(jax.jit(taesd.decode)(params, latents), -1, 1)
    assert 10 * np.log10(4 / np.mean((again - frames) ** 2)) > 36  # measured 36.47


def test_shapes_are_those_of_the_real_files(shared_data):
    folder = shared_data / "weights" / "taesd_flux2"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    found: dict[str, Any] = flatten_dict(taesd.convert_taesd(folder), sep=".")
    assert {name: x.shape for name, x in found.items()} == taesd.shapes()


def test_the_real_files_are_known(shared_data):
    folder = shared_data / "weights" / "taesd_flux2"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    assert {PUBLISHED[x]: path.name for path, x in published_files(folder).items()} == {
        name: name for name in ("taef2_encoder.pth", "taef2_decoder.pth")
    }


def test_missing_and_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="found no such file"):
        taesd.convert_taesd(tmp_path)
    path = tmp_path / "taef2_encoder.pth"
    save_file({"0.bias": np.zeros(64, np.float32)}, path)
    with pytest.raises(InputError, match=r"such as encoder\.0\.kernel"):
        taesd.convert_taesd(tmp_path)
    published = {
        name.removeprefix("encoder.")
        .replace("kernel", "weight")
        .replace("scale", "weight"): np.zeros(shape[::-1][:2] + shape[:2] if shape[2:] else shape)
        for name, shape in taesd.shapes().items()
        if name.startswith("encoder.")
    }
    whole = {name: x.astype(np.float32) for name, x in published.items()}
    for change, words in (
        ({"14.bias": np.zeros(31, np.float32)}, r"such as encoder\.14\.bias \(31,\)"),
        ({"14.bias": np.zeros(32, np.uint8)}, r"tensor 14\.bias: found U8"),
        ({}, r"taef2_decoder\.pth: found no such file"),
    ):
        save_file(whole | change, path)
        with pytest.raises(InputError, match=words):
            taesd.convert_taesd(tmp_path)
