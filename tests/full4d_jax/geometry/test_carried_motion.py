"""Motion that a grid's first row carries over to its other views."""

import cv2
import numpy as np

from full4d_jax.geometry.carried_motion import ROW_SHARE_LOGIT, carried_motion, motion_from_first
from full4d_jax.models.warp import mixture

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


def test_the_row_shows_what_the_square_uncovered():
    frames = room()
    motion = carried_motion(frames)
    for view, instant in ((1, 1), (2, 1), (2, 2)):
        left = 14 + TURN * view
        uncovered = np.s_[22:38, left + 1 : left + STEP * instant - 1]
        truth = frames[view, instant].astype(np.float32)
        seen = mixture(frames[view, 0] / 1.0, frames[0, instant] / 1.0, motion[view, instant])
        row = np.asarray(seen.near + seen.added)
        pictures = (np.asarray(seen.near), row, np.asarray(seen.picture))
        miss = [np.abs(x - truth)[uncovered].mean() for x in pictures]
        assert miss[1] < 0.3 * miss[0]
        assert miss[2] < 0.85 * miss[0]  # with the designed share of .31
        assert (motion[view, instant][uncovered][..., 4] == ROW_SHARE_LOGIT).mean() > 0.9


def test_true_motion_is_trusted_where_it_finds_the_colour():
    motion, trusted = motion_from_first(room())
    assert not trusted[:, 0].any()
    left = 14 + TURN + STEP
    np.testing.assert_allclose(
        np.median(motion[1, 1, 24:36, left + 4 : left + 16], (0, 1)), [-STEP, 0], atol=0.5
    )
    assert trusted[1, 1, 24:36, left + 4 : left + 16].mean() > 0.9
    unlike = room()
    unlike[:, 1:] = 255 - unlike[:, :1]
    assert motion_from_first(unlike)[1].mean() < 0.2
