"""Losses that are NaN, infinite or spikes: steps that change nothing, or a run that stops."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import batches, lines, same, short

from full4d_jax.session.errors import InputError
from full4d_jax.training.bad_losses import SETTLED_STEPS
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.training_loop import Reporting


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


def test_a_bad_step_changes_nothing_but_the_step(tmp_path, capsys):
    policy = {"on_bad_loss": "skip", "log_every": 1}
    state, summary = short(tmp_path / "bad", data=with_values({3: np.nan}), **policy)
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


def test_resuming_leaves_out_the_same_steps(tmp_path):
    # The mean that says what a spike is goes on where it was.
    data = with_values({SETTLED_STEPS + 2: 30.0, SETTLED_STEPS + 4: np.nan})
    words = {"data": data, "on_bad_loss": "skip", "spike": 4.0, "checkpoint_every": 1}
    length = SETTLED_STEPS + 8
    whole, summary = short(tmp_path / "whole", steps=length, **words)
    assert summary["skipped"] == 2

    def until(start):
        yield from itertools.islice(data(start), SETTLED_STEPS + 4 - start)
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
    told = "step 5: found loss nan, expected a finite loss;.*skip"
    with pytest.raises(InputError, match=told):
        short(tmp_path, reporting=reporting, **words)
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        assert checkpoints.latest == 4
    [line] = lines(tmp_path, "bad_batches.jsonl")
    del line["running_mean"]
    assert line == {"step": 5, "position": 4, "loss": "nan", "batch": [40]}
    # What the message advises.
    state, summary = short(tmp_path, on_bad_loss="skip", **words)
    assert (int(state.step), summary["skipped"]) == (7, 1)
    assert bool(jnp.isfinite(state.params["y"]).all())
