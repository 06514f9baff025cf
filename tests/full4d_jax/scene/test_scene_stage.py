"""Grids in memory become scenes; what would do nothing, or memory cannot hold, is refused."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from full4d_jax.cameras import cameras_of
from full4d_jax.config import DEFAULT, LiftConfig
from full4d_jax.grid import Grid, Origin, all_real
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene import fit_settings
from full4d_jax.scene.scene_stage import lift
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
    kinds = fit_settings.FitKind
    ran = {
        kinds.CAPTURED: ("none",),
        kinds.AROUND_SOURCE: ("cached", "gradient", "none"),
        kinds.ENLARGED: ("none", "gradient"),
    }
    for kind, forms in ran.items():
        assert fit_settings.distillation_form(LiftConfig(), kind) == forms[0]
        for form in ("cached", "gradient", "none"):
            settings = LiftConfig(distillation=form)
            if form in forms:
                fit_settings.check_lift(settings, None, kind)
                continue
            told = rf"lift\.distillation: found {form}, expected none"
            with pytest.raises(InputError, match=told):
                fit_settings.check_lift(settings, None, kind)
    weights = Path("prior.safetensors")
    with pytest.raises(InputError, match=r"checkpoint: found prior\.safetensors"):
        fit_settings.check_lift(LiftConfig(), weights, kinds.ENLARGED)
    fit_settings.check_lift(LiftConfig(), weights, kinds.AROUND_SOURCE)


def test_a_prior_is_needed_where_a_form_of_distillation_is_named(grid):
    origin = grid.origin.copy()
    origin[1:] = Origin.GENERATED
    cached = replace(QUICK, lift=replace(QUICK.lift, distillation="cached"))
    with pytest.raises(InputError, match=r"found cached, .* without a prior"):
        lift(replace(grid, origin=origin), cached)
