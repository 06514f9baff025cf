"""Resuming: summaries, metrics and the checks that it is the same run."""

import itertools
from typing import Any

import jax.numpy as jnp
import pytest
from tiny_run import lines, short

from full4d_jax.session.errors import InputError
from full4d_jax.training import training_loop


def test_samples_and_histograms_cover_the_whole_run(tmp_path):
    _, whole = short(tmp_path / "whole")
    assert whole["samples"] == 1 + 2 + 3 + 1 + 2 + 3 + 1
    assert whole["times"] == [0, 13]
    assert [line["step"] for line in lines(tmp_path / "whole")] == [2, 4, 6, 7]
    times = [line["times"] for line in lines(tmp_path / "whole")]
    assert times == [[0, 1.5], [0, 2], [0, 2.5], [0, 1]]
    assert [entry["step"] for entry in whole["history"]] == [2, 6, 7]

    short(tmp_path / "parts", steps=4)
    state, parts = short(tmp_path / "parts")
    assert int(state.step) == 7
    assert (parts["samples"], parts["times"]) == (13, [0, 13])
    assert [(part["start"], part["steps"]) for part in parts["parts"]] == [
        (0, 4),
        (4, 7),
    ]
    _, nothing_left = short(tmp_path / "parts")
    assert nothing_left == parts


def test_a_step_compiles_once(tmp_path, monkeypatch):
    """In a new run and in one that resumes: the second step takes what the first returned."""
    programs, jit_step = [], training_loop.jit_step

    def spy(*arguments):
        programs.append(jit_step(*arguments))
        return programs[-1]

    def alike(start):
        return itertools.repeat(jnp.ones(4))

    monkeypatch.setattr(training_loop, "jit_step", spy)
    for steps in (2, 4):
        short(tmp_path, steps=steps, data=alike, devices=2)
    assert [program._cache_size() for program in programs] == [1, 1]


def test_another_run_is_not_mixed_in(tmp_path):
    weights, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    weights.with_suffix(".json").write_text('{"steps": 3}')
    _, summary = short(tmp_path / "out", init=weights, steps=4)
    before = (tmp_path / "out" / "metrics.jsonl").read_text()
    told = "seed: found 0 in .*, expected 1; .* --seed 0 or .*--out"
    with pytest.raises(InputError, match=told):
        short(tmp_path / "out", init=weights, seed=1)
    for init in (None, other):
        told = f"init: found '{weights}'.*expected.*{init}.*--out"
        with pytest.raises(InputError, match=told):
            short(tmp_path / "out", init=init)
    told = "training.steps: found .*step 4, expected at most 3"
    with pytest.raises(InputError, match=told):
        short(tmp_path / "out", init=weights, steps=3)
    assert (tmp_path / "out" / "metrics.jsonl").read_text() == before

    weights.with_suffix(".json").write_text('{"steps": 5}')  # trained anew since then
    every: Any = {"log_every": 1, "checkpoint_every": 1, "keep": 1}
    _, resumed = short(tmp_path / "out", init=weights, **every)
    expected = {"path": weights.name, "summary": {"steps": 3}}
    assert resumed["init"] == summary["init"] == expected
    assert resumed["config"]["training"]["steps"] == 7
