"""What several benchmarks share: times, results that outlive a kill, the folder of real data.

It is a plugin of pytest, too, which keeps how tests end, after each, so that a stopped run tells:

python -m pytest -p benchmarks.common --outcomes FILE [TESTS]
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # machines that are measured need not have it
    import pytest

Thunk = Callable[[], object]


def clock() -> float:
    """Return seconds: CPU time of all threads on a CPU, elapsed time elsewhere.

    Other work on the machine disturbs CPU time least.
    """
    import jax  # not above: a plugin is loaded before the tests choose JAX's settings

    return time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()


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


def read_results(path: Path) -> dict[str, Any]:
    """Return the kept numbers; empty if there are none."""
    return json.loads(path.read_text()) if path.exists() else {}


def keep_results(path: Path, content: Mapping[str, Any]) -> None:
    """Write under another name first, so that a kill leaves no half of a file."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1))
    part.replace(path)


def shared_folder() -> Path:
    """Return the folder that has data/: FULL4D_DATA, or `shared` beside the repository."""
    neighbour = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("FULL4D_DATA", neighbour))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file to write."""
    parser.addoption("--outcomes", type=Path, required=True, help="JSON file of outcomes")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.pluginmanager.register(Outcomes(config.option.outcomes))


class Outcomes:
    """Counts of how tests ended, and the names of those that failed."""

    def __init__(self, file: Path):
        self.file = file
        self.counts = Counter()
        self.failed = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test's call, or what kept it from being called."""
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1
            self.failed += [report.nodeid] if report.outcome == "failed" else []
            keep_results(self.file, {**self.counts, "names_of_failed": self.failed})
