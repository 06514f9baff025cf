"""Runs that are killed or told to stop go on to the same bits as one that was not.

Real processes of `full4d train --config debug` with one layer, which share compiled programs.
"""

import hashlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import pytest
from changed import changed
from tiny_run import command, lines, same, short

from full4d_jax.config import load_config
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.state import state_shapes
from full4d_jax.training.training_loop import STOPPED_EXIT_CODE

STEPS = 20
KILLS = 3  # the first and the last of them during a save
LENGTH = ["--training.steps", str(STEPS), "--training.log_every", "1"]
SMALL = ["--model.layers", "1", "--model.refiner", "0"]
COMMAND = [sys.executable, "-m", "full4d_jax.cli", "train", "--config", "debug"]
TRAIN = [*COMMAND, *SMALL, *LENGTH, "--out"]
ENVIRONMENT = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
SAVE_EVERY_STEP = ["--training.checkpoint_every", "1", "--training.keep_best", "0"]
UNFINISHED = "*.orbax-checkpoint-tmp*"


def finish(words: list) -> str:
    return subprocess.check_output(words, env=ENVIRONMENT, timeout=900, text=True)


def digest(out: Path) -> str:
    """SHA-256 of the whole state at the end of a run."""
    config, found = load_config("configs/debug.py"), hashlib.sha256()
    config = changed(config, model={"layers": 1, "refiner": 0})
    like = state_shapes(config, None)
    with Checkpoints(out / "checkpoints", keep=9) as checkpoints:
        state, record = checkpoints.restore(like)
    assert int(state.step) == record["position"] == STEPS
    for path, x in jax.tree.leaves_with_path(state):
        array = jax.device_get(x)
        found.update(
            f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode()
        )
        found.update(array.tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("straight")
    finish([*TRAIN, out])
    return out


def saved_steps(out: Path) -> set[str]:
    return {
        path.name for path in (out / "checkpoints").glob("*") if path.name.isdecimal()
    }


def kill_somewhere(out: Path, chance: random.Random, during_save: bool) -> bool:
    """Start or go on, kill at a random instant; whether the run had not ended before."""
    before = saved_steps(out)
    with subprocess.Popen(
        [*TRAIN, out, *SAVE_EVERY_STEP],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and not saved_steps(out) - before:
            time.sleep(0.001)  # it has taken a step
        if during_save:
            checkpoints = out / "checkpoints"
            while process.poll() is None and not any(checkpoints.glob(UNFINISHED)):
                time.sleep(0.0005)
        time.sleep(chance.uniform(0, 0.01 if during_save else 0.3))
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def test_a_small_run_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    """A few numbers instead of a network, which the commands below train."""
    out = tmp_path / "out"
    every: Any = {"steps": 12, "log_every": 1, "checkpoint_every": 1}
    slowly = command(out, pause=0.05, **every)
    with subprocess.Popen(
        slowly, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        # It stands still while we look, or it might end meanwhile.
        while process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            if saved_steps(out) & {"3", "4", "5"}:
                break
            process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
    assert process.returncode == -signal.SIGKILL
    assert "12" not in saved_steps(out)
    state, _ = short(out, **every)
    expected, _ = short(tmp_path / "straight", **every)
    assert same(state, expected)
    assert lines(out) == lines(tmp_path / "straight")


@pytest.mark.slow
def test_killed_runs_go_on_to_the_same_bits(straight, tmp_path):
    chance, kills, in_saves, out, parts = random.Random(0), 0, 0, tmp_path / "0", 0
    while kills < KILLS:
        if kill_somewhere(out, chance, during_save=kills % 2 == 0):
            kills, parts = kills + 1, parts + 1
            in_saves += any((out / "checkpoints").glob(UNFINISHED))
        # To the end between kills: the next in a new folder.
        if str(STEPS) in saved_steps(out):
            finish([*TRAIN, out])
            assert digest(out) == digest(straight)
            out, parts = tmp_path / str(kills), 0
    assert in_saves >= 1
    said = finish([*TRAIN, out])
    assert parts == 0 or f"resuming {out} at step " in said
    assert digest(out) == digest(straight)
    assert lines(out) == lines(straight)
    assert [line["step"] for line in lines(out)] == list(range(1, STEPS + 1))
    one, other = (json.loads((f / "prior.json").read_text()) for f in (straight, out))
    # Of 2 clips a step, one trains the mean and one draws a flow time.
    assert one["samples"] == other["samples"] == 2 * STEPS
    assert one["flow_times"] == other["flow_times"]
    assert sum(one["flow_times"]) == STEPS
    assert [part["start"] for part in one["parts"]] == [0]
    assert len(other["parts"]) == parts + 1
    # What kills left is swept away.
    assert not list((out / "checkpoints").glob(UNFINISHED))


@pytest.mark.slow
def test_sigterm_saves_where_it_is(straight, tmp_path):
    words = [*TRAIN, tmp_path, "--training.checkpoint_every", "1000"]
    with subprocess.Popen(
        words,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (tmp_path / "metrics.jsonl").exists() or not lines(tmp_path):
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=300)
    assert process.returncode == STOPPED_EXIT_CODE, errors
    step = lines(tmp_path)[-1]["step"]
    assert step < STEPS
    assert saved_steps(tmp_path) == {str(step)}
    assert not (tmp_path / "prior.safetensors").exists()
    announced, _, again = said.splitlines()[-1].partition("; resume with: ")
    assert announced == f"saved at step {step}"
    assert f"resuming {tmp_path} at step {step}" in finish(shlex.split(again))
    assert digest(tmp_path) == digest(straight)
    assert lines(tmp_path) == lines(straight)
