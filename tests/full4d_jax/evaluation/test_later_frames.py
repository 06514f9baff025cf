"""A clip of a room against its own later frames, with true depth of the first one."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from handheld_clips import FRAMES, HEIGHT, LENS, WIDTH, arc, film, write_clip
from refused import refusal
from textured_room import render, textures

from full4d_jax.cli import main
from full4d_jax.evaluation import fidelity, later_frames
from full4d_jax.evaluation.table import CASCADE, COPY, PUSH_PULL
from full4d_jax.session.errors import InputError
from input_pipeline.cameras import orbit, rescale
from input_pipeline.conventions import convert

SLOPE = Path(__file__).parents[1] / "goldens" / "slope.onnx"
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


def write_poses(folder, poses) -> str:
    content = {"world_to_camera": poses.tolist(), "intrinsics": LENS.tolist()}
    (folder / "path.json").write_text(json.dumps(content | {"image_size": [WIDTH, HEIGHT]}))
    return str(folder / "path.json")


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
def test_true_depth_is_far_above_a_copy_at_any_unit_of_the_path(tmp_path, monkeypatch, capsys):
    video = write_clip(tmp_path / "room.mp4", arc())
    poses = write_poses(tmp_path, rescale(arc() @ orbit(40.0, 20.0, 3.0), 1 / 7))
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
    monkeypatch.setattr(later_frames, "generate_film_rows", None)
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
    assert min(side.max(-1).mean() for side in border) > 60, "undistorting leaves black borders"


def test_a_private_picture_is_no_photograph(tmp_path):
    photos, private = write_photographs(tmp_path / "photos", np.zeros(8)), tmp_path / "private.png"
    photo = photos / "images/0000.png"
    photo.rename(private)
    photo.symlink_to(private)
    with pytest.raises(InputError, match=r"found .*private.png, expected files in that folder"):
        later_frames.open_photographs(photos, 96)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["photos", "--fov", "60"], "--fov: found 60.0, expected none, with a folder of"),
        (["a.mp4", "--rows", "64"], "--rows: found 64, expected more than the prior"),
        (["a.mp4", "--start", "-1"], "start: found -1.0, expected 0 to 1000000"),
        (["none.mp4"], "source: none.mp4: found no such file"),
    ],
)
def test_unusable_options(capsys, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"")
    write_photographs(tmp_path / "photos", np.zeros(8))
    assert message in refusal(capsys, "evaluate", *options, "--out", tmp_path / "out")


def test_a_camera_that_stays_has_no_truth(capsys, tmp_path):
    video = write_clip(tmp_path / "still.mp4", np.repeat(arc()[:1], FRAMES, 0))
    line = refusal(capsys, "evaluate", video, *SIZE, "--out", tmp_path / "out")
    assert re.search("a camera that stays in its place, expected one that goes past", line)


@pytest.mark.extra("onnxruntime")
def test_what_a_networks_values_are_taken_as_is_told(capsys, tmp_path):
    video = write_clip(tmp_path / "still.mp4", np.repeat(arc()[:1], FRAMES, 0))
    words = [video, "--depth_network", SLOPE, *SIZE, "--out", tmp_path / "out"]
    assert main(["evaluate", *map(str, words)]) == 2  # after the network is opened
    assert "slope.onnx, taken as disparity" in capsys.readouterr().out


def test_ranges_of_angles():
    assert later_frames.ranges([0.0, 4.9, 5.0, 30.0]) == {
        "0-5°": [0, 1],
        "5-10°": [2],
        "20-30°": [3],
    }
