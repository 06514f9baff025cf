"""Lists and compositing on CPUs: loops that Numba compiles, by the equations of `compositing`.

A tile is drawn until none of its pixels could change any more, one Gaussian after another, so that
its pixels stay in the fastest cache and the loops over them become vector instructions. Pictures
are drawn in strips, which XLA runs beside each other.
"""

import math
from itertools import pairwise
from typing import no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gaussians.numba_calls import (
    ARGUMENTS_WORD,
    RESULTS_WORD,
    call_numba,
    compiled,
    floats,
    integers,
    is_query,
)
from gaussians.rendering import compositing
from gaussians.rendering.binning import MOST_INTERSECTIONS, Bins, Tiles
from gaussians.rendering.compositing import GEOMETRY_ROWS, Features, Image
from gaussians.rendering.projection import ALPHA_MIN, Splats

# Of a picture. XLA hands work to another thread once more than eight calls are ready.
MOST_STRIPS = 16
# Bits of a depth that one pass sorts by.
RADIX_BITS = 11

# Numbers of float32: in Numba those of Python are of float64.
ZERO = np.float32(0)
HALF = np.float32(0.5)
ONE = np.float32(1)
TWO = np.float32(2)
FAINTEST = np.float32(ALPHA_MIN)
ALPHA_MAX = np.float32(compositing.ALPHA_MAX)
LEAST_LIGHT = np.float32(compositing.LEAST_LIGHT)
# A little below the logarithm of `FAINTEST`.
LOWEST = np.float32(np.log(ALPHA_MIN) - 0.01)
# A fourth of an exponent is at most `REACH` from `MIDDLE`, and the exponential there a polynomial,
# from the highest power on.
FOURTH = np.float32(1 / 4)
MIDDLE = LOWEST / np.float32(8)
SERIES = tuple(
    np.float32(x)
    for x in np.polynomial.Chebyshev.interpolate(
        np.exp, deg=7, domain=(LOWEST / 4, 0.0)
    )
    .convert(domain=(MIDDLE - 1, MIDDLE + 1), kind=np.polynomial.Polynomial)
    .coef[::-1]
)


@compiled
@no_type_check
def _alpha(log_alpha):
    """Return exp(x) as alpha: at most `ALPHA_MAX`, 0 below `FAINTEST`."""
    x = max(log_alpha, LOWEST) * FOURTH - MIDDLE
    root = (SERIES[0] * x + SERIES[1]) * x + SERIES[2]
    root = ((root * x + SERIES[3]) * x + SERIES[4]) * x + SERIES[5]
    root = (root * x + SERIES[6]) * x + SERIES[7]
    square = root * root
    alpha = min(square * square, ALPHA_MAX)
    return alpha if alpha >= FAINTEST else ZERO


@compiled
@no_type_check
def _offsets(side):
    """Return x and y of a tile's pixels from its centre."""
    x = np.empty(side * side, np.float32)
    y = np.empty(side * side, np.float32)
    for p in range(side * side):
        x[p] = p % side + HALF - side * HALF
        y[p] = p // side + HALF - side * HALF
    return x, y


@compiled
@no_type_check
def _draw_tiles(features, ids, first, length, begin, image):
    """Draw the tiles of a strip into `image`; `begin` is its first row of tiles."""
    rows = image.shape[0] * first.shape[1] // image.shape[1]
    side = image.shape[1] // first.shape[1]
    pixels = side * side
    channels = features.shape[1] - GEOMETRY_ROWS
    offset_x, offset_y = _offsets(side)
    light = np.empty(pixels, np.float32)
    left = np.empty(pixels, np.float32)
    weight = np.empty(pixels, np.float32)
    drawn = np.empty((channels, pixels), np.float32)
    for row in range(rows):
        for column in range(first.shape[1]):
            light[:] = ONE
            left[:] = ONE
            drawn[:] = ZERO
            start = first[begin + row, column]
            for slot in range(start, start + length[begin + row, column]):
                splat = features[ids[slot]]
                x = splat[0] - np.float32((column + 0.5) * side)
                y = splat[1] - np.float32((begin + row + 0.5) * side)
                a = splat[2]
                b = splat[3]
                c = splat[4]
                remaining = ZERO
                for p in range(pixels):
                    dx = offset_x[p] - x
                    dy = offset_y[p] - y
                    alpha = _alpha(splat[5] + (a * dx + b * dy) * dx + c * dy * dy)
                    after = light[p] * (ONE - alpha)
                    is_drawn = after > LEAST_LIGHT
                    weight[p] = alpha * light[p] if is_drawn else ZERO
                    left[p] = after if is_drawn else left[p]
                    light[p] = after
                    remaining += after if is_drawn else ZERO
                for channel in range(channels):
                    value = splat[GEOMETRY_ROWS + channel]
                    for p in range(pixels):
                        drawn[channel, p] += weight[p] * value
                if remaining == ZERO:
                    break
            for p in range(pixels):
                pixel = image[row * side + p // side, column * side + p % side]
                for channel in range(channels):
                    pixel[channel] = drawn[channel, p]
                pixel[channels] = left[p]


@compiled
@no_type_check
def _pull_back_tiles(features, ids, first, length, image, cotangent, gradient):
    """Write the gradient in the features."""
    side = image.shape[1] // first.shape[1]
    pixels = side * side
    channels = features.shape[1] - GEOMETRY_ROWS
    offset_x, offset_y = _offsets(side)
    light = np.empty(pixels, np.float32)
    weight = np.empty(pixels, np.float32)
    unclipped = np.empty(pixels, np.float32)
    gain = np.empty(pixels, np.float32)
    behind = np.empty(pixels, np.float32)
    towards = np.empty((channels, pixels), np.float32)
    gradient[:] = ZERO
    for row in range(first.shape[0]):
        for column in range(first.shape[1]):
            light[:] = ONE
            for p in range(pixels):
                y = row * side + p // side
                x = column * side + p % side
                behind[p] = cotangent[y, x, channels] * image[y, x, channels]
                for channel in range(channels):
                    towards[channel, p] = cotangent[y, x, channel]
                    behind[p] += cotangent[y, x, channel] * image[y, x, channel]
            start = first[row, column]
            for slot in range(start, start + length[row, column]):
                splat = features[ids[slot]]
                pulled = gradient[ids[slot]]
                x = splat[0] - np.float32((column + 0.5) * side)
                y = splat[1] - np.float32((row + 0.5) * side)
                a = splat[2]
                b = splat[3]
                c = splat[4]
                remaining = ZERO
                for p in range(pixels):
                    dx = offset_x[p] - x
                    dy = offset_y[p] - y
                    alpha = _alpha(splat[5] + (a * dx + b * dy) * dx + c * dy * dy)
                    after = light[p] * (ONE - alpha)
                    is_drawn = after > LEAST_LIGHT
                    weight[p] = alpha * light[p] if is_drawn else ZERO
                    unclipped[p] = alpha if is_drawn and alpha < ALPHA_MAX else ZERO
                    light[p] = after
                    remaining += after if is_drawn else ZERO
                    gain[p] = ZERO
                for channel in range(channels):
                    value = splat[GEOMETRY_ROWS + channel]
                    total = ZERO
                    for p in range(pixels):
                        share = weight[p] * towards[channel, p]
                        total += share
                        gain[p] += share * value
                    pulled[GEOMETRY_ROWS + channel] += total
                # Moments of equation 4 about the splat's centre.
                m = ZERO
                mx = ZERO
                my = ZERO
                mxx = ZERO
                mxy = ZERO
                myy = ZERO
                for p in range(pixels):
                    dx = offset_x[p] - x
                    dy = offset_y[p] - y
                    behind[p] -= gain[p]
                    alpha = unclipped[p]
                    log = gain[p] - behind[p] * alpha / (ONE - alpha)
                    log = log if alpha > ZERO else ZERO
                    m += log
                    mx += log * dx
                    my += log * dy
                    mxx += log * dx * dx
                    mxy += log * dx * dy
                    myy += log * dy * dy
                pulled[0] -= TWO * a * mx + b * my
                pulled[1] -= b * mx + TWO * c * my
                pulled[2] += mxx
                pulled[3] += mxy
                pulled[4] += myy
                pulled[5] += m
                if remaining == ZERO:
                    break


@compiled
@no_type_check
def _near_first(depths, sigmas):
    """Return the indices of visible splats by depth, ties by index: a radix sort."""
    # Positive floats are ordered as their bits are.
    keys = depths.view(np.uint32)
    order = np.empty(len(depths), np.int32)
    count = 0
    for i in range(len(depths)):
        if sigmas[i] > ZERO:
            order[count] = i
            count += 1
    sorted_by_digit = np.empty(len(depths), np.int32)
    digits = 1 << RADIX_BITS
    for shift in range(0, 32, RADIX_BITS):
        place = np.zeros(digits + 1, np.int32)
        for i in order[:count]:
            place[((keys[i] >> shift) & (digits - 1)) + 1] += 1
        for digit in range(digits):
            place[digit + 1] += place[digit]
        for i in order[:count]:
            digit = (keys[i] >> shift) & (digits - 1)
            sorted_by_digit[place[digit]] = i
            place[digit] += 1
        order, sorted_by_digit = sorted_by_digit, order
    return order[:count]


@compiled
@no_type_check
def _tiles_between(low, high, side, count):
    """Return the first of so many tiles that a stretch of pixels meets, and the one behind them."""
    # Clamped while they are floats: no integer holds the largest.
    first = math.floor(min(max(low / side, 0.0), count))
    end = math.ceil(min(max(high / side, 0.0), count))
    return first, end


@compiled
@no_type_check
def _box(center, half_size, side, rows, columns):
    """Return the first and end rows and columns of tiles that a bounding box meets."""
    x, y = center
    half_x, half_y = half_size
    begin_row, end_row = _tiles_between(y - half_y, y + half_y, side, rows)
    begin_column, end_column = _tiles_between(x - half_x, x + half_x, side, columns)
    return begin_row, end_row, begin_column, end_column


@compiled
@no_type_check
def _meets(conic, x, y, half, reach):
    """Return what `binning._ellipse_meets_tile` does, of a tile at x and y from the centre."""
    a, b, c = conic
    edge_x = min(max(ZERO, x - half), x + half)
    edge_y = min(max(ZERO, y - half), y + half)
    free_x = min(max(-b * edge_y / a, x - half), x + half)
    free_y = min(max(-b * edge_x / c, y - half), y + half)
    vertical = (a * edge_x + TWO * b * free_y) * edge_x + c * free_y * free_y
    horizontal = (a * free_x + TWO * b * edge_y) * free_x + c * edge_y * edge_y
    return min(vertical, horizontal) <= reach


@compiled
@no_type_check
def _list_splats(centers, conics, depths, sigmas, half_sizes, side, ids, first, length):
    """Fill the lists of `Bins`; return the intersections beyond the budget, half of the slots.

    `side` is that of the tiles, pixels, and `first` and `length` have axes for their rows and
    columns. Slots behind the last list are left as they were.
    """
    rows, columns = first.shape
    half = HALF * (side - 1)
    budget = len(ids) // 2
    # As `binning.count_slots` counts, in tiles and in their quarters.
    in_tiles = 0
    in_quarters = 0
    needed = 0
    # Of the intersections, by depth.
    splats = np.empty(len(ids), np.int32)
    tiles = np.empty(len(ids), np.int32)
    count = 0
    length[:] = 0
    for i in _near_first(depths, sigmas):
        center = centers[i, 0], centers[i, 1]
        half_size = half_sizes[i, 0], half_sizes[i, 1]
        box = _box(center, half_size, 2 * side, (rows + 1) // 2, (columns + 1) // 2)
        begin_row, end_row, begin_column, end_column = box
        in_tiles += (end_row - begin_row) * (end_column - begin_column)
        box = _box(center, half_size, side, rows, columns)
        begin_row, end_row, begin_column, end_column = box
        in_quarters += (end_row - begin_row) * (end_column - begin_column)
        needed = max(in_tiles, (in_quarters + 1) // 2)
        if needed > budget:
            continue
        conic = conics[i, 0], conics[i, 1], conics[i, 2]
        # Rounding must never drop a visible pixel.
        reach = sigmas[i] * sigmas[i] * np.float32(1.001) + np.float32(1e-3)
        for row in range(begin_row, end_row):
            y = (row + HALF) * side - center[1]
            for column in range(begin_column, end_column):
                x = (column + HALF) * side - center[0]
                if _meets(conic, np.float32(x), np.float32(y), half, reach):
                    splats[count] = i
                    tiles[count] = row * columns + column
                    length[row, column] += 1
                    count += 1
    following = np.empty(rows * columns, np.int32)
    slot = 0
    for row in range(rows):
        for column in range(columns):
            first[row, column] = slot
            following[row * columns + column] = slot
            slot += length[row, column]
    for n in range(count):
        ids[following[tiles[n]]] = splats[n]
        following[tiles[n]] += 1
    return min(max(0, needed - budget), MOST_INTERSECTIONS)


@no_type_check
def _list(frame):
    if is_query(frame):
        return 0
    centers, shape = floats(frame, ARGUMENTS_WORD, 0)
    conics = floats(frame, ARGUMENTS_WORD, 1)[0]
    depths = floats(frame, ARGUMENTS_WORD, 2)[0]
    sigmas = floats(frame, ARGUMENTS_WORD, 3)[0]
    half_sizes = floats(frame, ARGUMENTS_WORD, 4)[0]
    side = integers(frame, ARGUMENTS_WORD, 5)[0][0]
    ids = integers(frame, RESULTS_WORD, 0)[0]
    first, grid = integers(frame, RESULTS_WORD, 1)
    length = integers(frame, RESULTS_WORD, 2)[0]
    missing = integers(frame, RESULTS_WORD, 3)[0]
    missing[0] = _list_splats(
        centers.reshape((shape[0], 2)),
        conics.reshape((shape[0], 3)),
        depths,
        sigmas,
        half_sizes.reshape((shape[0], 2)),
        side,
        ids,
        first.reshape((grid[0], grid[1])),
        length.reshape((grid[0], grid[1])),
    )
    return 0


@no_type_check
def _draw(frame):
    if is_query(frame):
        return 0
    features, shape = floats(frame, ARGUMENTS_WORD, 0)
    ids = integers(frame, ARGUMENTS_WORD, 1)[0]
    first, grid = integers(frame, ARGUMENTS_WORD, 2)
    length = integers(frame, ARGUMENTS_WORD, 3)[0]
    begin = integers(frame, ARGUMENTS_WORD, 4)[0][0]
    image, size = floats(frame, RESULTS_WORD, 0)
    _draw_tiles(
        features.reshape((shape[0], shape[1])),
        ids,
        first.reshape((grid[0], grid[1])),
        length.reshape((grid[0], grid[1])),
        begin,
        image.reshape((size[0], size[1], size[2])),
    )
    return 0


@no_type_check
def _pull_back(frame):
    if is_query(frame):
        return 0
    features, shape = floats(frame, ARGUMENTS_WORD, 0)
    ids = integers(frame, ARGUMENTS_WORD, 1)[0]
    first, grid = integers(frame, ARGUMENTS_WORD, 2)
    length = integers(frame, ARGUMENTS_WORD, 3)[0]
    image, size = floats(frame, ARGUMENTS_WORD, 4)
    cotangent = floats(frame, ARGUMENTS_WORD, 5)[0]
    gradient = floats(frame, RESULTS_WORD, 0)[0]
    _pull_back_tiles(
        features.reshape((shape[0], shape[1])),
        ids,
        first.reshape((grid[0], grid[1])),
        length.reshape((grid[0], grid[1])),
        image.reshape((size[0], size[1], size[2])),
        cotangent.reshape((size[0], size[1], size[2])),
        gradient.reshape((shape[0], shape[1])),
    )
    return 0


def list_splats(splats: Splats, tiles: Tiles, slots: int) -> Bins:
    """List the Gaussians of every tile, nearest first, in `slots` slots."""
    by_tile = jax.ShapeDtypeStruct((tiles.rows, tiles.columns), jnp.int32)
    ids = jax.ShapeDtypeStruct((slots,), jnp.int32)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    results = ids, by_tile, by_tile, number
    s = splats
    arrays = s.centers, s.conics, s.depths, s.sigmas, s.half_sizes
    side = np.int32(tiles.side)
    ids, first, length, missing = call_numba(_list, results, *arrays, side)
    return Bins(ids, first.reshape(-1), length.reshape(-1), missing)


def forward(features: Features, bins: Bins, tiles: Tiles) -> Image:
    """Composite as `compositing.forward` does."""
    width = tiles.columns * tiles.side
    channels = features.shape[1] - GEOMETRY_ROWS + 1
    lists = _lists(bins, tiles)
    strips = []
    for begin, end in _strips(tiles):
        shape = (end - begin) * tiles.side, width, channels
        strip = jax.ShapeDtypeStruct(shape, jnp.float32)
        strips += call_numba(_draw, [strip], features, *lists, np.int32(begin))
    return jnp.concatenate(strips)


def backward(
    features: Features, bins: Bins, image: Image, cotangent: Image, tiles: Tiles
) -> Features:
    """Return the gradient in the features, as `compositing.backward` does."""
    shape = jax.ShapeDtypeStruct(features.shape, jnp.float32)
    arrays = features, *_lists(bins, tiles), image, cotangent
    (gradient,) = call_numba(_pull_back, [shape], *arrays)
    return gradient


def _lists(bins: Bins, tiles: Tiles) -> tuple[Array, Array, Array]:
    """Return the lists with axes for rows and columns of tiles."""
    grid = tiles.rows, tiles.columns
    return bins.ids, bins.first.reshape(grid), bins.length.reshape(grid)


def _strips(tiles: Tiles) -> list[tuple[int, int]]:
    """Return the first row of tiles of each strip, and the one behind its last."""
    count = min(MOST_STRIPS, tiles.rows)
    borders = [tiles.rows * i // count for i in range(count + 1)]
    return list(pairwise(borders))
