"""`full4d depth` writes what `run --depth` takes, for a video and for a picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from handheld_clips import FRAMES, HEIGHT, WIDTH, arc, film, write_clip
from PIL import Image

from full4d_jax.cli import main
from full4d_jax.config import DEFAULT, DataConfig
from full4d_jax.data import video_depth
from full4d_jax.media.video import write_video
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import depth_from_file
from full4d_jax.source.depth.onnx_network import Network
from full4d_jax.source.depth.signatures import DEPTH_ANYTHING
from full4d_jax.source.handheld import video_path
from full4d_jax.source.handheld.path_scale import settle_scale
from full4d_jax.source.options import SizeOptions, VideoOptions
from full4d_jax.source.size import size_of_result
from full4d_jax.source.video_source import open_video_source

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
    assert "assumed to be 65 degrees" in said
    command = f"full4d run {folder}/in.mp4 --depth {out} --start 0.5 --seconds 0.25"
    assert f"next: {command} --rows 48\n" in said
    asked = VideoOptions(folder / "in.mp4", 0.5, size=SizeOptions(rows=48, seconds=0.25))
    size = size_of_result(DEFAULT, asked, enlarged=True)
    depth = np.load(out)
    assert depth.dtype == np.float32
    assert depth.shape == (size.frames, size.height, size.width) == (2, 48, 64)
    assert np.median(depth[0][depth[0] > 0]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(
        depth_from_file(out, 2, 48, 64), depth / np.median(depth[0][depth[0] > 0]), rtol=1e-5
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


@pytest.mark.slow
def test_a_camera_that_travels_gets_the_depth_that_run_estimates(tmp_path, monkeypatch, capsys):
    poses, (_, true) = arc(), film(arc())
    video, file = write_clip(tmp_path / "in.mp4", poses), tmp_path / "path.json"
    file.write_text(json.dumps({"world_to_camera": poses.tolist()}))
    # A network of metres that are wrong by another factor in every frame.
    answers = true * np.linspace(0.8, 1.2, FRAMES, dtype=np.float32)[:, None, None]
    left = iter(answers)
    called = Network(lambda _: {"depth": next(left)[None]}, [1, 3, HEIGHT, WIDTH])
    network = DepthFile(Path("x.onnx"), called, DEPTH_ANYTHING, "metric")
    monkeypatch.setattr(video_depth, "open_network", lambda *_: network)
    monkeypatch.setattr(video_path, "POINTS_SIDE", WIDTH)  # seconds less
    out = tmp_path / "D.npy"
    words = [video, "--out", out, "--poses", file, "--rows", HEIGHT, "--seconds", 1]
    assert main(["depth", *map(str, words)]) == 0
    said = capsys.readouterr().out
    assert "its path is that of path.json" in said
    assert f"--poses {file}" in said
    written = np.load(out)
    seen = written > 0
    assert seen.mean() > 0.8
    assert np.abs(written / (0.8 * true) - 1)[seen].mean() < 0.01  # metres of the first frame
    data = DataConfig(frames=FRAMES, height=HEIGHT, width=WIDTH)
    source = open_video_source(data, VideoOptions(video, poses=file))
    given = depth_from_file(out, FRAMES, HEIGHT, WIDTH)
    settled, unit = settle_scale(source, given, estimated=False)
    assert np.abs(unit * settled / true - 1)[seen].mean() < 0.01


def test_no_video_is_told(tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(b"no picture" * 20)
    for name, what in (("a.jpg", "video"), ("none.mp4", "source")):
        assert main(["depth", str(tmp_path / name), "--out", f"{tmp_path}/D.npy"]) == 2
        assert f"{what}: {tmp_path / name}: found" in capsys.readouterr().err
