"""The size of a fit grows with its pictures and with what moves in them."""

import numpy as np

from full4d_jax.config import LiftConfig
from full4d_jax.scene.fit_settings import DENSITY, MOVING_DENSITY, count_moving, sized

HEIGHT, WIDTH = 200, 300


def test_gaussians_grow_with_pixels_and_with_those_that_move():
    settings = LiftConfig()
    still = sized(settings, HEIGHT, WIDTH, captured=False)
    lively = sized(settings, HEIGHT, WIDTH, captured=False, moving=100_000)
    assert still.capacity == round(DENSITY["normal"] * HEIGHT * WIDTH)
    assert lively.capacity - still.capacity == round(MOVING_DENSITY * 100_000)
    assert sized(settings, HEIGHT, WIDTH, captured=True).steps > still.steps


def test_numbers_that_are_asked_for_stay():
    settings = LiftConfig(steps=7, capacity=123)
    fixed = sized(settings, HEIGHT, WIDTH, captured=False, moving=10**6)
    assert (fixed.steps, fixed.capacity) == (7, 123)


def test_pixels_that_differ_from_their_median_move():
    frames = np.full((5, 10, 10, 3), 0.5)
    frames[2, 3:5, 4:8] = 0.9
    frames[1, 0, 0] = 0.55  # noise
    assert count_moving(frames) == 8
