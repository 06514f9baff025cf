"""`full4d video`, with a small model of Wan's kind."""

from dataclasses import replace

import av
import cv2
import jax
import numpy as np
import pytest

from full4d_jax.cli import main
from full4d_jax.config import to_dict
from full4d_jax.config.wan import WAN
from full4d_jax.models.dit import init_params
from full4d_jax.models.weights import save_params

PRESET = """
from dataclasses import replace
from full4d_jax.config.wan import WAN
sizes = {"codec_stride": 2, "width": 24, "layers": 1, "heads": 2, "ffn": 32, "text_width": 10}
config = replace(
    WAN,
    model=replace(WAN.model, **sizes, first_frame=True),
    data=replace(WAN.data, frames=5, height=12, width=16),
    sampler=replace(WAN.sampler, steps=2, shift=5.0),
)
"""
SIZES = {"codec_stride": 2, "width": 24, "layers": 1, "heads": 2, "ffn": 32, "text_width": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A preset, its weights, the embedding of a prompt, and a picture."""
    folder = tmp_path_factory.mktemp("wan")
    (folder / "small.py").write_text(PRESET)
    model = replace(WAN.model, **SIZES, first_frame=True)
    params = init_params(model, jax.random.key(0))
    save_params(folder / "small.safetensors", params, {"model": to_dict(model)})
    text = np.random.default_rng(0).normal(size=(5, 10)).astype(np.float32)
    np.savez(folder / "text.npz", text=text)
    picture = np.random.default_rng(1).integers(0, 256, (30, 30, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "first.png"), picture)
    return folder


def command(folder, prompt, *options):
    words = ["video", prompt, "--config", str(folder / "small.py")]
    return main([*words, "--weights", str(folder / "small.safetensors"), *options])


def test_a_video_is_written_at_the_presets_rate(folder, tmp_path, capsys):
    out = tmp_path / "films" / "cat.mp4"
    options = ["--image", str(folder / "first.png"), "--out", str(out)]
    assert command(folder, str(folder / "text.npz"), *options) == 0
    said = capsys.readouterr().out
    assert "5 frames of 12x16 by 4 calls" in said
    assert f"next: full4d run {out}" in said
    with av.open(str(out)) as film:
        assert film.streams.video[0].average_rate == 16
        assert len(list(film.decode(video=0))) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["a cat"], "words and no --text_encoder"),
        (["text.npz"], "text.npz"),
        (["{folder}/text.npz", "--image", "{folder}/none.png"], "none.png"),
        (["{folder}/text.npz", "--guidance", "-1"], "guidance"),
        (["{folder}/text.npz", "--out", "cat.gif"], "expected .mp4"),
        (["{folder}/text.npz", "--data.height", "13"], "multiple of the 4 pixels"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(folder, options, message, capsys):
    prompt, *rest = (word.format(folder=folder) for word in options)
    assert command(folder, prompt, *rest) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_weights_it_says_where_they_are(capsys):
    assert main(["video", "a cat", "--config", "wan22_5b"]) == 2
    assert "Wan-AI/Wan2.2-TI2V-5B" in capsys.readouterr().err


def test_a_model_without_text_is_refused(capsys):
    assert main(["video", "a cat"]) == 2
    assert "--config wan22_5b" in capsys.readouterr().err
