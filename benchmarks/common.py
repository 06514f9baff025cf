"""Helpers of several benchmarks: interleaved times, and the folder of real data."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax

Thunk = Callable[[], object]


def clock() -> float:
    """Return seconds: CPU time of all threads on a CPU, elapsed time elsewhere.

    Other work on the machine disturbs CPU time least.
    """
    return (
        time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()
    )


def interleaved(thunks: Mapping[str, Thunk], repeats: int) -> dict[str, float]:
    """Return the best time of each in seconds; they take turns, so that all meet the same machine.

    Each runs twice and the second is timed: the first pays for what the one before left behind.
    """
    best = dict.fromkeys(thunks, float("inf"))
    for _ in range(repeats):
        for name, thunk in thunks.items():
            thunk()
            start = clock()
            thunk()
            best[name] = min(best[name], clock() - start)
    return best


def shared_folder() -> Path:
    """Return the folder that has data/: FULL4D_DATA, or `shared` beside the repository."""
    neighbour = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("FULL4D_DATA", neighbour))
