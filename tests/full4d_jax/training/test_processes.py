"""Two processes that find each other as SLURM's do: one run, one writer, one step to stop at."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_run import first, lines, short

from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.loop import STOPPED_EXIT_CODE

PROGRAM = """
import sys, time
import jax
jax.config.update("jax_platforms", "cpu")
sys.path.insert(0, sys.argv[1])
jax.distributed.initialize()
from pathlib import Path
from tiny_run import batches, short
def data(start):
    for batch in batches(start):
        time.sleep(0.02)
        yield batch
words = {"steps": int(sys.argv[3]), "log_every": 1, "checkpoint_every": 1000}
short(Path(sys.argv[2]), devices=jax.device_count(), data=data, **words)
"""


def start(out: Path, steps: int) -> list[subprocess.Popen]:
    """Two processes of two devices each."""
    slurm = {
        "SLURM_JOB_ID": str(random.SystemRandom().randrange(10**6)),  # gives the port
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_NTASKS": "2",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    words = [sys.executable, "-c", PROGRAM, Path(__file__).parent, out, str(steps)]
    return [
        subprocess.Popen(
            words,
            env={**os.environ, **slurm, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
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
    assert [process.returncode for process in processes] == [
        STOPPED_EXIT_CODE,
        STOPPED_EXIT_CODE,
    ], said
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
    one, two = ([line["loss"] for line in lines(f)] for f in (tmp_path / "one", tmp_path))
    np.testing.assert_allclose(two, one, rtol=1e-6)
