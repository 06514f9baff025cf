"""The way of a user with captions, at toy width: embed them, train with them, sample."""

import json
from dataclasses import replace

import numpy as np
import pytest
from random_umt5 import WIDTH, save_umt5
from safetensors.numpy import save_file
from toy_codec import save_toy_codec
from toy_wan import SMALL, random_wan

from full4d_jax.cli import main
from full4d_jax.config import load_config
from full4d_jax.models.wan.text import TOKENS, embed_prompt
from input_pipeline.datasets.dataset import open_dataset, write_dataset
from input_pipeline.procedural.clips import ProceduralClips

pytestmark = [pytest.mark.extra("torch", "transformers"), pytest.mark.slow]
PRESET = "wan22_5b_captions"
MODEL = SMALL | {"text_width": WIDTH, "precision": "float32", "remat": "none"}
STEPS = 3
OPTIONS = f"""--config {PRESET} --data.views 3 --data.frames 5 --data.height 32 --data.width 32
  --data.projections 2 {" ".join(f"--model.{name} {x}" for name, x in MODEL.items())}"""
TRAINING = f"""--training.batch 4 --training.steps {STEPS} --training.log_every 1
  --training.sheet_every 0 --optimizer.warmup 1 --optimizer.adam_learning_rate 0.01
  --mesh.data 1 --mesh.fsdp 1 --mesh.view 1 --mesh.time 1"""


def run(words: str, folder) -> None:
    """Run a command of whose words `HERE` is a folder."""
    assert main(words.replace("HERE", str(folder)).split()) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scenes, an encoder of text, a codec, and weights of Wan's."""
    folder = tmp_path_factory.mktemp("captions")
    clips = ProceduralClips(first=0, count=4, views=3, frames=5, height=32, width=32)
    write_dataset(folder / "scenes", clips, name="scenes", shards=1)
    save_umt5(folder / "umt5")
    save_toy_codec(folder / "vae.safetensors", "wan22")
    published = random_wan(replace(load_config(PRESET).model, **MODEL), "diffusers", scale=0.3)
    save_file(published, folder / "published.safetensors")
    words = f"convert wan {OPTIONS} --from HERE/published.safetensors --to HERE/ours.safetensors"
    run(words, folder)
    return folder


def grid(folder, name: str, prompt: str) -> np.ndarray:
    """Embed a prompt and sample with it, from the demo's scene."""
    text = folder / f"{name}.npz"
    assert main(["embed-text", prompt, "--model", str(folder / "umt5"), "--out", str(text)]) == 0
    run(
        f"sample {OPTIONS} --codec_weights HERE/vae.safetensors --text HERE/{name}.npz"
        " --sampler.steps 2 --sampler.text_guidance 5 --mesh.fsdp 1 --mesh.view 1 --mesh.time 1"
        f" --checkpoint HERE/run/prior.safetensors --out HERE/out_{name}",
        folder,
    )
    return np.load(folder / f"out_{name}" / "grid.npz")["frames"].astype(int)


def test_captions_train_the_preset_and_lead_its_samples(folder):
    scenes = open_dataset(folder / "scenes").scene_ids
    captions = dict.fromkeys(scenes, "two dogs")
    (folder / "captions.json").write_text(json.dumps(captions))
    codec = "--codec_weights HERE/vae.safetensors"
    run(
        f"data encode {OPTIONS} {codec} --dataset HERE/scenes --out HERE/latents"
        " --text_encoder HERE/umt5 --captions HERE/captions.json",
        folder,
    )
    expected, tokens = embed_prompt("two dogs", folder / "umt5")
    for clip in open_dataset(folder / "latents"):
        assert clip.caption == "two dogs"
        np.testing.assert_allclose(clip.text, expected[:tokens], atol=2e-3)  # in half precision
    run(
        f"train {OPTIONS} {TRAINING} {codec} --init HERE/ours.safetensors"
        " --data.records HERE/latents --out HERE/run",
        folder,
    )
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == STEPS
    assert np.isfinite(losses).all()

    # So long that their words fill all rows; few of them change few levels of 256 here.
    dogs, man = (
        grid(folder, name, words * TOKENS)
        for name, words in (("dogs", "two dogs "), ("man", "the man walks "))
    )
    assert (dogs[0] == man[0]).all()  # the source's view
    assert (dogs[1:] != man[1:]).mean() > 0.1  # all but the prompt is the same
