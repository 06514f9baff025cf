"""Codecs as the rest of the program meets them: strides, and weights from files."""

import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file
from toy_codec import vae_tensors

from full4d_jax.cli import main
from full4d_jax.config import DEFAULT, ModelConfig
from full4d_jax.config.codecs import KINDS, WAN22
from full4d_jax.models.codec import make_codec
from full4d_jax.models.codec_files import codec_weights, save_codec
from full4d_jax.models.wan import vae
from full4d_jax.session.errors import InputError

CONFIGS = {
    "pixels": ModelConfig(codec="pixels", codec_stride=2),
    "wan21": ModelConfig(codec="wan21", codec_stride=8),
    "wan22": ModelConfig(codec="wan22", codec_stride=16),
}
SMALL = dataclasses.replace(WAN22, base=2, decoder_base=2, blocks=1)


@pytest.fixture(scope="module")
def weights():
    """Small, of bfloat16's precision, so that a file keeps them."""
    rng = np.random.RandomState(0)

    def one(x):
        return (0.3 * rng.randn(*x.shape)).astype(jnp.bfloat16).astype(np.float32)

    return jax.tree.map(one, vae.abstract_params(SMALL))


def test_pixels_fold_and_unfold():
    codec = make_codec(CONFIGS["pixels"])
    frames = jnp.asarray(np.random.RandomState(0).randn(2, 3, 4, 6, 3), jnp.float32)
    latents = codec.encode(frames)
    assert latents.shape == (2, 3, 2, 3, 12)
    np.testing.assert_array_equal(latents[1, 2, 1, 2, 3:6], frames[1, 2, 2, 5])
    np.testing.assert_array_equal(codec.decode(latents), frames)


def test_weights_come_from_a_file(weights, tmp_path):
    path = tmp_path / "codec.safetensors"
    save_codec(path, "wan22", weights)
    config = dataclasses.replace(
        DEFAULT, model=CONFIGS["wan22"], codec_weights=str(path)
    )
    loaded = codec_weights(config)
    jax.tree.map(np.testing.assert_array_equal, loaded, weights)
    assert codec_weights(config) is loaded  # read once
    other = dataclasses.replace(config, model=CONFIGS["wan21"])
    with pytest.raises(InputError, match="found wan22, expected wan21"):
        codec_weights(other)
    assert codec_weights(DEFAULT) is None


def test_published_weights_become_a_codec(tmp_path, capsys):
    name = "wan22"
    source, target = tmp_path / "vae.safetensors", tmp_path / "codec.safetensors"
    config = dataclasses.replace(KINDS[name], base=2, decoder_base=4)
    save_file(vae_tensors(config, diffusers=False), source)
    assert main(["convert", "codec", str(source), str(target)]) == 0
    said, mark = (
        capsys.readouterr().out,
        hashlib.sha256(source.read_bytes()).hexdigest(),
    )
    assert f"{target}: {name}, " in said
    assert f"{source}: SHA-256 {mark}, not known here" in said
    target.unlink()
    assert (
        main(["convert", "codec", str(source), str(target), "--sha256", "0" * 64]) == 2
    )
    assert f"found {mark}, expected {'0' * 64}" in capsys.readouterr().err
    assert not target.exists()
    assert main(["convert", "codec", str(source), str(target), "--sha256", mark]) == 0
    changes = {"model": CONFIGS[name], "codec_weights": str(target)}
    weights = codec_weights(dataclasses.replace(DEFAULT, **changes))
    assert weights is not None
    assert vae.with_widths(KINDS[name], weights) == config
