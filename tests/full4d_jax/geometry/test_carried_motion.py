"""Motion that a grid's first row carries over to its other views."""

import cv2
import numpy as np

from full4d_jax.geometry.carried_motion import carried_motion

SIDE = 64
STEP = 4  # pixels that the square moves right between instants
TURN = 5  # pixels that all moves right between views


def room(views: int = 3, instants: int = 3) -> np.ndarray:
    """A square of noise that moves before a wall of noise, both shifted from view to view."""
    rng = np.random.default_rng(0)

    def noise(side: int) -> np.ndarray:
        coarse = rng.integers(0, 255, (side // 4, side // 4, 3), np.uint8)
        return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)

    wall = noise(2 * SIDE)
    square = noise(20)
    frames = np.empty((views, instants, SIDE, SIDE, 3), np.uint8)
    for view, instant in np.ndindex(views, instants):
        shift = TURN * view
        frames[view, instant] = wall[:SIDE, SIDE // 2 - shift :][:, :SIDE]
        left = 14 + shift + STEP * instant
        frames[view, instant, 20:40, left : left + 20] = square
    return frames


def test_the_square_moves_in_other_views_as_in_the_first():
    motion = carried_motion(room())
    assert not motion[0].any()
    assert not motion[:, 0].any()
    for view in (1, 2):
        for instant in (1, 2):
            left = 14 + TURN * view + STEP * instant
            inside = motion[view, instant, 24:36, left + 4 : left + 16]
            expected = [-STEP * instant, 0, -TURN * view, 0]
            np.testing.assert_allclose(np.median(inside[..., :4], (0, 1)), expected, atol=1)
            assert not motion[view, instant, :12, :, :2].any()  # nothing changes there
            assert not motion[view, instant, :12, :, 4].any()
