"""A split is evaluated clip by clip and goes on where it stopped."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image
from textured_room import Clips, make_room

from full4d_jax.config import Config, DataConfig, LiftConfig, ModelConfig
from full4d_jax.evaluation import prior_rows, results
from full4d_jax.evaluation.in_source import check_split, split_grid
from full4d_jax.evaluation.prior_rows import Judge
from full4d_jax.evaluation.results import append_line
from full4d_jax.evaluation.table import COPY
from full4d_jax.generation.prior import prior_with
from full4d_jax.models.dit import init_params
from full4d_jax.session.errors import InputError
from full4d_jax.source.capture_source import open_split
from full4d_jax.source.depth.estimate import load_depth
from input_pipeline.cameras import centers
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.transforms import decode

CONFIG = Config(
    model=ModelConfig(width=64, layers=1, heads=1, ffn=64, refiner=0),
    data=DataConfig(views=3, frames=2, height=16, width=16, strides=(2,)),
    lift=LiftConfig(steps=15, capacity=300),
)


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
        apart = np.linalg.norm(np.diff(centers(whole.world_to_camera[views, 0]), axis=0), axis=-1)
        found = np.linalg.norm(np.diff(centers(cameras.world_to_camera[:, 0]), axis=0), axis=-1)
        if example.scene_id == "room1":
            assert grid.depth is None
            np.testing.assert_allclose(apart / found, 1.8, rtol=0.01)  # of all cameras to one point
        else:
            assert grid.depth is not None
            assert np.median(grid.depth[0, 0]) == pytest.approx(1, abs=1e-3)
            unit = np.median(whole.depth[source, 0])
            np.testing.assert_allclose(apart / found, unit, rtol=1e-4)


@pytest.mark.slow
def test_an_interrupted_split_goes_on_where_it_stopped(rooms, tmp_path, monkeypatch):
    monkeypatch.setattr(prior_rows, "NOISY_STEPS", (1,))  # each number of steps compiles a program
    params = jax.jit(init_params, static_argnums=0)(CONFIG.model, jax.random.key(0))
    judge, records = (
        Judge(CONFIG, prior_with(CONFIG, params), load_depth(), {}),
        open_split(rooms[0], "test"),
    )
    whole, scored = results.score, []

    def stopping(candidates, distances):
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(candidates)
        return whole(candidates, distances)

    monkeypatch.setattr(results, "score", stopping)
    with pytest.raises(KeyboardInterrupt):
        prior_rows.evaluate_split(judge, tmp_path, records)
    assert not (tmp_path / "evaluation.md").exists()
    monkeypatch.setattr(results, "score", whole)
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
