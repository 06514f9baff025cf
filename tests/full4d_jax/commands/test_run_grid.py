"""Two videos become a 4D scene where cameras are known; where none are, it is said before work."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from handheld_clips import arc, film, write_poses
from refused import refusal

from full4d_jax.cli import main
from full4d_jax.grid import Origin
from full4d_jax.media.video_io import write_video
from input_pipeline.pinhole import nearest_to_axes, relative_to, rescale

CONFIG = ("--config", "four_real")
SIZES = [
    "--data.views",
    "3",
    "--data.frames",
    "3",
    "--data.height",
    "32",
    "--data.width",
    "32",
]
FIT = ("--lift.steps", "20", "--lift.capacity", "900", "--lift.perceptual", "0")
SHOWN = ("--orbit_seconds", "0.1", "--size", "32")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """A room: a square crosses in one video, the camera walks around in the other."""
    folder = tmp_path_factory.mktemp("videos")
    still = film(arc(9))[0]
    row = still[:1].repeat(3, 0)
    for i, picture in enumerate(row):
        picture[60:84, 100 + 12 * i : 124 + 12 * i] = 255
    column = still.copy()
    column[0] = row[0]
    write_video(folder / "row.mp4", row, 3)
    write_video(folder / "column.mp4", column, 12)
    write_poses(folder / "poses.json", arc(9))
    return folder


def given(videos: Path, *names: str) -> list[str]:
    row = [str(videos / "row.mp4")] * ("row" in names)
    files = {"freeze_time": "column.mp4", "poses": "poses.json"}
    chosen = [x for x in files if x in names]
    flags = [word for x in chosen for word in (f"--{x}", str(videos / files[x]))]
    return [*row, *flags, "--fps", "3"]


@pytest.fixture(scope="module")
def made(videos, tmp_path_factory) -> Path:
    """The folder of a `run` of the two videos and the poses."""
    out = tmp_path_factory.mktemp("made")
    asked = given(videos, "row", "freeze_time", "poses")
    assert main(["run", *asked, *CONFIG, "--out", str(out), *SIZES, *FIT, *SHOWN]) == 0
    return out


def test_two_videos_and_poses_become_a_scene(made):
    shown = {
        "scene.html",
        "scene.npz",
        "scene.png",
        "orbit.mp4",
        "bullet.mp4",
        "grid.png",
    }
    assert shown <= {path.name for path in made.iterdir()}
    grid = np.load(made / "grid.npz")
    report = json.loads((made / "report.json").read_text())
    assert (grid["origin"] == Origin.REAL).sum() == 5
    true = relative_to(arc(9), arc(9)[0])[::4]
    middle = nearest_to_axes(true)
    assert middle is not None
    unit = float(np.linalg.norm(middle))
    poses = grid["world_to_camera"][:, -1]
    np.testing.assert_allclose(poses, rescale(true, unit), atol=1e-4)
    assert np.isfinite(report["fitted_psnr"])
    sheet = cv2.imread(str(made / "scene.png"))
    assert sheet is not None
    # Grey, as the room is, not black or empty.
    assert 50 < np.median(sheet[100:-10, 100:]) < 200
    assert "path is that of" in report["source"]


def test_a_row_alone_has_no_cameras(videos, tmp_path, capsys):
    asked = [*given(videos, "row"), "--out", str(tmp_path), *SIZES]
    said = refusal(capsys, "run", *asked, *CONFIG, *FIT)
    assert "without --freeze_time" in said
    assert "walk around" in said
    assert not (tmp_path / "grid.npz").exists()
    assert main(["sample", *asked, *CONFIG]) == 0
    assert "without --freeze_time" in refusal(capsys, "lift", tmp_path, *CONFIG, *FIT)
