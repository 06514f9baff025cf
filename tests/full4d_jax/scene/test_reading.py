"""Run folders that somebody edited by hand: one clear line, and no work."""

import json
from typing import Any

import numpy as np
import pytest
from fuzz_folders import read_run, small_scene, write_run

from full4d_jax.scene.reading import read_grid, read_scene
from full4d_jax.session.errors import InputError
from full4d_jax.session.stages import Stages


def edited(folder, **edit):
    """A finished run with other values in config.json."""
    write_run(folder, small_scene())
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))
    return Stages(folder, say=lambda line: None)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"lift": []}, "config.json, lift: found list, expected a table of fields"),
        ({"seed": "x"}, "config.json, seed: found 'x', expected a whole number"),
        ({"data": {"views": -3}}, "config.json, data.views: found -3"),
    ],
)
def test_impossible_values_of_the_config_are_refused(tmp_path, edit, message):
    with pytest.raises(InputError) as error:
        read_grid(edited(tmp_path / "run", **edit))
    assert message in str(error.value)


def test_missing_and_foreign_fields_of_the_config_are_told(tmp_path):
    told = []
    stages = edited(tmp_path / "run", model={"colour": 1})
    stages.say = told.append
    read_grid(stages)
    assert "config.json has no model.attention" in told[0]
    assert told[0].endswith("of another version, or edited")


def test_arrays_that_do_not_fit_together_are_refused(tmp_path):
    stages = edited(tmp_path / "run")
    path = tmp_path / "run/grid.npz"
    saved: dict[str, Any] = dict(np.load(path))
    saved["depth"] = np.ones((1, 3, 16, 16), np.float32)
    np.savez(path, **saved)
    with pytest.raises(InputError, match=r"grid.npz, array depth: found float32 \(1, 3, 16, 16\)"):
        read_grid(stages)


def test_folders_of_earlier_versions_are_refused_in_one_line(tmp_path):
    """Up to format 14 grids had no origin."""
    stages = edited(tmp_path / "run")
    path = tmp_path / "run/grid.npz"
    np.savez(path, **{name: x for name, x in np.load(path).items() if name != "origin"})
    with pytest.raises(
        InputError, match=r"grid.npz: found no array origin, as an older version.*run full4d sample"
    ) as error:
        read_grid(stages)
    assert "\n" not in str(error.value)


def test_nan_in_a_scene_is_refused(tmp_path):
    edited(tmp_path / "run")
    read_run(tmp_path / "run")
    path = tmp_path / "run/scene.npz"
    saved = dict(np.load(path))
    saved["means"][2, 1] = np.nan
    np.savez(path, **saved)
    np.savez(tmp_path / "alone.npz", **saved)
    for place in (tmp_path / "run", path, tmp_path / "alone.npz"):
        with pytest.raises(InputError, match="array means: found 1 NaN or infinite numbers"):
            read_scene(place)
