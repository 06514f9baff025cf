"""A scene that somebody edited by hand: one clear line."""

import json

import numpy as np
import pytest
from small_run import CREDIT, read_run, small_scene, write_run

from full4d_jax.media.video_io import read_credit
from full4d_jax.pipeline import render
from full4d_jax.scene.scene_reader import open_scene, read_scene
from full4d_jax.scene.show_options import RenderOptions
from full4d_jax.session.errors import InputError


def test_nan_in_a_scene_is_refused(tmp_path):
    write_run(tmp_path / "run", small_scene())
    read_run(tmp_path / "run")
    path = tmp_path / "run/scene.npz"
    saved = dict(np.load(path))
    saved["means"][2, 1] = np.nan
    np.savez(path, **saved)
    np.savez(tmp_path / "alone.npz", **saved)
    for place in (tmp_path / "run", path, tmp_path / "alone.npz"):
        with pytest.raises(
            InputError, match="array means: found 1 numbers such as nan"
        ):
            read_scene(place)


def test_what_a_run_makes_of_a_film_names_whom_to_credit(tmp_path):
    folder = tmp_path / "run"
    write_run(folder, small_scene())
    render(folder, RenderOptions(size=16, orbit_seconds=0.1))
    assert read_credit(folder / "orbit.mp4") == CREDIT
    assert f"Made from: {CREDIT}" in (folder / "scene.html").read_text()
    assert json.loads((folder / "report.json").read_text())["credit"] == CREDIT
    assert f"Made from: {CREDIT}" in open_scene(folder).page(None)
