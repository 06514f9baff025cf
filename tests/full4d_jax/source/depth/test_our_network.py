"""Depth: the shipped network on scenes it never saw, one scale for a clip, and depth files."""

import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.models.nets.tiefenrausch import load_tiefenrausch, log_disparity
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.any_network import open_network
from full4d_jax.source.depth.our_network import (
    TIEFENRAUSCH,
    DepthNetwork,
    align_median,
    depth_errors,
    load_depth,
    predict_depth,
    stabilise,
)
from full4d_jax.source.depth_stage import depth_from_file
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene


@pytest.fixture(scope="module")
def network():
    return load_depth()


@pytest.fixture(scope="module")
def rich_frames():
    """Held-out frames (i h w 3) in [0, 1] with people and things, and their depth (i h w)."""

    def one(index):
        draw = partial(procedural_scene, views=1, frames=1, worlds="rich")
        clip = draw(index, height=192, width=192)
        return clip.frames[0, 0], clip.depth[0, 0]

    return jax.jit(partial(jax.lax.map, one))(HELD_OUT_START + jnp.arange(64, 72))


def test_shipped_network_on_held_out_scenes(network, rich_frames):
    frames, depth = rich_frames
    predicted = jnp.stack([predict_depth(network, x[None] * 2 - 1)[0] for x in frames])
    errors = depth_errors(predicted, depth)
    assert errors["absrel"] < 0.32, errors
    assert errors["delta125"] > 0.58, errors
    broken = depth_errors(predicted.at[0, 0, 0].set(jnp.nan), depth)
    assert not math.isfinite(broken["absrel"])
    flat = depth_errors(jnp.ones_like(predicted), depth)
    assert errors["absrel"] < 0.6 * flat["absrel"]


def test_still_pixels_decide_about_the_scale_of_what_moves():
    still = jax.random.uniform(jax.random.key(0), (16, 16, 3))
    moved = still.at[:4].set(-still[:4])  # three quarters of the frame stand still
    logs = jax.random.normal(jax.random.key(1), (16, 16))
    stable = stabilise(jnp.stack([still, moved]), jnp.stack([logs, logs + 1.0]))
    np.testing.assert_allclose(stable[0, 6:], stable[1, 6:], atol=0.01)
    np.testing.assert_allclose(stable[0, :3] - logs[:3], 0, atol=0.01)
    shift = stable[1, :3] - logs[:3]  # 1 without the correction, 0 if all stood still
    np.testing.assert_allclose(shift, 1 - 0.75 / (0.75 + 0.5), atol=0.05)


def test_tiefenrausch_as_published_is_read():
    network = open_network(str(TIEFENRAUSCH))
    assert isinstance(network, DepthNetwork)
    assert network.config.fine == 0
    frames = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3), minval=-1)
    logs = jax.jit(log_disparity)(load_tiefenrausch(TIEFENRAUSCH), frames)[0]
    depth = align_median(jnp.exp(-logs))
    np.testing.assert_allclose(predict_depth(network, frames), depth, rtol=1e-4)


def test_files(tmp_path: Path):
    depth = np.random.default_rng(0).uniform(1, 3, (3, 4, 8)).astype(np.float32)
    np.save(tmp_path / "depth.npy", depth)
    unit = np.median(depth[0])
    read = depth_from_file(tmp_path / "depth.npy", 3, 4, 8)
    np.testing.assert_allclose(read, depth / unit, rtol=1e-6)
    twice = depth_from_file(tmp_path / "depth.npy", 3, 8, 16)
    np.testing.assert_array_equal(twice[:, ::2, ::2], twice[:, 1::2, 1::2])
    np.savez(tmp_path / "still.npz", depth=depth[0])
    still = depth_from_file(tmp_path / "still.npz", 2, 4, 8)
    np.testing.assert_allclose(still, np.stack([depth[0], depth[0]]) / unit, rtol=1e-6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 4, 8)), "one depth map per frame"),
        (np.full((3, 4, 8), np.nan), "NaN, infinite or negative"),
    ],
)
def test_bad_files(tmp_path: Path, array, message):
    np.save(tmp_path / "depth.npy", array)
    with pytest.raises(InputError, match=message):
        depth_from_file(tmp_path / "depth.npy", 3, 4, 8)
