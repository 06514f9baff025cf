"""An output folder against the clip that it was made from: found, compared, or refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from textured_room import make_room

from full4d_jax.cli import main
from full4d_jax.evaluation.truth.matching import find_source, match_cameras
from full4d_jax.scene.scene_arrays import to_arrays
from full4d_jax.session.files import save_arrays
from gaussians import initialize, save_dynamic_ply
from input_pipeline.cameras import intrinsics_from_fov, orbit, relative_to, rescale
from input_pipeline.datasets.dataset import open_dataset, write_dataset
from input_pipeline.transforms import decode

HEIGHT, WIDTH, UNIT = 48, 64, 1.7
SOURCE, INSTANTS = 1, [1, 3, 5]


class Rooms(list):
    @property
    def scene_ids(self):
        return [clip.scene_id for clip in self]


@pytest.fixture(scope="module")
def clip():
    return make_room(views=4, height=HEIGHT, width=WIDTH, frames=6)


@pytest.fixture(scope="module")
def dataset(clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("room") / "set"
    write_dataset(folder, Rooms([clip]), name="room")
    return folder


@pytest.fixture
def grid(clip):
    """The source and view 3 seen from it, in units of UNIT, a camera of nobody's, view 0."""
    whole = decode(clip, height=HEIGHT, width=WIDTH)
    views = [SOURCE, 3, 2, 0]
    poses = relative_to(whole.world_to_camera[:, INSTANTS], whole.world_to_camera[SOURCE, 1])
    poses = rescale(poses, UNIT)[views]
    poses[2] = orbit(np.array(40.0), np.array(0.0))
    frames = whole.frames[views][:, INSTANTS]
    return {
        "frames": frames,
        "intrinsics": whole.intrinsics[views],
        "world_to_camera": poses.astype(np.float32),
    }


def write(folder, grid):
    save_arrays(folder / "grid.npz", grid)
    save_arrays(folder / "source.npz", {"fps": np.asarray(5.0)})


def evaluate(folder, dataset, *options, kind="--grid") -> int:
    return main(["evaluate", kind, str(folder), "--truth", str(dataset), *options])


def test_a_grid_is_compared_in_the_views_whose_cameras_the_clip_has(
    grid, dataset, tmp_path, capsys
):
    """Everything is found again: view, instants, unit, cameras; an error of .1 is 20 dB."""
    target = grid["frames"][1].astype(np.float32)
    grid["frames"][1] = np.round(np.where(target < 128, target + 25.5, target - 25.5))
    write(tmp_path, grid)
    assert evaluate(tmp_path, dataset) == 0
    found = json.loads((tmp_path / "truth_grid.json").read_text())
    assert (found["source_view"], found["instants"], found["left_out"]) == (SOURCE, INSTANTS, [2])
    assert found["unit"] == pytest.approx(UNIT, rel=1e-3)
    assert found["depth"] == "record"
    assert all(error < 0.05 for error in found["camera_errors"].values())
    rows = {(row["row"], row["view"]): row for row in found["rows"]}
    assert rows["generated grid", 3]["psnr"] == pytest.approx(20.0, abs=0.1)
    assert rows["generated grid", 0]["psnr"] is None  # exact
    assert rows["generated grid", "all"]["psnr"] == pytest.approx(23.0, abs=0.1)
    for other in ("copy the source", "projection + cv2.inpaint (Telea)"):
        assert rows[other, "all"]["psnr"] < 20
        assert rows[other, "all"]["ssim"] < rows["generated grid", "all"]["ssim"]
    assert rows["generated grid", 3]["psnr_unseen"] == pytest.approx(20, abs=0.5)
    page = (tmp_path / "truth_grid.md").read_text()
    assert page in capsys.readouterr().out
    assert "Views of the grid whose cameras the clip does not have: 2." in page
    assert np.asarray(Image.open(tmp_path / "truth_grid.png")).shape[0] > 2 * 192


def test_what_a_run_from_the_dataset_took_is_not_looked_for(grid, clip, dataset, tmp_path):
    """Uneven instants, as where the record's rate is no multiple of the grid's."""
    instants = np.array([0, 1, 3])
    whole = decode(clip, height=HEIGHT, width=WIDTH)
    uneven = grid | {"frames": whole.frames[[SOURCE, 3, 2, 0]][:, instants]}
    poses = relative_to(whole.world_to_camera[:, instants], whole.world_to_camera[SOURCE, 0])
    uneven["world_to_camera"] = rescale(poses, UNIT)[[SOURCE, 3, 2, 0]].astype(np.float32)
    write(tmp_path, uneven)
    told = {"fps": np.asarray(3.3), "dataset": np.asarray(open_dataset(dataset).content)}
    told |= {"views": np.array([SOURCE, 3, 2, 0]), "instants": instants}
    save_arrays(tmp_path / "source.npz", told)
    assert evaluate(tmp_path, dataset) == 0
    found = json.loads((tmp_path / "truth_grid.json").read_text())
    assert "[0, 1, 3]" in json.dumps(found)


def test_a_scene_is_rendered_by_the_cameras_of_the_clip(grid, clip, dataset, tmp_path):
    """Gaussians at the true surfaces look like the views that no grid had."""
    whole = decode(clip, height=HEIGHT, width=WIDTH)
    scene = initialize(
        jnp.asarray(whole.frames[:, INSTANTS], jnp.float32) / 255,
        jnp.asarray(whole.depth[:, INSTANTS] / UNIT),
        jnp.asarray(whole.intrinsics),
        jnp.asarray(
            rescale(
                relative_to(whole.world_to_camera[:, INSTANTS], whole.world_to_camera[SOURCE, 1]),
                UNIT,
            )
        ),
        6000,
        jax.random.key(0),
    )
    write(tmp_path, {name: values[:2] for name, values in grid.items()})
    marks = {
        "fingerprint": np.array("made here"),
        "before": np.array("{}"),
        "seconds": np.zeros(()),
    }
    save_arrays(tmp_path / "scene.npz", to_arrays(scene) | marks)
    assert evaluate(tmp_path, dataset, kind="--scene") == 0
    found = json.loads((tmp_path / "truth_scene.json").read_text())
    rows = {(row["row"], row["view"]): row for row in found["rows"]}
    views = {v: row["in_grid"] for (name, v), row in rows.items() if v != "all" and "4D" in name}
    assert views == {0: False, 2: False, 3: True}
    for view in views:
        copied = rows["copy the source", view]
        assert rows["4D Gaussians", view]["psnr"] > copied["psnr"] + 3
        assert rows["4D Gaussians", view]["ssim"] > copied["ssim"] + 0.1
    page = (tmp_path / "truth_scene.md").read_text()
    assert "The grid has no camera of these views: 0, 2." in page
    save_dynamic_ply(tmp_path / "scene.4d.ply", scene)
    (tmp_path / "scene.npz").unlink()
    assert evaluate(tmp_path / "scene.4d.ply", dataset, kind="--scene") == 0
    again = json.loads((tmp_path / "truth_scene.json").read_text())
    assert again["rows"][0]["psnr"] == pytest.approx(found["rows"][0]["psnr"], abs=0.01)


def test_other_cameras_videos_and_clips_are_refused(grid, dataset, tmp_path, capsys):
    def refused(changes: dict, *options: str, kind: str = "--grid") -> str:
        write(tmp_path, grid | changes)
        assert evaluate(tmp_path, dataset, *options, kind=kind) == 2
        assert not list(tmp_path.glob("truth*"))
        return capsys.readouterr().err

    poses = grid["world_to_camera"]
    turned = orbit(np.array([40.0, -40, 60]), np.zeros(3))[:, None]
    other = np.concatenate([poses[:1], np.broadcast_to(turned, (3, 3, 4, 4))]).astype(np.float32)
    assert "no camera that is turned like" in refused({"world_to_camera": other})
    wide = intrinsics_from_fov(100.0, HEIGHT, WIDTH).astype(np.float32)
    wide = np.concatenate([grid["intrinsics"][:1], np.stack([wide] * 3)])
    assert "pixels or more elsewhere" in refused({"intrinsics": wide})
    assert "pixels or more elsewhere" in refused({}, "--unit", "5")
    noise = np.random.default_rng(0).integers(0, 256, grid["frames"].shape, np.uint8)
    assert "no view that shows the source video" in refused({"frames": noise})
    assert "found 0 of scene '7', expected one of 0 (room)" in refused({}, "--clip", "7")
    assert "expected a saved scene" in refused({}, kind="--scene")
    assert main(["evaluate", "--scene", str(tmp_path / "no.ply"), "--truth", str(dataset)]) == 2
    assert "no.ply: found no such file" in capsys.readouterr().err
    assert "a length above 0" in refused({}, "--unit", "-1")
    long = {"frames": np.repeat(grid["frames"], 3, 1), "world_to_camera": np.repeat(poses, 3, 1)}
    assert "a shorter clip" in refused(long)
    assert main(["evaluate", "--grid", str(tmp_path), "--clip", "0"]) == 2
    assert "give the dataset" in capsys.readouterr().err


def test_the_source_is_found_without_a_rate(clip):
    whole = decode(clip, height=HEIGHT, width=WIDTH)
    video = whole.frames[2, [0, 2, 4]]
    for fps in (None, 5.0):
        found = find_source(video, whole.frames, whole.timestamps, fps)
        assert (found.view, found.instants.tolist()) == (2, [0, 2, 4])
        assert found.psnr > 60
    assert find_source(video, whole.frames, whole.timestamps, 2.0) is None


def test_a_parallel_rig_tells_its_unit_by_its_spacing():
    """All cameras look the same way; what one camera leaves open, two tell."""
    places = np.array([0.0, 1.0, 2.0, 4.0])
    clip_poses = np.tile(np.eye(4), (4, 1, 1, 1))
    clip_poses[:, 0, 0, 3] = -places
    lens = np.tile(intrinsics_from_fov(60.0, 48, 64), (4, 1, 1))
    grid = rescale(clip_poses, 2.0)
    both = match_cameras(lens[:3], grid[[0, 1, 3]], lens, clip_poses, 0, (48, 64))
    assert (both.views.tolist(), both.unit) == ([0, 1, 3], pytest.approx(2.0))
    assert not both.rivals
    one = match_cameras(lens[:2], grid[[0, 1]], lens, clip_poses, 0, (48, 64))
    assert sorted([one.unit, *one.rivals]) == pytest.approx([2.0, 4.0, 8.0])
    told = match_cameras(lens[:2], grid[[0, 1]], lens, clip_poses, 0, (48, 64), unit=4.0)
    assert (told.views.tolist(), told.rivals) == ([0, 2], ())
