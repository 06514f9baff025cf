"""Films of a coloured wave, of known colours, in any transfer, scan and container.

The wave moves to the right, so that fields of different times make combs. Brightness grows
downwards, and colours differ from left to right, so that no turn or mirroring looks alike.
"""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from jaxtyping import Float, UInt16

ROWS = 64
COLUMNS = 96
FPS = 25
# Columns a second.
SPEED = 100
PERIOD = 48


class Signal(NamedTuple):
    """How a film's colours are coded, by numbers of H.273."""

    transfer: int
    primaries: int
    matrix: int
    bits: int
    full: bool = False


SDR = Signal(1, 1, 1, 8)
PQ = Signal(16, 9, 9, 10)
HLG = Signal(18, 9, 9, 10)
RATE = {"b": "8M", "minrate": "8M", "maxrate": "8M", "bufsize": "2M"}
QUALITY = {
    "libx264": {"qp": "2"},
    "libx265": {"x265-params": "log-level=none:qp=2"},
    # At a constant rate, since frames that share a packet have one time stamp.
    "mpeg2video": {"bf": "2", **RATE},
}
# Weights of red and blue in luma (H.273, table 4).
LUMA = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def wave(time: float) -> Float[np.ndarray, "h w 3"]:
    """Return the picture at a second, as the signal of red, green and blue, from 0 to 1."""
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    phase = 2 * np.pi * (x - SPEED * time) / PERIOD
    base = 0.25 + 0.3 * y / ROWS + 0.12 * np.sin(phase)
    tint = 0.05 * np.cos(np.pi * x / COLUMNS)
    return np.stack([base + tint, base, base - 0.5 * tint], -1)


def ycbcr(
    rgb: Float[np.ndarray, "h w 3"], signal: Signal
) -> UInt16[np.ndarray, "h w 3"]:
    """Return the code values of a picture (H.273, 8.3)."""
    red, blue = LUMA[signal.matrix]
    luma = rgb @ [red, 1 - red - blue, blue]
    cb = (rgb[..., 2] - luma) / (2 - 2 * blue)
    cr = (rgb[..., 0] - luma) / (2 - 2 * red)
    unit = 2 ** (signal.bits - 8)
    low, luma_range, chroma_range = (0, 255, 255) if signal.full else (16, 219, 224)
    codes = np.stack(
        [luma * luma_range + low, cb * chroma_range + 128, cr * chroma_range + 128], -1
    )
    return np.round(codes * unit).astype(np.uint16)


def write_waves(
    path: Path,
    codec: str,
    signal: Signal,
    *,
    frames: int = 50,
    first_field: str = "",
    options: dict[str, str] | None = None,
    tagged: Signal | None = None,
) -> None:
    """Encode a film; interlaced if its first field is "tff" or "bff", the top or the bottom one."""
    settings = QUALITY[codec] | {"g": "12"}
    if first_field:
        settings["flags"] = "+ildct+ilme"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=FPS, options=settings | (options or {})
        )
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = ROWS, COLUMNS
        stream.pix_fmt = pixel_format(signal)
        context = stream.codec_context
        tags = tagged or signal
        context.color_trc = tags.transfer
        context.color_primaries = tags.primaries
        context.colorspace = tags.matrix
        context.color_range = 2 if signal.full else 1
        for number in range(frames):
            codes = ycbcr(wave(number / FPS), signal)
            if first_field:
                later = ycbcr(wave((number + 0.5) / FPS), signal)
                frame = woven_frame(codes, later, signal, first_field)
            else:
                frame = planar_frame(codes, codes[::2, ::2], signal)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def woven_frame(
    first: UInt16[np.ndarray, "h w 3"],
    second: UInt16[np.ndarray, "h w 3"],
    signal: Signal,
    first_field: str,
) -> av.VideoFrame:
    """Return a frame whose lines, and those of its chroma, alternate between two pictures."""
    row = 0 if first_field == "tff" else 1
    luma, chroma = second.copy(), second[::2, ::2].copy()
    luma[row::2] = first[row::2]
    chroma[row::2] = first[::2, ::2][row::2]
    graph = Graph()
    source = graph.add_buffer(
        width=COLUMNS,
        height=ROWS,
        format=VideoFormat(pixel_format(signal)),
        time_base=Fraction(1, FPS),
    )
    fields = graph.add("setfield", first_field)
    graph.link_nodes(source, fields, graph.add("buffersink")).configure()
    graph.vpush(planar_frame(luma, chroma, signal))
    return graph.vpull()


def planar_frame(
    luma: UInt16[np.ndarray, "h w 3"],
    chroma: UInt16[np.ndarray, "r q 3"],
    signal: Signal,
) -> av.VideoFrame:
    """Return a frame of the luma of one picture and the chroma of another, a quarter as large."""
    kind = np.uint8 if signal.bits == 8 else np.uint16
    frame = av.VideoFrame(COLUMNS, ROWS, pixel_format(signal))
    frame.colorspace = signal.matrix
    frame.color_range = 2 if signal.full else 1
    for plane, codes in zip(
        frame.planes, (luma[..., 0], chroma[..., 1], chroma[..., 2]), strict=True
    ):
        lines = np.zeros((plane.height, plane.line_size // kind().itemsize), kind)
        lines[:, : codes.shape[1]] = codes
        plane.update(lines.tobytes())
    return frame


def pixel_format(signal: Signal) -> str:
    """Return the name of the format of a film's pixels."""
    return "yuv420p" if signal.bits == 8 else "yuv420p10le"


def srgb(rgb: Float[np.ndarray, "h w 3"], signal: Signal) -> Float[np.ndarray, "h w 3"]:
    """Return the sRGB bytes of a signal of red, green and blue, by the formulas of BT.2100.

    BT.2087 has the matrix from BT.2020 to BT.709, and BT.2390 the curve from 1000 to 203 nits.
    """
    if signal.transfer not in (PQ.transfer, HLG.transfer):
        return 255 * rgb
    if signal.transfer == PQ.transfer:
        nits = pq_to_nits(rgb)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(rgb <= 0.5, rgb**2 / 3, (np.exp((rgb - c) / a) + b) / 12)
        luminance = scene @ [0.2627, 0.6780, 0.0593]
        nits = 1000 * luminance[..., None] ** (1.2 - 1) * scene
    to_bt709 = [
        [1.6605, -0.5876, -0.0728],
        [-0.1246, 1.1329, -0.0083],
        [-0.0182, -0.1006, 1.1187],
    ]
    nits = np.maximum(nits @ np.transpose(to_bt709), 0)
    brightest = nits.max(-1, keepdims=True)
    white = nits_to_pq(203.0) / nits_to_pq(1000.0)
    level = np.minimum(nits_to_pq(brightest) / nits_to_pq(1000.0), 1)
    knee = 1.5 * white - 0.5
    t = np.maximum((level - knee) / (1 - knee), 0)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * white
    )
    mapped = pq_to_nits(np.where(level < knee, level, curve) * nits_to_pq(1000.0))
    light = nits / np.maximum(brightest, 1e-6) * mapped / 203
    return 255 * np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    )


def pq_to_nits(signal):
    """Return the light of a PQ signal (SMPTE ST 2084, 4.1)."""
    m1, m2 = 2610 / 4096 / 4, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = signal ** (1 / m2)
    return 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def nits_to_pq(nits):
    """Return the PQ signal of a light (SMPTE ST 2084, 4.2)."""
    m1, m2 = 2610 / 4096 / 4, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = (nits / 10_000) ** m1
    return ((c1 + c2 * root) / (1 + c3 * root)) ** m2
