"""Losses that are NaN, infinite or spikes: steps that change nothing, or a run that stops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from grid_batches import grid_batches
from tiny_run import batches, lines, same, short

from full4d_jax.config import TrainingConfig, load_config
from full4d_jax.generation.batch import procedural_batch
from full4d_jax.session.errors import InputError
from full4d_jax.training.bad_losses import SETTLED, record_bad_step
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.clips.batches import clips_at
from full4d_jax.training.loop import Reporting


def with_values(values: dict[int, float]):
    """The batches, of which some have another value at these positions."""

    def data(start: int):
        for position, batch in enumerate(batches(start), start):
            yield jnp.full_like(batch, values.get(position, 1.0))

    return data


def without(position: int):
    """As if the batch at a position were not there."""

    def data(start: int):
        kept = (n for n in itertools.count() if n != position)
        return (jnp.ones(n % 3 + 1) for n in itertools.islice(kept, start, None))

    return data


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_step_changes_nothing_but_the_step(tmp_path, value, capsys):
    policy = {"on_bad_loss": "skip", "log_every": 1}
    state, summary = short(tmp_path / "bad", data=with_values({3: value}), **policy)
    good, _ = short(tmp_path / "good", data=without(3), steps=6, **policy)
    assert int(state.step) == 7
    assert same((state.params, state.optimizer), (good.params, good.optimizer))
    assert summary["skipped"] == 1
    assert summary["samples"] == 1 + 2 + 3 + 1 + 2 + 3 + 1
    found = lines(tmp_path / "bad")
    assert found[3] == {"step": 4, "skipped": 1}
    assert all(np.isfinite(line["loss"]) for line in found if "skipped" not in line)
    assert "step 4: loss " in capsys.readouterr().out
    about = lines(tmp_path / "bad", "bad_batches.jsonl")
    assert [(line["step"], line["batch"]) for line in about] == [(4, 3)]


@pytest.mark.parametrize(
    "cut", [pytest.param(3, marks=pytest.mark.slow), 4, pytest.param(6, marks=pytest.mark.slow)]
)
def test_resuming_leaves_out_the_same_steps(tmp_path, cut):
    # The mean that says what a spike is goes on where it was.
    data = with_values({SETTLED + 2: 30.0, SETTLED + 4: np.nan})
    words = {"data": data, "on_bad_loss": "skip", "spike": 4.0, "checkpoint_every": 1}
    length = SETTLED + 8
    whole, summary = short(tmp_path / "whole", steps=length, **words)
    assert summary["skipped"] == 2

    def until(start):
        yield from itertools.islice(data(start), SETTLED + cut - start)
        raise EOFError

    with pytest.raises(EOFError):
        short(tmp_path / "parts", steps=length, **{**words, "data": until})
    parts, summary = short(tmp_path / "parts", steps=length, **words)
    assert summary["skipped"] == 2
    assert same(whole, parts)
    for name in ("metrics.jsonl", "bad_batches.jsonl"):
        assert lines(tmp_path / "whole", name) == lines(tmp_path / "parts", name)


def test_a_run_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    words = {"data": with_values({4: np.nan}), "checkpoint_every": 2}
    reporting = Reporting(contents=lambda position: [10 * position])
    with pytest.raises(InputError, match=r"step 5: found loss nan, expected a finite loss;.*skip"):
        short(tmp_path, reporting=reporting, **words)
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        assert checkpoints.latest == 4
    [line] = lines(tmp_path, "bad_batches.jsonl")
    assert (line["step"], line["position"], line["loss"], line["batch"]) == (5, 4, "nan", [40])
    state, summary = short(tmp_path, on_bad_loss="skip", **words)  # what the message advises
    assert (int(state.step), summary["skipped"]) == (7, 1)
    assert bool(jnp.isfinite(state.params["y"]).all())


def test_gradients_that_are_not_finite_are_named(tmp_path):
    metrics = {"loss": 0.5, "gradient_norm": np.inf, "bad": 1}
    config = TrainingConfig(spike=4.0)
    with pytest.raises(InputError, match=r"loss 0.5, gradient norm inf, expected finite gra"):
        record_bad_step(config, tmp_path, 3, metrics, 0.4, lambda position: position)


@pytest.mark.slow
def test_the_scenes_of_a_batch_are_those_that_were_rendered():
    config = load_config("configs/debug.py")
    batch = next(grid_batches(config, 7))
    again = jax.jit(lambda index: procedural_batch(index, config.data))
    scenes = jnp.asarray(clips_at(config, 7), jnp.int32)
    np.testing.assert_allclose(batch.frames, again(scenes).frames, atol=1e-6)
