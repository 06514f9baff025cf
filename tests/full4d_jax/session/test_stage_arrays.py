"""Arrays of stages that somebody edited are refused with the array, what it is and should be."""

import numpy as np
import pytest

from full4d_jax.session.stage_arrays import check_arrays

SCENE = {
    "means": np.zeros((5, 3), np.float32),
    "quaternions": np.ones((5, 4), np.float32),
    "log_scales": np.zeros((5, 3), np.float32),
    "logit_opacities": np.zeros(5, np.float32),
    "harmonics": np.zeros((5, 1, 3), np.float32),
}
POSES = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1, 1))
GRID = {
    "frames": np.zeros((2, 1, 4, 4, 3), np.uint8),
    "intrinsics": np.stack([np.diag([4, 4, 1]).astype(np.float32)] * 2),
    "world_to_camera": POSES,
    "origin": np.ones((2, 1), np.uint8),
    "times": np.zeros(1),
    "note": np.array("a note"),
    "warning": np.array(""),
    "unposed": np.array(""),
    "enlarged": np.array(False),
}
SLOW = GRID | {
    "frames": np.zeros((2, 2, 4, 4, 3), np.uint8),
    "origin": np.ones((2, 2), np.uint8),
    "world_to_camera": np.tile(np.eye(4, dtype=np.float32), (2, 2, 1, 1)),
    "times": np.array([0.0, 1.0]),
}
DEPTH = {"depth": np.ones((1, 1, 4, 4)), "path_unit": np.array(1.0)}


@pytest.mark.parametrize(
    ("name", "whole", "edit", "message"),
    [
        ("scene", SCENE, {"means": None}, "found no array means"),
        ("scene", SCENE, {"means": np.full((5, 3), np.nan)}, "found 15 numbers such as nan"),
        ("grid", GRID, {"world_to_camera": 2 * POSES}, "world_to_camera: found last row"),
        ("grid", GRID, {"origin": np.ones((1, 2), np.uint8)}, "expected uint8 (v=2 t=1)"),
        ("depth", DEPTH, {"path_unit": np.array(-1.0)}, "path_unit: found 1 numbers such as -1"),
        ("source", SLOW, {"times": np.array([0.0, 1e-9])}, "found times that rise by 1e-09 s"),
    ],
)
def test_edited_arrays_are_refused(name, whole, edit, message):
    check_arrays(name, whole, "there")
    edited = {key: value for key, value in (whole | edit).items() if value is not None}
    with pytest.raises(ValueError, match="there") as error:
        check_arrays(name, edited, "there")
    assert message in str(error.value)
