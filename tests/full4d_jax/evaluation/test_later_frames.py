"""A clip of a room against its own later frames, with true depth of the first one."""

import json
import re

import cv2
import numpy as np
import pytest
from handheld_clips import FRAMES, arc, film, write_clip, write_poses
from refused import refusal

from full4d_jax.cli import main
from full4d_jax.evaluation import fidelity, later_frames
from full4d_jax.evaluation.table import CASCADE, COPY, PUSH_PULL
from input_pipeline.pinhole import orbit, rescale

SIZE = ("--rows", 96, "--seconds", 1)


@pytest.fixture(autouse=True)
def true_depth(monkeypatch):
    """Use a perfect network, in a unit of its own, and no LPIPS, which takes seconds."""

    def known(network, frames, *, still):
        assert frames.shape[0] == 1, "only the source's depth may be asked for"
        depth = cv2.resize(film(arc()[:1])[1][0], frames.shape[2:0:-1])
        return 3 * depth[None]

    monkeypatch.setattr(later_frames, "source_depth", known)
    monkeypatch.setattr(fidelity, "open_lpips", lambda: None)


def evaluate(folder, *options) -> dict:
    argv = ["evaluate", *options, "--out", folder, *SIZE[:2]]
    assert main([str(word) for word in argv]) == 0
    return json.loads((folder / "evaluation.json").read_text())


def widest(result, name: str) -> dict:
    """Means of a row over the last range of angles."""
    row = [row for row in result["rows"] if row["name"] == name][-1]
    return {metric: x["mean"] for metric, x in row.items() if isinstance(x, dict)}


@pytest.mark.slow
def test_true_depth_is_far_above_a_copy_at_any_unit_of_the_path(
    tmp_path, monkeypatch, capsys
):
    video = write_clip(tmp_path / "room.mp4", arc())
    path = rescale(arc() @ orbit(40.0, 20.0, 3.0), 1 / 7)
    poses = write_poses(tmp_path / "path.json", path)
    options, out = (video, "--poses", poses, *SIZE[2:]), tmp_path / "out"
    result = evaluate(out, *options)
    scored = [row["psnr"]["scenes"] for row in result["rows"] if row["name"] == COPY]
    assert sum(scored) == FRAMES - 1
    assert list(result["groups"]) == ["0-5°"]
    assert 0.01 < result["groups"]["0-5°"]["hole_fraction"]["mean"] < 0.15
    assert 0 < result["groups"]["0-5°"]["angle"]["mean"] < 5
    copied, pulled = widest(result, COPY), widest(result, PUSH_PULL)
    assert pulled["psnr_seen"] > copied["psnr_seen"] + 10
    assert widest(result, CASCADE)["psnr"] > copied["psnr"] + 8
    assert list(out.glob("0-5°-*.png"))
    text = (out / "evaluation.md").read_text()
    assert f"{pulled['psnr']:.2f}" in text
    assert "by its estimated depth (network: ours)" in text
    # The same command does not generate again.
    monkeypatch.setattr(later_frames, "rows_of_film", None)
    assert evaluate(out, *options) == result
    line = refusal(capsys, "evaluate", *options, *SIZE[:2], "--seed", 1, "--out", out)
    assert "an evaluation of other weights or settings" in line


def test_a_camera_that_stays_has_no_truth(capsys, tmp_path):
    video = write_clip(tmp_path / "still.mp4", np.repeat(arc()[:1], FRAMES, 0))
    line = refusal(capsys, "evaluate", video, *SIZE, "--out", tmp_path / "out")
    assert re.search(
        "a camera that stays in its place, expected one that goes past", line
    )
