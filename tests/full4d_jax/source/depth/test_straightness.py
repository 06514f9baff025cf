"""What is straight in a frame stays so on planes, and bends with its depth."""

import numpy as np
import pytest

from full4d_jax.source.depth.straightness import (
    AZIMUTH_DEGREES,
    segment_points,
    straightness,
)

HEIGHT, WIDTH, FOCAL = 128, 192, 150.0
LENS = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])
DOWN, ACROSS = np.mgrid[:HEIGHT, :WIDTH] + 0.5


def clip(*, frames=1):
    """A grid of dark bars, upright and lying, before a light wall."""
    bars = (ACROSS // 16 % 3 == 1) | (DOWN // 16 % 3 == 1)
    return np.repeat(np.where(bars, 40, 210).astype(np.uint8)[None, ..., None], frames, 0).repeat(
        3, -1
    )


def one_post():
    """A dark post whose edges are upright."""
    return (
        np.where(np.abs(ACROSS - 96) < 12, 30, 220).astype(np.uint8)[None, ..., None].repeat(3, -1)
    )


def median_of(frames, depth) -> float:
    """Return the median deviation of a clip that has segments."""
    median = straightness(frames, depth, LENS).median
    assert median is not None
    return median


@pytest.mark.parametrize("slope", [(0.0, 0.0), (-0.002, 0.003)])
def test_planes_bend_no_line(slope):
    disparity = 1 + slope[0] * (ACROSS - 96) + slope[1] * (DOWN - 64)
    result = straightness(clip(), 1 / disparity[None], LENS)
    assert result.segments > 8
    assert result.median == pytest.approx(0, abs=1e-5)


def test_a_wave_in_depth_bends_an_upright_line_by_its_parallax():
    depth = 1 + 0.1 * np.cos(DOWN / HEIGHT * 2 * np.pi)
    result = straightness(one_post(), depth[None], LENS)
    assert result.segments == 2
    # A point at depth z on the axis is seen f sin(a) (z - 1) / (1 + (z - 1) cos(a)) aside.
    angle, away = np.radians(AZIMUTH_DEGREES), np.array([-0.1, 0.1])
    sides = FOCAL * np.sin(angle) * away / (1 + away * np.cos(angle))
    # The wave is even about the middle of the line, so that the fitted line has no slant.
    expected = np.abs(sides - sides.mean()).max() / HEIGHT
    assert result.median == pytest.approx(expected, rel=0.15)


def test_an_outline_belongs_to_the_nearer_side():
    post = np.abs(ACROSS - 96) < 12
    wavy = 3 + 0.3 * np.cos(DOWN / 10)
    result = straightness(one_post(), np.where(post, 1.0, wavy)[None], LENS)
    assert result.segments == 2
    assert result.median == pytest.approx(0, abs=1e-5)
    # The same wave on the post itself counts.
    assert median_of(one_post(), np.where(post, wavy / 3, 3.0)[None]) > 0.01


def test_a_segment_is_cut_where_depth_jumps_along_it():
    depth = np.where(DOWN < 64, 1.0, 2.0)
    pieces = segment_points(one_post()[0], depth, 0.15)
    assert len(pieces) == 8  # both sides of two halves of two edges
    assert all(np.ptp(piece.depth) < 0.1 for piece in pieces)
    # A blur of the jump leaves one sample between the two, which is too short to count.
    result = straightness(one_post(), depth[None], LENS)
    assert result.median == pytest.approx(0, abs=1e-5)
