"""Packed scenes as few bytes, for pages: about 10 a Gaussian instead of 40.

Gaussians stand along a space-filling curve. Each number of a record becomes a whole number of
steps, in a column of its own; a column holds the numbers, or their differences from one Gaussian
to the next, zigzag coded and byte plane by byte plane. All of it is deflated together, which a
browser inflates itself. `viewer/unpack.js` is the inverse.

Steps are those at which pictures keep 40 dB (benchmarks/viewer.py); they are finer for scenes of
few Gaussians, where errors do not average out. A velocity's step shrinks with the time that its
Gaussian is seen. What is always there gets the middle of the clip as its moment.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from full4d_jax.scene.packing import PackedScene
from gaussians.formats.packed_ply import curve

POSITION = 0.25  # widths of the usual Gaussian
MOMENT = 0.006  # clips
LOG_SCALE = 0.12
LOG_DURATION = 0.1
COLOR = 1 / 64
OPACITY = 6  # of 255
GATE = 17  # of 255
ROTATION = 31  # largest number that stands for a component
FEW = 20_000  # Gaussians
MIDDLE = 0.5  # clips


@dataclass(frozen=True)
class SqueezedScene:
    """A scene as bytes, and what is needed to read them.

    Attributes:
      content: deflated columns of records, then bytes of instants.
      columns: of each column, the bytes of a number, and 1 if they are differences.
      steps: by the name of a part of the record, the steps of its numbers.
      origin: what is added to positions, world units.
    """

    content: bytes
    columns: list[tuple[int, int]]
    steps: dict[str, float]
    origin: list[float]


def squeezed(packed: PackedScene) -> SqueezedScene:
    """Return a scene as few bytes; the picture keeps 40 dB."""
    order = curve(packed.records["position"])
    records = packed.records[order]
    usual = float(np.exp(np.median(records["log_scale"].astype(np.float64))))
    is_few = len(records) < FEW
    fine = 4 if is_few else 1
    steps = {
        "position": POSITION * usual / fine,
        "moment": MOMENT / fine,
        "logScale": LOG_SCALE / fine,
        "logDuration": LOG_DURATION,
        "color": COLOR / fine,
        "opacity": 1 if is_few else OPACITY,
        "gate": 1 if is_few else GATE,
        "rotation": 1023 if is_few else ROTATION,
    }
    gates = np.rint(records["gate"] / steps["gate"])
    is_always = gates == 255 / steps["gate"]
    since = np.where(is_always, MIDDLE - records["moment"].astype(np.float64), 0)
    velocities = records["velocity"].astype(np.float64)
    positions = records["position"] + velocities * since[:, None]
    origin = positions.min(0).astype(np.float32).astype(np.float64)
    durations = np.rint(records["log_duration"].astype(np.float64) / LOG_DURATION)
    durations = np.where(is_always, 0, durations)
    shifts = np.where(is_always, 0, velocity_shifts(durations.astype(np.int64)))
    velocity_steps = 2 * steps["position"] * 2.0**-shifts
    red, green, blue = np.rint(records["color"].astype(np.float64) / steps["color"]).T
    word = records["rotation"]
    parts = np.stack([word & 1023, word >> 10 & 1023, word >> 20 & 1023], 1)
    columns = np.column_stack(
        [
            gates,
            durations,
            np.rint((positions - origin) / steps["position"]),
            np.rint(velocities / velocity_steps[:, None]),
            np.where(is_always, 0, np.rint(records["moment"].astype(np.float64) / steps["moment"])),
            np.rint(records["log_scale"].astype(np.float64) / steps["logScale"]),
            green,
            red - green,
            blue - green,
            np.rint(records["opacity"] / steps["opacity"]),
            word >> 30,
            np.rint(parts * steps["rotation"] / 1023),
        ]
    ).astype(np.int64)
    described, content = _coded(columns)
    instants = packed.instants[order]
    # Byte by byte of all Gaussians, as bytes at one place are alike.
    content += np.ascontiguousarray(instants.view(np.uint8).reshape(len(order), -1).T).tobytes()
    packer = zlib.compressobj(9, strategy=zlib.Z_FILTERED)  # few repetitions, many small numbers
    deflated = packer.compress(content) + packer.flush()
    return SqueezedScene(deflated, described, steps, origin.tolist())


def velocity_shifts(durations: Int[ndarray, "g"]) -> Int[ndarray, "g"]:
    """Return how often the step of velocities is doubled, as a negative number.

    Seven steps of a logarithm of 0.1 are about a factor of 2.
    """
    return np.clip((durations + 16) // 7 + 1, -4, 0)


def _coded(columns: Int[ndarray, "g c"]) -> tuple[list[tuple[int, int]], bytes]:
    """Return what describes each column, and the bytes of all."""
    described = []
    content = b""
    for column in columns.T:
        differences = np.diff(column, prepend=0)
        planes, changes = _planes(column), _planes(differences)
        is_shorter = len(zlib.compress(changes, 6)) < len(zlib.compress(planes, 6))
        chosen = changes if is_shorter else planes
        described.append((len(chosen) // len(column), int(is_shorter)))
        content += chosen
    return described, content


def _planes(column: Int[ndarray, "g"]) -> bytes:
    """Return numbers zigzag coded: their lowest bytes, then the next."""
    codes = ((column << 1) ^ (column >> 63)).astype(np.uint32)
    most = int(codes.max(initial=0))
    width = 1 if most < 2**8 else 2 if most < 2**16 else 4
    parts = codes.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T
    return np.ascontiguousarray(parts).tobytes()
