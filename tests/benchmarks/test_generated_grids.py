"""Grids of the benchmark come back from their folder, and disagree by what it says."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from full4d_jax.source.capture_source import held_out_pictures
from input_pipeline.cameras import orbit
from input_pipeline.importers.detect import detect, read_captures

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("generated_grids")


@pytest.fixture
def grid(module):
    """Grey pictures of 24 cameras all around."""
    turns = 15.0 * np.arange(module.VIEWS)
    poses = orbit(turns, np.zeros(module.VIEWS), module.DISTANCE, pivot=(0.0, 0.0, 0.0))
    lens = np.array([[60.0, 0, 9], [0, 60.0, 16], [0, 0, 1]])
    frames = np.full((module.VIEWS, module.INSTANTS, 32, 18, 3), 100, np.uint8)
    return module.Grid(frames, lens, poses)


def test_fitted_views_disagree_and_held_out_ones_are_exact(module, grid):
    noisy = module.disagreeing(grid, np.random.default_rng(0))
    held_out = held_out_pictures(module.VIEWS, module.INSTANTS, "views").all(1)
    np.testing.assert_array_equal(noisy.frames[held_out], grid.frames[held_out])
    np.testing.assert_array_equal(noisy.world_to_camera[held_out], grid.world_to_camera[held_out])
    off = [
        module.shift(grid, true, told)
        for true, told in zip(grid.world_to_camera, noisy.world_to_camera, strict=True)
    ]
    # Of pictures this small a pixel is a turn that is not in proportion any more.
    np.testing.assert_allclose(np.array(off)[~held_out], module.PIXELS, rtol=0.15)
    np.testing.assert_allclose(np.mean(off), module.PIXELS * np.mean(~held_out), rtol=0.03)
    gains = noisy.frames[~held_out, 0, 0, 0] / 100
    assert 0.02 < gains.std() < 0.04  # uniform within 5 %


@pytest.mark.parametrize("generated", [True, False])
def test_the_folder_is_read_as_it_was_written(module, grid, tmp_path, generated):
    module.write_folder(tmp_path, grid, generated=generated)
    layout, _, _ = detect(tmp_path)
    assert layout == ("fdanyone" if generated else "cameras_json")
    (capture,) = read_captures(tmp_path, layout, None)
    assert capture.generated == generated
    assert [len(view.timestamps) for view in capture.views] == [module.INSTANTS] * module.VIEWS
    for view, pose in zip(capture.views, grid.world_to_camera, strict=True):
        np.testing.assert_allclose(view.world_to_camera[0], pose, atol=1e-9)
