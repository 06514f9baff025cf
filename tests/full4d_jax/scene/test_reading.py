"""Run folders that somebody edited by hand: one clear line, and no work."""

from typing import Any

import numpy as np
import pytest
from small_run import read_run, small_scene, write_run

from full4d_jax.scene.reading import read_grid, read_scene
from full4d_jax.session.errors import InputError
from full4d_jax.session.stages import Stages


def edited(folder):
    """A finished run."""
    write_run(folder, small_scene())
    return Stages(folder, say=lambda line: None)


def test_arrays_that_do_not_fit_together_are_refused(tmp_path):
    stages = edited(tmp_path / "run")
    path = tmp_path / "run/grid.npz"
    saved: dict[str, Any] = dict(np.load(path))
    saved["depth"] = np.ones((1, 3, 16, 16), np.float32)
    np.savez(path, **saved)
    with pytest.raises(
        InputError, match=r"grid.npz, array depth: found float32 \(1, 3, 16, 16\)"
    ):
        read_grid(stages)


def test_nan_in_a_scene_is_refused(tmp_path):
    edited(tmp_path / "run")
    read_run(tmp_path / "run")
    path = tmp_path / "run/scene.npz"
    saved = dict(np.load(path))
    saved["means"][2, 1] = np.nan
    np.savez(path, **saved)
    np.savez(tmp_path / "alone.npz", **saved)
    for place in (tmp_path / "run", path, tmp_path / "alone.npz"):
        with pytest.raises(InputError, match="array means: found 1 numbers such as nan"):
            read_scene(place)
