"""`full4d depth` writes what `run --depth` takes, for a video and for a picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from full4d_jax.cli import main
from full4d_jax.config import DEFAULT
from full4d_jax.media.video_io import write_video
from full4d_jax.source.depth_stage import depth_from_file
from full4d_jax.source.options import SizeOptions, VideoOptions
from full4d_jax.source.size import size_of_result

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A video of a bright table in a dark room, and its first picture."""
    folder = tmp_path_factory.mktemp("depth")
    frames = np.full((8, 72, 96, 3), 60, np.uint8)
    frames[:, 40:, 20:70] = 200
    write_video(folder / "in.mp4", frames, 8)
    Image.fromarray(frames[0]).save(folder / "in.png")
    return folder


def test_the_file_fits_what_run_takes(folder, capsys):
    out = folder / "deep" / "D.npy"
    options = ["--rows", "48", "--seconds", "0.25", "--start", "0.5"]
    assert main(["depth", f"{folder}/in.mp4", "--out", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert "median is 1 at t = 0" in said
    assert "65 degrees assumed" in said
    command = f"full4d run {folder}/in.mp4 --depth {out} --start 0.5 --seconds 0.25"
    assert f"next: {command} --rows 48\n" in said
    asked = VideoOptions(
        folder / "in.mp4", 0.5, size=SizeOptions(rows=48, seconds=0.25)
    )
    size = size_of_result(DEFAULT, asked, enlarged=True)
    depth = np.load(out)
    assert depth.dtype == np.float32
    assert depth.shape == (size.frames, size.height, size.width) == (2, 48, 64)
    assert np.median(depth[0][depth[0] > 0]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(
        depth_from_file(out, 2, 48, 64),
        depth / np.median(depth[0][depth[0] > 0]),
        rtol=1e-5,
    )
    assert np.asarray(Image.open(out.with_suffix(".png"))).std() > 10


@pytest.mark.extra("onnxruntime")
def test_a_network_of_metres_and_a_picture(folder, capsys):
    out, options = folder / "M.npy", ["--rows", "48", "--fov", "53.13"]
    options += ["--depth_network", str(GOLDENS / "focal.onnx")]
    assert main(["depth", f"{folder}/in.png", "--out", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert ", metres;" in said
    assert "taken as metric depth" in said
    depth = np.load(out)
    assert depth.shape == (1, 48, 64)
    assert depth[0, 3, 3] == pytest.approx(1 + 2 * 60 / 255, rel=0.02)
    assert depth[0, 40, 32] == pytest.approx(1 + 2 * 200 / 255, rel=0.02)
