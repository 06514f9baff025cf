"""Scores without truth tell good grids from bad ones; an output folder gets them in its files."""

import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from published_graphs import published
from refused import refusal
from textured_room import make_room

from full4d_jax.cameras import Cameras
from full4d_jax.cli import main
from full4d_jax.evaluation import consistency
from full4d_jax.grid import Grid, all_real, grid_arrays
from full4d_jax.scene.scene_reader import to_arrays
from full4d_jax.session.stages import Stages
from gaussians import DynamicGaussians, Gaussians
from input_pipeline.matches import epipolar_distances
from input_pipeline.transforms import decode

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="module")
def room():
    """Three real views of a textured room at two instants."""
    example = make_room(views=3, height=120, width=160)
    return decode(example, height=120, width=160)


def cameras_of(room, poses=None) -> Cameras:
    poses = room.world_to_camera if poses is None else poses
    return Cameras(room.intrinsics, poses, *room.frames.shape[2:4])


def test_points_turned_off_their_lines_by_known_pixels():
    """Cameras side by side see a point in one row; 3 rows apart are an error of 3/√2."""
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, 0, 3] = -1
    lens = np.array([[100, 0, 50], [0, 100, 50], [0, 0, 1.0]])
    points = np.array([[[60, 40], [50, 43]], [[30, 70], [25, 70]]], float)
    distances = epipolar_distances(points, np.stack([lens, lens]), poses)
    np.testing.assert_allclose(distances, [3 / np.sqrt(2), 0], atol=1e-9)


def test_true_views_beat_wrong_cameras_shuffled_views_and_noise(room):
    cameras = cameras_of(room)
    truth = consistency.epipolar(room.frames, cameras)
    assert truth["median"] < 0.5
    assert truth["below_one"] > 0.8
    assert 0.5 * truth["matches"] < truth["verified"] <= truth["matches"]
    other = cameras_of(room, room.world_to_camera[[0, 2, 1]])
    wrong = consistency.epipolar(room.frames, other)
    shuffled = consistency.epipolar(room.frames[[1, 0, 2]], cameras)
    for bad in (wrong, shuffled):
        assert bad["matches"] == pytest.approx(truth["matches"], rel=0.1)
        assert bad["median"] > 4 * truth["median"]
        assert bad["below_one"] < truth["below_one"] - 0.2
    noise = np.random.default_rng(0).integers(0, 256, room.frames.shape, np.uint8)
    assert consistency.epipolar(noise, cameras)["matches"] < 0.2 * truth["matches"]
    # One view for all is a match everywhere, on the wrong lines.
    frozen = consistency.epipolar(np.repeat(room.frames[:1], 3, 0), cameras)
    assert frozen["median"] > 4 * truth["median"]


@pytest.fixture(scope="module")
def grid() -> Grid:
    return room_grid(views=3)


def room_grid(views: int) -> Grid:
    clip = decode(make_room(views=views, height=96, width=128), height=96, width=128)
    return Grid(
        frames=clip.frames,
        origin=all_real(clip.frames),
        times=np.arange(clip.frames.shape[1]) / 8,
        cameras=Cameras(clip.intrinsics, clip.world_to_camera, 96, 128),
    )


def far_wall() -> DynamicGaussians:
    """One large opaque Gaussian that never changes."""
    static = Gaussians(
        means=jnp.array([[0.0, 0.0, 2.0]]),
        quaternions=jnp.array([[1.0, 0.0, 0.0, 0.0]]),
        log_scales=jnp.full((1, 3), 1.0),
        logit_opacities=jnp.array([9.0]),
        harmonics=jnp.ones((1, 1, 3)),
    )
    one = jnp.zeros(1)
    return DynamicGaussians(static, jnp.zeros((1, 3)), one, one, one + 9)


def scores_of(folder) -> dict:
    """The means of each row, and what is missing."""
    found = json.loads((folder / "consistency.json").read_text())
    rows = {
        x["name"]: {k: v["mean"] for k, v in x.items() if isinstance(v, dict)}
        for x in found["rows"]
    }
    return found | {"scores": rows}


def test_a_folder_gets_a_table_numbers_and_a_page(grid, tmp_path, capsys):
    save_grid(tmp_path, grid).run("scene", {}, lambda: to_arrays(far_wall()))
    assert main(["evaluate", str(tmp_path)]) == 0
    scores_file = scores_of(tmp_path)
    rows, missing = scores_file["scores"], scores_file["missing"]
    assert list(rows) == ["generated grid", "4D Gaussians", "source video"]
    assert rows["generated grid"]["matches"] > 30
    assert rows["generated grid"]["median"] < 1
    # A wall in one colour has next to none.
    assert rows["4D Gaussians"]["matches"] < 0.2 * rows["generated grid"]["matches"]
    assert set(missing) >= {"CLIP-F, CLIP-V", "FVD, FVD-V"}
    assert "median" not in rows["source video"]
    page = (tmp_path / "consistency.md").read_text()
    assert page in capsys.readouterr().out
    assert "epipolar error, pixels" in page
    assert "- FVD, FVD-V not scored: no --reference" in page


def save_grid(folder, grid: Grid) -> Stages:
    folder.mkdir(exist_ok=True)
    stages = Stages(folder)
    stages.run("grid", {"frames": grid.frames}, lambda: grid_arrays(grid))
    return stages


def test_running_again_scores_what_is_new_or_changed(grid, tmp_path):
    def scores() -> dict:
        assert main(["evaluate", str(tmp_path)]) == 0
        clips = scores_of(tmp_path)["clips"]
        return {clip["scene"]: clip["rows"][0]["matches"] for clip in clips}

    save_grid(tmp_path / "one", grid)
    true = scores()["one"]
    kept = tmp_path / "consistency.jsonl"
    first, record = map(json.loads, kept.read_text().splitlines())
    record["rows"][0]["matches"] = 0.125
    kept.write_text(f"{json.dumps(first)}\n{json.dumps(record)}\n")
    save_grid(tmp_path / "two", grid)
    assert scores() == {"one": 0.125, "two": true}
    assert len(kept.read_text().splitlines()) == 3
    save_grid(tmp_path / "one", replace(grid, frames=255 - grid.frames))
    assert scores()["one"] != 0.125


@pytest.mark.extra("onnx")
@pytest.mark.extra("onnxruntime")
def test_networks_add_their_scores(tmp_path, capsys):
    save_grid(tmp_path, room_grid(views=2))
    with np.load(GOLDENS / "tiny_clip.npz") as golden:
        np.save(tmp_path / "text.npy", golden["embedding"])
    options = [
        f"--clip_onnx={GOLDENS}/tiny_clip.onnx",
        f"--clip_text={tmp_path}/text.npy",
    ]
    options += [f"--pointmaps_onnx={published(tmp_path, 'dust3r')}"]
    assert main(["evaluate", str(tmp_path), *options]) == 0
    scores_file = scores_of(tmp_path)
    scores = scores_file["scores"]["generated grid"]
    assert 0 < scores["clip_score"] < 100
    assert 1 < scores["confidence"] < 3
    page = (tmp_path / "consistency.md").read_text()
    assert "| CLIP score " in page
    assert set(scores_file["missing"]) == {"FVD, FVD-V"}
    capsys.readouterr()
    assert "--clip_onnx: found none" in refusal(
        capsys, "evaluate", tmp_path, options[1]
    )
    line = refusal(capsys, "evaluate", tmp_path, options[2], "--truth", tmp_path)
    assert "--pointmaps_onnx: found" in line
