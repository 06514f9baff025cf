"""A valid record, and lets the tests here, and the processes they start, import `formula_clips`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def make_example():
    """A function of the number that tells records apart."""
    from formula_clips import make

    return make
