"""Batches of rendered scenes, records and videos, by their shares, and again to the bit."""

import dataclasses
import itertools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from changed import changed
from some_batches import grid_batches, is_warp

from full4d_jax import config as configs
from full4d_jax.config import Config, MeshConfig, ModelConfig, RealFrames, check_config
from full4d_jax.generation.batch import Batch, lines
from full4d_jax.media.video_io import write_video
from full4d_jax.models.dit.sharding import make_mesh
from full4d_jax.training.clips.batches import clips_at
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.clips import ProceduralClips

# One size, so that one program renders four scenes for the batches of all tests.
POSED = Config(
    data=configs.DataConfig(views=3, frames=2, height=16, width=16, orbit=True),
    training=configs.TrainingConfig(batch=4),
)
POSELESS = dataclasses.replace(POSED, model=ModelConfig(guide=RealFrames(), cameras=()))


def with_data(config: Config, **values) -> Config:
    return changed(config, data=values)


def batches_at(config: Config, *steps: int) -> list[Batch]:
    stream = list(itertools.islice(grid_batches(config, 0), max(steps) + 1))
    return [stream[step] for step in steps]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> str:
    """A folder of six videos of noise, of which every fifth is left for evaluation."""
    folder = tmp_path_factory.mktemp("videos")
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 255, (8, 8, 8, 3), np.uint8)
        write_video(folder / f"{i}.mp4", noise.repeat(4, 1).repeat(4, 2), 8)
    return str(folder)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> tuple[str, str]:
    """Two data sets, of which the second is seen three times as often."""
    folder = tmp_path_factory.mktemp("records")
    for name, first in (("few", 0), ("more", 100)):
        clips = ProceduralClips(first, count=4, views=3, frames=2, height=16, width=16)
        write_dataset(folder / name, clips, name=name, shards=1)
    return f"{folder / 'few'}=1", f"{folder / 'more'}=3"


def test_every_other_batch_is_warped_and_any_comes_again():
    """Without a folder, scenes are warped that no other batch shows."""
    config = with_data(POSELESS, pseudo=0.5)
    made = batches_at(config, 0, 1, 2, 3)
    assert [int(is_warp(batch).sum()) for batch in made] == [0, 4, 0, 4]
    assert not np.array_equal(made[1].frames, made[3].frames)
    for step in (2, 3):
        again = next(grid_batches(config, step))
        jax.tree.map(np.testing.assert_array_equal, again, made[step])
    alone = with_data(config, pseudo=0.0)
    jax.tree.map(np.testing.assert_array_equal, made[2], next(grid_batches(alone, 1)))


def test_records_and_videos_are_seen_by_their_shares_and_named(records, videos):
    config = with_data(POSELESS, records=records, videos=videos, pseudo=0.75)
    stream = grid_batches(config, 0)
    names: list[str] = []
    for step in range(8):
        batch = next(stream)
        assert batch.frames.shape == (4, 3, 2, 16, 16, 3)
        words = list(map(str, clips_at(config, step)))
        assert is_warp(batch).all() == words[0].endswith(".mp4")
        names += words
    assert sum("/few " in name for name in names) == 2
    assert sum("/more " in name for name in names) == 6
    films = {Path(name).name for name in names if name.endswith(".mp4")}
    assert films == {f"{i}.mp4" for i in (0, 1, 2, 3, 5)}


def test_a_posed_prior_sees_reprojected_videos_too(records, videos):
    """The second of two views is the video; with three views others turn; the rest are records."""
    two = with_data(POSED, records=records, videos=videos, pseudo=0.5)
    recorded, filmed = batches_at(two, 0, 1)
    assert recorded.frames.shape[1] == 3
    assert filmed.frames.shape[1] == 2
    poses = np.asarray(filmed.cameras.world_to_camera)
    np.testing.assert_array_equal(poses[:, 0], np.broadcast_to(np.eye(4), (4, 2, 4, 4)))
    assert np.abs(poses[:, 1] - np.eye(4)[None, None]).max() > 0.02
    three = with_data(two, pseudo_views=3)
    check_config(three)
    recorded, filmed = batches_at(three, 0, 1)
    assert jax.tree.map(jnp.shape, recorded) == jax.tree.map(jnp.shape, filmed)
    jax.tree.map(np.testing.assert_array_equal, next(grid_batches(three, 1)), filmed)
    shared = next(grid_batches(three, 1, make_mesh(MeshConfig(data=4))))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), shared, filmed)


def test_depth_of_a_share_of_the_clips_is_estimated():
    true, mixed = (
        next(grid_batches(with_data(POSED, estimated=x), 0)) for x in (0.0, 0.5)
    )
    np.testing.assert_array_equal(true.frames, mixed.frames)
    same = (np.asarray(true.depth) == np.asarray(mixed.depth)).all((1, 2, 3))
    assert 0 < same.sum() < 4
    estimated = np.asarray(mixed.depth)[~same]
    np.testing.assert_allclose(np.median(estimated[estimated > 0]), 1, atol=0.3)


def test_rows_and_columns():
    shape = (2, 3, 4)
    index = np.arange(24).reshape(shape)
    frames = jnp.asarray(
        np.broadcast_to(index[..., None, None, None], (*shape, 2, 2, 3))
    )
    poses = np.broadcast_to(index[..., None, None], (*shape, 4, 4))
    poses = jnp.asarray(poses, jnp.float32)
    lenses = jnp.asarray(
        np.broadcast_to(index[:, :, :1, None], (2, 3, 3, 3)), jnp.float32
    )
    rows, columns = lines(Batch(frames, jnp.ones((2, 4, 2, 2)), lenses, poses))
    assert rows.frames.shape == (6, 1, 4, 2, 2, 3)
    assert columns.frames.shape == (8, 3, 1, 2, 2, 3)
    np.testing.assert_array_equal(rows.frames[4, 0, :, 0, 0, 0], index[1, 1])
    np.testing.assert_array_equal(columns.frames[6, :, 0, 0, 0, 0], index[1, :, 2])
    column = columns.cameras.world_to_camera[6, :, 0, 0, 0]
    np.testing.assert_array_equal(column, index[1, :, 2])
    np.testing.assert_array_equal(
        columns.cameras.intrinsics[6, :, 0, 0], index[1, :, 0]
    )
