"""Training of the depth network: batches, the loss, and which weights move."""

import dataclasses
import shutil
from functools import partial
from itertools import islice
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config import OptimizerConfig, TrainingConfig
from full4d_jax.config.depth import DepthConfig, DepthDataConfig, DepthNetConfig
from full4d_jax.models.depth_net import init_params, log_depth
from full4d_jax.training import depth_training
from full4d_jax.training.loop import run_training
from full4d_jax.training.run_state import start_at
from input_pipeline.procedural import looks
from input_pipeline.procedural.rich_world import OBJECTS as RICH_OBJECTS

TINY = DepthConfig(
    model=DepthNetConfig(widths=(8, 8, 16), attentions=2, heads=2),
    data=DepthDataConfig(sizes=((24, 16, 24),), early_sizes=((16, 16, 16),), worlds="simple"),
    optimizer=OptimizerConfig(warmup=1),
    training=TrainingConfig(batch=1, steps=2, log_every=1, checkpoint_every=1),
)


def test_attention_blocks_change_the_result():
    params = init_params(TINY.model, jax.random.key(0))
    frames = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    before = log_depth(TINY.model, params, frames)
    assert before.shape == (1, 32, 32)
    noise = 0.1 * jax.random.normal(jax.random.key(2), params["blocks"]["to_out"]["kernel"].shape)
    params["blocks"]["to_out"]["kernel"] = noise
    far = jnp.abs(log_depth(TINY.model, params, frames.at[0, 0, 0].add(1.0))[0, -8:, -8:])
    assert not np.allclose(far, jnp.abs(log_depth(TINY.model, params, frames)[0, -8:, -8:]))


def test_every_step_sees_new_frames_and_a_later_start_goes_on():
    batches = list(islice(depth_training.batches(TINY, 5), 2))
    frames, depth = batches[0]
    assert frames.shape == (4, 16, 24, 3)
    assert depth.shape == (4, 16, 24)
    every = np.concatenate([x for x, _ in batches]).reshape(8, -1)
    assert len(np.unique(every.round(2), axis=0)) == 8
    resumed = next(depth_training.batches(TINY, 6))
    jax.tree.map(np.testing.assert_array_equal, resumed, batches[1])


def test_crops_of_photos_are_drawn_anew_and_again_alike(tmp_path, write_pictures, monkeypatch):
    """Another pair of steps sees other crops; a later start sees those of its step."""
    write_pictures([tmp_path / "a.png", tmp_path / "b.png"], size=(80, 80))
    seen = []
    monkeypatch.setattr(looks, "FRESH", 2)
    monkeypatch.setattr(
        depth_training, "batch", lambda config, step, size, x: seen.append(x.textures)
    )
    data = dataclasses.replace(TINY.data, photos=str(tmp_path), worlds="wide")
    config = dataclasses.replace(TINY, data=data)
    list(islice(depth_training.batches(config, 0), 4))
    next(depth_training.batches(config, 3))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])
    np.testing.assert_array_equal(seen[4], seen[3])


def test_a_step_moves_all_weights_of_the_blocks():
    state = depth_training.init_state(TINY, jax.random.key(0))
    frames = jax.random.uniform(jax.random.key(1), (4, 16, 16, 3))
    depth = 1 + jax.random.uniform(jax.random.key(2), (4, 16, 16))
    step = jax.jit(partial(depth_training.train_step, TINY))
    after, metrics = step(step(state, (frames, depth))[0], (frames, depth))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.ema, after.ema)
    assert all(jax.tree.leaves(moved["blocks"]["narrow"]))
    assert np.isfinite(metrics["loss"])


@pytest.mark.slow
def test_an_interrupted_training_ends_bit_identically(tmp_path: Path):
    step = partial(depth_training.train_step, TINY)  # one object, so that it compiles once
    batches = partial(depth_training.batches, TINY)

    def train(out: Path):
        start = start_at(depth_training.init_state(TINY, jax.random.key(0)))
        return run_training(step, start, batches, TINY.training, out, {})

    whole, _ = train(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "2")
    resumed, summary = train(tmp_path / "killed")
    assert summary["parts"][-1]["start"] == 1
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


def test_training_may_see_rich_and_wide_worlds():
    def program(worlds):
        config = dataclasses.replace(TINY, data=DepthDataConfig(worlds=worlds))
        return str(jax.make_jaxpr(lambda step: depth_training.batch(config, step, (16,) * 3))(0))

    objects = f"f32[{RICH_OBJECTS},3]"  # that many primitives are moved
    assert objects in program("rich")
    assert objects in program("wide")
    assert objects not in program("simple")
