"""Depth: the shipped network on scenes it never saw, one scale for a clip, and depth files."""

import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.models.depth_net import log_depth
from full4d_jax.models.tiefenrausch import load_tiefenrausch, log_disparity
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.estimate import (
    TIEFENRAUSCH,
    DepthNetwork,
    align_median,
    depth_errors,
    depth_from_file,
    load_depth,
    predict_depth,
    stabilise,
)
from full4d_jax.source.depth.estimators import open_network
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene


@pytest.fixture(scope="module")
def network():
    return load_depth()


@pytest.fixture(scope="module")
def clips():
    """Held-out clips: frames (i t h w 3) in [-1, 1] and depth (i t h w)."""

    def one(index):
        clip = procedural_scene(index, views=1, frames=3)
        return 2 * clip.frames[0] - 1, clip.depth[0]

    return jax.jit(partial(jax.lax.map, one))(HELD_OUT_START + jnp.arange(16))


@pytest.fixture(scope="module")
def rich_frames():
    """Held-out frames (i h w 3) in [0, 1] with people and things, and their depth (i h w)."""

    def one(index):
        clip = procedural_scene(index, views=1, frames=1, height=192, width=192, worlds="rich")
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


@pytest.mark.slow
def test_one_scale_and_less_flicker_in_a_clip(network, clips):
    frames, depth = (x[:6].repeat(3, 2).repeat(3, 3) for x in clips)  # as large as it sees them
    predicted = jnp.stack([predict_depth(network, x) for x in frames])
    np.testing.assert_allclose(jnp.median(predicted[:, 0], (1, 2)), 1, rtol=1e-5)
    # Frames after the first are in the first one's unit, and separate frames with a median of 1
    # each, which is the obvious alternative, are worse.
    separate = jax.jit(partial(log_depth, network.config, network.params))
    alone = jnp.stack([separate(x) for x in frames])
    alone = jnp.exp(alone - jnp.median(alone, (2, 3), keepdims=True))

    def relative(depths):
        return (jnp.abs(depths - depth) / depth)[:, 1:].mean()

    assert relative(predicted) < relative(alone)
    still = jnp.abs(frames[:, 1:] - frames[:, :1]).max(-1) < 0.02

    def flicker(depths):
        return (jnp.abs(jnp.log(depths[:, 1:] / depths[:, :1])) * still).sum() / still.sum()

    assert flicker(predicted) < 0.5 * flicker(alone)


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
    logs = jax.jit(log_disparity)(load_tiefenrausch(TIEFENRAUSCH), frames)
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


BAD = {
    "times": (np.ones((2, 4, 8)), "one depth map per frame"),
    "shape": (np.ones((3, 160, 80)), "crop the depth"),
    "nan": (np.full((3, 4, 8), np.nan), "NaN, infinite or negative"),
    "negative": (-np.ones((3, 4, 8)), "NaN, infinite or negative"),
    "unknown": (np.zeros((3, 4, 8)), "no known depth at t = 0"),
    "words": (np.array(["near", "far"]), "an array of numbers"),
    "objects": (np.array([{}], dtype=object), "an array of numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path: Path, name: str):
    array, message = BAD[name]
    np.save(tmp_path / "depth.npy", array)
    with pytest.raises(InputError, match=message):
        depth_from_file(tmp_path / "depth.npy", 3, 4, 8)
