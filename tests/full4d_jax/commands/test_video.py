"""`full4d video` and `full4d run --prompt WORDS`, with a small model of Wan's kind."""

import json
from dataclasses import replace

import av
import cv2
import jax
import numpy as np
import pytest
from random_weights import random_params
from refused import refusal

from full4d_jax.cli import main
from full4d_jax.config import (
    Config,
    DataConfig,
    LiftConfig,
    ModelConfig,
    ProjectionAsFrames,
    SamplerConfig,
    to_dict,
)
from full4d_jax.config.wan import WAN
from full4d_jax.models.dit.dit import init_params
from full4d_jax.models.weights import save_params
from full4d_jax.source.options import VideoOptions, WanOptions, WordsOptions
from full4d_jax.text_to_video import video_in_folder

SIZES = {
    "codec_stride": 2,
    "width": 24,
    "layers": 1,
    "heads": 2,
    "ffn": 32,
    "text_width": 10,
}
SMALL = replace(
    WAN,
    model=replace(WAN.model, **SIZES, guide=ProjectionAsFrames(first_frame=True)),
    data=replace(WAN.data, frames=5, height=12, width=16),
    sampler=replace(WAN.sampler, steps=2, shift=5.0),
)
SCENE = Config(
    model=ModelConfig(width=32, heads=2, ffn=32, layers=1, refiner=0),
    data=DataConfig(views=2, frames=2, height=16, width=16),
    lift=LiftConfig(steps=2, capacity=50),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A preset, its weights, the embedding of a prompt, and a picture."""
    folder = tmp_path_factory.mktemp("wan")
    write_preset(folder / "small.py", SMALL)
    params = random_params(SMALL.model)
    save_params(folder / "small.safetensors", params, {"model": to_dict(SMALL.model)})
    text = np.random.default_rng(0).normal(size=(5, 10)).astype(np.float32)
    np.savez(folder / "text.npz", text=text)
    picture = np.random.default_rng(1).integers(0, 256, (30, 30, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "first.png"), picture)
    return folder


def write_preset(path, config):
    path.write_text(f"from full4d_jax.config import *\nconfig = {config!r}\n")


def command(folder, prompt, *options):
    words = ["video", prompt, "--config", str(folder / "small.py")]
    return main([*words, "--weights", str(folder / "small.safetensors"), *options])


def test_a_video_is_written_at_the_presets_rate(folder, tmp_path, capsys):
    out = tmp_path / "films" / "cat.mp4"
    options = ["--image", str(folder / "first.png"), "--out", str(out)]
    assert command(folder, str(folder / "text.npz"), *options) == 0
    printed = capsys.readouterr().out
    assert "5 frames of 12x16 with 4 calls" in printed
    assert f"next: full4d run {out}" in printed
    with av.open(str(out)) as film:
        assert film.streams.video[0].average_rate == 16
        assert len(list(film.decode(video=0))) == 5


@pytest.mark.parametrize(
    "words", [["video", "a cat", "--config", "wan22_5b"], ["run", "--prompt", "a cat"]]
)
def test_without_weights_it_says_where_they_are(words, tmp_path, capsys):
    line = refusal(capsys, *words, "--out", tmp_path / "cat.mp4")
    assert "--weights: found none" in line
    assert "Wan-AI/Wan2.2-TI2V-5B" in line
    assert not list(tmp_path.iterdir())


def words_of_run(folder, weights):
    return WordsOptions(
        f"{folder}/text.npz",
        wan=f"{folder}/small.py",
        film=WanOptions(weights=folder / weights, guidance=2.0),
        start=0.0,
    )


def test_the_video_of_a_run_is_made_once(folder, tmp_path, capsys):
    source = words_of_run(folder, "small.safetensors")
    opened = video_in_folder(Config(), source, tmp_path)
    assert opened == VideoOptions(tmp_path / "video.mp4", start=0.0)
    before = opened.video.read_bytes()
    assert "5 frames of 12x16 with 4 calls" in capsys.readouterr().out
    video_in_folder(
        Config(sampler=SamplerConfig(steps=3, offload=True)), source, tmp_path
    )
    assert "video: kept from" in capsys.readouterr().out
    assert opened.video.read_bytes() == before
    video_in_folder(Config(seed=1), source, tmp_path)
    assert "kept" not in capsys.readouterr().out
    assert opened.video.read_bytes() != before


@pytest.mark.slow
def test_a_run_makes_a_scene_of_words(folder, tmp_path, capsys):
    """Weights by chance flow to one pattern in all frames, which are of one shot."""
    steady = init_params(SMALL.model, jax.random.key(0))
    steady["parametrisation"]["head"]["bias"] = 4 * jax.random.normal(
        jax.random.key(2), (48,)
    )
    save_params(folder / "steady.safetensors", steady, {"model": to_dict(SMALL.model)})
    params = init_params(SCENE.model, jax.random.key(1))
    save_params(folder / "prior.safetensors", params, {"model": to_dict(SCENE.model)})
    write_preset(folder / "scene.py", SCENE)
    words = ["run", "--prompt", f"{folder}/text.npz", "--wan", f"{folder}/small.py"]
    words += [
        "--weights",
        f"{folder}/steady.safetensors",
        "--config",
        f"{folder}/scene.py",
    ]
    np.save(folder / "depth.npy", np.ones((2, 16, 16), np.float32))
    words += ["--checkpoint", f"{folder}/prior.safetensors", "--out", str(tmp_path)]
    words += ["--depth", f"{folder}/depth.npy"]
    assert main([*words, "--size", "32", "--orbit_seconds", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "5 frames of 12x16 with 4 calls" in printed
    with av.open(str(tmp_path / "video.mp4")) as film:
        assert film.streams.video[0].average_rate == 16
        assert len(list(film.decode(video=0))) == 5
    for name in ("grid.npz", "scene.npz", "scene.html"):
        assert (tmp_path / name).stat().st_size > 1000, name
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["way"] == "WordsOptions"
    assert report["options"]["source"]["prompt"] == f"{folder}/text.npz"
    assert "16x12" in report["source"]
