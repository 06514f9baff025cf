"""Packed scenes as few bytes, for pages: about 7 a Gaussian.

Each number of a record becomes a whole number of steps. The more a Gaussian adds to pictures, the
finer its steps are (`contributions.py`); at the steps below pictures keep more than 40 dB
(docs/viewer.md). Gaussians with the same steps are a part, and so are those that are always there,
which need no moment: it is the middle of the clip. What lies far off has coarser positions.

A part's Gaussians follow Morton's curve: its places are written as differences, and give the
positions. Each other number has a column, too. A column has its numbers themselves, or what they
differ by from the mean of the eight before; these are zigzag coded and deflated byte by byte: the
lowest bytes of all, then the next. A shape is the logarithm of its matrix R diag(scales) R', whose
six numbers hardly depend on a rotation that is not visible. `viewer/unpack.js` is the inverse.
"""

import zlib
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from full4d_jax.scene.packing import Numbers, PackedScene
from gaussians.morton import morton_places

# In widths of the usual Gaussian.
POSITION_STEP = 0.19
LOG_DURATION_STEP = 0.3
GATE_STEP = 17  # of 255
# Errors of fewer Gaussians do not average out.
FEW_GAUSSIANS = 20_000
FEW_SCALE = 0.25  # of their steps
# What Gaussians add to pictures (contributions.py) is more than this, and the scale of their steps.
TIERS = ((0.72, 0.71), (0.28, 1.14), (0.0, 2.1))
# Bits of a position along an axis: a browser counts to 53.
AXIS_BITS = 17


class SqueezedScene(NamedTuple):
    """A scene as bytes, and what is needed to read them.

    Attributes:
      content: deflated columns, part by part, then bytes of instants and of harmonics.
      parts: of each part, `count`, `always`, `origin`, `steps`, and `columns`: of each how many
        numbers the mean is of, and how many bytes a number takes.
    """

    content: bytes
    parts: list[dict[str, Any]]


def squeezed(
    packed: PackedScene, contributions: Float[ndarray, "all_gaussians"] | None = None
) -> SqueezedScene:
    """Return a scene as few bytes; the picture keeps about 40 dB.

    Args:
      packed: the scene.
      contributions: what each adds to pictures; those that add nothing are left out.
        Without it all Gaussians have the same steps.
    """
    records = packed.records
    usual = float(np.exp(np.median(records["log_scale"])))
    is_always = np.rint(records["gate"] / GATE_STEP) == 255 // GATE_STEP
    since = np.where(is_always, 0.5 - records["moment"], 0)
    positions = records["position"] + records["velocity"] * since[:, None]
    # So far off that their finest steps would be too many.
    away = np.abs(positions - np.median(positions, 0)) / (POSITION_STEP * usual)
    is_far = away.max(1) > 2 ** (AXIS_BITS - 4)
    # Scales of steps, and which Gaussians have them.
    scale = FEW_SCALE if len(records) < FEW_GAUSSIANS else 1.0
    tiers = [(scale, np.ones(len(records), bool))]
    if contributions is not None:
        borders = [np.inf, *(least for least, _ in TIERS)]
        tier = np.digitize(contributions[packed.rows], borders, right=True)
        tiers = [(scale, tier == i) for i, (_, scale) in enumerate(TIERS, 1)]
    parts = []
    pieces = []
    orders = []
    for (scale, in_tier), always, far in product(tiers, (True, False), (False, True)):
        rows = np.flatnonzero(in_tier & (is_always == always) & (is_far == far))
        if len(rows):
            some = records[rows], positions[rows]
            part, columns, order = _part(*some, usual, scale, always)
            parts.append(part)
            pieces += columns
            orders.append(rows[order])
    order = np.concatenate(orders)
    # Byte by byte of all Gaussians, as bytes at one place are alike.
    instants = packed.instants[order].view(np.uint8).reshape(len(order), -1)
    alike = instants, packed.harmonics[order]
    pieces += [np.ascontiguousarray(x.T).tobytes() for x in alike]
    # One zlib stream: its header, the pieces, an empty last block, and the checksum.
    content = b"\x78\xda" + b"".join(map(_deflated, pieces)) + b"\x03\x00"
    return SqueezedScene(content + zlib.adler32(b"".join(pieces)).to_bytes(4), parts)


def _part(
    records: ndarray,
    positions: Float[ndarray, "g 3"],
    usual: float,
    scale: float,
    always: bool,
) -> tuple[dict[str, Any], list[bytes], Numbers]:
    """Return what describes a part, the bytes of its columns, and its order."""
    origin = positions.min(0)
    span = float((positions - origin).max())
    step = max(POSITION_STEP * usual * scale, span / (2**AXIS_BITS - 2))
    steps = {
        "position": step,
        # While the Gaussian is seen.
        "velocity": 1.9 * step,
        "moment": 0.005 * scale,  # clips
        "logDuration": LOG_DURATION_STEP,
        # Of a logarithm, the mean of three.
        "size": 0.075 * scale,
        # Of a logarithm, what the axes differ by.
        "shape": 0.15 * scale,
        "luma": scale / 60,
        "chroma": scale / 26,
        "opacity": round(16 * scale),  # of 255
        "gate": GATE_STEP if scale > FEW_SCALE else 1,
    }
    # Neighbours follow each other along a Morton curve, so that gaps between places are short.
    cells = np.rint((positions - origin) / steps["position"]).astype(np.int64)
    places = morton_places(cells[:, ::-1], AXIS_BITS)
    order = np.argsort(places, kind="stable")
    records = records[order]
    gaps = np.diff(places[order].astype(np.int64), prepend=0)
    # What is seen for an instant only does not go far: its velocity may be coarser.
    durations = np.rint(records["log_duration"] / LOG_DURATION_STEP)
    velocity_steps = steps["velocity"] * np.ones(len(records))
    if not always:
        velocity_steps /= np.minimum(np.exp(durations * LOG_DURATION_STEP), 0.5)
    velocities = records["velocity"] / velocity_steps[:, None]
    columns = [gaps, *velocities.T]
    if not always:
        moments = records["moment"] / steps["moment"]
        columns += [records["gate"] / steps["gate"], durations, moments]
    # YCoCg.
    red, green, blue = records["color"].T
    mean = (red + blue) / 2
    columns += [
        *_shapes(records, steps["size"], steps["shape"]).T,
        (mean + green) / 2 / steps["luma"],
        (red - blue) / steps["chroma"],
        (green - mean) / steps["chroma"],
        records["opacity"] / steps["opacity"],
    ]
    described = []
    pieces = []
    for column in np.rint(np.column_stack(columns)).astype(np.int64).T:
        choices = [(x, _planes(column - _mean_before(column, x))) for x in (0, 8)]
        window, planes = min(
            choices, key=lambda x: sum(len(_deflated(y)) for y in x[1])
        )
        described.append([window, len(planes)])
        pieces += planes
    part = {
        "count": len(records),
        "always": always,
        "origin": origin.tolist(),
        "steps": steps,
        "columns": described,
    }
    return part, pieces, order


def _mean_before(numbers: Numbers, window: int) -> Numbers:
    """Return the mean of as many numbers before each, rounded; those before the first are 0."""
    sums = np.cumsum(np.append(np.zeros(window + 1, np.int64), numbers))
    before = (sums[window:] - sums[: len(sums) - window])[: len(numbers)]
    return (before + window // 2) // max(window, 1)


def _planes(numbers: Numbers) -> list[bytes]:
    """Return the bytes of zigzag coded numbers: the lowest of all, then the next."""
    codes = ((numbers << 1) ^ (numbers >> 63)).astype("<u8")
    width = max(1, -(-int(codes.max()).bit_length() // 8))
    return [plane.tobytes() for plane in codes.view(np.uint8).reshape(-1, 8).T[:width]]


def _deflated(piece: bytes) -> bytes:
    """Return bytes as a piece of a deflated stream, which others may follow."""
    # Of many small numbers few bytes repeat: which strategy is best depends on the column.
    packed = []
    for strategy in (zlib.Z_RLE, zlib.Z_FILTERED):
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
        packed.append(packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH))
    return min(packed, key=len)


def _shapes(records: ndarray, size: float, shape: float) -> Float[ndarray, "g 6"]:
    """Return logarithms of shapes as steps: the mean of the diagonal, what differs, what mixes."""
    log_scales = records["log_scale"]
    axes = Rotation.from_quat(records["quaternion"], scalar_first=True).as_matrix()
    logs = np.einsum("gij,gj,gkj->gik", axes, log_scales, axes)
    x, y, z = np.diagonal(logs, axis1=1, axis2=2).T
    mixing = [logs[:, 0, 1], logs[:, 0, 2], logs[:, 1, 2]]
    differing = np.stack([x - y, z - (x + y) / 2, *mixing], 1)
    return np.column_stack([log_scales.mean(1) / size, differing / shape])
