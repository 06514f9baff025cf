"""Upright lines tell where up is; without any, nobody knows."""

import cv2
import numpy as np
import pytest

from full4d_jax.source.depth.gravity import camera_up

HEIGHT, WIDTH, FOCAL = 192, 256, 200.0
LENS = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])


def posts(pitch: float) -> np.ndarray:
    """Return a picture of dark upright posts, seen by a camera that looks down by a pitch."""
    frame = np.full((HEIGHT, WIDTH, 3), 220, np.uint8)
    cosine, sine = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    for x in np.linspace(-2.4, 2.4, 9):
        ends = []
        for y in (-1.0, 1.0):  # of a post at distance 3, y down
            down = np.array([x, y * cosine - 3 * sine, y * sine + 3 * cosine])
            ends.append((down[:2] / down[2] * FOCAL + (WIDTH / 2, HEIGHT / 2)).round().astype(int))
        cv2.line(frame, tuple(map(int, ends[0])), tuple(map(int, ends[1])), (40, 40, 40), 4)
    return frame


@pytest.mark.parametrize("pitch", [0, 28])
def test_posts_tell_the_pitch(pitch):
    up = camera_up(np.stack([posts(pitch)] * 2), LENS)
    assert up is not None
    assert up[0] == 0
    assert abs(np.degrees(np.arctan2(-up[2], -up[1])) - pitch) < 2


def test_without_lines_up_is_unknown():
    noise = np.random.default_rng(0).uniform(0, 255, (24, 32, 3)).astype(np.float32)
    smooth = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    assert camera_up(smooth.astype(np.uint8)[None], LENS) is None
