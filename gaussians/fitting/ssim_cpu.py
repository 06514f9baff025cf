"""Mean SSIM of two pictures and its gradient on CPUs: one loop, which Numba compiles.

Every row of the map is made of eleven rows of the pictures, and pulled back to them at once, so
that all of it stays in the cache. The equations are those of `ssim.inner_ssim_map`; a row of a
picture holds its pixels' channels one after the other.
"""

from typing import no_type_check

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.fitting import ssim
from gaussians.numba_calls import (
    ARGUMENTS_WORD,
    RESULTS_WORD,
    call_numba,
    compiled,
    floats,
    is_query,
)
from gaussians.types import Picture, Scalar

TAPS = ssim.SSIM_WINDOW
WINDOW = ssim.WINDOW
LUMINANCE_FLOOR = np.float32(ssim.LUMINANCE_FLOOR)
STRUCTURE_FLOOR = np.float32(ssim.STRUCTURE_FLOOR)
# In Numba numbers of Python are of float64.
ZERO = np.float32(0)
ONE = np.float32(1)
TWO = np.float32(2)


def ssim_and_slope(a: Picture, b: Picture) -> tuple[Scalar, Picture]:
    """Return the mean SSIM of two pictures, and its derivative by the first.

    Args:
      a: colours in [0, 1] of float32, at least as many pixels each way as the window has.
      b: likewise.
    """
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((), a.shape)]
    value, slope = call_numba(_ssim_and_slope, results, a, b)
    return value, slope


@no_type_check
def _ssim_and_slope(frame):
    if is_query(frame):
        return 0
    first, shape = floats(frame, ARGUMENTS_WORD, 0)
    rows = shape[0], shape[1] * shape[2]
    a = first.reshape(rows)
    b = floats(frame, ARGUMENTS_WORD, 1)[0].reshape(rows)
    slope = floats(frame, RESULTS_WORD, 1)[0].reshape(rows)
    floats(frame, RESULTS_WORD, 0)[0][0] = _sum_rows(a, b, shape[2], slope)
    return 0


@compiled
@no_type_check
def _sum_rows(a, b, channels, slope):
    """Write the slope of the mean SSIM by `a`; return the mean."""
    height, width = a.shape
    inner = width - (TAPS - 1) * channels
    rows = height - TAPS + 1
    # Of the mean colours of both pictures, their mean squares and the mean product.
    tall = np.empty((5, width), np.float32)
    means = np.empty((5, inner), np.float32)
    # By the mean colour of a, its mean square and the mean product.
    slopes = np.empty((3, inner), np.float32)
    wide = np.empty((3, width), np.float32)
    share = ONE / np.float32(rows * inner)
    slope[:] = ZERO
    # Of many rows, in double precision.
    total = 0.0
    for row in range(rows):
        _blur_rows(a, b, row, tall)
        for i in range(5):
            for x in range(inner):
                blurred = ZERO
                for k in range(TAPS):
                    blurred += WINDOW[k] * tall[i, x + k * channels]
                means[i, x] = blurred
        total += _compare(means, share, slopes)
        _pull_back_row(a, b, row, channels, slopes, wide, slope)
    return np.float32(total * share)


@compiled
@no_type_check
def _blur_rows(a, b, row, tall):
    """Write the means over the rows of a window, which begins with `row`."""
    tall[:] = ZERO
    for k in range(TAPS):
        for x in range(a.shape[1]):
            left = WINDOW[k] * a[row + k, x]
            right = WINDOW[k] * b[row + k, x]
            tall[0, x] += left
            tall[1, x] += right
            tall[2, x] += left * a[row + k, x]
            tall[3, x] += right * b[row + k, x]
            tall[4, x] += left * b[row + k, x]


@compiled
@no_type_check
def _compare(means, share, slopes):
    """Write the slopes of one row of the map, times `share`; return its sum."""
    total = ZERO
    for x in range(means.shape[1]):
        mean_a = means[0, x]
        mean_b = means[1, x]
        variance_a = means[2, x] - mean_a * mean_a
        variance_b = means[3, x] - mean_b * mean_b
        covariance = means[4, x] - mean_a * mean_b
        brightness = ONE / (mean_a * mean_a + mean_b * mean_b + LUMINANCE_FLOOR)
        detail = ONE / (variance_a + variance_b + STRUCTURE_FLOOR)
        luminance = (TWO * mean_a * mean_b + LUMINANCE_FLOOR) * brightness
        structure = (TWO * covariance + STRUCTURE_FLOOR) * detail
        total += luminance * structure
        by_variance = -share * luminance * structure * detail
        by_covariance = share * TWO * luminance * detail
        by_luminance = share * structure * TWO * brightness
        by_mean = by_luminance * (mean_b - luminance * mean_a)
        slopes[0, x] = by_mean - TWO * mean_a * by_variance - mean_b * by_covariance
        slopes[1, x] = TWO * by_variance
        slopes[2, x] = by_covariance
    return total


@compiled
@no_type_check
def _pull_back_row(a, b, row, channels, slopes, wide, slope):
    """Add to the slope what one row of the map contributes."""
    wide[:] = ZERO
    for i in range(3):
        for k in range(TAPS):
            for x in range(slopes.shape[1]):
                wide[i, x + k * channels] += WINDOW[k] * slopes[i, x]
    for k in range(TAPS):
        for x in range(a.shape[1]):
            by_picture = wide[0, x] + a[row + k, x] * wide[1, x]
            by_picture += b[row + k, x] * wide[2, x]
            slope[row + k, x] += WINDOW[k] * by_picture
