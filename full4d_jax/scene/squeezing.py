"""Packed scenes as few bytes, for pages: about 7 a Gaussian instead of 40.

Each number of a record becomes a whole number of steps. The more a Gaussian adds to pictures, the
finer its steps are (`contributions.py`); at the steps below pictures keep more than 40 dB
(docs/viewer.md). Gaussians with the same steps are a part, and so are those that are always there,
which need no moment: it is the middle of the clip. What lies far off has coarser positions.

A part's Gaussians follow Morton's curve: its places are written as differences, each as its number
of bits and the bits below the highest, and give the positions. The other numbers have a column
each (`entropy_code.py`). A shape is the logarithm of its matrix R diag(scales) R', whose six
numbers hardly depend on a rotation that is not visible. `viewer/unpack.js` is the inverse.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt32
from numpy import ndarray
from scipy.spatial.transform import Rotation

from full4d_jax.scene.entropy_code import Coded, code_columns, interleave
from full4d_jax.scene.packing import PackedScene
from gaussians.formats.scene_files import with_largest
from gaussians.morton import morton_places

POSITION_STEP = 0.19  # widths of the usual Gaussian
LOG_DURATION_STEP = 0.3
GATE_STEP = 17  # of 255
FEW_GAUSSIANS = 20_000  # whose errors do not average out
FEW_SCALE = 0.25  # of their steps
# What Gaussians add to pictures (contributions.py) is more than this, and the scale of their steps.
TIERS = ((0.72, 0.71), (0.28, 1.14), (0.0, 2.1))
AXIS_BITS = 17  # of a position along an axis: a browser counts to 53 bits


@dataclass(frozen=True)
class SqueezedScene:
    """A scene as bytes, and what is needed to read them.

    Attributes:
      content: deflated tables, bytes of instants and harmonics; states and words of the columns;
        and all bits that have no table.
      lengths: bytes of the first of these, and of the first two.
      parts: of each part, `count`, `always`, `origin`, `steps`, and `columns` as `Coded` describes
        them.
    """

    content: bytes
    lengths: tuple[int, int]
    parts: list[dict[str, Any]]

    @property
    def count(self) -> int:
        """Gaussians in all parts."""
        return sum(part["count"] for part in self.parts)


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
    usual = float(np.exp(np.median(records["log_scale"].astype(np.float64))))
    is_always = np.rint(records["gate"] / GATE_STEP) == 255 // GATE_STEP
    since = np.where(is_always, 0.5 - records["moment"].astype(np.float64), 0)
    positions = records["position"] + records["velocity"].astype(np.float64) * since[:, None]
    is_far = _far(positions, POSITION_STEP * usual)
    seen = None if contributions is None else contributions[packed.rows]
    parts = []
    coded = []
    orders = []
    for scale, in_tier in _tiers(seen, len(records)):
        for always in (True, False):
            for far in (False, True):
                rows = np.flatnonzero(in_tier & (is_always == always) & (is_far == far))
                if len(rows):
                    part, columns, order = _part(
                        records[rows], positions[rows], usual, scale, always
                    )
                    parts.append(part)
                    coded.append(columns)
                    orders.append(rows[order])
    order = np.concatenate(orders)
    # Byte by byte of all Gaussians, as bytes at one place are alike.
    instants = packed.instants[order].view(np.uint8).reshape(len(order), -1)
    tables = np.concatenate([columns.tables for columns in coded])
    packer = zlib.compressobj(9, strategy=zlib.Z_FILTERED)  # few repetitions, many small numbers
    content = packer.compress(tables.tobytes())
    content += packer.compress(np.ascontiguousarray(instants.T).tobytes())
    content += packer.compress(np.ascontiguousarray(packed.harmonics[order].T).tobytes())
    content += packer.flush()
    deflated = len(content)
    states, words = interleave(
        np.concatenate([columns.starts for columns in coded]),
        np.concatenate([columns.frequencies for columns in coded]),
    )
    content += states.astype("<u4").tobytes() + words.astype("<u2").tobytes()
    lengths = deflated, len(content)
    content += _bits(
        np.concatenate([columns.extras for columns in coded]),
        np.concatenate([columns.lengths for columns in coded]),
    )
    return SqueezedScene(content, lengths, parts)


def _tiers(
    contributions: Float[ndarray, " g"] | None, count: int
) -> list[tuple[float, Bool[ndarray, " g"]]]:
    """Return scales of steps, and which Gaussians have them."""
    if contributions is None:
        return [(FEW_SCALE if count < FEW_GAUSSIANS else 1.0, np.ones(count, bool))]
    tiers = []
    below = np.inf
    for least, scale in TIERS:
        tiers.append((scale, (contributions > least) & (contributions <= below)))
        below = least
    return tiers


def _far(positions: Float[ndarray, "g 3"], step: float) -> Bool[ndarray, " g"]:
    """Return which Gaussians lie so far off that their finest steps are too many."""
    steps = np.abs(positions - np.median(positions, 0)) / step
    return steps.max(1) > 2 ** (AXIS_BITS - 4)


def _part(
    records: ndarray, positions: Float[ndarray, "g 3"], usual: float, scale: float, always: bool
) -> tuple[dict[str, Any], Coded, Int[ndarray, "g"]]:
    """Return what describes a part, its columns with the bits of its places, and its order."""
    origin = positions.min(0)
    span = float((positions - origin).max())
    step = max(POSITION_STEP * usual * scale, span / (2**AXIS_BITS - 2))
    steps = {
        "position": step,
        "velocity": 1.9 * step,  # while the Gaussian is seen
        "moment": 0.005 * scale,  # clips
        "logDuration": LOG_DURATION_STEP,
        "size": 0.075 * scale,  # of a logarithm, the mean of three
        "shape": 0.15 * scale,  # of a logarithm, what the axes differ by
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
    lengths = np.frexp(gaps.astype(np.float64))[1].astype(np.int64)  # bits of a gap; 0 has none
    # What is seen for an instant only does not go far: its velocity may be coarser.
    durations = np.rint(records["log_duration"].astype(np.float64) / LOG_DURATION_STEP)
    velocity_steps = steps["velocity"] * np.ones(len(records))
    if not always:
        velocity_steps /= np.minimum(np.exp(durations * LOG_DURATION_STEP), 0.5)
    velocities = records["velocity"].astype(np.float64) / velocity_steps[:, None]
    columns = [lengths, *velocities.T]
    if not always:
        moments = records["moment"].astype(np.float64) / steps["moment"]
        columns += [records["gate"] / steps["gate"], durations, moments]
    columns += [
        *_shapes(records, steps["size"], steps["shape"]).T,
        *_luma_chroma(records["color"].astype(np.float64), steps["luma"], steps["chroma"]).T,
        records["opacity"] / steps["opacity"],
    ]
    coded = code_columns(np.rint(np.column_stack(columns)).astype(np.int64))
    part = {
        "count": len(records),
        "always": always,
        "origin": origin.tolist(),
        "steps": steps,
        "columns": coded.described,
    }
    # The bits of a gap below its first are not coded: they are as good as random.
    below = np.maximum(lengths - 1, 0)
    coded = coded._replace(
        extras=np.append(coded.extras, gaps), lengths=np.append(coded.lengths, below)
    )
    return part, coded, order


def _bits(numbers: Int[ndarray, "g"], lengths: Int[ndarray, "g"]) -> bytes:
    """Return the lowest bits of numbers, one after the other, each from its lowest."""
    ends = np.cumsum(lengths)
    owner = np.repeat(np.arange(len(numbers)), lengths)
    place = np.arange(len(owner)) - (ends - lengths)[owner]
    return np.packbits((numbers[owner] >> place) & 1, bitorder="little").tobytes()


def _shapes(records: ndarray, size: float, shape: float) -> Float[ndarray, "g 6"]:
    """Return logarithms of shapes as steps: the mean of the diagonal, what differs, what mixes."""
    log_scales = records["log_scale"].astype(np.float64)
    axes = rotation_matrices(records["rotation"])
    logs = np.einsum("gij,gj,gkj->gik", axes, log_scales, axes)
    x, y, z = np.diagonal(logs, axis1=1, axis2=2).T
    mixing = [logs[:, 0, 1], logs[:, 0, 2], logs[:, 1, 2]]
    differing = np.stack([x - y, z - (x + y) / 2, *mixing], 1)
    return np.column_stack([log_scales.mean(1) / size, differing / shape])


def rotation_matrices(packed: UInt32[ndarray, "g"]) -> Float[ndarray, "g 3 3"]:
    """Return matrices of what `pack_rotations` packed."""
    levels = np.stack([packed & 1023, packed >> 10 & 1023, packed >> 20 & 1023], 1)
    three = (levels.astype(np.float64) - 511.5) / 511.5 * np.sqrt(0.5)
    quaternions = with_largest((packed >> 30).astype(np.int64), three)
    return Rotation.from_quat(quaternions, scalar_first=True).as_matrix()


def _luma_chroma(
    colors: Float[ndarray, "g 3"], luma: float, chroma: float
) -> Float[ndarray, "g 3"]:
    """Return colours as steps of YCoCg."""
    red, green, blue = colors.T
    mean = (red + blue) / 2
    return np.column_stack(
        [(mean + green) / 2 / luma, (red - blue) / chroma, (green - mean) / chroma]
    )
