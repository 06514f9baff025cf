"""Upright lines tell where up is; straight ones stay so on planes, and bend with their depth."""

import cv2
import numpy as np
import pytest

from full4d_jax.source.depth.lines import AZIMUTH_DEGREES, camera_up, straightness

HEIGHT, WIDTH, FOCAL = 128, 192, 150.0
LENS = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])
DOWN, ACROSS = np.mgrid[:HEIGHT, :WIDTH] + 0.5


def picture(mask):
    """Dark things before a light wall."""
    return np.where(mask, 40, 220).astype(np.uint8)[..., None].repeat(3, -1)


def posts(pitch: float) -> np.ndarray:
    """Return a picture of upright posts, seen by a camera that looks down by a pitch."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cosine, sine = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    for x in np.linspace(-2.4, 2.4, 9):
        # Both ends of a post at distance 3, y down.
        y = np.array([-1.0, 1.0])
        ahead = y * sine + 3 * cosine
        place = np.stack([x + 0 * y, y * cosine - 3 * sine]) * FOCAL / ahead
        ends = (place.T + (WIDTH / 2, HEIGHT / 2)).round().astype(int).tolist()
        cv2.line(mask, ends[0], ends[1], 1, 4)
    return picture(mask > 0)


@pytest.mark.parametrize("pitch", [0, 28])
def test_posts_tell_the_pitch(pitch):
    up = camera_up(np.stack([posts(pitch)] * 2), LENS)
    assert up is not None
    assert up[0] == 0
    assert abs(np.degrees(np.arctan2(-up[2], -up[1])) - pitch) < 2


def test_without_lines_up_is_unknown():
    noise = np.random.default_rng(0).uniform(0, 255, (16, 24, 3)).astype(np.float32)
    smooth = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(
        0, 255
    )
    assert camera_up(smooth.astype(np.uint8)[None], LENS) is None


@pytest.mark.parametrize("slope", [(0.0, 0.0), (-0.002, 0.003)])
def test_planes_bend_no_line(slope):
    bars = (ACROSS // 16 % 3 == 1) | (DOWN // 16 % 3 == 1)
    disparity = 1 + slope[0] * (ACROSS - 96) + slope[1] * (DOWN - 64)
    result = straightness(picture(bars)[None], 1 / disparity[None], LENS)
    assert result is not None
    assert result[0] == pytest.approx(0, abs=1e-5)


def test_a_wave_in_depth_bends_an_upright_line_by_its_parallax():
    depth = 1 + 0.1 * np.cos(DOWN / HEIGHT * 2 * np.pi)
    result = straightness(picture(np.abs(ACROSS - 96) < 12)[None], depth[None], LENS)
    # A point at depth z on the axis is seen f sin(a) (z - 1) / (1 + (z - 1) cos(a)) aside.
    angle, away = np.radians(AZIMUTH_DEGREES), np.array([-0.1, 0.1])
    sides = FOCAL * np.sin(angle) * away / (1 + away * np.cos(angle))
    # The wave is even about the middle of the line, so that the fitted line has no slant.
    expected = np.abs(sides - sides.mean()).max() / HEIGHT
    assert result is not None
    assert result[0] == pytest.approx(expected, rel=0.15)
