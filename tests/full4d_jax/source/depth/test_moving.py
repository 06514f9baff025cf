"""Moving subjects lie before the background, whatever an estimate says."""

import numpy as np
import pytest
from one_view import one_view

from full4d_jax.source.depth.resting_scene import (
    SUBJECT_GAP,
    resting_disparity_along,
    set_before,
)

T, H, W = 4, 20, 30
LENS = np.array([[30.0, 0, 15], [0, 30.0, 10], [0, 0, 1]])
WALL = 2.0  # depth


def walking(estimate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return depth, frames and labels of a box that walks before a wall, at an estimated depth."""
    depth = np.full((T, H, W), WALL)
    frames = np.full((T, H, W, 3), 90, np.uint8)
    labels = np.zeros((T, H, W), np.int32)
    for t in range(T):
        box = (t, slice(5, 15), slice(5 * t, 5 * t + 5))
        depth[box] = estimate
        frames[box] = 200
        labels[box] = 1
    return depth, frames, labels


@pytest.mark.parametrize("estimate", [1.0, 2.4])
def test_a_subject_lies_before_the_wall_that_it_hides(estimate):
    depth, frames, labels = walking(estimate)
    result = set_before(one_view(frames, depth, LENS), labels)
    assert (result[labels == 1] <= WALL / (1 + SUBJECT_GAP) + 1e-5).all()
    np.testing.assert_allclose(result[labels == 0], WALL, rtol=1e-6)


def test_what_rests_has_one_depth_for_the_clip():
    depth, frames, labels = walking(1.0)
    depth[labels == 0] *= np.random.default_rng(0).uniform(
        0.9, 1.1, (labels == 0).sum()
    )
    result = set_before(one_view(frames, depth, LENS), labels)
    free = (labels == 0).all(0)
    assert np.ptp(result[:, free], axis=0).max() == 0


def test_a_moving_camera_sees_the_wall_of_other_instants():
    path = np.tile(np.eye(4), (T, 1, 1))
    path[:, 0, 3] = np.linspace(0, 0.2, T)
    depth, frames, labels = walking(2.4)
    source = one_view(frames, depth, LENS, path)
    seen = resting_disparity_along(source, labels == 0)
    inner = seen[:, 2:-2, 6:-6]
    assert (inner > 0).mean() > 0.9
    np.testing.assert_allclose(inner[inner > 0], 1 / WALL, rtol=1e-6)
    result = set_before(source, labels)
    subject = (labels == 1) & (seen > 0)
    assert (result[subject] <= WALL / (1 + SUBJECT_GAP) + 1e-5).all()
