"""Videos of other methods against a capture: paired, compared in one table, or refused."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from refused import refusal
from textured_room import make_room

from full4d_jax.cli import main
from full4d_jax.evaluation import fidelity
from full4d_jax.evaluation.foreign_films import REAL
from full4d_jax.evaluation.table import COPY, INPAINT, PUSH_PULL
from input_pipeline.transforms import Clip, decode

HEIGHT, WIDTH = 48, 64
NAMES = ["left", "middle", "right"]
BASELINES = [COPY, INPAINT, PUSH_PULL, REAL]


@pytest.fixture(autouse=True)
def no_lpips(monkeypatch):
    """`test_fidelity.py` has it; here its networks would take most of the time."""
    monkeypatch.setattr(fidelity, "open_lpips", lambda: None)


@pytest.fixture(scope="module")
def clip() -> Clip:
    room = make_room(views=3, height=HEIGHT, width=WIDTH, frames=3)
    return decode(room, height=HEIGHT, width=WIDTH)


@pytest.fixture(scope="module")
def capture(clip, tmp_path_factory):
    """Our own cameras.json, lossless pictures, and depth."""
    folder = tmp_path_factory.mktemp("capture") / "room"
    write_films(folder, dict(zip(NAMES, clip.frames, strict=True)))
    cameras = []
    for i, name in enumerate(NAMES):
        (folder / "depth" / name).mkdir(parents=True)
        for t, depth in enumerate(clip.depth[i]):
            np.save(folder / "depth" / name / f"{t:04}.npy", depth)
        lens = clip.intrinsics[i].tolist()
        pose = clip.world_to_camera[i].tolist()
        cameras.append({"name": name, "intrinsics": lens, "world_to_camera": pose})
    (folder / "cameras.json").write_text(json.dumps({"fps": 10, "cameras": cameras}))
    return folder


def write_films(folder, films):
    """Write one folder of PNG files per video, under images/."""
    for name, pictures in films.items():
        (folder / "images" / name).mkdir(parents=True)
        for t, picture in enumerate(pictures):
            file = folder / "images" / name / f"{t:04}.png"
            file.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    return folder


def scores_of(out) -> dict:
    clips = json.loads((out / "films.json").read_text())["clips"]
    return {row["row"]: row for clip in clips for row in clip["rows"]}


def test_films_get_a_column_each_beside_the_baselines(clip, capture, tmp_path, capsys):
    """An error of .1 is 20 dB."""
    away = np.where(clip.frames < 128, clip.frames + 25.5, clip.frames - 25.5).astype(
        np.uint8
    )
    mine = write_films(tmp_path / "mine", {"left": clip.frames[0], "right": away[2]})
    out = tmp_path / "out"
    argv = ["--truth", str(capture), "--source_camera", "middle", "--out", str(out)]
    yours = write_films(
        tmp_path / "yours", {"left": clip.frames[0], "right": clip.frames[2]}
    )
    assert main(["evaluate", str(mine), *argv]) == 0
    first = scores_of(out)
    assert list(first) == ["mine", *BASELINES]
    assert main(["evaluate", str(yours), *argv]) == 0
    scores = scores_of(out)
    assert list(scores) == ["mine", "yours", *BASELINES]
    assert scores["mine"] == first["mine"]
    half_exact = 20.0 + 10 * np.log10(2)
    assert scores["mine"]["psnr"] == pytest.approx(half_exact, abs=0.1)
    assert scores["yours"]["psnr"] is None  # exact
    assert scores["yours"]["matches"] == scores[REAL]["matches"]
    assert scores[REAL]["psnr"] is None
    for baseline in BASELINES[:3]:
        assert scores[baseline]["psnr"] < scores["mine"]["psnr"]
        assert scores[baseline]["psnr_unseen"] is not None
    # The depth is the room's, so that the projection is right where the source sees.
    assert scores[PUSH_PULL]["psnr"] > scores[COPY]["psnr"] + 1
    page = (out / "films.md").read_text()
    assert "is middle; films: left, right" in page
    assert "PSNR unseen" in page
    assert page in capsys.readouterr().out
    assert np.asarray(Image.open(out / "films.png")).shape[0] > 2 * 128


def test_films_of_another_shape_and_damaged_ones_are_refused(
    clip, capture, tmp_path, capsys
):
    square = write_films(tmp_path / "square", {"middle": clip.frames[1, :, :, :HEIGHT]})
    line = refusal(capsys, "evaluate", square, "--truth", capture)
    assert "film middle: found 48x48, expected the shape of the source's 64x48" in line
    good = write_films(tmp_path / "good", {"middle": clip.frames[1]})
    line = refusal(capsys, "evaluate", good)
    assert "--truth: found none, expected a capture" in line
    line = refusal(capsys, "evaluate", good, "--truth", tmp_path / "nowhere")
    assert "nowhere" in line
    line = refusal(
        capsys, "evaluate", good, "--truth", capture, "--source_camera", "up"
    )
    assert "--source_camera: found up, expected one of left, middle, right" in line
    other = write_films(tmp_path / "other", {"0": clip.frames[1]})
    line = refusal(capsys, "evaluate", other, "--truth", capture)
    assert "found 1 films (0), expected films with names of middle, right" in line
    line = refusal(capsys, "run", good)
    assert "found 1 film without cameras, expected at least 3 of one scene" in line
    (good / "images/middle/0001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    line = refusal(capsys, "evaluate", good, "--truth", capture)
    assert "0001.png" in line
