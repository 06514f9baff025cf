"""Errors of cameras do not depend on the world that they are told in."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from input_pipeline.cameras import orbit, rigid

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("films_without_cameras")


def test_errors_are_those_after_the_best_turn_shift_and_scale(module):
    poses = orbit(40.0 * np.arange(9), np.linspace(-20, 20, 9))
    lens = np.array([[60.0, 0, 9], [0, 60.0, 16], [0, 0, 1]])
    exact = module.Grid(np.zeros((9, 1, 32, 18, 3), np.uint8), lens, poses)
    world = rigid(Rotation.from_euler("xyz", [0.4, -1.0, 2.0]).as_matrix(), np.array([1.0, 2, 3]))
    elsewhere = poses @ world
    elsewhere[:, :3, 3] *= 2.5
    scores = module.errors(exact, elsewhere, np.diag([1.1, 1.1, 1]) @ lens)
    assert scores["rotation_degrees"] < 0.01
    assert scores["place_share"] < 1e-3
    assert scores["focal_share"] == pytest.approx(0.1)
    turn = Rotation.from_euler("y", 9, degrees=True).as_matrix()
    elsewhere[4] = rigid(turn, np.zeros(3)) @ elsewhere[4]
    assert module.errors(exact, elsewhere, lens)["rotation_degrees"] == pytest.approx(8, abs=0.5)
