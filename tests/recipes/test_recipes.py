"""Each recipe trains a tiny step or two from pictures on disk, and goes on from its own weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from full4d_jax.media.video_io import write_video

ROOT = Path(__file__).resolve().parents[2]
SHORT = "--training.steps 2 --training.log_every 1 --training.checkpoint_every 2"
SHORT += " --training.batch 1"
SMALL = {
    "depth": ["--sizes", "64", "64", "64", "--model.fine", "4", "--model.coarse", "4"],
    "inpainting": ["--perceptual", "0", "--side", "32", "--model.dilations", "1"],
    "upsampler": ["--perceptual", "0", "--rows", "64", "--crop", "64", "--pool", "2"],
}
SMALL["depth"] += ["--held_out", "1"]

pytestmark = pytest.mark.slow


@pytest.fixture
def pictures(tmp_path, write_pictures) -> list[str]:
    """Options that name a few photographs, and a video in which somebody walks."""
    write_pictures([tmp_path / "photos" / f"{i}.png" for i in range(3)], size=(80, 80))
    film = np.full((12, 96, 128, 3), 120, np.uint8)
    for i, frame in enumerate(film):
        frame[20:80, 10 + 7 * i : 34 + 7 * i] = (230, 30, 30)
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", film, fps=8)
    return ["--photos", str(tmp_path / "photos"), "--videos", str(tmp_path / "videos")]


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_trains_and_goes_on_from_its_weights(name, pictures, tmp_path):
    program = ROOT / f"recipes/train_{name}.py"
    command = [sys.executable, program, *pictures, *SHORT.split(), *SMALL[name]]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    subprocess.run([*command, "--out", tmp_path / "1"], env=environment, check=True)
    weights = tmp_path / "1" / f"{name}.safetensors"
    again = [*command, "--out", tmp_path / "2", "--init", weights]
    subprocess.run(again, env=environment, check=True)
    summary = json.loads((tmp_path / "2" / f"{name}.json").read_text())
    assert summary["steps"] == 2
    assert np.isfinite([line["loss"] for line in summary["history"]]).all()
    assert (tmp_path / "2" / f"{name}.safetensors").read_bytes() != weights.read_bytes()
