"""`full4d sample` without poses: two videos in, a grid out; what it cannot use is refused."""

import json
from pathlib import Path

import cv2
import numpy as np

from full4d_jax.cli import main
from full4d_jax.grid import Origin
from full4d_jax.media.video import write_video

CONFIG = ("--config", "four_real")
SMALL = ("--data.views", "3", "--data.frames", "4", "--data.height", "32", "--data.width", "32")


def video(path: Path, value: int, frames: int = 8) -> Path:
    """A grey picture with a square that moves."""
    pictures = np.full((frames, 64, 64, 3), value, np.uint8)
    for i, picture in enumerate(pictures):
        picture[16:32, 4 * i : 4 * i + 16] = 255 - value
    write_video(path, pictures, 6)
    return path


def test_two_videos_make_a_grid(tmp_path, capsys):
    row, column = video(tmp_path / "row.mp4", 60), video(tmp_path / "column.mp4", 60)
    out = tmp_path / "out"
    given = (row, "--freeze_time", column, "--out", out)
    assert main(["sample", *map(str, given), *CONFIG, *SMALL]) == 0
    saved = np.load(out / "grid.npz")
    assert saved["frames"].shape == (3, 4, 32, 32, 3)
    expected = np.zeros((3, 4), bool)
    expected[0], expected[:, 0] = True, True
    np.testing.assert_array_equal(saved["origin"] == Origin.REAL, expected)
    source = np.load(out / "source.npz")["frames"]
    np.testing.assert_array_equal(saved["frames"][expected], source[expected])
    assert saved["frames"][~expected].std() > 5
    assert {"grid.mp4", "grid.png", "report.json"} <= {path.name for path in out.iterdir()}
    assert json.loads((out / "report.json").read_text())["warnings"] == []
    orange = (cv2.imread(str(out / "grid.png")) == (20, 130, 240)).all(-1)
    assert orange.any()
    # The same command again keeps what is there; one video less gives only the row.
    capsys.readouterr()
    assert main(["sample", *map(str, given), *CONFIG, *SMALL]) == 0
    assert "grid: kept" in capsys.readouterr().out
    assert main(["sample", str(row), "--out", str(out), *CONFIG, *SMALL]) == 0
    assert (np.load(out / "grid.npz")["origin"][1:] == Origin.GENERATED).all()


def test_videos_of_two_scenes_are_told(tmp_path, capsys):
    row, column = video(tmp_path / "row.mp4", 60), video(tmp_path / "column.mp4", 200)
    given = (row, "--freeze_time", column, "--out", tmp_path / "out")
    assert main(["sample", *map(str, given), *CONFIG, *SMALL]) == 0
    assert "start with different pictures" in capsys.readouterr().out
