"""A prior is scored on the right pixels, clip by clip, and an evaluation resumes."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image
from textured_room import Clips, make_room

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, DataConfig, LiftConfig, ModelConfig
from full4d_jax.evaluation import fidelity, prior_rows
from full4d_jax.evaluation.fidelity import ClipRows, compare, score
from full4d_jax.evaluation.prior_rows import Judge, check_split, split_grid
from full4d_jax.evaluation.table import COPY, PRIOR, PUSH_PULL, append_line, open_lines
from full4d_jax.generation.prior import prior_with
from full4d_jax.generation.real_frames import row_and_column
from full4d_jax.grid import Grid, all_real
from full4d_jax.media.pictures import to_model
from full4d_jax.models.dit.dit import init_params
from full4d_jax.session.errors import InputError
from full4d_jax.source.capture_source import open_split
from full4d_jax.source.depth.our_network import DepthNetwork, estimate_depth, load_depth
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.pinhole import centers
from input_pipeline.transforms import decode

CONFIG = Config(
    model=ModelConfig(width=64, layers=1, heads=1, ffn=64, refiner=0),
    data=DataConfig(views=3, frames=2, height=16, width=16, strides=(2,)),
    lift=LiftConfig(steps=15, capacity=300),
)


def untrained(config: Config) -> Judge:
    params = jax.jit(init_params, static_argnums=0)(config.model, jax.random.key(0))
    return Judge(config, prior_with(config, params), load_depth())


def wall(shift: float, size: int = 16) -> Grid:
    """A textured wall at depth 1, from a source and a target that stands `shift` to its right."""
    focal = float(size)
    texture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    moved = np.eye(4, dtype=np.float32)
    moved[0, 3] = -shift
    intrinsics = np.array(
        [[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32
    )
    frames = np.stack([texture, np.roll(texture, -round(shift * focal), 1)])[:, None]
    poses = np.stack([np.eye(4, dtype=np.float32), moved])[:, None]
    cameras = Cameras(np.stack([intrinsics] * 2), poses, size, size)
    return Grid(
        frames, all_real(frames), np.zeros(1), cameras, np.ones((1, 1, size, size))
    )


def unseen(truth: Grid):
    assert truth.depth is not None
    return compare(truth, {"true": truth.depth[0]}).regions["_unseen"]


def test_unseen_is_what_the_source_frame_does_not_show():
    """Four pixels of parallax hide four columns at the right border and nothing else."""
    expected = np.zeros((1, 1, 16, 16))
    np.testing.assert_array_equal(unseen(wall(0.0)), expected)
    expected[..., 12:] = 1
    np.testing.assert_array_equal(unseen(wall(0.25)), expected)


def test_an_untrained_prior_is_the_push_pull_row():
    """Without noise its one call returns the filled projection: one start for both rows."""
    data = DataConfig(views=2, frames=1, height=16, width=16)
    judge = untrained(dataclasses.replace(CONFIG, data=data))
    grid = wall(0.25)
    clip = prior_rows.rows_of_clip(judge, 7, grid)
    filled = {
        name: frames for (name, depth), frames in clip.rows.items() if depth == "true"
    }
    np.testing.assert_allclose(filled[PRIOR], filled[PUSH_PULL], atol=1e-5)
    hidden = unseen(grid)
    assert hidden is not None
    seen = 1 - hidden[..., None]
    for frames in filled.values():
        np.testing.assert_allclose(frames * seen, clip.truth * seen, atol=1 / 255)
    assert isinstance(judge.depth, DepthNetwork)
    estimate = np.asarray(estimate_depth(judge.depth, to_model(grid.frames[0])))
    record = score(clip._replace(rows={(PUSH_PULL, "true"): clip.truth}), judge.lpips)
    assert record["hole_fraction"] == 0.25
    error = np.abs(estimate / np.median(estimate) - 1).mean()  # the wall is at depth 1
    assert record["depth_absrel"] == pytest.approx(error, rel=1e-4)
    assert record["rows"][0]["ssim"] == pytest.approx(1, abs=1e-5)


def test_scores_of_grids_count_hidden_frames_only():
    truth = np.random.default_rng(0).uniform(0, 1, (2, 2, 16, 16, 3)).astype(np.float32)
    wrong = truth.copy()
    wrong[0, 1] = 0  # given

    def scores() -> dict:
        whole = ClipRows(truth, {}, {(PRIOR, "none"): wrong})
        return score(whole.part(~row_and_column(2, 2)), None)["rows"][0]

    assert (scores()["psnr"], scores()["ssim"]) == (None, pytest.approx(1))  # exact
    wrong[1, 1] += 0.1
    assert scores()["psnr"] == pytest.approx(20, abs=1e-3)
    assert scores()["lpips"] is None


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Three clips of 4 views; the middle one has no depth, the last only in its third view."""
    clips = [make_room(views=4, height=24, width=32, frames=n) for n in (3, 4, 3)]
    clips = [clip._replace(scene_id=f"room{i}") for i, clip in enumerate(clips)]
    bare = np.full((4, 4), b"", object)
    clips[1] = clips[1]._replace(depth16=bare)
    third = bare[:, :3].copy()
    third[2] = clips[2].depth16[2]
    clips[2] = clips[2]._replace(depth16=third)
    folder = tmp_path_factory.mktemp("rooms") / "set"
    write_dataset(folder, Clips(clips), name="rooms", splits={"test": 1.0})
    return folder, sorted(clips, key=lambda clip: clip.scene_id)


def test_clips_are_cut_from_records_in_the_source_frame(rooms):
    folder, clips = rooms
    records = open_split(folder, "test")
    check_split(records, CONFIG.data)
    for number in range(3):
        grid = split_grid(records, CONFIG.data, number)
        example = clips[int(records.scene_ids[number][-1])]
        source = {"room0": 0, "room1": 0, "room2": 2}[example.scene_id]
        views = [source, *{0: [1, 3], 2: [0, 3]}[source]]
        whole = decode(example, height=16, width=16)
        np.testing.assert_array_equal(grid.frames, whole.frames[views][:, [0, 2]])
        cameras = grid.known_cameras
        np.testing.assert_array_equal(cameras.intrinsics, whole.intrinsics[views])
        np.testing.assert_allclose(cameras.world_to_camera[0, 0], np.eye(4), atol=1e-6)
        apart, found = (
            np.linalg.norm(np.diff(centers(poses), axis=0), axis=-1)
            for poses in (
                whole.world_to_camera[views, 0],
                cameras.world_to_camera[:, 0],
            )
        )
        if example.scene_id == "room1":
            assert grid.depth is None
            # Of all cameras to one point.
            np.testing.assert_allclose(apart / found, 1.8, rtol=0.01)
        else:
            assert grid.depth is not None
            assert np.median(grid.depth[0, 0]) == pytest.approx(1, abs=1e-3)
            unit = np.median(whole.depth[source, 0])
            np.testing.assert_allclose(apart / found, unit, rtol=1e-4)


@pytest.mark.slow
def test_an_interrupted_split_goes_on_where_it_stopped(rooms, tmp_path, monkeypatch):
    judge, records = untrained(CONFIG), open_split(rooms[0], "test")
    whole, scored = fidelity.score, []

    def stopping(candidates, lpips):
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(candidates)
        return whole(candidates, lpips)

    monkeypatch.setattr(fidelity, "score", stopping)
    with pytest.raises(KeyboardInterrupt):
        prior_rows.evaluate_split(judge, tmp_path, records)
    assert not (tmp_path / "evaluation.md").exists()
    monkeypatch.setattr(fidelity, "score", whole)
    prior_rows.evaluate_split(judge, tmp_path, records)
    assert len(scored) == 2
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()[1:]
    found = {(line := json.loads(text))["scene"]: line for text in lines}
    assert sorted(found) == [0, 1, 2]
    depths = {
        records.scene_ids[number]: {row["depth"] for row in line["rows"]}
        for number, line in found.items()
    }
    assert depths["room1"] == {"none", "ours"}
    assert depths["room0"] == depths["room2"] == {"none", "true", "ours"}
    page = (tmp_path / "evaluation.md").read_text()
    assert "## test: 3 scenes" in page
    assert COPY in page
    assert np.asarray(Image.open(tmp_path / "test-2.png")).shape[0] > 128
    # Scenes that another call left in the file are not of this one's means.
    append_line(tmp_path / "scores.jsonl", found[0] | {"scene": 7})
    prior_rows.evaluate_split(judge, tmp_path, records)
    assert (tmp_path / "evaluation.md").read_text() == page
    other = judge._replace(config=dataclasses.replace(CONFIG, seed=1))
    with pytest.raises(InputError, match="an evaluation of other weights or settings"):
        prior_rows.evaluate_split(other, tmp_path, records)
    assert (tmp_path / "evaluation.md").read_text() == page


def test_running_again_continues_after_the_last_whole_line(tmp_path):
    path = tmp_path / "scores.jsonl"
    lines = ("held-out", 0), ("held-out", 2), ("rooms", 1)
    assert open_lines(path, "a") == {}
    kept = {line: {"group": line[0], "scene": line[1], "rows": []} for line in lines}
    for line in kept.values():
        append_line(path, line)
    with path.open("a") as file:
        file.write('{"group": "held-out", "sce')  # killed while writing
    assert open_lines(path, "a") == kept
    more = {"group": "held-out", "scene": 1, "rows": []}
    append_line(path, more)
    assert open_lines(path, "a") == kept | {("held-out", 1): more}
