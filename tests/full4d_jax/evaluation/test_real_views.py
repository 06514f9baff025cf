"""An output folder against the clip that it records: compared, or refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from textured_room import Clips, make_room

from full4d_jax.cameras import Cameras
from full4d_jax.cli import main
from full4d_jax.evaluation import fidelity, real_views
from full4d_jax.evaluation.fidelity import compare
from full4d_jax.grid import About, Grid, Origin, Place, grid_arrays
from full4d_jax.scene.scene_reader import to_arrays
from full4d_jax.session.stages import Stages
from gaussians import initialize
from input_pipeline.datasets.dataset import open_dataset, write_dataset
from input_pipeline.pinhole import relative_to, rescale
from input_pipeline.transforms import decode

HEIGHT, WIDTH, UNIT = 48, 64, 1.7
SOURCE = 1
# Uneven, as where the record's rate is no multiple of the grid's.
INSTANTS = [0, 1, 3]
TARGETS = [0, 2, 3]


@pytest.fixture(autouse=True)
def no_lpips(monkeypatch):
    """`test_fidelity.py` has it; here its networks would take most of the time."""
    monkeypatch.setattr(fidelity, "open_lpips", lambda: None)


@pytest.fixture(scope="module")
def clip():
    return make_room(views=4, height=HEIGHT, width=WIDTH, frames=4)


@pytest.fixture(scope="module")
def dataset(clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("room") / "set"
    other = clip._replace(scene_id="other", frames=clip.frames[::-1])
    write_dataset(folder, Clips([clip, other]), name="room", splits={"test": 1.0})
    return folder


@pytest.fixture(scope="module")
def whole(clip):
    """The clip with poses in the output folder's world and unit."""
    whole = decode(clip, height=HEIGHT, width=WIDTH)
    poses = relative_to(
        whole.world_to_camera, whole.world_to_camera[SOURCE, INSTANTS[0]]
    )
    return whole._replace(world_to_camera=rescale(poses, UNIT).astype(np.float32))


def write(folder, dataset, whole, shown=(SOURCE, *TARGETS), /, **changes):
    """Write the files of a run from the dataset; None in `changes` is not recorded."""
    records = open_dataset(dataset, "test")
    views = list(shown)
    place = Place(
        dataset=records.content,
        split="test",
        clip=records.scene_ids.index("room"),
        view=SOURCE,
        views=np.array(views),
        instants=np.array(INSTANTS),
        unit=UNIT,
    )
    frames = whole.frames[views][:, INSTANTS]
    poses = whole.world_to_camera[views][:, INSTANTS]
    origin = np.full(frames.shape[:2], Origin.GENERATED, np.uint8)
    origin[0] = Origin.REAL
    made = Grid(
        frames=frames,
        origin=origin,
        times=np.arange(len(INSTANTS)) / 10,
        cameras=Cameras(whole.intrinsics[views], poses, HEIGHT, WIDTH),
        about=About(place=place),
    )
    grid = grid_arrays(made) | changes
    arrays = {name: np.asarray(x) for name, x in grid.items() if x is not None}
    folder.mkdir(exist_ok=True)
    Stages(folder).run("grid", arrays, lambda: arrays)


def evaluate(folder, dataset, *options) -> int:
    return main(["evaluate", str(folder), "--truth", str(dataset), *options])


def rows_of(folder, kind: str) -> dict:
    found = json.loads((folder / f"truth_{kind}.json").read_text())
    by = {
        (
            row["row"],
            clip["scene"] if clip["group"] == "each view" else clip["group"],
        ): row
        for clip in found["clips"]
        for row in clip["rows"]
    }
    return found | {"by": by}


def test_a_grid_is_compared_in_its_own_views(dataset, whole, tmp_path, capsys):
    """An error of .1 is 20 dB."""
    frames = whole.frames[[SOURCE, *TARGETS]][:, INSTANTS]
    target = frames[3].astype(np.float32)
    frames[3] = np.round(np.where(target < 128, target + 25.5, target - 25.5))
    write(tmp_path, dataset, whole, frames=frames)
    assert evaluate(tmp_path, dataset) == 0
    found = rows_of(tmp_path, "grid")
    facts = {"source_view": SOURCE, "instants": INSTANTS, "unit": UNIT, "scene": "room"}
    assert (
        found.items() >= (facts | {"split": "test", "depth": "in the record"}).items()
    )
    rows = found["by"]
    assert rows["generated grid", 3]["psnr"] == pytest.approx(20.0, abs=0.1)
    assert rows["generated grid", 0]["psnr"] is None  # exact
    assert rows["generated grid", "all views"]["psnr"] == pytest.approx(24.8, abs=0.1)
    ssim = rows["generated grid", "all views"]["ssim"]
    for other in ("copy the source", "projection + cv2.inpaint (Telea)"):
        assert rows[other, "all views"]["psnr"] < 20
        assert rows[other, "all views"]["ssim"] < ssim
    assert rows["generated grid", 3]["psnr_unseen"] == pytest.approx(20, abs=0.5)
    page = (tmp_path / "truth_grid.md").read_text()
    assert page in capsys.readouterr().out
    assert np.asarray(Image.open(tmp_path / "truth_grid.png")).shape[0] > 2 * 128


@pytest.mark.slow
def test_a_scene_is_rendered_by_all_cameras_of_the_clip(
    dataset, whole, tmp_path, monkeypatch
):
    """Gaussians at the true surfaces look like the views that no grid had."""
    # The projection is held above, and its programs take long to compile.
    monkeypatch.setattr(fidelity, "compare", only_copied)
    scene = initialize(
        jnp.asarray(whole.frames[:, INSTANTS], jnp.float32) / 255,
        jnp.asarray(whole.depth[:, INSTANTS] / UNIT),
        jnp.asarray(whole.intrinsics),
        jnp.asarray(whole.world_to_camera[:, INSTANTS]),
        20_000,
        jax.random.key(0),
    )
    write(tmp_path, dataset, whole, (SOURCE, 3))
    Stages(tmp_path).run("scene", {}, lambda: to_arrays(scene))
    assert evaluate(tmp_path, dataset, "--scene") == 0
    rows = rows_of(tmp_path, "scene")["by"]
    for view in TARGETS:
        copied = rows["copy the source", view]
        assert rows["4D Gaussians", view]["psnr"] > copied["psnr"] + 3
        assert rows["4D Gaussians", view]["ssim"] > copied["ssim"] + 0.1
    page = (tmp_path / "truth_scene.md").read_text()
    assert "These views were not fitted: 0, 2." in page


def test_some_instants_and_what_was_held_out_have_scores_of_their_own(
    dataset, whole, tmp_path, monkeypatch
):
    """The score of a picture of a black scene is that of its brightness."""
    monkeypatch.setattr(fidelity, "compare", only_copied)
    monkeypatch.setattr(real_views, "render_views", black)
    write(tmp_path, dataset, whole, (SOURCE, *TARGETS))
    held_out = np.zeros((4, 3), bool)
    held_out[1] = held_out[2, 2] = True  # all of view 0, and of view 2 the last instant
    grid = dict(Stages(tmp_path).finished("grid"))
    grid["origin"] = np.where(held_out, Origin.HELD_OUT, Origin.REAL).astype(np.uint8)
    Stages(tmp_path).run("grid", {"again": 1}, lambda: grid)
    scene = initialize(
        jnp.zeros((1, 1, 8, 8, 3)),
        jnp.ones((1, 1, 8, 8)),
        jnp.eye(3)[None],
        jnp.eye(4)[None, None],
        10,
        jax.random.key(0),
    )
    Stages(tmp_path).run("scene", {}, lambda: to_arrays(scene))
    assert evaluate(tmp_path, dataset, "--scene") == 0
    found = rows_of(tmp_path, "scene")
    assert len(found["instants"]) == 3
    error = (whole.frames[:, found["instants"]] / 255.0) ** 2
    mean = error.mean((2, 3, 4))  # of each view and instant
    parts = {"all views": mean[TARGETS], "held out": [*mean[0], mean[2, 2]]}
    parts["fitted"] = [*mean[2, :2], *mean[3]]
    for name, values in parts.items():
        expected = -10 * np.log10(np.mean(values))
        psnr = found["by"]["4D Gaussians", name]["psnr"]
        assert psnr == pytest.approx(expected, abs=1e-3)
    text = (tmp_path / "truth_scene.md").read_text()
    assert "These views were not fitted: 0." in text


def black(scene, cameras, times, background):
    return np.zeros((len(cameras.intrinsics), len(times), HEIGHT, WIDTH, 3), np.uint8)


def only_copied(truth, depths):
    return compare(truth, {})


def test_folders_without_a_record_and_other_data_sets_are_refused(
    dataset, whole, clip, tmp_path, capsys
):
    def refused(*options, given=dataset, shown=(SOURCE, *TARGETS), **changes) -> str:
        write(tmp_path / "out", dataset, whole, shown, **changes)
        assert evaluate(tmp_path / "out", given, *options) == 2
        assert not list(tmp_path.glob("out/truth*"))
        return capsys.readouterr().err

    assert "grid.npz: found dataset" in refused(unit=None)
    record = ("dataset", "split", "clip", "view", "views", "instants", "unit")
    line = refused(**dict.fromkeys(record))
    assert "grid.npz: found no record of a data set" in line
    assert "give full4d run, sample or lift a data set" in line
    write_dataset(tmp_path / "other", Clips([clip]), name="room", splits={"test": 1.0})
    line = refused(given=tmp_path / "other")
    assert "give that --truth, or run again" in line
    assert "expected a saved scene" in refused("--scene")
    assert "no view but what was given" in refused(shown=(SOURCE,))
    assert "--split: found test, expected none, with --truth" in refused(
        "--split", "test"
    )
    assert main(["evaluate", str(tmp_path / "out"), "--scene"]) == 2
    assert "expected the data set" in capsys.readouterr().err
