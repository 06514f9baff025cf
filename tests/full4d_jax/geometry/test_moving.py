"""Pixels that move, against their definition by sorting."""

import numpy as np
import pytest

from full4d_jax.geometry.moving import differs, moving_pixels, resting_picture


@pytest.mark.parametrize("count", [4, 5])
def test_a_pixel_moves_by_its_distance_from_the_middle_of_its_sorted_values(count):
    frames = np.random.default_rng(0).integers(0, 256, (2, count, 3, 4, 3)).astype(np.uint8)
    ordered = np.sort(frames.astype(float), axis=1)
    middle = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
    distance = np.abs(frames - middle[:, None])
    moving = moving_pixels(frames, 40)
    np.testing.assert_array_equal(moving, (distance > 40).any(-1))
    assert 0.1 < moving.mean() < 0.95
    one_view = moving_pixels(frames[0], 40)
    np.testing.assert_array_equal(one_view, moving[0])
    in_the_mean = moving_pixels(frames, 40, over_colours=np.mean)
    np.testing.assert_array_equal(in_the_mean, distance.sum(-1) > 120)


def test_the_resting_picture_keeps_the_precision_of_floats():
    levels = np.zeros((3, 2, 2, 3), np.uint8)
    assert resting_picture(levels).dtype == np.float32
    assert resting_picture(levels.astype(np.float64)).dtype == np.float64


def test_a_difference_at_the_threshold_is_none():
    frame = np.full((1, 2, 3), 100, np.uint8)
    frame[0, 0, 1] = 130
    frame[0, 1, 1] = 69
    resting = np.full((1, 2, 3), 100, np.float32)
    assert differs(frame, resting, 30).tolist() == [[False, True]]
