"""`full4d` in several processes of this machine, each with devices of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 300  # seconds until both must be done, on a busy machine


def start_together(words: list[list[str]], devices: int = 2) -> list[subprocess.Popen]:
    """Start one process for each list of words, with so many simulated devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    join = ["--coordinator", address, "--processes", str(len(words)), "--process"]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "full4d_jax.cli", *own, *join, str(i)],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i, own in enumerate(words)
    ]


def together(words: list[list[str]], devices: int = 2) -> tuple[list[int], list[str]]:
    """Run processes to their end; return their codes and what they print."""
    processes = start_together(words, devices)
    try:
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:  # none runs on after a time limit
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], outputs
