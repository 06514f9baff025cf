"""A student of an exact flow comes as near to the truth in 4 steps as that in 50."""

from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
WITHIN = 0.5  # dB


@pytest.mark.slow
def test_four_steps_come_within_half_a_decibel_of_fifty(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    scores = import_module("exact_flow").psnr_to_truth()
    fifty = scores["exact, 50 steps"]
    assert abs(scores["student, 4 steps"] - fifty) < WITHIN
    assert scores["exact, 4 steps"] > fifty + 3 * WITHIN  # blurred, as before training
