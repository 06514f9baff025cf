"""Finished stages are kept, others made again; edited arrays are refused by their names."""

import numpy as np
import pytest

from full4d_jax.session.stage_arrays import check_arrays
from full4d_jax.session.stages import Stages


class Kitchen:
    """Counts how often the two stages of a small pipeline really ran."""

    def __init__(self, folder):
        self.folder, self.made = folder, []

    def cook(self, first=1, second=1, video=None):
        stages = Stages(self.folder, say=lambda line: None)

        def make(name, value):
            self.made.append(name)
            return {"x": np.full(3, value)}

        stages.run(
            "first", {"value": first, "video": video}, lambda: make("first", first)
        )
        return stages.run("second", {"value": second}, lambda: make("second", second))[
            "x"
        ]


def test_finished_stages_are_kept_and_changed_inputs_run_again_downstream(tmp_path):
    kitchen = Kitchen(tmp_path)
    np.testing.assert_array_equal(kitchen.cook(), [1, 1, 1])
    np.testing.assert_array_equal(kitchen.cook(), [1, 1, 1])
    assert kitchen.made == ["first", "second"]
    np.testing.assert_array_equal(kitchen.cook(second=2), [2, 2, 2])
    assert kitchen.made == ["first", "second", "second"]
    kitchen.cook(first=5, second=2)
    assert kitchen.made == ["first", "second", "second", "first", "second"]


def test_files_count_by_their_content(tmp_path):
    kitchen, video = Kitchen(tmp_path), tmp_path / "in.mp4"
    video.write_bytes(b"one")
    kitchen.cook(video=video)
    kitchen.cook(video=video)
    assert kitchen.made == ["first", "second"]
    video.write_bytes(b"two")
    kitchen.cook(video=video)
    assert kitchen.made == ["first", "second"] * 2


@pytest.mark.parametrize("size", [0, 200])
def test_a_damaged_stage_is_made_again(tmp_path, size):
    kitchen = Kitchen(tmp_path)
    kitchen.cook()
    path = tmp_path / "second.npz"
    path.write_bytes(path.read_bytes()[:size])
    kitchen.cook()
    assert kitchen.made == ["first", "second", "second"]


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
        (
            "scene",
            SCENE,
            {"means": np.full((5, 3), np.nan)},
            "found 15 numbers such as nan",
        ),
        (
            "grid",
            GRID,
            {"world_to_camera": 2 * POSES},
            "world_to_camera: found last row",
        ),
        (
            "grid",
            GRID,
            {"origin": np.ones((1, 2), np.uint8)},
            "expected uint8 (v=2 t=1)",
        ),
        (
            "depth",
            DEPTH,
            {"path_unit": np.array(-1.0)},
            "path_unit: found 1 numbers such",
        ),
        (
            "source",
            SLOW,
            {"times": np.array([0.0, 1e-9])},
            "times that rise by 1e-09 s",
        ),
    ],
)
def test_edited_arrays_are_refused(name, whole, edit, message):
    check_arrays(name, whole, "there")
    edited = {key: value for key, value in (whole | edit).items() if value is not None}
    with pytest.raises(ValueError, match="there") as error:
        check_arrays(name, edited, "there")
    assert message in str(error.value)
