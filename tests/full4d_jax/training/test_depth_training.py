"""Training from Tiefenrausch: what the anchor asks for, what a step changes, and going on."""

import dataclasses
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config.depth import DepthConfig, DepthDataConfig, DepthNetConfig
from full4d_jax.config.training import OptimizerConfig, TrainingConfig
from full4d_jax.models.depth_net import init_params
from full4d_jax.models.fast_depth import load_fast_depth
from full4d_jax.models.tiefenrausch import load_tiefenrausch
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.estimate import TIEFENRAUSCH
from full4d_jax.training import depth_training
from full4d_jax.training.loop import run_training
from full4d_jax.training.run_state import start_at
from full4d_jax.training.state import config_optimizer, first_state

STEPS = 6  # of which the first leave most of the head at zero

SMALL = DepthConfig(
    model=DepthNetConfig(fine=4, coarse=4),
    data=DepthDataConfig(sizes=((64, 64, 64),), worlds="rich"),
    optimizer=OptimizerConfig(
        kind="adamw", adam_learning_rate=1e-4, adam_weight_decay=0.0, warmup=1
    ),
    training=TrainingConfig(batch=1, steps=STEPS, log_every=1, checkpoint_every=STEPS - 1),
)


def test_the_anchor_knows_neither_scale_nor_outlines():
    logs = jnp.tile(jnp.linspace(-1.0, 1.0, 64)[:, None], (1, 64))[None]
    depth = jnp.exp(logs)
    anchor = depth_training.anchor_loss
    assert anchor(logs + 3, depth) < 1e-5
    cell = jnp.ones((16, 16)).at[:, 8:].set(-1.0)  # of mean 0, within one cell
    sharper = logs + jnp.tile(cell, (4, 4))[None]
    assert anchor(sharper, depth) < 1e-5
    assert anchor(sharper[:, :, ::-1].at[:, 20:40].add(0.5), depth) > 0.05
    assert anchor(2 * logs, depth) > anchor(1.1 * logs, depth) > 0.02


def first(config: DepthConfig):
    params = init_params(config.model, load_tiefenrausch(TIEFENRAUSCH), jax.random.key(0))
    return first_state(config_optimizer(config), params)


@pytest.mark.slow
def test_steps_change_all_but_the_limits_and_go_on_bit_identically(tmp_path, write_pictures):
    write_pictures([tmp_path / "photos" / f"{i}.png" for i in range(3)], size=(80, 80))
    data = dataclasses.replace(SMALL.data, photos=str(tmp_path / "photos"))
    config = dataclasses.replace(SMALL, data=data)
    published = depth_training.PublishedParams(load_tiefenrausch(TIEFENRAUSCH), load_fast_depth())
    step = partial(depth_training.train_step, config)  # one object, so that it compiles once
    batches = partial(depth_training.batches, config, published)

    def train(out):
        start = start_at(first(config))
        frozen = (published.room,)
        return run_training(step, start, batches, config.training, out, {}, frozen=frozen)

    whole, summary = train(tmp_path / "whole")
    assert all(np.isfinite(line["anchor"]) and line["truth"] > 0 for line in summary["history"])
    before = jax.tree.leaves_with_path(first(config).params)
    for (path, old), new in zip(before, jax.tree.leaves(whole.params), strict=True):
        is_limit = path[-1].key == "range"
        assert bool((old == new).all()) == is_limit, path
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / str(STEPS))
    resumed, summary = train(tmp_path / "killed")
    assert summary["parts"][-1]["start"] == STEPS - 1
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


def test_a_training_without_photographs_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"data\.photos"):
        next(depth_training.batches(SMALL, depth_training.PublishedParams({}, {}), 0))
