"""What is straight in a frame stays so on planes, and bends with its depth."""

import numpy as np
import pytest

from full4d_jax.source.depth.straightness import (
    AZIMUTH_DEGREES,
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
