"""Validation on scenes that are never trained on: the loss of training, the same at every time."""

import itertools
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from changed import changed
from jax.sharding import Mesh
from tiny_run import lines

from full4d_jax import flow
from full4d_jax.config import Config, load_config
from full4d_jax.training import prior_training
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.clips.mixing import (
    batches_of,
    held_out_scenes_at,
    open_records,
    record_names_at,
)
from full4d_jax.training.encoding import NOTHING_FROZEN, split_keys
from full4d_jax.training.held_out import (
    TIME_BINS,
    make_validation,
    validation_losses,
    without_drops,
)
from full4d_jax.training.loss import loss
from full4d_jax.training.prior_training import train_prior
from full4d_jax.training.state import TrainState, init_state, training_mesh
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.clips import ProceduralClips


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    clips = ProceduralClips(first=0, count=10, views=3, frames=2, height=16, width=16)
    write_dataset(folder, clips, name="scenes", shards=2)
    return folder


def configured(*records: object, **data) -> Config:
    config = load_config("configs/debug.py")
    words = {"records": tuple(map(str, records)), "held_out": 0.3, **data}
    return changed(
        config,
        model={"layers": 1, "refiner": 0},
        data=words,
        optimizer={"kind": "adamw"},  # compiles faster
        training={"batch": 2, "steps": 6, "validate_every": 2},
    )


@jax.jit
def livelier(params):
    return jax.tree.map(lambda x: x + 0.03, params)


def lively_state(config: Config, mesh: Mesh | None = None) -> TrainState:
    """Return a first state whose network gives something else than zero."""
    state = init_state(config, jax.random.key(0), mesh)
    return state._replace(ema=livelier(state.ema))


def scenes_of(config: Config, steps: int, *, held_out: bool) -> set[str]:
    if held_out:
        return {x for n in range(steps) for x in held_out_scenes_at(config, n)}
    names = [x for n in range(steps) for x in record_names_at(config, n)]
    return {re.findall(r"\((.*)\)$", name)[0] for name in names}


def test_held_out_scenes_are_never_trained_on(dataset):
    config = configured(dataset)
    trained = scenes_of(config, 20, held_out=False)
    kept = scenes_of(config, 20, held_out=True)
    assert (len(trained), len(kept)) == (7, 3)
    assert not trained & kept
    less = configured(dataset, held_out=0.1)
    assert scenes_of(less, 20, held_out=True) < kept  # by name, in one order
    assert len(open_records(configured(dataset, held_out=0.0)).sources[0]) == 10


def test_losses_are_those_of_training_at_the_same_flow_times(dataset, monkeypatch):
    """The oracle is the loss of a step, all of whose clips have the flow times of one part."""
    config = without_drops(configured(dataset, corrupt_depth=1.0, drop_projection=0.5))
    params = lively_state(config).ema
    batch = next(batches_of(config, open_records(config, held_out=True), 0, None))
    key = jax.random.key(3)
    measure = jax.jit(validation_losses, static_argnums=0)
    measured = measure(config, params, batch, key, NOTHING_FROZEN)

    all_mean = changed(config, flow={"mean_share": 1.0})
    mean = jax.jit(lambda x: loss(all_mean, params, x, key)[0])(batch)
    np.testing.assert_allclose(measured[-1], mean, rtol=1e-5)

    @jax.jit
    def step_loss(batch, times, flags):
        monkeypatch.setattr(flow, "sample_time", lambda *_, **__: (times, flags))
        return loss(config, params, batch, key)[0]

    times_key = split_keys(key).times
    places = [jax.random.uniform(jax.random.fold_in(times_key, i)) for i in (0, 1)]
    flags = jnp.zeros(2, bool)
    for part in (0, TIME_BINS - 1):
        alone = step_loss(batch, (part + jnp.stack(places)) / TIME_BINS, flags)
        np.testing.assert_allclose(measured[part], alone, rtol=1e-5)
    assert len(set(map(float, measured[:-1]))) == TIME_BINS


@pytest.mark.slow
def test_a_mesh_measures_the_losses_of_one_device(dataset):
    # A mesh can divide batches of four clips.
    config = changed(configured(dataset), training={"batch": 4})
    alone = make_validation(config, None, None)(lively_state(config).ema)
    config = changed(config, mesh={"data": 2, "fsdp": 2, "view": 2})
    mesh = training_mesh(config)
    shared = make_validation(config, mesh, None)(lively_state(config, mesh).ema)
    assert shared == pytest.approx(alone, rel=1e-4)


@pytest.mark.slow
def test_a_resumed_training_measures_the_same(dataset, tmp_path, monkeypatch):
    config = configured(dataset)
    every = {"log_every": 1, "checkpoint_every": 1, "sheet_every": 3}
    config = changed(config, training=every)
    train_prior(config, tmp_path / "whole", None)

    def stopped(config, start, mesh):
        yield from itertools.islice(training_batches(config, start, mesh), 3)
        raise EOFError

    with monkeypatch.context() as patch:
        patch.setattr(prior_training, "training_batches", stopped)
        with pytest.raises(EOFError):
            train_prior(config, tmp_path / "parts", None)
    train_prior(config, tmp_path / "parts", None)
    whole = lines(tmp_path / "whole")
    assert lines(tmp_path / "parts") == whole
    measured = [x["validation/loss"] for x in whole if "validation/loss" in x]
    assert len(set(measured)) == 3
    both = tmp_path / "whole", tmp_path / "parts"
    about, again = (json.loads((x / "prior.json").read_text()) for x in both)
    assert len(about["held_out"]) == 3
    assert about["config"]["data"]["held_out"] == 0.3
    assert again["history"] == about["history"]
    for name in ("sheets/0000003.png", "sheet.png", "prior.safetensors"):
        whole, parts = ((x / name).read_bytes() for x in both)
        assert whole == parts
