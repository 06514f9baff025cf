"""Grids in memory become scenes; what would do nothing, or memory cannot hold, is refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from full4d_jax.cameras import cameras_of
from full4d_jax.config import DEFAULT, LiftConfig
from full4d_jax.grid import Grid, all_real
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene import fit_settings
from full4d_jax.scene.lift import lift
from full4d_jax.session.errors import InputError
from gaussians import render
from input_pipeline import procedural_scene

QUICK = replace(DEFAULT, lift=replace(DEFAULT.lift, steps=30, capacity=2000))


@pytest.fixture(scope="module")
def grid() -> Grid:
    draw = jax.jit(
        procedural_scene, static_argnames=("views", "frames", "height", "width")
    )
    clip = draw(5, views=3, frames=2, height=32, width=32)
    frames = to_uint8(clip.frames)
    return Grid(
        frames=frames,
        origin=all_real(frames),
        times=np.arange(2) / 8,
        cameras=jax.tree.map(np.asarray, cameras_of(clip)),
        depth=np.asarray(clip.depth),
    )


def test_a_grid_in_memory_becomes_a_scene(grid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    scene = lift(grid, QUICK, say=said.append)
    assert "fitted pictures" in said[-1]
    shown = render(
        scene.at(1.0), grid.cameras.camera(view=2, time=1), antialiased=True
    ).rgb
    truth = grid.frames[2, 1] / 255
    assert np.abs(shown - truth).mean() < np.abs(truth - truth.mean((0, 1))).mean() / 3
    assert not list(tmp_path.iterdir())


def test_a_fit_beyond_memory_is_refused_before_it_begins(monkeypatch):
    monkeypatch.setattr(fit_settings, "available_memory", lambda: 2.0**30)
    settings = LiftConfig(capacity=1000)
    fit_settings.check_fit_memory(settings, (3, 2, 32, 32, 3))
    told = "lift.capacity: found 1000000000 Gaussians, which take"
    with pytest.raises(InputError, match=told):
        fit_settings.check_fit_memory(
            replace(settings, capacity=10**9), (3, 2, 32, 32, 3)
        )


def test_settings_without_effect_are_refused():
    gradient, captured = (
        LiftConfig(distillation="gradient"),
        fit_settings.FitKind.CAPTURED,
    )
    told = r"lift\.distillation: found gradient, expected another"
    with pytest.raises(InputError, match=told):
        fit_settings.check_lift(gradient, None, captured)
    fit_settings.check_lift(gradient, None, fit_settings.FitKind.AROUND_SOURCE)
    fit_settings.check_lift(LiftConfig(distillation="none"), None, captured)
