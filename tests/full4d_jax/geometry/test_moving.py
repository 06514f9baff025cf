"""Pixels that move, against their definition by sorting."""

import numpy as np
import pytest

from full4d_jax.geometry.moving import moving_pixels


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
