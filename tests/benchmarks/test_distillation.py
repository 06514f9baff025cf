"""Scores of distillation: at cameras that nobody was asked about, and paired by scene."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from full4d_jax.evaluation.fidelity import METRICS
from full4d_jax.scene.prior_teacher import half_way
from full4d_jax.source.camera_paths import angles_of, pivot_of

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def program(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("distillation")


def test_scored_cameras_are_a_quarter_of_the_way_and_asked_ones_half(program):
    given = program.render(64, 64)
    poses = np.asarray(given.generated.world_to_camera)
    pivot = pivot_of(poses)

    def angles(cameras):
        """Azimuths of cameras, rising as those of a scene do."""
        return -angles_of(np.asarray(cameras.world_to_camera)[:, 0], pivot)[:, 0]

    stops = np.sort(angles(given.generated))
    np.testing.assert_allclose(angles(given.scored), stops[:-1] + np.diff(stops) / 4, atol=1)
    asked = half_way(given.generated)
    np.testing.assert_allclose(np.sort(angles(asked)), (stops[1:] + stops[:-1]) / 2, atol=1)
    assert len(given.clip.frames) == 1 + len(stops) - 1
    both = program._joined(given.generated, asked)
    assert len(both.intrinsics) == len(both.world_to_camera) == 2 * len(stops) - 1


def test_differences_pair_by_scene(program):
    def line(row: str, scene: int, psnr: float) -> dict:
        scores = dict.fromkeys(METRICS) | {"psnr": psnr, "lpips": 0.1}
        return {"group": row, "scene": scene, "seconds": 1.0, "scores": scores}

    lines = [line("none", 64, 20), line("none", 65, 26), line("none", 66, 10)]
    lines += [line("cached", 65, 27), line("cached", 64, 21), line("more views", 66, 8)]
    found = program.summary(lines)
    assert found["cached_psnr"] == 1
    assert found["cached_psnr_error"] == found["cached_lpips"] == 0
    assert found["cached_scenes"] == 2
    assert found["more_views_psnr"] == -2
    assert found["more_views_psnr_error"] is None  # of one scene
    assert found["gradient_psnr"] is None
    assert "+1.00 ± 0.00" in program.table(lines)
