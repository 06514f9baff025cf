"""Training of the upsampler: what a step sees, and that steps lower the loss."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from full4d_jax.config import DEFAULT, OptimizerConfig, TrainingConfig
from full4d_jax.config.upsampler import UpsamplerConfig, UpsamplerDataConfig, UpsamplerNetConfig
from full4d_jax.generation.prior import open_prior
from full4d_jax.media.video import write_video
from full4d_jax.models.upsampler import Guidance, init_params, near
from full4d_jax.source.depth.estimate import load_depth
from full4d_jax.training import upsampler_training
from full4d_jax.training.clips import upsampler_pairs
from full4d_jax.training.clips.upsampler_pairs import Pair
from full4d_jax.training.state import config_optimizer, first_state
from input_pipeline.procedural.scene import procedural_scene

TINY = UpsamplerConfig(
    model=UpsamplerNetConfig((8, 8, 8)),
    data=UpsamplerDataConfig(rows=96, crop=64, targets=2, pool=3, steps_per_scene=2),
    optimizer=OptimizerConfig(kind="adamw", adam_learning_rate=0.01, warmup=1),
    training=TrainingConfig(batch=4, steps=20),
    perceptual=0.0,
)


def noise(place: int) -> Pair:
    """Pairs that cost nothing: frames of noise, others at every place."""
    drawn = np.random.default_rng(place).uniform(-1, 1, (3, 2, 96, 96, 3))
    frames = jnp.asarray(drawn, jnp.float32)
    ones = jnp.ones((2, 96, 96))
    return Pair(Guidance(frames[0], frames[1], ones, ones, frames[0]), frames[2], ones)


def test_a_later_start_goes_on_with_the_same_crops():
    stream = upsampler_pairs.batches(TINY, noise, 0)
    whole = [next(stream) for _ in range(6)]
    resumed = next(upsampler_pairs.batches(TINY, noise, 5))
    jax.tree.map(np.testing.assert_array_equal, resumed, whole[5])
    assert whole[0].truth.shape == (4, 64, 64, 3)
    assert not np.array_equal(whole[0].truth, whole[1].truth)


@pytest.mark.slow
def test_some_depth_is_true_some_smoothed_and_some_estimated():
    draw = partial(procedural_scene, views=1, frames=1, height=96, width=96, worlds="rich")
    clip = jax.jit(draw)(5)
    data = replace(TINY.data, smoothed=0.4, estimated=0.4)
    drawn = jax.jit(partial(upsampler_pairs.draw_upsampler_depth, data))
    network, frames, made = load_depth(), 2 * clip.frames[0] - 1, {}
    for seed in range(20):
        key = jax.random.key(seed)
        chance = float(jax.random.uniform(jax.random.split(key)[0]))
        kind = "smoothed" if chance < 0.4 else "estimated" if chance > 0.6 else "true"
        if kind not in made:
            made[kind] = np.asarray(drawn(network, key, frames, clip.depth[0]))
    truth = np.asarray(clip.depth[0])
    np.testing.assert_array_equal(made["true"], truth)
    kinds = made["smoothed"], made["estimated"]
    errors = [np.median(np.abs(x / truth - 1)[x > 0]) for x in kinds]
    assert 0 < errors[0] < 0.05
    assert errors[1] > errors[0]


def test_steps_lower_the_loss():
    pair = next(upsampler_pairs.batches(TINY, noise, 0))
    # What can be learned: the truth is the projection, a little darker.
    pair = pair._replace(truth=0.9 * pair.guidance.projected - 0.05)
    params = init_params(TINY.model, jax.random.key(0))
    state = first_state(config_optimizer(TINY), params)
    step = jax.jit(partial(upsampler_training.train_step, TINY))
    losses = []
    for _ in range(12):
        state, metrics = step(state, pair)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.7 * losses[0]
    assert int(state.step) == 12


def test_a_far_hole_has_no_part_in_lpips():
    pair = next(upsampler_pairs.batches(TINY, noise, 0))
    mask = jnp.zeros_like(pair.guidance.mask).at[:, :, :20].set(1)
    pair = pair._replace(guidance=pair.guidance._replace(mask=mask))
    known = near(mask)
    assert np.unique(np.argwhere(np.asarray(known) > 0)[:, 2]).tolist() == list(range(28))
    config = replace(TINY, perceptual=1.0, perceptual_from=0.0)
    state = first_state(config_optimizer(config), init_params(config.model, jax.random.key(0)))
    judged = []

    def distance(made, truth):
        jax.debug.callback(lambda x: judged.append(np.asarray(x)), jnp.abs(made - truth).sum(-1))
        return jnp.zeros(len(made))

    step = jax.jit(partial(upsampler_training.train_step, config, distance=Partial(distance)))
    jax.block_until_ready(step(state, pair))
    jax.effects_barrier()
    off = judged[0].max((0, 1))
    assert (off[28:] == 0).all()
    assert (off[:20] > 0).all()


def test_the_loss_is_least_for_the_truth_and_feels_edges():
    truth = jax.random.uniform(jax.random.key(0), (1, 16, 16, 3))
    ones = jnp.ones((1, 16, 16))
    least = upsampler_training.loss(truth, truth, ones)
    shifted = upsampler_training.loss(truth + 0.1, truth, ones)
    checked = 0.1 * (-1.0) ** jnp.arange(16)[None, :, None, None]
    rough = upsampler_training.loss(truth + checked, truth, ones)
    assert least < 0.03
    assert least + 0.05 < shifted < rough - 0.05
    assert upsampler_training.loss(truth + checked, truth, 0 * ones) == least


@pytest.mark.slow
def test_frames_of_videos_are_seen_from_elsewhere_and_back(tmp_path):
    """The truth is a frame of the clip; the projection shows it with holes."""
    draw = partial(procedural_scene, views=1, frames=1, height=96, width=96, worlds="rich")
    picture = np.asarray(jax.jit(draw)(5).frames[0])
    write_video(tmp_path / "a.mp4", (255 * picture.repeat(4, 0)).astype(np.uint8), fps=8)
    config = replace(TINY, data=replace(TINY.data, filmed=1.0))
    prior = open_prior(DEFAULT, None)
    pair = upsampler_pairs.drawn_pairs(config, prior, load_depth(), [tmp_path / "a.mp4"], 3)
    assert np.abs(pair.truth[0] - (2 * picture[0] - 1)).mean() < 0.05
    np.testing.assert_array_equal(pair.truth[0], pair.truth[1])
    seen = np.asarray(pair.guidance.mask) > 0
    assert 0.5 < seen.mean() < 0.99
    counts = np.asarray(pair.counts) > 0
    assert counts[seen].all()
    assert 0 < counts[~seen].mean() < 1
    error = np.abs(np.asarray(pair.guidance.projected - pair.truth)).mean(-1)
    assert np.median(error[seen]) < 0.06
    assert not np.array_equal(pair.guidance.mask[0], pair.guidance.mask[1])
