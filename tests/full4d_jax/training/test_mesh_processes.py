"""Several processes, as on several hosts, against one with as many devices."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("one_process.py")
REPOSITORY = Path(__file__).parents[3]


def run(count: int) -> list[dict]:
    """Return the output of each of `count` processes; together they have eight devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(8 // count)}
    processes = [
        subprocess.Popen(
            [sys.executable, PROGRAM, address, str(count), str(index)],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return [json.loads(output.splitlines()[-1]) for output in outputs]


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
