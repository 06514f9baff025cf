"""The size of a fit grows with its pictures and with what moves in them."""

from dataclasses import replace

import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.config import LiftConfig
from full4d_jax.grid import About, all_real, around_source
from full4d_jax.scene.fit_settings import (
    CAPTURE_DENSITY,
    DENSITY,
    FitKind,
    fit_kind,
    sized,
    sized_for,
)

HEIGHT, WIDTH = 200, 300


def test_gaussians_grow_with_pixels_and_with_those_that_move():
    settings = LiftConfig()
    still = sized(settings, HEIGHT, WIDTH, kind=FitKind.AROUND_SOURCE)
    lively = sized(settings, HEIGHT, WIDTH, kind=FitKind.AROUND_SOURCE, moving=100_000)
    assert still.capacity == round(DENSITY["normal"] * HEIGHT * WIDTH)
    assert lively.capacity - still.capacity == 15_000
    assert sized(settings, HEIGHT, WIDTH, kind=FitKind.CAPTURED).steps > still.steps


def test_depth_origins_and_size_say_what_a_grid_is_to_a_fit():
    frames = np.zeros((2, 3, HEIGHT, WIDTH, 3), np.uint8)
    frames[0, 1, :10, :10] = 255
    cameras = Cameras(np.zeros((2, 3, 3)), np.zeros((2, 3, 4, 4)), HEIGHT, WIDTH)
    around = around_source(frames, np.ones((1, 3, HEIGHT, WIDTH), np.float32), cameras)
    enlarged = replace(around, about=About(enlarged=True))
    real = replace(around, origin=all_real(frames))
    for grid, kind in (
        (around, FitKind.AROUND_SOURCE),
        (enlarged, FitKind.ENLARGED),
        (real, FitKind.CAPTURED),
        (replace(around, depth=None), FitKind.CAPTURED),
    ):
        assert fit_kind(grid) is kind
    moving = 15
    for grid in (around, enlarged):
        capacity = sized_for(LiftConfig(), grid).capacity
        assert capacity == round(DENSITY["normal"] * HEIGHT * WIDTH) + moving
    assert sized_for(LiftConfig(), real).capacity == round(
        CAPTURE_DENSITY["normal"] * HEIGHT * WIDTH
    )
