"""Checkpoints in object storage: on Google's, and by way of a disk on Amazon's."""

import json

import jax.numpy as jnp
import optax
import pytest
from buckets import EMULATORS

from full4d_jax.cli import main
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.state import first_state
from input_pipeline.addresses import read_stored, remove, stored_files, upload

pytestmark = [EMULATORS, pytest.mark.slow]


def test_a_damaged_checkpoint_is_moved_aside(storage, tmp_path, capsys):
    address = f"gs://bucket/{tmp_path.name}/checkpoints"
    state = first_state(optax.sgd(0.1), {"x": jnp.arange(1000.0)})
    with Checkpoints(address, keep=2) as checkpoints:
        for step in (1, 2):
            checkpoints.save(state._replace(step=jnp.full((), step)), {"number": step})
    (tmp_path / "other").write_bytes(bytes(100))
    files = stored_files(address)
    for name in files:
        if name.startswith("2/state/"):
            upload(tmp_path / "other", f"{address}/{name}")
    with Checkpoints(address, keep=2) as checkpoints:
        _, record = checkpoints.restore(state)
    assert record["number"] == 1
    assert "the checkpoint of step 2" in capsys.readouterr().err
    moved = {x.replace("2/", "damaged-2/", 1) for x in files if x.startswith("2/")}
    there = set(stored_files(address))
    assert moved <= there
    assert not any(name.startswith("2/") for name in there)


def test_a_run_goes_on_with_an_empty_disk(bucket, tmp_path, monkeypatch, capsys):
    run = f"{bucket}/run"
    options = "--config debug --model.layers 1 --model.refiner 0 --training.steps 4"
    options += " --training.checkpoint_every 1 --training.keep 4 --training.log_every 1"
    words = ["train", *options.split(), "--out", run]

    def results() -> list:
        rows = map(json.loads, read_stored(f"{run}/metrics.jsonl").splitlines())
        return [[row["loss"] for row in rows], read_stored(f"{run}/prior.safetensors")]

    assert main(words) == 0
    whole = results()
    for name in stored_files(run):
        if name.startswith(("checkpoints/3/", "checkpoints/4/", "prior")):
            remove(f"{run}/{name}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    capsys.readouterr()
    assert main(words) == 0
    assert f"resuming {run} at step 2\n" in capsys.readouterr().out
    assert results() == whole
