"""Training from records: the clips, the same on every number of hosts, resumed to the bit."""

import dataclasses
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from changed import changed
from some_batches import grid_batches

from full4d_jax.config import RealFrames, load_config
from full4d_jax.data.encode import resized
from full4d_jax.models.dit.sharding import put_batch, rows_here
from full4d_jax.session.errors import InputError
from full4d_jax.training.checkpoints.resume import check_same_run, run_record
from full4d_jax.training.clips import mixing
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.clips.mixing import (
    contents,
    open_folders,
    record_names_at,
)
from full4d_jax.training.state import training_mesh
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.clips import ProceduralClips, scene_program

CLIPS = ProceduralClips(first=0, count=8, views=3, frames=4, height=32, width=32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_dataset(folder, CLIPS, name="scenes", shards=2)
    return folder


def configured(*records: object, **data):
    """A small experiment on two views and two instants."""
    config = load_config("configs/debug.py")
    own = {"views": 2, "frames": 2, "height": 32, "width": 32}
    own |= {"records": tuple(map(str, records)), **data}
    return changed(config, data=own, training={"batch": 4})


def test_a_whole_record_is_the_rendered_scene(dataset):
    config = configured(dataset, views=3, frames=4)
    batch = next(grid_batches(config, 0))
    for i, name in enumerate(record_names_at(config, 0)):
        scene = int(re.findall(r"procedural-(\d+)", name)[0])
        truth = scene_program(3, 4, 32, 32, "simple")(np.int32(scene))
        np.testing.assert_allclose(batch.depth[i], truth.depth[0], rtol=2e-3, atol=1e-3)
        # Views come in random order; the poses tell which is which.
        for view in range(3):
            pose = batch.cameras.world_to_camera[i, view]
            away = np.abs(truth.world_to_camera - pose[None])
            same = int(away.max((1, 2, 3)).argmin())
            assert (view == 0) == (same == 0)
            # The unit is that of depth in half precision.
            assert away[same].max() < 2e-3
            frames = np.asarray(batch.frames[i, view]) / 2 + 0.5
            # JPEG halves colours.
            assert np.abs(frames - truth.frames[same]).mean() < 0.06
            lens = batch.cameras.intrinsics[i, view]
            np.testing.assert_allclose(lens, truth.intrinsics[same])


def test_hosts_together_see_the_batches_of_one(dataset):
    config = configured(dataset)
    mixture = mixing.open_records(config)
    rows = (range(4), [0, 1], [2, 3])
    streams = [mixing.host_clips(config, mixture, 0, x) for x in rows]
    for _ in range(3):
        for field, *mine in zip(*(next(stream)[:4] for stream in streams), strict=True):
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
        expected = np.broadcast_to(shapes[-1][::-1], middle.shape) / 2
        np.testing.assert_allclose(middle, expected)
    assert set(shapes) == {(16, 16), (16, 32)}
    again = grid_batches(config, 5)
    assert [next(again).frames.shape[3:5] for _ in range(3)] == shapes[5:]
    config = changed(config, mesh={"data": 2, "fsdp": 2, "view": 2})
    on_mesh = next(training_batches(config, 7, training_mesh(config)))
    jax.tree.map(np.testing.assert_array_equal, on_mesh, batch)


def test_a_mesh_gets_the_same_batches(dataset):
    config = configured(dataset)
    config = changed(config, mesh={"data": 2, "fsdp": 2, "view": 2})
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


def test_a_dataset_may_move_but_not_change(dataset, tmp_path):
    def record(*folders: Path):
        config = configured(*folders)
        return run_record(config, None) | {"records": contents(*open_folders(config))}

    moved = tmp_path / "moved"
    shutil.copytree(dataset, moved)
    check_same_run(record(dataset), record(moved), tmp_path, 0)
    write_dataset(
        tmp_path / "other", dataclasses.replace(CLIPS, first=8), name="scenes"
    )
    for other in ([tmp_path / "other"], [dataset, tmp_path / "other"], []):
        with pytest.raises(InputError, match=r"data.records: found .*sha256:"):
            check_same_run(record(dataset), record(*other), tmp_path, 0)


class Blind(ProceduralClips):
    """Without depth."""

    def __getitem__(self, index: int):
        example = super().__getitem__(index)
        return example._replace(depth16=np.full(example.frames.shape, b"", object))


def test_depth_is_asked_for_where_it_is_projected(tmp_path):
    clips = Blind(first=0, count=4, views=3, frames=4, height=32, width=32)
    write_dataset(tmp_path, clips, name="blind")
    config = configured(tmp_path)
    with pytest.raises(InputError, match=r"no view with depth.*RealFrames"):
        training_batches(config, 0)
    poseless = changed(config, model={"guide": RealFrames(), "cameras": ()})
    batch = next(grid_batches(poseless, 0))
    assert not np.asarray(batch.depth).any()
    np.testing.assert_allclose(
        batch.cameras.world_to_camera[0, 0, 0], np.eye(4), atol=1e-6
    )
