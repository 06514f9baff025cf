"""Clips of training runs: warps in the batch, rows and columns, videos from a folder."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from grid_batches import grid_batches, is_warp

from full4d_jax.config import (
    Config,
    DataConfig,
    MeshConfig,
    ModelConfig,
    TrainingConfig,
    check_config,
)
from full4d_jax.generation.batch import Batch, lines
from full4d_jax.media.video import write_video
from full4d_jax.models.sharding import make_mesh
from full4d_jax.session.errors import InputError
from full4d_jax.training.clips.batches import clips_at, training_batches

# One size, so that one program renders four scenes for the batches of all tests.
POSED = Config(
    data=DataConfig(views=3, frames=2, height=16, width=16, orbit=True),
    training=TrainingConfig(batch=4),
)
CONFIG = Config(
    model=ModelConfig(projection="none", cameras=()),
    data=dataclasses.replace(POSED.data, pseudo=0.5),
    training=TrainingConfig(batch=8),
)


@pytest.mark.slow
def test_half_of_each_batch_is_warped_and_resuming_repeats_it():
    stream = grid_batches(CONFIG, 0)
    first, second = next(stream), next(stream)
    for batch in (first, second):
        assert batch.frames.shape == (8, 3, 2, 16, 16, 3)
        assert is_warp(batch).sum() == 4
    again = next(grid_batches(CONFIG, 1))
    jax.tree.map(np.testing.assert_array_equal, again, second)
    assert not np.array_equal(first.frames, second.frames)


def test_videos_of_a_folder(tmp_path):
    red = np.zeros((24, 40, 40, 3), np.uint8)
    red[..., 0] = 200
    write_video(tmp_path / "red.mp4", red, 12)
    data = dataclasses.replace(CONFIG.data, videos=str(tmp_path))
    batch = next(grid_batches(dataclasses.replace(CONFIG, data=data), 0))
    frames = np.asarray(batch.frames)[is_warp(batch)]
    assert len(frames) == 4
    assert np.abs(frames[..., 0] - (200 / 127.5 - 1)).max() < 0.1
    assert frames[..., 1:].max() < -0.8
    assert not is_warp(batch).all()


def test_clips_slower_than_the_rate_asked_for_have_room_for_a_window(tmp_path):
    write_video(tmp_path / "slow.mp4", np.zeros((3, 40, 40, 3), np.uint8), 5)
    data = dataclasses.replace(CONFIG.data, videos=str(tmp_path), fps=8.0)
    stream = grid_batches(dataclasses.replace(CONFIG, data=data), 0)
    for _ in range(6):  # windows begin anywhere
        assert next(stream).frames.shape[2] == 2


def test_with_a_projection_every_other_batch_is_reprojected(tmp_path):
    """Two views: the second is the video, which turns up as the clip's own colours."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (1, 6, 6, 3), np.uint8).repeat(8, 1).repeat(8, 2).repeat(4, 0)
    write_video(tmp_path / "a.mp4", noise, 8)
    data = dataclasses.replace(POSED.data, pseudo=0.5, videos=str(tmp_path))
    config = dataclasses.replace(POSED, data=data)
    stream = grid_batches(config, 0)
    made = [next(stream) for _ in range(4)]
    assert [batch.frames.shape[1] for batch in made] == [3, 2, 3, 2]
    video, poses = made[1].frames[:, 1], made[1].cameras.world_to_camera
    np.testing.assert_allclose(video[0], video[1], atol=0.1)
    assert not np.array_equal(made[1].depth[0], made[1].depth[1])
    np.testing.assert_array_equal(poses[:, 0], np.broadcast_to(np.eye(4), (4, 2, 4, 4)))
    assert np.abs(np.asarray(poses[:, 1]) - np.eye(4)[None, None]).max() > 0.02
    jax.tree.map(np.testing.assert_array_equal, next(grid_batches(config, 3)), made[3])
    assert clips_at(config, 1) == clips_at(config, 3) == [str(tmp_path / "a.mp4")] * 4
    rendered = dataclasses.replace(config, data=dataclasses.replace(data, pseudo=0.0))
    assert clips_at(config, 2) == clips_at(rendered, 1)


@pytest.mark.slow
def test_reprojected_clips_have_the_views_of_the_others(tmp_path):
    """One program then takes all batches; each device of a mesh gets its own clips."""
    noise = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", noise.repeat(8, 1).repeat(8, 2), 8)
    data = dataclasses.replace(POSED.data, pseudo=0.5, pseudo_views=3, videos=str(tmp_path))
    config = dataclasses.replace(POSED, data=data)
    check_config(config)
    stream = grid_batches(config, 0)
    rendered, filmed = next(stream), next(stream)
    assert jax.tree.map(jnp.shape, rendered) == jax.tree.map(jnp.shape, filmed)
    jax.tree.map(np.testing.assert_array_equal, next(grid_batches(config, 1)), filmed)
    shared = next(grid_batches(config, 1, make_mesh(MeshConfig(data=4))))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), shared, filmed)


def test_depth_of_a_share_of_the_clips_is_estimated():
    shared = dataclasses.replace(POSED, data=dataclasses.replace(POSED.data, estimated=0.5))
    true, mixed = next(grid_batches(POSED, 0)), next(grid_batches(shared, 0))
    np.testing.assert_array_equal(true.frames, mixed.frames)
    same = (np.asarray(true.depth) == np.asarray(mixed.depth)).all((1, 2, 3))
    assert 0 < same.sum() < 4
    estimated = np.asarray(mixed.depth)[~same]
    np.testing.assert_allclose(np.median(estimated[estimated > 0]), 1, atol=0.3)


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_videos(tmp_path, folder):
    data = dataclasses.replace(CONFIG.data, videos=str(tmp_path / folder))
    with pytest.raises(InputError, match="found none"):
        next(grid_batches(dataclasses.replace(CONFIG, data=data), 0))


def test_rows_and_columns():
    shape = (2, 3, 4)
    index = np.arange(24).reshape(shape)
    frames = jnp.asarray(np.broadcast_to(index[..., None, None, None], (*shape, 2, 2, 3)))
    poses = jnp.asarray(np.broadcast_to(index[..., None, None], (*shape, 4, 4)), jnp.float32)
    lenses = jnp.asarray(np.broadcast_to(index[:, :, :1, None], (2, 3, 3, 3)), jnp.float32)
    rows, columns = lines(Batch(frames, jnp.ones((2, 4, 2, 2)), lenses, poses))
    assert rows.frames.shape == (6, 1, 4, 2, 2, 3)
    assert columns.frames.shape == (8, 3, 1, 2, 2, 3)
    np.testing.assert_array_equal(rows.frames[4, 0, :, 0, 0, 0], index[1, 1])
    np.testing.assert_array_equal(columns.frames[6, :, 0, 0, 0, 0], index[1, :, 2])
    np.testing.assert_array_equal(rows.cameras.world_to_camera[4, 0, :, 0, 0], index[1, 1])
    np.testing.assert_array_equal(columns.cameras.world_to_camera[6, :, 0, 0, 0], index[1, :, 2])
    np.testing.assert_array_equal(rows.cameras.intrinsics[4, 0, 0, 0], index[1, 1, 0])
    np.testing.assert_array_equal(columns.cameras.intrinsics[6, :, 0, 0], index[1, :, 0])


def test_videos_are_looked_at_before_training(tmp_path):
    data = dataclasses.replace(CONFIG.data, videos=str(tmp_path), frames=3)
    config = dataclasses.replace(CONFIG, data=data)
    write_video(tmp_path / "short.mp4", np.zeros((2, 32, 32, 3), np.uint8), 6)
    with pytest.raises(InputError, match=r"short\.mp4"):
        training_batches(config, 0)
    (tmp_path / "short.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(InputError, match=r"short\.mp4"):
        training_batches(config, 0)


def test_resuming_repeats_the_windows_of_videos(tmp_path):
    moving = np.random.default_rng(0).integers(0, 255, (40, 16, 16, 3)).astype(np.uint8)
    write_video(tmp_path / "noise.mp4", np.repeat(np.repeat(moving, 3, 1), 3, 2), 12)
    data = dataclasses.replace(CONFIG.data, videos=str(tmp_path))
    config = dataclasses.replace(CONFIG, data=data)
    stream = grid_batches(config, 0)
    first, second = next(stream), next(stream)
    jax.tree.map(np.testing.assert_array_equal, next(grid_batches(config, 1)), second)
    assert not np.array_equal(first.frames[is_warp(first)], second.frames[is_warp(second)])
