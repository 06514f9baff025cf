"""A clip of a room against its own later frames, with true depth of the first one."""

import json
import re

import cv2
import numpy as np
import pytest
from handheld_clips import FRAMES, HEIGHT, LENS, WIDTH, arc, film, write_clip, write_poses
from refused import refusal
from textured_room import render, textures

from full4d_jax.cli import main
from full4d_jax.evaluation import fidelity, later_frames
from full4d_jax.evaluation.table import CASCADE, COPY, PUSH_PULL
from input_pipeline.cameras import orbit, rescale
from input_pipeline.conventions import convert

SIZE = ("--rows", 96, "--seconds", 1)


@pytest.fixture(autouse=True)
def true_depth(monkeypatch):
    """What a perfect network gives, in a unit of its own; and no LPIPS, which takes seconds."""

    def known(network, frames, *, still):
        assert frames.shape[0] == 1, "only the source's depth may be asked for"
        depth = cv2.resize(film(arc()[:1])[1][0], frames.shape[2:0:-1])
        return 3 * depth[None]

    monkeypatch.setattr(later_frames, "source_depth", known)
    monkeypatch.setattr(fidelity, "load_distances", lambda **_: {})


def write_photographs(folder, lens):
    """The clip as photographs of a lens with distortion, and poses as nerfstudio writes them."""
    (folder / "images").mkdir(parents=True)
    poses, walls, shots = convert(arc(), "opencv", "nerfstudio"), textures(0), []
    frames = [render(LENS, pose, HEIGHT, WIDTH, walls, lens)[0] for pose in arc()]
    for i, (frame, pose) in enumerate(zip(frames, poses, strict=True)):
        name = f"images/{3 * i * i:04d}.png"  # photographs are left out as one likes
        cv2.imwrite(str(folder / name), frame[..., ::-1])
        shots.append({"file_path": name, "transform_matrix": pose.tolist()})
    told = {"fl_x": LENS[0, 0], "cx": LENS[0, 2], "cy": LENS[1, 2], "w": WIDTH, "h": HEIGHT}
    told |= {"k1": float(lens[0]), "k2": float(lens[1])}
    (folder / "transforms.json").write_text(json.dumps(told | {"frames": shots}))
    return folder


def evaluate(folder, *options) -> dict:
    argv = ["evaluate", *options, "--out", folder, *SIZE[:2]]
    assert main([str(word) for word in argv]) == 0
    return json.loads((folder / "evaluation.json").read_text())


def frames_of(result) -> int:
    """How many later frames have scores."""
    return sum(row["psnr"]["scenes"] for row in result["rows"] if row["name"] == COPY)


def widest(result, name: str) -> dict:
    """Means of a row over the last range of angles."""
    row = [row for row in result["rows"] if row["name"] == name][-1]
    return {metric: x["mean"] for metric, x in row.items() if isinstance(x, dict)}


@pytest.mark.slow
def test_true_depth_is_far_above_a_copy_at_any_unit_of_the_path(
    tmp_path, monkeypatch, capsys
):
    video = write_clip(tmp_path / "room.mp4", arc())
    poses = write_poses(
        tmp_path / "path.json", rescale(arc() @ orbit(40.0, 20.0, 3.0), 1 / 7)
    )
    options, out = (video, "--poses", poses, *SIZE[2:]), tmp_path / "out"
    result = evaluate(out, *options)
    assert frames_of(result) == FRAMES - 1
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


def test_photographs_are_undistorted_and_in_the_order_of_their_names(tmp_path):
    lens = np.zeros(8)
    lens[:2] = -0.12, 0.02
    result = evaluate(tmp_path / "out", write_photographs(tmp_path / "photos", lens))
    assert frames_of(result) == FRAMES - 1
    copied, pulled = widest(result, COPY), widest(result, PUSH_PULL)
    assert pulled["psnr_seen"] > copied["psnr_seen"] + 5
    frames = later_frames.open_photographs(tmp_path / "photos", 96).frames[0]
    border = [frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]]
    assert min(side.max(-1).mean() for side in border) > 60, (
        "undistorting leaves black borders"
    )


def test_a_camera_that_stays_has_no_truth(capsys, tmp_path):
    video = write_clip(tmp_path / "still.mp4", np.repeat(arc()[:1], FRAMES, 0))
    line = refusal(capsys, "evaluate", video, *SIZE, "--out", tmp_path / "out")
    assert re.search("a camera that stays in its place, expected one that goes past", line)
