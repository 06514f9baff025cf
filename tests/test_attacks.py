"""A handful of the cases of `attacks.py`, which has some 270."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "attacks.py"


def attack(*words: str) -> str:
    """Make attacks in a process of its own; return what it prints."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        timeout=3000,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_damaged_files_are_read_or_refused_in_words():
    assert attack("damage", "--rounds", "6").count("damage/") > 25


@pytest.mark.slow
def test_commands_answer_hostile_input_in_words():
    cases = ["link/render .lock", "place/scene.ply", "disk/convert x.spz"]
    cases += ["array/convert x.html means", "number/procedural --jobs", "signal/render"]
    printed = attack(*cases)
    assert [case for case in cases if case not in printed] == []
