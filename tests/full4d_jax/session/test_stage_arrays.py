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
        ("scene", SCENE, {"means": np.zeros((4, 3))}, "array quaternions: found float32 (5, 4)"),
        ("scene", SCENE, {"means": np.full((5, 3), np.nan)}, "found 15 NaN or infinite numbers"),
        ("grid", GRID, {"intrinsics": None}, "found world_to_camera, expected intrinsics beside"),
        ("grid", GRID, {"world_to_camera": 2 * POSES}, "world_to_camera: found last row"),
        ("grid", GRID, {"origin": None}, "found no array origin"),
        ("grid", GRID, {"origin": np.full((2, 1), 4, np.uint8)}, "found 4, expected 0 to 3"),
        ("grid", GRID, {"origin": np.ones((1, 2), np.uint8)}, "expected uint8 (v=2 t=1)"),
        ("grid", GRID, {"depth": np.ones((3, 1, 4, 4))}, "depth: found 3, expected at most 2"),
        ("scene", SCENE, {"means": np.full((5, 3), 1e30)}, "found numbers of 1e+30, expected at"),
        ("grid", GRID, {"rate": np.array(0.0)}, "rate: found 0, expected numbers above 1e-18"),
        ("depth", DEPTH, {"path_unit": np.array(-1.0)}, "path_unit: found -1, expected numbers"),
        ("source", SLOW, {"times": np.array([0.0, 1e-9])}, "found times that rise by 1e-09 s"),
    ],
)
def test_edited_arrays_are_refused(name, whole, edit, message):
    check_arrays(name, whole, "there")
    edited = {key: value for key, value in (whole | edit).items() if value is not None}
    with pytest.raises(ValueError, match="there") as error:
        check_arrays(name, edited, "there")
    assert message in str(error.value)


def test_scores_may_be_missing():
    check_arrays("scene", SCENE | {"held_out_psnr": np.array(np.nan)}, "there")


def test_a_network_that_does_not_fit_its_embeddings_is_refused():
    places = len(SCENE["means"])
    bent = {"embeddings": np.zeros((places, 6)), "inner": np.zeros((6, 8)), "reach": np.ones(())}
    bent |= {"biases": np.zeros((3, 8)), "outer": np.zeros((8, 10))}
    check_arrays("scene", SCENE | bent, "there")
    with pytest.raises(ValueError, match=r"array inner: found float64 \(5, 8\), expected float"):
        check_arrays("scene", SCENE | bent | {"inner": np.zeros((5, 8))}, "there")
    with pytest.raises(ValueError, match="array biases: found 2, expected 3 or more"):
        check_arrays("scene", SCENE | bent | {"biases": np.zeros((2, 8))}, "there")
