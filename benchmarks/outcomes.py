"""A plugin of pytest that keeps how tests end, after each, so that a stopped run tells too.

python -m pytest -p benchmarks.outcomes --outcomes FILE [TESTS]
"""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import results_file


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
            results_file.write(self.file, {**self.counts, "names_of_failed": self.failed})
