"""Lets the tests here, and the processes that they start, import `tiny_run`."""

import gc
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def orbax_leftovers():
    """Collect the readers and writers that Orbax leaves behind, unawaited, where a save fails.

    They complain when they are collected, which would else be in any later test of the process.
    """
    yield
    gc.collect()
