"""Embeddings of prompts: as diffusers' Wan pipeline makes them, on a tiny umT5 with random weights,
and how they reach the model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_umt5 import save_umt5
from random_weights import random_params

from full4d_jax.cli import main
from full4d_jax.config import SamplerConfig, check_config, load_config
from full4d_jax.generation.batch import Batch, make_conditions
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import prior_with
from full4d_jax.models.codecs.codec import make_codec
from full4d_jax.models.dit import velocity
from full4d_jax.models.wan.text import embed_prompt, load_negative_text, load_text
from full4d_jax.session.errors import InputError
from full4d_jax.training.step import train_step

PROMPT = "a  man &amp;amp;\n sees two  dogs"
DEBUG = load_config("configs/debug.py")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder with umT5 and a tokenizer, made here."""
    return save_umt5(tmp_path_factory.mktemp("umt5"))


@pytest.mark.extra("diffusers", "torch", "transformers")
@pytest.mark.parametrize("prompt", [PROMPT, "", "two dogs " * 300])
def test_equals_the_pipeline_of_diffusers(prompt, encoder):
    import diffusers
    import torch
    from transformers import AutoTokenizer, UMT5EncoderModel

    pipeline = diffusers.WanPipeline(
        tokenizer=AutoTokenizer.from_pretrained(encoder / "tokenizer"),
        text_encoder=UMT5EncoderModel.from_pretrained(encoder / "text_encoder"),
        vae=None,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )
    with torch.inference_mode():
        expected = pipeline._get_t5_prompt_embeds(prompt, max_sequence_length=512)
    found, tokens = embed_prompt(prompt, encoder)
    assert found.shape == (512, 24)
    assert tokens == {PROMPT: 7, "": 1}.get(prompt, 601)
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)
    assert found[: min(tokens, 512)].any(-1).all()
    assert not found[tokens:].any()


@pytest.mark.extra("torch", "transformers")
def test_the_command_writes_what_the_config_takes(encoder, tmp_path, capsys):
    out = tmp_path / "new" / "text.npz"
    assert main(["embed-text", PROMPT, "--model", str(encoder), "--out", str(out)]) == 0
    assert "7 tokens of width 24" in capsys.readouterr().out
    text = load_text(with_text(out))
    assert text is not None
    np.testing.assert_array_equal(text, embed_prompt(PROMPT, encoder)[0])
    assert np.load(out)["prompt"] == PROMPT
    assert main(["embed_text", "dogs " * 600, "--model", str(encoder), "--out", str(out)]) == 0
    assert "601 tokens, those after 512 are cut" in capsys.readouterr().out

    def refused(*words) -> str:
        assert main(["embed-text", "dogs", *map(str, words)]) == 2
        return capsys.readouterr().err

    assert "no such folder" in refused("--model", tmp_path / "none")
    assert "no config.json" in refused("--model", tmp_path)
    assert "found .txt" in refused("--model", encoder, "--out", tmp_path / "x.txt")
    (tmp_path / "config.json").write_text("{}")
    assert "text encoder" in refused("--model", tmp_path)
    weights = encoder / "text_encoder" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))  # no pickle is opened
    assert "safetensors" in refused("--model", encoder)


def with_text(path, width: int = 24):
    model = dataclasses.replace(DEBUG.model, layers=1, refiner=0, text_width=width)
    return dataclasses.replace(DEBUG, model=model, text=str(path))


@pytest.mark.parametrize(
    ("content", "width", "found"),
    [
        (None, 24, "no such file"),
        ({"text": np.zeros((5, 20), np.float32)}, 24, r"\(5, 20\)"),
        ({"text": np.zeros((5, 24), np.int32)}, 24, "int32"),
        ({"other": np.zeros(1)}, 24, "no embedding"),
        ({"text": np.zeros((5, 24), np.float32)}, 0, "a model without text"),
    ],
)
def test_unusable_embeddings_are_named(content, width, found, tmp_path):
    path = tmp_path / "text.npz"
    if content is not None:
        np.savez(path, **content)
    with pytest.raises(InputError, match=found):
        train_step(with_text(path, width))


@pytest.fixture
def prompted(tmp_path):
    """A config with two embeddings, random parameters, and two clips."""
    rng = np.random.default_rng(0)
    for name in ("text", "negative"):
        np.savez(tmp_path / f"{name}.npz", text=rng.normal(size=(5, 24)))
    config = with_text(tmp_path / "text.npz")
    config = dataclasses.replace(config, negative_text=str(tmp_path / "negative.npz"))
    lens = jnp.array([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]])
    poses = jnp.broadcast_to(jnp.eye(4), (2, 2, 1, 4, 4))
    batch = Batch(
        frames=jnp.asarray(rng.uniform(-1, 1, (2, 2, 1, 16, 16, 3)), jnp.float32),
        depth=jnp.ones((2, 1, 16, 16)),
        intrinsics=jnp.broadcast_to(lens, (2, 2, 3, 3)),
        world_to_camera=poses,
    )
    return config, random_params(config.model), batch


@pytest.mark.parametrize(("guidance", "negative"), [(1.0, True), (1.0, False), (2.5, True)])
def test_guidance_leads_from_the_negative_text_to_the_text(prompted, guidance, negative):
    config, params, batch = prompted
    sampler = SamplerConfig(guidance=guidance, text_guidance=3.0)
    config = dataclasses.replace(config, sampler=sampler)
    if not negative:
        config = dataclasses.replace(config, negative_text="")
    check_config(config)
    clip = jax.tree.map(lambda x: x[0], batch)
    shot = 0.1 * clip.frames[:1], clip.depth[None], clip.cameras
    found = generate_grid(prior_with(config, params), *shot, jax.random.key(2))[0][1:]

    @jax.jit
    def mean(depth, text):
        """Minus the velocity at tau = 1 from zero noise."""
        conditions, _ = make_conditions(config.model, shot[0], depth, clip.cameras)
        conditions = jax.tree.map(lambda x: x[None], conditions._replace(text=text))
        z = jnp.zeros_like(conditions.projection[:, 1:])
        out = -velocity(config.model, params)(z, jnp.ones(1), conditions)[0]
        return make_codec(config.model).decode(out)

    words, other = load_text(config), load_negative_text(config)
    full, unprompted = mean(shot[1], words), mean(shot[1], other)
    unprojected = mean(jnp.zeros_like(shot[1]), words)
    expected = full + (guidance - 1) * (full - unprojected) + 2.0 * (full - unprompted)
    assert np.abs(expected - full).max() > 0.01
    np.testing.assert_allclose(found, jnp.clip(expected, -1, 1), atol=1e-5)
