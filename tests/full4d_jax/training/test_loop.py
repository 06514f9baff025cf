"""Resuming: a run that was killed goes on to the same bits as one that was not."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from full4d_jax.config import Config, ModelConfig, TrainingConfig, load_config
from full4d_jax.errors import InputError
from full4d_jax.training.checkpoints import Checkpoints
from full4d_jax.training.loop import run_training
from full4d_jax.training.resume import run_record
from full4d_jax.training.state import TrainState, apply_gradients, first_state, init_state

TRAIN = [sys.executable, "-m", "full4d_jax.cli", "train", "configs/debug.py"]
ENVIRONMENT = {**os.environ, "JAX_PLATFORMS": "cpu"}
STEPS, EVERY = 40, 5


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    length = ["--training.steps", str(STEPS), "--training.log_every", "1"]
    train = [*TRAIN, *length, "--out"]
    subprocess.run([*train, straight], env=ENVIRONMENT, check=True, timeout=900)

    length = ["--training.checkpoint_every", str(EVERY)]
    process = subprocess.Popen([*train, killed, *length], env=ENVIRONMENT)
    while not (killed / "checkpoints" / str(EVERY)).exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "checkpoints" / str(STEPS)).exists(), "nothing was left to resume"
    again = subprocess.run(
        [*train, killed, *length],
        env=ENVIRONMENT,
        check=True,
        timeout=900,
        capture_output=True,
        text=True,
    )
    assert f"resuming {killed} at step " in again.stdout

    assert [line["step"] for line in lines(killed)] == list(range(1, STEPS + 1))
    assert lines(killed) == lines(straight)
    config = load_config("configs/debug.py")
    like = jax.eval_shape(lambda: init_state(config, jax.random.key(0)))
    a, b = (Checkpoints(f / "checkpoints", keep=2).restore(like) for f in (straight, killed))
    assert int(a.step) == STEPS
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
    one, other = (json.loads((f / "prior.json").read_text()) for f in (straight, killed))
    # Of 2 clips a step, one trains the mean and one draws a flow time.
    assert one["samples"] == other["samples"] == 2 * STEPS
    assert one["flow_times"] == other["flow_times"]
    assert sum(one["flow_times"]) == STEPS
    assert [part["start"] for part in one["parts"]] == [0]
    assert [part["start"] > 0 for part in other["parts"]] == [False, True]


OPTIMIZER = optax.sgd(0.1)


def step(state: TrainState, batch):
    """Moves one number to the mean of the batch; a histogram with one bin a sample."""
    gradients = {"x": state.params["x"] - batch.mean()}
    metrics = {"loss": gradients["x"] ** 2, "times": jnp.array([0.0, batch.shape[0]])}
    return apply_gradients(OPTIMIZER, 0.9, state, gradients), metrics


def batches(start: int):
    """The batch of step n has n % 3 + 1 samples."""
    return (jnp.full(n % 3 + 1, float(n)) for n in itertools.count(start))


def short(out: Path, init: Path | None = None, seed: int = 0, **training):
    """A run of the above; returns its state and summary."""
    length = {"steps": 7, "log_every": 2, "checkpoint_every": 3, **training}
    config = Config(seed=seed, training=TrainingConfig(**length))
    state = first_state(OPTIMIZER, {"x": jnp.zeros(())})
    return run_training(step, state, batches, config.training, out, run_record(config, init))


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
    assert resumed["init"] == summary["init"] == {"path": str(weights), "summary": {"steps": 3}}
    assert resumed["config"]["training"]["steps"] == 7


def test_checkpoints_of_earlier_programs_resume(tmp_path):
    state = first_state(OPTIMIZER, {"x": jnp.zeros(())})._replace(step=jnp.array(4))
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    config = run_record(Config(), None)["config"]
    del config["optimizer"]["adam_weight_decay"]
    config["training"]["batch"] = 2
    summary = {"seconds": 1.5, "history": [{"step": 4, "loss": 1.0, "times": [0.0, 1.0]}]}
    checkpoints.save(state, {"config": config, "summary": summary})
    checkpoints.close()
    state, found = short(tmp_path, batch=2)
    assert int(state.step) == 7
    assert found["samples"] == 4 * 2 + 2 + 3 + 1
    assert found["times"] == [0, 6]
    assert found["parts"][0]["start"] == 4  # from where flow times are counted
    assert found["seconds"] >= 1.5


def test_a_checkpoint_of_another_shape_is_named(tmp_path):
    config = load_config("configs/debug.py")
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(init_state(config, jax.random.key(0)), {})
    checkpoints.manager.wait_until_finished()
    wide = dataclasses.replace(config, model=ModelConfig(width=96, layers=2, heads=2, refiner=4))
    with pytest.raises(InputError, match=r"blocks.*found .*expected"):
        checkpoints.restore(jax.eval_shape(lambda: init_state(wide, jax.random.key(0))))
