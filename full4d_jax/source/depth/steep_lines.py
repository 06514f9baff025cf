"""Steep lines that cross the right border of a picture, as the boards of a floor do.

Each pixel near the border votes for the slope of its edge, rows a column. A stretch of rows has
steep lines where their slope is linear in the row, m(y) = p + q y, as that of lines through a
vanishing point is. Its p, q, first and last row are those with the largest gain,

    gain = sum over its rows of  v(y, m(y)) - v'(y, m(y)) - vote_share V(y)

with v the votes of row y for slopes within `alike_degrees`, v' those within `around_degrees`, and V
all its votes. Rows that remain are searched again. Stretches with lines steeper than
`steepest_crossing` are left out: they run along the border. A stretch grows, as votes fade, to the
next outline that crosses the strip, as where floor and wall meet, or to the picture's own border.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from numpy import ndarray

# Chosen on training photographs and clips.
STRIP_SHARE = 3 / 16  # of the short side: gradients that near to the border count
BIN_DEGREES = 1  # degree: votes are counted in bins of it
GENTLE_SLOPE = 0.8  # rows a column: below, lines are not steep
LIMIT_SLOPE = 3.75  # rows a column: the steepest that are tried at the picture's first and last row
CLOSEST_SHARE = 0.3  # of their distance at the border, to which lines may come within the reach


class Stretch(NamedTuple):
    """Rows of the right border that steep lines cross.

    Attributes:
      top: its first row.
      slopes: of the line that crosses each of its rows, rows a column.
      upper: slope of the outline above it.
      lower: slope of the outline below it.
    """

    top: int
    slopes: Float64[ndarray, " n"]
    upper: float
    lower: float


class _Outlines(NamedTuple):
    """Whether an outline crosses the strip in each row, how strong it is, and its slope."""

    crosses: Bool[ndarray, " h"]
    strength: Float[ndarray, " h"]
    slopes: Float[ndarray, " h"]


def steep_stretches(picture: UInt8[ndarray, "h w 3"], count: int) -> list[Stretch]:
    """Return the stretches of the right border that steep lines cross, the clearest first.

    Lines of a stretch that come together do not meet within `count` columns beyond.
    """
    # Of the short side: the least gain of a stretch, in votes of whole rows.
    least_gain = 1 / 260
    shortest_share = 1 / 8  # of the short side: the shortest stretch
    steepest_crossing = 2.75  # rows a column: the steepest stretch, in the mean of its rows
    across, down = border_gradients(picture)
    height = len(down)
    short = min(picture.shape[:2])
    gains = _gains(across, down)
    outlines = _outlines(across, down)
    flipped = _Outlines._make(x[::-1] for x in outlines)
    free = np.ones(height, bool)
    stretches = []
    while True:
        first, slopes, gain = _clearest(np.where(free[:, None], gains, -height), count)
        end = first + len(slopes)
        if gain < least_gain * short:
            return stretches
        if len(slopes) < shortest_share * short:
            free[first:end] = False
            continue
        top, upper = _grown(outlines, free, first, slopes[0], short)
        below, lower = _grown(flipped, free[::-1], height - end, slopes[-1], short)
        rows = np.arange(top, height - below)
        free[rows] = False
        slopes = np.interp(rows, np.arange(first, end), slopes)
        if abs(slopes).mean() <= steepest_crossing:
            stretches.append(Stretch(top, slopes, upper, lower))


def border_gradients(
    picture: UInt8[ndarray, "h w 3"],
) -> tuple[Float32[ndarray, "h s"], Float32[ndarray, "h s"]]:
    """Return the gradients of grey near the right border, across and down, levels a pixel."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 1)
    strip = max(2, round(STRIP_SHARE * min(grey.shape)))
    # In the last two columns the gradient is that of a mirror image.
    near = np.s_[:, -strip - 2 : -2]
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)[near]
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)[near]
    return across, down


def _votes(
    across: Float32[ndarray, "h s"], down: Float32[ndarray, "h s"]
) -> Float32[ndarray, "h s"]:
    """Return the vote of every pixel: 0 where there is no edge, 1 at a clear one."""
    noise_levels = 1.0  # levels of 255 a pixel: a gradient of noise, which has half a vote
    power = across**2 + down**2
    return power / (power + noise_levels**2)


def _gains(
    across: Float32[ndarray, "h s"], down: Float32[ndarray, "h s"]
) -> Float64[ndarray, "h bins"]:
    """Return what each row gains by lines of each slope; bins are of degrees from -90 to 90."""
    vote_share = 1 / 30  # of a row's votes: steep lines have more
    around_degrees = 16.0  # votes so near count against a slope
    alike_degrees = 4.0  # slopes so near are one
    nearness = np.linspace(0, 1, across.shape[1])
    votes = _votes(across, down) * nearness / nearness.sum()
    degrees = (np.rad2deg(np.arctan2(-across, down)) + 90) % 180
    bins = np.arange(0, 180 + BIN_DEGREES, BIN_DEGREES)
    rows = zip(degrees, votes, strict=True)
    counts = np.stack([np.histogram(x, bins, weights=v)[0] for x, v in rows])
    number = counts.shape[1]

    def smooth(width: float) -> Float64[ndarray, "h bins"]:
        wrapped = np.tile(counts, 3)  # lines at -90 and 90 degrees are the same
        blurred = cv2.GaussianBlur(wrapped, (0, 1), sigmaX=width / BIN_DEGREES, sigmaY=1)
        return blurred[:, number : 2 * number]

    slopes = abs(np.tan(np.deg2rad(bins[:-1] + BIN_DEGREES / 2 - 90)))
    steep = (slopes >= GENTLE_SLOPE) & (slopes <= LIMIT_SLOPE)
    alike = np.sqrt(2 * np.pi) * alike_degrees / BIN_DEGREES  # bins
    peaks = np.where(steep, alike * (smooth(alike_degrees) - smooth(around_degrees)), 0)
    return peaks - vote_share * counts.sum(1, keepdims=True)


def _clearest(
    gains: Float64[ndarray, "h bins"], count: int
) -> tuple[int, Float64[ndarray, " n"], float]:
    """Return first row, slopes and gain of the stretch that gains most."""
    fine_step = 0.05  # the same, near the best of them
    coarse_step = 0.25  # rows a column, between them
    coarse = np.arange(-LIMIT_SLOPE, LIMIT_SLOPE + coarse_step, coarse_step)
    ends = _best_ends(gains, count, coarse, coarse)
    fine = np.arange(-coarse_step, coarse_step + fine_step, fine_step)
    first, last = _best_ends(gains, count, ends[0] + fine, ends[1] + fine)
    slopes = np.linspace(first, last, len(gains))
    sums = _sums(gains, slopes[None])[0]
    end = int((sums - np.minimum.accumulate(sums)).argmax())
    top = int(sums[: end + 1].argmin())
    return top, slopes[top:end], float(sums[end] - sums[top])


def _best_ends(
    gains: Float64[ndarray, "h bins"],
    count: int,
    tops: Float64[ndarray, " n"],
    bottoms: Float64[ndarray, " m"],
) -> tuple[float, float]:
    """Return the slopes at the picture's first and last row whose stretch gains most."""
    first, last = (x.ravel() for x in np.meshgrid(tops, bottoms))
    apart = first - last <= (1 - CLOSEST_SHARE) * (len(gains) - 1) / count
    first = first[apart]
    last = last[apart]
    sums = _sums(gains, np.linspace(first, last, len(gains), axis=1))
    best = (sums - np.minimum.accumulate(sums, 1)).max(1).argmax()
    return float(first[best]), float(last[best])


def _sums(
    gains: Float64[ndarray, "h bins"], slopes: Float64[ndarray, "n h"]
) -> Float64[ndarray, "n h+1"]:
    """Return the gain of all rows above each row."""
    bins = ((np.rad2deg(np.arctan(slopes)) + 90) // BIN_DEGREES).astype(int)
    return np.pad(np.cumsum(gains[np.arange(len(gains)), bins], 1), ((0, 0), (1, 0)))


def _outlines(across: Float32[ndarray, "h s"], down: Float32[ndarray, "h s"]) -> _Outlines:
    """Return the outlines that cross the strip, none of them steep."""
    outline_share = 0.6  # of the strip, that an outline crosses in one row
    gentle = abs(across) < GENTLE_SLOPE * abs(down)
    crosses = (_votes(across, down) * gentle).mean(1) > outline_share
    weights = down**4 / (across**2 + down**2 + 1e-3)
    slopes = -(weights * across * down).sum(1) / ((weights * down**2).sum(1) + 1e-3)
    return _Outlines(crosses, weights.sum(1), slopes)


def _grown(
    outlines: _Outlines, free: Bool[ndarray, " h"], top: int, slope: float, short: int
) -> tuple[int, float]:
    """Return the row to which a stretch grows upward, and the slope of the outline above it."""
    margin_share = 1 / 85  # of the short side, between an outline and its stretch
    thick_share = 1 / 26  # of the short side: the thickest outline
    growth_share = 1 / 4  # of the short side, by which a stretch grows at most at each end
    highest = top - round(growth_share * short)
    for row in range(top, max(highest, 0) - 1, -1):
        if not free[row]:
            return row + 1, slope
        if outlines.crosses[row]:
            thick = np.arange(max(0, row - round(thick_share * short)), row + 1)
            strongest = thick[outlines.strength[thick].argmax()]
            return row + round(margin_share * short), float(outlines.slopes[strongest])
    return (0, 0.0) if highest <= 0 else (top, slope)
