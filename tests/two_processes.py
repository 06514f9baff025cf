"""Programs in several processes of this machine, each with devices of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 300  # seconds until all must be done, on a busy machine


def free_address() -> str:
    """Return an address where no process listens."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start_programs(commands: list[list], devices: int) -> list[subprocess.Popen]:
    """Start Python with each list of words, with so many simulated devices."""
    settings = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=REPOSITORY,
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in commands
    ]


def outputs_of(processes: list[subprocess.Popen]) -> list[str]:
    """Wait for processes; return what they print."""
    try:
        return [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:  # none runs on after a time limit
        for process in processes:
            process.kill()


def start_together(words: list[list[str]], devices: int = 2) -> list[subprocess.Popen]:
    """Start one process of `full4d` for each list of words."""
    join = ["--coordinator", free_address(), "--processes", len(words), "--process"]
    cli = ["-m", "full4d_jax.cli"]
    commands = [[*cli, *own, *join, i] for i, own in enumerate(words)]
    return start_programs(commands, devices)


def together(words: list[list[str]], devices: int = 2) -> tuple[list[int], list[str]]:
    """Run processes to their end; return their codes and what they print."""
    processes = start_together(words, devices)
    outputs = outputs_of(processes)
    return [process.returncode for process in processes], outputs
