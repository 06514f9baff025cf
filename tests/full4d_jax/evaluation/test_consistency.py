"""Scores without truth against analytic cases; they tell good grids from obviously bad ones."""

import numpy as np
import pytest
from textured_room import make_room

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation import consistency
from input_pipeline.transforms import decode


@pytest.fixture(scope="module")
def room():
    """Three real views of a textured room at two instants."""
    example = make_room(views=3, height=120, width=160)
    return decode(example, height=120, width=160)


def cameras_of(room, poses=None) -> Cameras:
    poses = room.world_to_camera if poses is None else poses
    return Cameras(room.intrinsics, poses, *room.frames.shape[2:4])


def test_points_turned_off_their_lines_by_known_pixels():
    """Cameras side by side see a point in one row; 3 rows apart are an error of 3/√2."""
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, 0, 3] = -1
    lens = np.array([[100, 0, 50], [0, 100, 50], [0, 0, 1.0]])
    points = np.array([[[60, 40], [50, 43]], [[30, 70], [25, 70]]], float)
    distances = consistency.epipolar_distances(points, np.stack([lens, lens]), poses)
    np.testing.assert_allclose(distances, [3 / np.sqrt(2), 0], atol=1e-9)


def test_true_views_beat_wrong_cameras_shuffled_views_and_noise(room):
    cameras = cameras_of(room)
    truth = consistency.epipolar(room.frames, cameras)
    assert truth["median"] < 0.5
    assert truth["below_one"] > 0.8
    assert 0.5 * truth["matches"] < truth["verified"] <= truth["matches"]
    wrong = consistency.epipolar(room.frames, cameras_of(room, room.world_to_camera[[0, 2, 1]]))
    shuffled = consistency.epipolar(room.frames[[1, 0, 2]], cameras)
    for bad in (wrong, shuffled):
        assert bad["matches"] == pytest.approx(truth["matches"], rel=0.1)
        assert bad["median"] > 4 * truth["median"]
        assert bad["below_one"] < truth["below_one"] - 0.2
    noise = np.random.default_rng(0).integers(0, 256, room.frames.shape, np.uint8)
    assert consistency.epipolar(noise, cameras)["matches"] < 0.2 * truth["matches"]
    # One view for all is a match everywhere, on the wrong lines.
    frozen = consistency.epipolar(np.repeat(room.frames[:1], 3, 0), cameras)
    assert frozen["median"] > 4 * truth["median"]
