"""The open container `.4dgs`, version 1, with its motion model `gaussian-birth`.

A file is a magic word, records of (kind: uint8, length: uint64, content), and the magic word:

    Header, Quantization, Window Table     what is in it, the steps of all numbers, when it is valid
    Chunk, bands of harmonics              streams of integers, each compressed on its own
    Chunk Index, Footer                    where the chunk is, for readers that seek

Numbers are integers times a step. Two steps differ by Gaussian, as the format demands: velocities
of short-lived Gaussians are coarser, moments of short-lived ones finer. Streams hold integers or
their differences from one Gaussian to the next, zigzag coded, byte plane by byte plane, deflated.
Gaussians stand along a space-filling curve. Axes are y up, z back; times are seconds. The format
has no gates; see `ungated.py` for what becomes of ours.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from gaussians.deformation import Scene
from gaussians.formats.scene_files import (
    Triples,
    curve,
    mean_colors,
    require,
    smallest_three,
    turn_harmonics,
    turn_vectors,
    turned_xyzw,
)
from gaussians.formats.ungated import LONGEST_CLIPS, Ungated, without_gates
from gaussians.rendering.projection import ALPHA_MIN
from gaussians.types import Gaussians

MAGIC = b"\x894DGS1\r\n"
HEADER, FOOTER, QUANTIZATION, WINDOWS, CHUNK, BAND, INDEX = 1, 2, 3, 4, 5, 7, 8
STREAM = struct.Struct("<BBBBBIQ")
RAW, DELTA, CONSTANT = 0, 1, 2
# Of the logarithms of scales and durations.
RELATIVE_STEP = 2 * np.log1p(0.02)
# Seconds.
TIME_STEP = 0.004
LARGEST_HARMONIC = 4.0


def save_4dgs(path: str | Path, scene: Scene | Gaussians, *, seconds: float) -> None:
    """Write a 4D scene that lasts so many seconds, without its gates.

    Raises:
      FormatError: The scene is of another kind, or a file cannot hold it, see `arrays_to_write`.
    """
    path = Path(path)
    require(path, "seconds", 0 < seconds < 1e6, seconds, "a positive number")
    ungated = without_gates(path, scene)
    order = curve(ungated.means)
    path.write_bytes(_records(path, Ungated(*(x[order] for x in ungated)), seconds))


def _records(path: Path, scene: Ungated, seconds: float) -> bytes:
    """Return the whole file."""
    count, coefficients = scene.harmonics.shape[:2]
    degree = round(coefficients**0.5) - 1
    means = turn_vectors(scene.means).astype(np.float64)
    # Largest errors: of positions in widths of the usual Gaussian.
    position_bound = 0.05 * float(np.exp(np.median(scene.log_scales)))
    bounds = {
        "pos": position_bound,
        "scale_rel": 0.02,
        "rot": 0.002,
        "rgb": 1 / 255,
        "alpha": 1 / 255,
        # Over the format's reference lifetime of 0.5 s.
        "motion": 2 * position_bound,
        "time": TIME_STEP / 2,
        "sigma_rel": 0.02,
        "sh": 0,
    }
    streams = _streams(path, scene, means, bounds, seconds)
    box = [*means.min(0), *means.max(0)]
    header = _text("") + _text("full4d_jax")
    header += struct.pack("<dQd", seconds, count, ALPHA_MIN) + _text("gaussian-birth")
    header += struct.pack("<6dBB", *box, degree, 0)
    axes = "y-up-right-handed"
    header += _texts({"color_space": "srgb-rec709-display", "coordinate_system": axes})
    # Order of the steps: position, scale, rotation, colour, opacity, velocity, moment, duration.
    steps = [
        2 * bounds[x] for x in ("pos", "scale_rel", "rot", "rgb", "alpha", "motion")
    ]
    steps[1] = RELATIVE_STEP
    quantization = _text("uniform-v1") + struct.pack("<3d", *means.min(0))
    quantization += struct.pack("<8dB", *steps, TIME_STEP, RELATIVE_STEP, 1)
    quantization += _texts({name: repr(value) for name, value in bounds.items()})
    # Valid at the last instant, too: the end of a window is no part of it.
    windows = struct.pack("<Idd", 1, 0.0, np.inf)
    front = MAGIC + _record(HEADER, header) + _record(QUANTIZATION, quantization)
    front += _record(WINDOWS, windows)

    content = struct.pack("<ddII", 0.0, seconds, 0, count) + _text("")
    content += struct.pack("<QQ", len(streams), len(streams)) + streams
    chunk = _record(CHUNK, content)
    bands = _bands(scene, degree)
    index = struct.pack(
        "<ddQQII", 0.0, seconds, len(front), len(chunk), count, len(bands)
    )
    place = len(front) + len(chunk)
    for band, record in bands.items():
        index += struct.pack("<BQQ", band, place, len(record))
        place += len(record)
    summary = _record(INDEX, index)
    footer = _record(FOOTER, struct.pack("<QQI", place, 0, zlib.crc32(summary)))
    return front + chunk + b"".join(bands.values()) + summary + footer + MAGIC


def _streams(
    path: Path, scene: Ungated, means: Triples, bounds: dict[str, float], seconds: float
) -> bytes:
    """Return the streams of a chunk, in the order of their numbers."""
    position = 2 * bounds["pos"]
    lasts = scene.durations > LONGEST_CLIPS
    sigmas = np.where(lasts, 1.0, scene.durations.astype(np.float64) * seconds)
    sigma_bins = np.rint(np.log(sigmas) / RELATIVE_STEP)
    decoded = np.exp(sigma_bins * RELATIVE_STEP)
    half = np.where(lasts, np.inf, np.sqrt(-2 * np.log(ALPHA_MIN)) * decoded)
    classes = np.clip(np.ceil(np.log2(np.clip(half, 0.02, 2.0) / 0.5)), -4, 2)
    velocity_steps = 2 * bounds["motion"] * 2.0**-classes
    finest = np.where(lasts, TIME_STEP, np.minimum(TIME_STEP, 0.05 * decoded))
    moment_steps = TIME_STEP * 2.0 ** np.clip(
        np.floor(np.log2(finest / TIME_STEP)), -10, 0
    )

    largest, three = smallest_three(turned_xyzw(scene.quaternions))
    red, green, blue = np.rint(
        mean_colors(scene.harmonics).astype(np.float64) / 2 * 255
    ).T
    velocities = turn_vectors(scene.velocities).astype(np.float64) / seconds
    moments = scene.moments.astype(np.float64) * seconds
    bins = [
        (means - means.min(0)) / position,
        scene.log_scales.astype(np.float64) / RELATIVE_STEP,
        largest,
        three / (2 * bounds["rot"]),
        np.column_stack([green, red - green, blue - green]),
        scene.opacities.astype(np.float64) / (2 * bounds["alpha"]),
        velocities / velocity_steps[:, None],
        moments / moment_steps,
        np.where(lasts, 0, sigma_bins),
        lasts.astype(np.float64),
        np.zeros(len(means)),
    ]
    streams = b""
    for number, values in enumerate(bins):
        rounded = np.rint(values)
        most = np.abs(rounded).max()
        expected = "numbers that 32 bits hold at the format's precision"
        require(path, f"stream {number}", most < 2**30, f"{most:g} steps", expected)
        streams += _stream(number, rounded.astype(np.int64).reshape(len(means), -1))
    return streams


def _bands(scene: Ungated, degree: int) -> dict[int, bytes]:
    """Return the records of view-dependent colour, one a degree, channel by channel."""
    # g 3 coefficients.
    rest = turn_harmonics(scene.harmonics)[:, 1:].swapaxes(1, 2)
    levels = (
        np.rint((rest / LARGEST_HARMONIC + 1) * 127.5).clip(0, 255).astype(np.int64)
    )
    records = {}
    for band in range(1, degree + 1):
        columns = levels[:, :, band**2 - 1 : (band + 1) ** 2 - 1].reshape(len(rest), -1)
        records[band] = _record(BAND, struct.pack("<B", band) + _stream(BAND, columns))
    return records


def _stream(number: int, values: Int[ndarray, "g c"]) -> bytes:
    """Return a stream of integers or of their differences, whichever is shorter."""
    count, channels = values.shape
    differences = np.diff(values, axis=0, prepend=np.zeros((1, channels), np.int64))
    coded = {RAW: _deflated(values), DELTA: _deflated(differences)}
    if (values == values[0]).all() and count > 1:
        coded = {CONSTANT: _deflated(values[:1])}
    mode = min(coded, key=lambda mode: len(coded[mode][1]))
    width, body = coded[mode]
    return STREAM.pack(number, width, mode, 0, channels, count, len(body)) + body


def _deflated(values: Int[ndarray, "g c"]) -> tuple[int, bytes]:
    """Return the bytes a number takes, and the numbers zigzag coded in planes, deflated."""
    codes = ((values << 1) ^ (values >> 63)).astype(np.uint64).ravel()
    most = int(codes.max(initial=0))
    width = 1 if most < 2**8 else 2 if most < 2**16 else 4
    planes = codes.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T
    return width, zlib.compress(np.ascontiguousarray(planes).tobytes(), 6)


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("ascii")


def _texts(texts: dict[str, str]) -> bytes:
    pairs = b"".join(_text(name) + _text(texts[name]) for name in sorted(texts))
    return struct.pack("<I", len(pairs)) + pairs
