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
from jaxtyping import Bool, Float, Float32
from numpy import ndarray

from full4d_jax.geometry.arrays import Picture, Values

# Chosen on training photographs and clips.
# Of the short side: gradients that near to the border count.
STRIP_SHARE = 3 / 16
# Rows a column: below, lines are not steep.
GENTLE_SLOPE = 0.8
# Rows a column: the steepest that are tried at the picture's first and last row.
LIMIT_SLOPE = 3.75
# Of their distance at the border, to which lines may come within the reach.
CLOSEST_SHARE = 0.3

Strip = Float32[ndarray, "h s"]
# Whether an outline crosses the strip in each row, how strong it is, and its slope.
Outlines = Float[ndarray, "3 h"]
# Of lines of each slope in bins of a degree, from -90 to 90.
Gains = Float[ndarray, "h 180"]


class Stretch(NamedTuple):
    """Rows of the right border that steep lines cross.

    Attributes:
      top: its first row.
      slopes: of the line that crosses each of its rows, rows a column.
      upper: slope of the outline above it.
      lower: slope of the outline below it.
    """

    top: int
    slopes: Values
    upper: float
    lower: float


def steep_stretches(picture: Picture, count: int) -> list[Stretch]:
    """Return the stretches of the right border that steep lines cross, the clearest first.

    Lines of a stretch that come together do not meet within `count` columns beyond.
    """
    # Of the short side: the least gain of a stretch, in votes of whole rows.
    least_gain = 1 / 260
    # Of the short side: the shortest stretch.
    shortest_share = 1 / 8
    # Rows a column: the steepest stretch, in the mean of its rows.
    steepest_crossing = 2.75
    across, down = border_gradients(picture)
    height = len(down)
    short = min(picture.shape[:2])
    gains = _gains(across, down)
    outlines = _outlines(across, down)
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
        below, lower = _grown(
            outlines[:, ::-1], free[::-1], height - end, slopes[-1], short
        )
        rows = np.arange(top, height - below)
        free[rows] = False
        slopes = np.interp(rows, np.arange(first, end), slopes)
        if abs(slopes).mean() <= steepest_crossing:
            stretches.append(Stretch(top, slopes, upper, lower))


def border_gradients(picture: Picture) -> tuple[Strip, Strip]:
    """Return the gradients of grey near the right border, across and down, levels a pixel."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 1)
    strip = max(2, round(STRIP_SHARE * min(grey.shape)))
    # In the last two columns the gradient is that of a mirror image.
    near = np.s_[:, -strip - 2 : -2]
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)[near]
    return across, cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)[near]


def _votes(across: Strip, down: Strip) -> Strip:
    """Return the vote of every pixel: 0 where there is no edge, 1 at a clear one."""
    # Levels of 255 a pixel: a gradient of noise, which has half a vote.
    noise_levels = 1.0
    power = across**2 + down**2
    return power / (power + noise_levels**2)


def _gains(across: Strip, down: Strip) -> Gains:
    """Return what each row gains by lines of each slope."""
    # Of a row's votes: steep lines have more.
    vote_share = 1 / 30
    # Votes so near count against a slope.
    around_degrees = 16.0
    # Slopes so near are one.
    alike_degrees = 4.0
    nearness = np.linspace(0, 1, across.shape[1])
    votes = _votes(across, down) * nearness / nearness.sum()
    degrees = (np.rad2deg(np.arctan2(-across, down)) + 90) % 180
    bins = np.arange(181)
    rows = zip(degrees, votes, strict=True)
    counts = np.stack([np.histogram(x, bins, weights=v)[0] for x, v in rows])
    # Lines at -90 and 90 degrees are the same.
    wrapped = np.tile(counts, 3)
    alike, around = (
        cv2.GaussianBlur(wrapped, (0, 1), sigmaX=width, sigmaY=1)[:, 180:360]
        for width in (alike_degrees, around_degrees)
    )
    slopes = abs(np.tan(np.deg2rad(bins[:-1] + 0.5 - 90)))
    steep = (slopes >= GENTLE_SLOPE) & (slopes <= LIMIT_SLOPE)
    peaks = np.where(steep, np.sqrt(2 * np.pi) * alike_degrees * (alike - around), 0)
    return peaks - vote_share * counts.sum(1, keepdims=True)


def _clearest(gains: Gains, count: int) -> tuple[int, Values, float]:
    """Return first row, slopes and gain of the stretch that gains most."""
    # Rows a column, between the slopes that are tried near the best of the first ones.
    fine_step = 0.05
    # Rows a column, between the slopes that are tried first.
    coarse_step = 0.25
    coarse = np.arange(-LIMIT_SLOPE, LIMIT_SLOPE + coarse_step, coarse_step)
    ends = _best_ends(gains, count, coarse, coarse)
    fine = np.arange(-coarse_step, coarse_step + fine_step, fine_step)
    ends = _best_ends(gains, count, ends[0] + fine, ends[1] + fine)
    slopes = np.linspace(*ends, len(gains))
    sums = _sums(gains, slopes[None])[0]
    end = int((sums - np.minimum.accumulate(sums)).argmax())
    top = int(sums[: end + 1].argmin())
    return top, slopes[top:end], float(sums[end] - sums[top])


def _best_ends(
    gains: Gains, count: int, tops: Values, bottoms: Float[ndarray, " m"]
) -> tuple[float, float]:
    """Return the slopes at the picture's first and last row whose stretch gains most."""
    ends = np.stack([x.ravel() for x in np.meshgrid(tops, bottoms)])
    ends = ends[:, ends[0] - ends[1] <= (1 - CLOSEST_SHARE) * (len(gains) - 1) / count]
    sums = _sums(gains, np.linspace(ends[0], ends[1], len(gains), axis=1))
    best = (sums - np.minimum.accumulate(sums, 1)).max(1).argmax()
    first, last = ends[:, best].tolist()
    return first, last


def _sums(gains: Gains, slopes: Float[ndarray, "n h"]) -> Float[ndarray, "n h+1"]:
    """Return the gain of all rows above each row."""
    bins = (np.rad2deg(np.arctan(slopes)) + 90).astype(int)
    return np.pad(np.cumsum(gains[np.arange(len(gains)), bins], 1), ((0, 0), (1, 0)))


def _outlines(across: Strip, down: Strip) -> Outlines:
    """Return the outlines that cross the strip, none of them steep."""
    # Of the strip, that an outline crosses in one row.
    outline_share = 0.6
    gentle = abs(across) < GENTLE_SLOPE * abs(down)
    crosses = (_votes(across, down) * gentle).mean(1) > outline_share
    weights = down**4 / (across**2 + down**2 + 1e-3)
    slopes = -(weights * across * down).sum(1) / ((weights * down**2).sum(1) + 1e-3)
    return np.stack([crosses, weights.sum(1), slopes])


def _grown(
    outlines: Outlines, free: Bool[ndarray, " h"], top: int, slope: float, short: int
) -> tuple[int, float]:
    """Return the row to which a stretch grows upward, and the slope of the outline above it."""
    # Of the short side, between an outline and its stretch.
    margin_share = 1 / 85
    # Of the short side: the thickest outline.
    thick_share = 1 / 26
    # Of the short side, by which a stretch grows at most at each end.
    growth_share = 1 / 4
    crosses, strength, slopes = outlines
    highest = top - round(growth_share * short)
    for row in range(top, max(highest, 0) - 1, -1):
        if not free[row]:
            return row + 1, slope
        if crosses[row]:
            first = max(0, row - round(thick_share * short))
            strongest = first + strength[first : row + 1].argmax()
            return row + round(margin_share * short), float(slopes[strongest])
    return (0, 0.0) if highest <= 0 else (top, slope)
