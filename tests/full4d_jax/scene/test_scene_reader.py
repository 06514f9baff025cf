"""A scene that somebody edited by hand: one clear line."""

import numpy as np
import pytest
from small_run import read_run, small_scene, write_run

from full4d_jax.scene.scene_reader import read_scene
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
