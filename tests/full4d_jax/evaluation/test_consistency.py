"""Scores without truth against analytic cases; they tell good grids from obviously bad ones."""

import cv2
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


def smooth(height=64, width=96, seed=0):
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(127 + 600 * blurred, 0, 255).astype(np.uint8)


def test_a_video_that_moves_as_a_whole_is_consistent_and_its_flow_is_known():
    still = smooth(80, 120)
    video = np.stack([still[8:72, 12 - 2 * t : 108 - 2 * t] for t in range(3)])
    flow = consistency.optical_flow(video[0], video[1])[10:-10, 10:-10]
    np.testing.assert_allclose(np.median(flow, (0, 1)), [2, 0], atol=0.1)
    assert consistency.warping_error(video) < 1e-4
    assert consistency.flicker(video) > 0.01
    lights = np.stack([video[0], np.clip(video[1].astype(int) + 40, 0, 255).astype(np.uint8)])
    assert consistency.warping_error(lights) == pytest.approx((40 / 255) ** 2, rel=0.3)


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


def test_views_move_into_each_other_by_their_depth(room):
    cameras = cameras_of(room)
    assert (room.depth > 0).all()
    truth, seen = consistency.cross_view(room.frames, room.depth, cameras).values()
    assert truth < 0.01
    assert 0.6 < seen < 1
    shuffled = consistency.cross_view(room.frames[[1, 0, 2]], room.depth, cameras)
    noise = np.random.default_rng(0).integers(0, 256, room.frames.shape, np.uint8)
    assert shuffled["cross_view"] > 3 * truth
    assert shuffled["cross_view_seen"] == seen
    assert consistency.cross_view(noise, room.depth, cameras)["cross_view"] > 0.1
    apart = consistency.cross_view(room.frames, room.depth, cameras_of(room, far_apart(room)))
    assert apart["cross_view_seen"] < 0.1


def far_apart(room):
    """Poses that see other places: turned by right angles."""
    turns = [cv2.Rodrigues(np.array([0, i * np.pi / 2, 0]))[0] for i in range(3)]
    poses = room.world_to_camera.copy()
    poses[:, :, :3, :3] = np.array(turns, np.float32)[:, None]
    return poses
