"""Scores of a scene in its source camera, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from full4d_jax.geometry.image_motion import moving_pixels
from full4d_jax.scene.quality import MOVING_LEVELS, psnr_between, source_quality

TIMES = np.array([2.0, 2.5, 3.0, 3.5, 4.0])


@pytest.fixture
def frames() -> np.ndarray:
    """A grey checkerboard over which a white square of 4 pixels passes at three instants."""
    picture = np.where(np.indices((20, 20)).sum(0) % 2, 100, 110).astype(np.uint8)
    frames = np.repeat(picture[None, ..., None], 5, 0).repeat(3, -1)
    for instant in range(3):
        frames[instant, 2:4, 5 * instant : 5 * instant + 2] = 250
    return frames


def decibels(levels: float) -> float:
    return -20 * math.log10(levels / 255)


def test_errors_of_what_moves_are_told_apart_from_those_of_the_rest(frames):
    renders = frames.copy()
    renders[0, 2:4, :2] -= 10  # of the square
    renders[2, 2:4, 10:12] -= 40
    renders[3:, :, :] += 2  # of instants where nothing moves
    moving = moving_pixels(frames, MOVING_LEVELS)
    quality = source_quality(renders, frames, TIMES, moving)
    pooled = math.sqrt((10**2 + 0 + 40**2) / 3)
    whole = math.sqrt((4 * 10**2 + 4 * 40**2 + 2 * 400 * 2**2) / (5 * 400))
    assert quality.moving_psnr == pytest.approx(decibels(pooled), abs=1e-4)
    assert quality.moving_psnr_worst == pytest.approx(decibels(40), abs=1e-4)
    assert quality.moving_psnr_worst_at == 3.0
    assert quality.source_psnr == pytest.approx(decibels(whole), abs=1e-4)


def test_pictures_between_are_judged_where_they_differ_from_the_median(frames):
    picture = frames[3:4].copy()
    picture[0, 8:10, 8:10] = 250
    render = picture + np.uint8(5)  # of everything
    render[0, 8:10, 8:10] = 230
    assert psnr_between(render, picture, frames) == pytest.approx(
        decibels(20), abs=1e-4
    )
    assert math.isnan(psnr_between(render, frames[3:4], frames))


def test_sharpness_is_the_share_of_the_laplacian_that_is_left(frames):
    # With half the contrast the Laplacian is half as large and its variance a quarter.
    mean = 105.0
    # 103 and 107.
    halved = (mean + (frames[3:].astype(float) - mean) * 0.4).astype(np.uint8)
    nothing = np.zeros(frames.shape[:3], bool)
    quality = source_quality(halved, frames[3:], TIMES[:2], nothing[3:])
    assert quality.sharpness == pytest.approx(0.16)
    assert math.isnan(quality.moving_psnr)
    assert source_quality(frames, frames, TIMES, nothing).sharpness == 1
