"""Several processes, as on several hosts: one run, one writer, and the losses of one process."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_run import command, first, lines, short
from two_processes import free_address, outputs_of, start_programs

from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.training_loop import STOPPED_EXIT_CODE

PROGRAM = Path(__file__).with_name("one_process.py")


def start(out: Path, steps: int) -> list[subprocess.Popen]:
    """Two processes of two devices each, which find each other as SLURM's do."""
    slurm = {
        "SLURM_JOB_ID": str(random.SystemRandom().randrange(10**6)),  # gives the port
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_NTASKS": "2",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    every = {"log_every": 1, "checkpoint_every": 1000}
    words = command(out, pause=0.02, together=True, devices=4, steps=steps, **every)
    return [
        subprocess.Popen(
            words,
            env={
                **os.environ,
                **slurm,
                "SLURM_PROCID": str(i),
                "SLURM_LOCALID": str(i),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]


@pytest.mark.slow
def test_one_is_told_to_stop_and_both_save_the_same_step(tmp_path):
    processes = start(tmp_path, 10_000)
    while not (tmp_path / "metrics.jsonl").exists() or not lines(tmp_path):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)  # not the one that writes
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [STOPPED_EXIT_CODE] * 2, (
        said
    )
    step = lines(tmp_path)[-1]["step"]
    assert f"saved at step {step}; resume with: " in said[0][0]
    assert "saved at step" not in said[1][0]

    for process in start(tmp_path, step + 3):
        process.communicate(timeout=120)
        assert process.returncode == 0
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        state, record = checkpoints.restore(first())
    assert record["devices"]["processes"] == 2
    assert int(state.step) == step + 3
    short(tmp_path / "one", devices=4, steps=step + 3, log_every=1)
    one, two = (
        [line["loss"] for line in lines(f)] for f in (tmp_path / "one", tmp_path)
    )
    np.testing.assert_allclose(two, one, rtol=1e-6)


def run(count: int) -> list[dict]:
    """Return the output of each of `count` processes; together they have eight devices."""
    address = free_address()
    words = [[PROGRAM, address, count, index] for index in range(count)]
    processes = start_programs(words, 8 // count)
    outputs = outputs_of(processes)
    assert [process.returncode for process in processes] == [0] * count, outputs
    lines = [line for output in outputs for line in output.splitlines()]
    found = [json.loads(line) for line in lines if line.startswith('{"losses"')]
    assert len(found) == count
    return found


@pytest.mark.slow
def test_two_processes_do_what_one_does():
    (whole,), parts = run(1), run(2)
    for part in parts:
        assert part["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    for step, expected in enumerate(whole["rendered"]):
        first, second = (part["rendered"][step] for part in parts)
        # No clip twice, none dropped.
        assert not set(first) & set(second)
        assert first | second == pytest.approx(expected, rel=1e-5)
