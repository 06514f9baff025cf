"""Depth that a travelling camera's frames tell, where a network is wrong."""

import numpy as np
from handheld_clips import LENS, arc, film

from full4d_jax.geometry.stereo_depth import (
    agrees_with_neighbours,
    compared,
    corrected,
    stereo_depth,
)
from input_pipeline.cameras import relative_to


def wrong(true: np.ndarray) -> np.ndarray:
    """A network that leans everything: the left 1.6 times too near, the right 1.6 times too far."""
    lean = np.linspace(-np.log(1.6), np.log(1.6), true.shape[-1])
    return (true * np.exp(lean)).astype(np.float32)


def test_a_room_that_leans_is_set_upright():
    frames, true = film(arc()[::3])
    path = relative_to(arc()[::3], arc()[0])
    before = wrong(true)
    depth, share = stereo_depth(frames, before, LENS, path)
    assert share > 0.2
    errors = [np.abs(x / true - 1).mean() for x in (before, depth)]
    assert errors[1] < 0.35 * errors[0]


def test_frames_are_compared_from_places_that_show_depth():
    """Cameras in a row: steps of 1/10 at a distance of 1 are 5.7 degrees."""
    path = np.tile(np.eye(4), (9, 1, 1))
    path[:, 0, 3] = -np.arange(9) / 10
    others = compared(path, 1.0)
    assert set(others[4][:2]) == {3, 5}
    assert all(len(row) > 1 and t not in row for t, row in enumerate(others))
    assert not any(len(row) for row in compared(path, 100.0))
    path[8, 0, 3] = -50  # one that went away has none, and the others keep theirs
    assert [len(row) > 1 for row in compared(path, 1.0)] == [True] * 8 + [False]


def test_a_plain_wall_does_not_take_the_depth_of_what_stands_before_it():
    frame = np.full((40, 40, 3), 0.8, np.float32)
    swept = np.zeros((40, 40), np.float32)
    frame[:, 15:25] = np.random.default_rng(0).uniform(0, 0.3, (40, 10, 1))
    swept[:, 12:28] = 1.0  # as wide as the sweep's window sees it
    agrees = agrees_with_neighbours(frame, swept) & (swept > 0)
    assert agrees[:, 15:25].mean() > 0.9
    assert agrees[5:-5, 12:14].mean() + agrees[5:-5, 26:28].mean() < 0.1


def test_what_the_sweep_leaves_out_follows_its_neighbours_at_a_similar_depth():
    """A near half is twice too far, a far half is right; the sweep tells every other column."""
    estimate = np.where(np.arange(64) < 32, 1.0, 4.0) * np.ones((1, 48, 1))
    true = np.where(estimate == 1, 0.5, 4.0)
    found = np.where(np.arange(64) % 2 == 0, true, 0.0)
    depth = np.asarray(corrected(np.float32(estimate), np.float32(found)))
    error = np.abs(depth / true - 1)
    assert error.mean() < 0.01
    assert error.max() < 0.12  # beside the edge, where cells of both halves meet


def test_what_goes_along_with_the_camera_keeps_a_depth_near_its_own():
    """A sweep takes it for three times as far; the wall behind it is right."""
    true = np.full((1, 48, 64), 4.0, np.float32)
    true[:, 12:36, 20:44] = 2.0
    found = np.where(true == 2.0, 6.0, true)
    assert np.abs(np.asarray(corrected(true, found)) / true - 1).max() < 0.05
