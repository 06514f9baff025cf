"""A film's colours as sRGB, by the transfer, primaries, matrix and range that it names.

A film of ordinary range is shown as it is: all screens for it have one curve, about sRGB's. A film
of high dynamic range (PQ, HLG) names the light of a screen of 1000 nits (BT.2100). BT.2390
compresses that to 203 nits, which BT.2408 calls white. Up to 88 nits nothing changes.
"""

from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.reformatter import (
    ColorPrimaries,
    Colorspace,
    ColorTrc,
    VideoReformatter,
)
from jaxtyping import Float32, Float64, UInt8
from scipy.interpolate import CubicHermiteSpline

from input_pipeline.plain_files import FileRefusal

# Nits of the brightest light of high dynamic range, and of a diffuse white surface.
PEAK_NITS = 1000.0
WHITE_NITS = 203.0
# Numbers of H.273, of which 0 and 3 are reserved and 2 is unknown.
UNKNOWN = {0, 2, 3}
ORDINARY_TRANSFERS = UNKNOWN | {1, 4, 5, 6, 7, 11, 12, 13, 14, 15}
HIGH_TRANSFERS = {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}
# Rows and columns of the largest film of standard definition, as players have it.
STANDARD_ROWS = 576
STANDARD_COLUMNS = 1279
# The zero is RGB's.
MATRICES = {0, 1, 4, 5, 6, 7, 9}
SMPTE_C = ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07))
# x and y of red, green and blue.
CHROMATICITIES: dict[int, tuple] = {
    ColorPrimaries.BT709: ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)),
    ColorPrimaries.BT470BG: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06)),
    ColorPrimaries.SMPTE170M: SMPTE_C,
    ColorPrimaries.SMPTE240M: SMPTE_C,
    ColorPrimaries.BT2020: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    ColorPrimaries.SMPTE432: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
D65 = (0.3127, 0.329)
# Tables have the square of it of levels for each of three colours.
HALD_LEVEL = 8
# The frames of a table's graph are counted by this clock.
TICK = Fraction(1, 1000)

Rgb = Float64[np.ndarray, "*n 3"]


class TableFilter(NamedTuple):
    """A graph that looks frames up in a table."""

    signal: FilterContext
    """Takes the frames."""
    graph: Graph
    """Gives those in sRGB."""


class SrgbConverter:
    """Converts the frames of one film; what it keeps would else be set up at every frame."""

    def __init__(self) -> None:
        self._to_bytes = VideoReformatter()
        self._to_floats = VideoReformatter()
        self._tables: dict[tuple[int, int, int, int], TableFilter] = {}
        self._count = 0

    def convert(self, frame: av.VideoFrame, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a frame in sRGB, resized to this width; `check_colours` allows its colours."""
        if frame.colorspace in UNKNOWN:
            frame.colorspace = usual_matrix(frame.height, frame.width)
        transfer = frame.color_trc
        primaries = frame.color_primaries
        if transfer in ORDINARY_TRANSFERS and (
            primaries in UNKNOWN or primaries == ColorPrimaries.BT709
        ):
            return self._to_bytes.reformat(frame, width, format="rgb24").to_ndarray()
        signal = self._to_floats.reformat(frame, width, format="gbrpf32le")
        signal.pts = self._count
        signal.time_base = TICK
        self._count += 1
        kind = (width, frame.height, transfer, primaries)
        if kind not in self._tables:
            self._tables[kind] = _table_filter(*kind)
        self._tables[kind].signal.push(signal)
        shown = self._tables[kind].graph.vpull()
        return self._to_bytes.reformat(shown, format="rgb24").to_ndarray()


def check_colours(path: Path, frame: av.VideoFrame) -> None:
    """Refuse colours that this module cannot convert.

    Raises:
      FileRefusal: naming the file.
    """
    # High dynamic range looks wrong by a guess.
    unknown = UNKNOWN if frame.color_trc in ORDINARY_TRANSFERS else set()
    facts = (
        ("transfer", frame.color_trc, ORDINARY_TRANSFERS | HIGH_TRANSFERS),
        ("primaries", frame.color_primaries, CHROMATICITIES.keys() | unknown),
        ("matrix", frame.colorspace, MATRICES | unknown),
    )
    for name, number, known in facts:
        if number not in known:
            found = f"colours with {name} {number} of H.273"
            expected = (
                f"one of {', '.join(map(str, sorted(known)))}: encode it as BT.709"
            )
            raise FileRefusal(f"{path}: found {found}, expected {expected}")


def usual_matrix(height: int, width: int) -> Colorspace:
    """Return the matrix that players use for a film of this stored size that names none."""
    is_standard = height <= STANDARD_ROWS and width <= STANDARD_COLUMNS
    return Colorspace.ITU601 if is_standard else Colorspace.ITU709


def _table_filter(
    width: int, height: int, transfer: int, primaries: int
) -> TableFilter:
    """Return a filter from a signal of this size and kind to sRGB."""
    table = av.VideoFrame.from_ndarray(_table(transfer, primaries), format="gbrpf32le")
    table.pts = 0
    table.time_base = TICK
    graph = Graph()
    signal = _float_input(graph, width, height)
    levels = _float_input(graph, table.width, table.height)
    lookup = graph.add("haldclut", "interp=tetrahedral")
    signal.link_to(lookup, 0, 0)
    levels.link_to(lookup, 0, 1)
    lookup.link_to(graph.add("buffersink"))
    graph.configure()
    levels.push(table)
    levels.push(None)
    return TableFilter(signal, graph)


def _float_input(graph: Graph, width: int, height: int) -> FilterContext:
    """Add an input for frames of floats to a graph."""
    size = f"video_size={width}x{height}:pix_fmt=gbrpf32le"
    return graph.add("buffer", f"{size}:time_base={TICK}:colorspace=gbr:range=pc")


@cache
def _table(transfer: int, primaries: int) -> Float32[np.ndarray, "s s 3"]:
    """Return the sRGB of all combinations of levels, red changing first and blue last."""
    levels = np.linspace(0, 1, HALD_LEVEL**2)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    signal = np.stack([red, green, blue], -1)
    side = HALD_LEVEL**3
    return (
        to_srgb(signal, transfer, primaries).reshape(side, side, 3).astype(np.float32)
    )


def to_srgb(signal: Rgb, transfer: int, primaries: int) -> Rgb:
    """Return the sRGB of a film's signal, both from 0 to 1."""
    matrix = to_bt709(primaries)
    if transfer == ColorTrc.SMPTE2084:
        light = tone_mapped(np.maximum(pq_nits(signal) @ matrix.T, 0)) / WHITE_NITS
    elif transfer == ColorTrc.ARIB_STD_B67:
        light = tone_mapped(np.maximum(hlg_nits(signal) @ matrix.T, 0)) / WHITE_NITS
    else:
        low = signal / 12.92
        light = np.where(signal > 0.04045, ((signal + 0.055) / 1.055) ** 2.4, low)
        light = light @ matrix.T
    light = np.clip(light, 0, 1)
    high = 1.055 * light ** (1 / 2.4) - 0.055
    return np.where(light > 0.0031308, high, 12.92 * light)


def to_bt709(primaries: int) -> Float64[np.ndarray, "3 3"]:
    """Return the matrix from light of these primaries to light of BT.709's."""
    bt709 = _xyz(CHROMATICITIES[ColorPrimaries.BT709])
    return np.linalg.solve(bt709, _xyz(CHROMATICITIES[primaries]))


def _xyz(chromaticities: tuple) -> Float64[np.ndarray, "3 3"]:
    """Return the matrix from red, green and blue to X, Y and Z, of which white has Y = 1."""
    x, y = np.transpose([*chromaticities, D65])
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])


def pq_nits(signal: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    """Return the light of a PQ signal from 0 to 1 (BT.2100, table 4)."""
    power = signal ** (1 / 78.84375)
    ratio = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return 10_000 * ratio ** (1 / 0.1593017578125)


def pq_signal(nits: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    """Return the PQ signal of a light, the inverse of `pq_nits`."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_nits(signal: Rgb) -> Rgb:
    """Return the light of an HLG signal from 0 to 1 on a screen of 1000 nits (BT.2100, table 5)."""
    a = 0.17883277
    b = 0.28466892
    c = 0.55991073
    bright = (np.exp((signal - c) / a) + b) / 12
    scene = np.where(signal > 0.5, bright, signal**2 / 3)
    luminance = scene @ [0.2627, 0.678, 0.0593]
    return PEAK_NITS * luminance[..., None] ** 0.2 * scene


def tone_mapped(nits: Rgb) -> Rgb:
    """Return light up to white's nits, the largest of three by the curve of BT.2390 (5.4.1)."""
    peak, white = pq_signal(np.array([PEAK_NITS, WHITE_NITS]))
    most = white / peak
    knee = 1.5 * most - 0.5
    shoulder = CubicHermiteSpline([knee, 1], [knee, most], [1, 0])
    largest = np.maximum(nits.max(-1, keepdims=True), 1e-6)
    signal = np.minimum(pq_signal(largest) / peak, 1)
    compressed = np.where(signal > knee, shoulder(signal), signal)
    return nits * pq_nits(peak * compressed) / largest
