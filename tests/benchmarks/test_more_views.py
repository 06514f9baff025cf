"""Views beyond training: what is scored is the same in grids of all sizes."""

import importlib
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.config.experiment import SamplerConfig

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@dataclass
class Numbered:
    """Stands for a scene and for a prior; the lens of each camera is its number."""

    frames: np.ndarray
    depth: np.ndarray
    sampler: SamplerConfig


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("more_views")


def test_every_row_shows_the_same_cameras(module, monkeypatch):
    numbers = np.arange(24.0)[:, None, None]
    cameras = Cameras(numbers * np.ones((1, 3, 3)), np.zeros((24, 2, 4, 4)), 4, 4)
    sizes = []

    def paint(prior, frames, depth, cameras, key):
        sizes.append((len(cameras.intrinsics), prior.sampler.group_views))
        return cameras.intrinsics[:, :1, :1, None, None] * np.ones((1, 2, 4, 4, 3)), None

    monkeypatch.setattr(module, "cameras_of", lambda clip: cameras)
    monkeypatch.setattr(module, "generate_grid", paint)
    clip = Numbered(np.zeros((24, 2, 4, 4, 3)), np.ones((24, 2, 4, 4)), SamplerConfig())
    rows = dict(module.grids(clip, clip, jax.random.key(0)))
    assert len(rows) == len(sizes) == 10
    assert sizes[:5] == sizes[5:] == [(4, 0), (12, 0), (12, 4), (24, 0), (24, 4)]
    for made in rows.values():
        np.testing.assert_array_equal(made[:, 0, 0, 0, 0], module.SCORED)
