"""Training from records: the clips, the same on every number of hosts, resumed to the bit."""

import dataclasses
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from grid_batches import grid_batches

from full4d_jax.config import check_config, load_config
from full4d_jax.data.encode import resized
from full4d_jax.models.sharding import put_batch, rows_here
from full4d_jax.session.errors import InputError
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.checkpoints.resume import check_same_run, run_record
from full4d_jax.training.clips import record_clips, records
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.clips.records import contents, open_records, record_names_at
from full4d_jax.training.placement import training_mesh
from full4d_jax.training.state import init_state
from full4d_jax.training.step import train_step
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.clips import ProceduralClips, scene_program
from input_pipeline.transforms import decode_view, encode_view

CLIPS = ProceduralClips(first=0, count=8, views=3, frames=4, height=32, width=32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_dataset(folder, CLIPS, name="scenes", shards=2)
    return folder


def configured(*records: object, **data):
    """A small experiment on two views and two instants."""
    config = load_config("configs/debug.py")
    size = {"views": 2, "frames": 2, "height": 32, "width": 32, "records": tuple(map(str, records))}
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **(size | data)),
        training=dataclasses.replace(config.training, batch=4),
    )


def test_a_whole_record_is_the_rendered_scene(dataset):
    config = configured(dataset, views=3, frames=4)
    batch = next(grid_batches(config, 0))
    scenes = [int(re.findall(r"procedural-(\d+)", name)[0]) for name in record_names_at(config, 0)]
    for i, scene in enumerate(scenes):
        truth = scene_program(3, 4, 32, 32, "simple")(np.int32(scene))
        np.testing.assert_allclose(batch.depth[i], truth.depth[0], rtol=2e-3, atol=1e-3)
        # Views come in random order; the poses tell which is which.
        for view in range(3):
            away = np.abs(truth.world_to_camera - batch.cameras.world_to_camera[i, view][None])
            same = int(away.max((1, 2, 3)).argmin())
            assert (view == 0) == (same == 0)
            assert away[same].max() < 2e-3  # the unit is that of depth in half precision
            frames = np.asarray(batch.frames[i, view]) / 2 + 0.5
            assert np.abs(frames - truth.frames[same]).mean() < 0.06  # JPEG halves colours
            np.testing.assert_allclose(batch.cameras.intrinsics[i, view], truth.intrinsics[same])


class Films(ProceduralClips):
    """Stored as films, the sources' too."""

    def __getitem__(self, index: int):
        example = super().__getitem__(index)
        views = [encode_view(decode_view(files), film=True) for files in example.frames]
        return example._replace(frames=np.stack(views))


def test_films_give_the_batches_of_jpeg_files(dataset, tmp_path):
    filmed = Films(first=0, count=8, views=3, frames=4, height=32, width=32)
    write_dataset(tmp_path, filmed, name="scenes", shards=2)
    for step in range(2):
        files = next(grid_batches(configured(dataset), step))
        films = next(grid_batches(configured(tmp_path), step))
        shown, expected = np.asarray(films.frames), np.asarray(files.frames)
        other_clips = np.abs(shown - np.roll(expected, 1, 0)).mean()
        assert 0 < np.abs(shown - expected).mean() < min(0.04, other_clips / 5)
        given = ((x.depth, x.cameras) for x in (films, files))
        for found, wanted in zip(*map(jax.tree.leaves, given), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_windows_start_anywhere_and_the_world_with_them(dataset):
    config = configured(dataset, strides=(1, 2))
    sized = open_records(config).sources[0][0]
    clips = []
    for i in range(30):
        part = record_clips.choose(sized, np.random.default_rng(i), config)
        clip = record_clips.allocate(part, 1, config)
        record_clips.load(part, clip, 0, config)
        clips.append(clip._replace(depth=clip.depth[0], world_to_camera=clip.world_to_camera[0]))
    assert len({clip.depth.tobytes() for clip in clips}) == 5  # 3 windows, 2 with steps of two
    for clip in clips:
        np.testing.assert_allclose(clip.world_to_camera[0, 0], np.eye(4), atol=1e-6)
        assert np.median(clip.depth[0]) == pytest.approx(1, abs=1e-5)


def test_hosts_together_see_the_batches_of_one(dataset):
    config = configured(dataset)

    mixture = open_records(config)
    whole, *parts = (
        records.host_clips(config, mixture, 0, rows) for rows in (range(4), [0, 1], [2, 3])
    )
    for _ in range(3):
        halves = [next(part) for part in parts]
        for field, *mine in zip(next(whole)[:4], *(half[:4] for half in halves), strict=True):
            np.testing.assert_array_equal(field, np.concatenate(mine))


class Wide(ProceduralClips):
    """Twice as wide, cut out of the others: a size of its own would be another program."""

    def __getitem__(self, index: int):
        return resized(super().__getitem__(index), 32, 64)


def test_buckets_hold_clips_by_shape_and_batches_one_size(dataset, tmp_path):
    wide = Wide(first=100, count=6, views=3, frames=4, height=32, width=32)
    write_dataset(tmp_path / "wide", wide, name="wide")
    config = configured(dataset, tmp_path / "wide", buckets=("16x16", "16x32"))
    stream, shapes = grid_batches(config, 0), []
    for step in range(8):
        batch = next(stream)
        shapes.append(batch.frames.shape[3:5])
        is_wide = ["wide" in name for name in record_names_at(config, step)]
        assert is_wide == [shapes[-1] == (16, 32)] * 4
        middle = batch.cameras.intrinsics[:, :, :2, 2]
        np.testing.assert_allclose(middle, np.broadcast_to(shapes[-1][::-1], middle.shape) / 2)
    assert set(shapes) == {(16, 16), (16, 32)}
    again = grid_batches(config, 5)
    assert [next(again).frames.shape[3:5] for _ in range(3)] == shapes[5:]
    config = dataclasses.replace(
        config, mesh=dataclasses.replace(config.mesh, data=2, fsdp=2, view=2)
    )
    on_mesh = next(training_batches(config, 7, training_mesh(config)))
    jax.tree.map(np.testing.assert_array_equal, on_mesh, batch)
    for wrong, said in (("16", "16"), ("16x20", "16x20"), ("16x0", "16x0")):
        bad = dataclasses.replace(config.data, buckets=(wrong,))
        with pytest.raises(InputError, match=f"data.buckets: found '{said}'"):
            check_config(dataclasses.replace(config, data=bad))


def test_a_mesh_gets_the_same_batches(dataset):
    config = configured(dataset)
    config = dataclasses.replace(
        config, mesh=dataclasses.replace(config.mesh, data=2, fsdp=2, view=2)
    )
    mesh = training_mesh(config)
    assert mesh is not None
    on_mesh, alone = grid_batches(config, 1, mesh), grid_batches(config, 1)
    for _ in range(2):
        cut = next(on_mesh)
        assert len({str(shard.index) for shard in cut.frames.addressable_shards}) == 4
        jax.tree.map(np.testing.assert_array_equal, cut, next(alone))
    assert rows_here(mesh, 4) == [0, 1, 2, 3]
    mine = put_batch(mesh, np.arange(8.0)[[1, 3, 5, 7]], [0, 1, 2, 3], 4)
    np.testing.assert_array_equal(mine, [1, 3, 5, 7])


def test_mixing_by_weights_and_the_names_of_a_batch(dataset, tmp_path):
    other = ProceduralClips(first=100, count=3, views=3, frames=4, height=32, width=32)
    write_dataset(tmp_path / "other", other, name="other")
    config = configured(f"{dataset}=1", f"{tmp_path / 'other'}=3")
    names = [name for step in range(4) for name in record_names_at(config, step)]
    assert sum("other" in name for name in names) == 12
    assert sum(str(dataset) in name for name in names) == 4
    plain = configured(dataset, tmp_path / "other")
    assert open_records(plain).weights == (8, 3)  # every clip alike


@pytest.mark.slow
def test_two_steps_and_the_second_again_from_a_checkpoint(dataset, tmp_path):
    config = configured(dataset, height=16, width=16)
    model = dataclasses.replace(config.model, layers=1, width=32, heads=2, ffn=32, refiner=0)
    optimizer = dataclasses.replace(config.optimizer, kind="adamw")  # compiles faster
    config = dataclasses.replace(config, model=model, optimizer=optimizer)
    step, stream = jax.jit(train_step(config)), training_batches(config, 0)
    state, _ = step(init_state(config, jax.random.key(0)), next(stream))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(state, {})
    twice, metrics = step(state, next(stream))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        restored, _ = checkpoints.restore(state)
    again, repeated = step(restored, next(training_batches(config, int(restored.step))))
    jax.tree.map(np.testing.assert_array_equal, (again, repeated), (twice, metrics))
    assert int(again.step) == 2
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), again.params, state.params)
    assert any(jax.tree.leaves(changed))


def test_a_dataset_may_move_but_not_change(dataset, tmp_path):
    def record(*folders: Path):
        config = configured(*folders)
        return run_record(config, None) | {"records": contents(config)}

    moved = tmp_path / "moved"
    shutil.copytree(dataset, moved)
    check_same_run(record(dataset), record(moved), tmp_path, 0)
    write_dataset(tmp_path / "other", dataclasses.replace(CLIPS, first=8), name="scenes")
    for other in ([tmp_path / "other"], [dataset, tmp_path / "other"], []):
        with pytest.raises(InputError, match=r"data.records: found .*sha256:"):
            check_same_run(record(dataset), record(*other), tmp_path, 0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"views": 4}, r"3 views, expected at least 4; lower --data.views"),
        ({"frames": 3, "strides": (2, 3)}, r"4 frames, expected at least 5; lower --data.frames"),
    ],
)
def test_records_that_are_too_small(dataset, data, said):
    with pytest.raises(InputError, match=said):
        training_batches(configured(dataset, **data), 0)


def test_records_that_cannot_be_used(dataset, tmp_path):
    with pytest.raises(InputError, match="expected a finished dataset"):
        training_batches(configured(tmp_path), 0)
    with pytest.raises(InputError, match="a weight above 0 for all datasets or for none"):
        training_batches(configured(f"{dataset}=2", dataset), 0)


class Blind(ProceduralClips):
    """Without depth."""

    def __getitem__(self, index: int):
        example = super().__getitem__(index)
        return example._replace(depth16=np.full(example.frames.shape, b"", object))


def test_depth_is_asked_for_where_it_is_projected(tmp_path):
    clips = Blind(first=0, count=4, views=3, frames=4, height=32, width=32)
    write_dataset(tmp_path, clips, name="blind")
    config = configured(tmp_path)
    with pytest.raises(InputError, match=r"no view with depth.*--model.projection none"):
        training_batches(config, 0)
    model = dataclasses.replace(config.model, projection="none", cameras=())
    batch = next(grid_batches(dataclasses.replace(config, model=model), 0))
    assert not np.asarray(batch.depth).any()
    np.testing.assert_allclose(batch.cameras.world_to_camera[0, 0, 0], np.eye(4), atol=1e-6)
