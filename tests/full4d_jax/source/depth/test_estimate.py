"""Depth: the shipped network on scenes it never saw, one scale for a clip, files, and training."""

import dataclasses
import math
import re
import shutil
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config import OptimizerConfig, TrainingConfig
from full4d_jax.config.depth import DepthConfig, DepthDataConfig, DepthNetConfig
from full4d_jax.models.depth_net import init_params, log_depth
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.estimate import (
    align_median,
    depth_errors,
    depth_from_file,
    load_depth,
    predict_depth,
    stabilise,
)
from full4d_jax.training import depth_training
from full4d_jax.training.loop import run_training
from input_pipeline.procedural.rich_world import OBJECTS as RICH_OBJECTS
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene

TINY = DepthConfig(
    model=DepthNetConfig(widths=(8, 8, 16), attentions=2, heads=2),
    data=DepthDataConfig(sizes=((24, 16),)),
    optimizer=OptimizerConfig(warmup=1),
    training=TrainingConfig(batch=1, steps=4, log_every=1, checkpoint_every=2),
)


@pytest.fixture(scope="module")
def network():
    return load_depth()


@pytest.fixture(scope="module")
def clips():
    """Held-out clips: frames (i t h w 3) in [-1, 1] and depth (i t h w)."""

    def one(index):
        clip = procedural_scene(index, views=1, frames=3)
        return 2 * clip.frames[0] - 1, clip.depth[0]

    return jax.jit(partial(jax.lax.map, one))(HELD_OUT_START + jnp.arange(32))


def test_shipped_network_on_held_out_scenes(network, clips):
    frames, depth = clips
    predicted = jnp.stack([predict_depth(network, x[:1])[0] for x in frames])
    errors = depth_errors(predicted, depth[:, 0])
    assert errors["absrel"] < 0.30, errors
    assert errors["delta125"] > 0.60, errors
    broken = depth_errors(predicted.at[0, 0, 0].set(jnp.nan), depth[:, 0])
    assert not math.isfinite(broken["absrel"])
    flat = depth_errors(jnp.ones_like(predicted), depth[:, 0])
    assert errors["absrel"] < 0.6 * flat["absrel"]


def test_one_scale_and_less_flicker_in_a_clip(network, clips):
    frames, depth = clips
    predicted = jnp.stack([predict_depth(network, x) for x in frames])
    np.testing.assert_allclose(jnp.median(predicted[:, 0], (1, 2)), 1, rtol=1e-5)
    # Frames after the first are in the first one's unit, and separate frames with a median of 1
    # each, which is the obvious alternative, are worse.
    alone = jnp.stack([log_depth(network.config, network.params, x) for x in frames])
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


@pytest.mark.parametrize(("h", "w"), [(96, 96), (48, 80)])
def test_other_sizes_see_the_same_scene(network, clips, h, w):
    frames = clips[0][3, :1]
    larger = predict_depth(network, jax.image.resize(frames, (1, h, w, 3), "linear"))
    small = predict_depth(network, frames)
    back = jax.image.resize(larger, small.shape, "linear")
    assert jnp.median(jnp.abs(jnp.log(back / small))) < 0.1


def test_a_mirrored_video_has_mirrored_depth(network, clips):
    frames = clips[0][0]
    mirrored = predict_depth(network, frames[:, :, ::-1])
    np.testing.assert_allclose(mirrored, predict_depth(network, frames)[:, :, ::-1], rtol=1e-4)


def test_sides_that_do_not_divide_are_refused(network):
    with pytest.raises(InputError, match=re.escape("found (60, 64), expected sides")):
        predict_depth(network, jnp.zeros((1, 60, 64, 3)))


def test_the_loss_knows_no_scale():
    predicted = jax.random.normal(jax.random.key(0), (2, 16, 16))
    depth = jnp.exp(0.3 * jax.random.normal(jax.random.key(1), (2, 16, 16)))
    value = depth_training.loss(predicted, depth)
    moved = depth_training.loss(predicted + jnp.array([3.0, -1.0])[:, None, None], depth)
    np.testing.assert_allclose(moved, value, rtol=1e-5)
    truth = jnp.log(depth) - jnp.median(jnp.log(depth)[:, ::4, ::4], (1, 2), keepdims=True)
    assert depth_training.loss(truth, jnp.exp(truth)) < 1e-5 < value


def test_align_median_ignores_unknown_depth():
    depth = jnp.array([[[0.0, 2.0], [4.0, 6.0]], [[8.0, 0.0], [0.0, 0.0]]])
    np.testing.assert_allclose(align_median(depth), depth / 4)


def test_attention_blocks_change_the_result():
    params = init_params(TINY.model, jax.random.key(0))
    frames = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    before = log_depth(TINY.model, params, frames)
    assert before.shape == (1, 32, 32)
    noise = 0.1 * jax.random.normal(jax.random.key(2), params["blocks"]["to_out"]["kernel"].shape)
    params["blocks"]["to_out"]["kernel"] = noise
    far = jnp.abs(log_depth(TINY.model, params, frames.at[0, 0, 0].add(1.0))[0, -8:, -8:])
    assert not np.allclose(far, jnp.abs(log_depth(TINY.model, params, frames)[0, -8:, -8:]))


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
    "shape": (np.ones((3, 80, 80)), "crop the depth"),
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


def test_files_that_are_none(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        depth_from_file(tmp_path / "depth.npy", 3, 4, 8)
    (tmp_path / "depth.npy").write_text("near, far")
    with pytest.raises(InputError, match="an array of numbers"):
        depth_from_file(tmp_path / "depth.npy", 3, 4, 8)
    (tmp_path / "empty.npy").touch()
    with pytest.raises(InputError, match="an array of numbers"):
        depth_from_file(tmp_path / "empty.npy", 3, 4, 8)


def test_weights_of_something_else_are_refused(tmp_path: Path):
    depth_training.save_params(tmp_path / "other.safetensors", {"a": jnp.ones(3)}, {})
    with pytest.raises(InputError, match="other metadata"):
        load_depth(tmp_path / "other.safetensors")


def test_an_interrupted_training_ends_bit_identically(tmp_path: Path):
    step = partial(depth_training.train_step, TINY)  # one object, so that it compiles once
    batches = partial(depth_training.batches, TINY)

    def train(out: Path):
        state = depth_training.init_state(TINY, jax.random.key(0))
        return run_training(step, state, batches, TINY.training, out, {})[0]

    whole = train(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "4")
    resumed = train(tmp_path / "killed")
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    start = depth_training.init_state(TINY, jax.random.key(0))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), start.ema, whole.ema)
    assert all(jax.tree.leaves(moved["blocks"]["narrow"]))


def test_every_step_sees_new_frames():
    stream = depth_training.batches(TINY, 5)
    (first, depth), (second, _) = next(stream), next(stream)
    assert first.shape == (4, 16, 16, 3)
    assert depth.shape == (4, 16, 16)
    every = np.concatenate([first, second]).reshape(8, -1)
    assert len(np.unique(every.round(2), axis=0)) == 8


def test_training_may_see_rich_worlds():
    def program(worlds):
        config = dataclasses.replace(TINY, data=DepthDataConfig(worlds=worlds))
        return str(jax.make_jaxpr(lambda step: depth_training.batch(config, step, 16, 16))(0))

    objects = f"f32[{RICH_OBJECTS},3]"  # that many primitives are moved
    assert objects in program("rich")
    assert objects not in program("simple")
