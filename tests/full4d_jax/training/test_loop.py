"""Resuming: summaries, metrics and the checks that it is the same run."""

import itertools

import jax.numpy as jnp
import pytest
from tiny_run import batches, lines, short

from full4d_jax.config import Config, ModelConfig
from full4d_jax.session.errors import InputError
from full4d_jax.training import loop
from full4d_jax.training.checkpoints.resume import check_same_run, run_record


def test_samples_and_histograms_cover_the_whole_run(tmp_path):
    _, whole = short(tmp_path / "whole")
    assert whole["samples"] == 1 + 2 + 3 + 1 + 2 + 3 + 1
    assert whole["times"] == [0, 13]
    assert [line["step"] for line in lines(tmp_path / "whole")] == [2, 4, 6, 7]
    assert [line["times"] for line in lines(tmp_path / "whole")] == [
        [0, n] for n in (1.5, 2, 2.5, 1)
    ]
    assert [entry["step"] for entry in whole["history"]] == [2, 6, 7]

    short(tmp_path / "parts", steps=4)
    state, parts = short(tmp_path / "parts")
    assert int(state.step) == 7
    assert (parts["samples"], parts["times"]) == (13, [0, 13])
    assert [(part["start"], part["steps"]) for part in parts["parts"]] == [(0, 4), (4, 7)]
    _, nothing_left = short(tmp_path / "parts")
    assert nothing_left == parts


@pytest.mark.parametrize("devices", [None, 2])
def test_a_step_compiles_once(tmp_path, monkeypatch, devices):
    """In a new run and in one that resumes: the second step takes what the first returned."""
    programs, jit_step = [], loop.jit_step

    def spy(*arguments):
        programs.append(jit_step(*arguments))
        return programs[-1]

    def alike(start):
        return itertools.repeat(jnp.ones(4))

    monkeypatch.setattr(loop, "jit_step", spy)
    for steps in (2, 4):
        short(tmp_path, steps=steps, data=alike, devices=devices)
    assert [program._cache_size() for program in programs] == [1, 1]


def test_metrics_beyond_the_checkpoint_are_dropped(tmp_path):
    short(tmp_path, steps=4)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "loss": 0}\n{"step": 8, "lo')  # what a killed run leaves
    short(tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 6, 7]


def test_another_run_is_not_mixed_in(tmp_path):
    weights, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    weights.with_suffix(".json").write_text('{"steps": 3}')
    _, summary = short(tmp_path / "out", init=weights, steps=4)
    before = (tmp_path / "out" / "metrics.jsonl").read_text()
    with pytest.raises(
        InputError, match=r"seed: found 0 in .*, expected 1; .* --seed 0 or .*--out"
    ):
        short(tmp_path / "out", init=weights, seed=1)
    for init in (None, other):
        with pytest.raises(InputError, match=rf"init: found '{weights}'.*expected.*{init}.*--out"):
            short(tmp_path / "out", init=init)
    with pytest.raises(InputError, match=r"training.steps: found .*step 4, expected at most 3"):
        short(tmp_path / "out", init=weights, steps=3)
    assert (tmp_path / "out" / "metrics.jsonl").read_text() == before

    weights.with_suffix(".json").write_text('{"steps": 5}')  # trained anew since then
    _, resumed = short(tmp_path / "out", init=weights, log_every=1, checkpoint_every=1, keep=1)
    assert resumed["init"] == summary["init"] == {"path": weights.name, "summary": {"steps": 3}}
    assert resumed["config"]["training"]["steps"] == 7


def test_an_edited_mask_file_is_another_run(tmp_path):
    file = tmp_path / "mine.py"
    config = Config(model=ModelConfig(mask=f"{file}:same"))
    file.write_text("def same(i, j): return i.view == j.view")
    stored = run_record(config, None)
    check_same_run(stored, run_record(config, None), tmp_path, 0)
    file.write_text("def same(i, j): return i.time == j.time")
    message = r"the model.mask file: found 'sha256:.*; give another --out$"
    with pytest.raises(InputError, match=message):
        check_same_run(stored, run_record(config, None), tmp_path, 0)
    assert run_record(Config(), None).keys() == stored.keys() - {"mask"}


def test_a_run_that_stops_anywhere_writes_the_same_metrics(tmp_path):
    def until(end):
        def data(start):
            yield from itertools.islice(batches(start), end - start)
            raise EOFError

        return data

    short(tmp_path / "whole", log_every=3, checkpoint_every=1)
    for end in (1, 2, 4, 5):
        with pytest.raises(EOFError):
            short(tmp_path / "parts", data=until(end), log_every=3, checkpoint_every=1)
    short(tmp_path / "parts", log_every=3, checkpoint_every=1)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert [line["step"] for line in lines(tmp_path / "parts")] == [3, 6, 7]
