"""Embeddings of prompts: as diffusers' Wan pipeline makes them, on a tiny, random umT5."""

import dataclasses

import numpy as np
import pytest
from random_umt5 import save_umt5

from full4d_jax.cli import main
from full4d_jax.config import load_config
from full4d_jax.models.wan.text import load_text
from full4d_jax.models.wan.umt5 import embed_prompt
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
    weights = encoder / "text_encoder" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))  # no pickle is opened
    assert main(["embed-text", "dogs", "--model", str(encoder)]) == 2
    assert "safetensors" in capsys.readouterr().err


def with_text(path):
    model = dataclasses.replace(DEBUG.model, layers=1, refiner=0, text_width=24)
    return dataclasses.replace(DEBUG, model=model, text=str(path))


def test_unusable_embeddings_are_named(tmp_path):
    path = tmp_path / "text.npz"
    np.savez(path, text=np.zeros((5, 20), np.float32))
    with pytest.raises(InputError, match=r"\(5, 20\)"):
        train_step(with_text(path))
