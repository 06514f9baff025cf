"""Pictures continued beyond their borders: lines that cross them go straight on.

With g the gradient of grey, and sums over what is near the right border and near row y, lines that
cross it there have the slope, rows a column,

    m(y) = - a b / (a^2 + c^2),   a = sum w g_y^2,   b = sum w g_x g_y,   w = g_y^2 / |g|^2

where w leaves out lines along the border, and c makes it 0 where no line crosses. It is at most
`steepest_slope`, and changed, as little as can be, where lines would meet beyond (isotonic
regression). Where steeper lines cross, as boards of a floor do, `steep_lines` finds their stretch
of the border and m(y).

At d columns beyond, row y + m(y) d, a picture goes on with the light that the border has at y, and
with the detail of its mirror image on the same line, d columns inside at row y - m(y) d. Texture
stays, while outlines of mirrored things, which would catch the eye, become faint: with e the
largest detail of the three colours, detail is divided by

    sqrt(1 + (e / faint_levels)^2)

A stretch of steep lines goes on between its upper and lower outline. Lines that would cross the
border outside of it repeat those inside, mirrored at its ends, and where a line is shorter than d
inside the stretch, detail is mirrored at its end. Disparity goes on along the same lines, but along
rows where they are steep, for those run into depth. Left, top and bottom are the same turned.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped, UInt8
from numpy import ndarray
from scipy.optimize import isotonic_regression

from full4d_jax.geometry.arrays import Map, Picture, Values
from full4d_jax.source.depth import steep_lines

# Of each place so many rows down and columns beyond the right border.
Beyond = Float[ndarray, "h q"]


class Wide(NamedTuple):
    """A picture and what goes on beyond its borders.

    Attributes:
      mirrored: colours with the mirror image's detail, sRGB.
      repeated: colours with the borders' own light, sRGB.
      disparity: of the borders.
    """

    mirrored: Picture
    repeated: Picture
    disparity: Map


def beyond_borders(
    picture: Picture, disparity: Map, rows: int, columns: int
) -> tuple[UInt8[ndarray, "p q 3"], Float32[ndarray, "p q"]]:
    """Return picture and disparity that go on beyond their borders by so many rows and columns."""
    # Levels of 255.
    faint_levels = 16.0
    # Of the short side: what is finer is detail.
    detail_share = 1 / 64
    # Of the short side: depth beyond the borders does not vary within it.
    level_share = 1 / 32
    wide = _sideways(Wide(picture, picture, disparity), columns)
    wide = _turned(_sideways(_turned(wide), rows))
    beyond = np.ones(wide.disparity.shape, bool)
    beyond[rows : rows + len(disparity), columns : columns + disparity.shape[1]] = False
    short = min(disparity.shape)
    # The light of the borders with faint detail of the mirror image.
    sigma = detail_share * short
    coarse = [cv2.GaussianBlur(x.astype(np.float32), (0, 0), sigma) for x in wide[:2]]
    detail = wide.mirrored - coarse[0]
    strength = np.abs(detail).max(-1, keepdims=True)
    faint = detail / np.sqrt(1 + (strength / faint_levels) ** 2)
    mixed = np.clip((coarse[1] + faint).round(), 0, 255).astype(np.uint8)
    level = cv2.GaussianBlur(wide.disparity, (0, 0), level_share * short)
    colours = np.where(beyond[..., None], mixed, wide.mirrored)
    return colours, np.where(beyond, level, wide.disparity)


def _turned(wide: Wide) -> Wide:
    """Exchange rows and columns."""
    return Wide._make(np.ascontiguousarray(x.swapaxes(0, 1)) for x in wide)


def _sideways(wide: Wide, count: int) -> Wide:
    """Return what goes on by `count` columns to the left and to the right."""
    if count == 0:
        return wide
    flipped = Wide._make(np.ascontiguousarray(x[:, ::-1]) for x in wide)
    left, right = _to_the_right(flipped, count), _to_the_right(wide, count)
    parts = zip(left, wide, right, strict=True)
    return Wide._make(np.concatenate([a[:, ::-1], b, c], 1) for a, b, c in parts)


def _to_the_right(wide: Wide, count: int) -> Wide:
    """Return the `count` columns beyond the right border, by the module's equations."""
    height, width = wide.disparity.shape
    rows = np.arange(height)
    slopes = crossing_slopes(wide.mirrored, count)
    beyond = np.arange(1, count + 1)
    level = crossed = _crossed(slopes, height, beyond)
    inside = crossed - np.interp(crossed, rows, slopes) * beyond
    depth = np.broadcast_to(beyond, crossed.shape)
    # The clearest is drawn last.
    for stretch in reversed(steep_lines.steep_stretches(wide.mirrored, count)):
        here, *steep = _along(stretch, height, beyond)
        pairs = zip(steep, (crossed, inside, depth), strict=True)
        crossed, inside, depth = (np.where(here, x, y) for x, y in pairs)
        level = np.where(here, rows[:, None], level)
    border = np.full(crossed.shape, width - 1)
    return Wide(
        _sample(wide.mirrored, inside, width - 1 - depth, cv2.BORDER_REFLECT_101),
        _sample(wide.repeated, crossed, border, cv2.BORDER_REPLICATE),
        _sample(wide.disparity, level, border, cv2.BORDER_REPLICATE),
    )


def _crossed(
    slopes: Values, height: int, beyond: Int[ndarray, " q"], top: int = 0
) -> Beyond:
    """Return where the line through each place beyond crosses the border; slopes start at `top`."""
    # Lines that start above or below the slopes cross the border's continuation.
    far = height + round(abs(slopes).max() * len(beyond))
    reach = np.arange(-far, height + far)
    steps = np.interp(reach, top + np.arange(len(slopes)), slopes)
    rows = np.arange(height)
    return np.stack([np.interp(rows, reach + steps * d, reach) for d in beyond], 1)


def _along(
    stretch: steep_lines.Stretch, height: int, beyond: Int[ndarray, " q"]
) -> tuple[Bool[ndarray, "h q"], Beyond, Beyond, Beyond]:
    """Return where a stretch goes on, and the row where the line of each place crosses the border.

    And row and depth of a place on it inside; all rows inside are those of the stretch. At the
    picture's own border no outline ends it.
    """
    rows = np.arange(height)[:, None]
    end = stretch.top + len(stretch.slopes)
    below = (stretch.top == 0) | (rows >= stretch.top + stretch.upper * beyond)
    above = (end == height) | (rows < end + stretch.lower * beyond)
    last = len(stretch.slopes) - 1
    crossed = _crossed(stretch.slopes, height, beyond, stretch.top) - stretch.top
    crossed = _folded(crossed, last)
    slopes = np.interp(crossed, np.arange(last + 1), stretch.slopes)
    room = np.where(slopes > 0, crossed, last - crossed) / np.maximum(abs(slopes), 1e-6)
    depth = _folded(beyond, room)
    crossed = crossed + stretch.top
    return below & above, crossed, crossed - slopes * depth, depth


def _folded(values: Shaped[ndarray, "*n"], length: Beyond | float) -> Beyond:
    """Return values mirrored at 0 and at `length` until they lie between."""
    period = 2 * np.maximum(length, 1e-6)
    rest = np.mod(values, period)
    return np.minimum(rest, period - rest)


def crossing_slopes(picture: Picture, count: int) -> Values:
    """Return the slope of the lines that cross the right border, rows a column, of each row.

    Lines that come together do not meet within `count` columns beyond.
    """
    # Rows a column, outside of stretches with steep lines.
    steepest_slope = 1.0
    # The module's c, of the mean of a.
    calm_share = 0.3
    # Of the short side: slopes do not vary within it.
    alike_share = 1 / 16
    across, down = steep_lines.border_gradients(picture)
    sigma = alike_share * min(picture.shape[:2])
    nearness = np.linspace(0, 1, across.shape[1], dtype=np.float32)
    crosses = down**2 / (down**2 + across**2 + 1e-3)
    both, vertical = (
        cv2.GaussianBlur(
            (x * nearness).sum(1, keepdims=True), (1, 0), sigmaX=1, sigmaY=sigma
        )[:, 0]
        for x in (crosses * across * down, crosses * down**2)
    )
    calm = calm_share * vertical.mean()
    slopes = -both * vertical / (vertical**2 + calm**2 + 1e-3)
    slopes = np.clip(slopes, -steepest_slope, steepest_slope).astype(float)
    # Lines that come together faster than this would meet.
    together = (1 - steep_lines.CLOSEST_SHARE) / count * np.arange(len(slopes))
    apart = isotonic_regression(slopes + together, weights=vertical + 1e-3).x - together
    return np.clip(apart, -steepest_slope, steepest_slope)


def _sample(
    values: Shaped[ndarray, "h w *c"],
    rows: Beyond,
    columns: Shaped[ndarray, "h q"],
    border: int,
) -> Shaped[ndarray, "h q *c"]:
    """Return values between pixels, and beyond the picture as OpenCV's `border` says."""
    places = columns.astype(np.float32), rows.astype(np.float32)
    return cv2.remap(values, *places, cv2.INTER_LINEAR, borderMode=border)
