"""3DGS `.ply` files: x y z, f_dc, f_rest (channel by channel), opacity, scale, rot (w x y z).

Packed by PlayCanvas (`.compressed.ply`) they have 16 bytes a Gaussian, 1 a harmonic coefficient.
Gaussians stand in chunks of 256 with the range of their centres, log-scales and colours; a table
`vertex` holds four uint32 each, most significant bits first, of fractions of those ranges:

    packed_position, packed_scale  x 11 bits, y 10 bits, z 11 bits
    packed_color                   red, green, blue, and opacity as it is; 8 bits each
    packed_rotation                2 bits: which of w x y z is the largest; 10 bits for each other,
                                   from -1/sqrt(2) to 1/sqrt(2); the largest follows, positive

A table `sh` holds the view-dependent coefficients in 256 steps from -4 to 4. Files without ranges
of colours mean [0, 1]. Neighbours in space make small ranges, so the order is not kept on writing.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt32
from numpy import ndarray

from gaussians.deformation import Scene
from gaussians.formats.ply_tables import Tables, read_columns, read_tables, write_tables
from gaussians.formats.scene_files import (
    LARGEST_LOGIT,
    Triples,
    arrays_to_write,
    check_finite,
    curve,
    logit,
    mean_colors,
    mean_harmonics,
    require,
    sigmoid,
    smallest_three,
    to_gaussians,
    unit_quaternions,
    with_largest,
)
from gaussians.types import Gaussians

CHUNK_GAUSSIANS = 256
# Bits of the parts of a word.
POSITION_BITS = (11, 10, 11)
ROTATION_BITS = (2, 10, 10, 10)
COLOR_BITS = (8, 8, 8, 8)
RANGES = {
    "packed_position": ("x", "y", "z"),
    "packed_scale": ("scale_x", "scale_y", "scale_z"),
    "packed_color": ("r", "g", "b"),
}
LARGEST_HARMONIC = 4.0


def save_ply(
    path: str | Path, scene: Gaussians | Scene, time: float | None = None
) -> None:
    """Write a static scene, or a dynamic one as it is at `time` in [0, 1].

    Raises:
      ValueError: The scene is dynamic and there is no time.
      FormatError: A file cannot hold the scene, see `arrays_to_write`.
    """
    if not isinstance(scene, Gaussians):
        if time is None:
            raise ValueError("a dynamic scene has many instants: pass time in [0, 1]")
        scene = scene.at(time)
    write_tables(path, {"vertex": splat_columns(path, scene)})


def save_packed_ply(path: str | Path, scene: Gaussians) -> None:
    """Write a scene along a space-filling curve.

    Raises:
      FormatError: A file cannot hold the scene, see `arrays_to_write`.
    """
    arrays = arrays_to_write(path, scene)
    order = curve(arrays[0])
    means, quaternions, log_scales, logits, harmonics = (x[order] for x in arrays)
    position, position_range = _fractions(means)
    scale, scale_range = _fractions(log_scales)
    color, color_range = _fractions(mean_colors(harmonics))
    largest, smaller = smallest_three(unit_quaternions(quaternions))
    rotation = np.column_stack([largest / 3, smaller / np.sqrt(2) + 0.5])
    labels = [label for word in RANGES for label in _labels(word)]
    edges = np.concatenate([*position_range, *scale_range, *color_range], 1)
    tables = {
        "chunk": dict(zip(labels, edges.T, strict=True)),
        "vertex": {
            "packed_position": _pack(position, POSITION_BITS),
            "packed_rotation": _pack(rotation, ROTATION_BITS),
            "packed_scale": _pack(scale, POSITION_BITS),
            "packed_color": _pack(
                np.column_stack([color, sigmoid(logits)]), COLOR_BITS
            ),
        },
    }
    rest = harmonics[:, 1:].swapaxes(1, 2).reshape(len(means), -1)
    if rest.size:
        steps = (
            np.floor((rest / LARGEST_HARMONIC + 1) * 128).clip(0, 255).astype(np.uint8)
        )
        tables["sh"] = {f"f_rest_{i}": column for i, column in enumerate(steps.T)}
    write_tables(path, tables)


def load_ply(path: str | Path) -> Gaussians:
    """Read a 3DGS file of any harmonic degree up to 3, text or binary, plain or packed.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not a complete scene.
    """
    path = Path(path)
    return scene_in(path, read_tables(path))


def scene_in(path: Path, tables: Tables) -> Gaussians:
    """Return the scene in the tables of a file, plain or packed."""
    return (
        _unpack_scene(path, tables) if "chunk" in tables else read_splats(path, tables)
    )


def splat_columns(
    path: str | Path, scene: Gaussians
) -> dict[str, Float32[ndarray, "g"]]:
    """Return the properties of a 3DGS file in the order of other writers."""
    means, quaternions, log_scales, logits, harmonics = arrays_to_write(path, scene)
    # Files hold all red coefficients, then green, then blue; normals are customary and unused.
    rest = harmonics[:, 1:].swapaxes(1, 2).reshape(len(means), -1)
    normals = np.zeros_like(means)
    shape = logits[:, None], log_scales, quaternions
    columns = np.concatenate([means, normals, harmonics[:, 0], rest, *shape], axis=1)
    return dict(zip(_names(rest.shape[1]), columns.T, strict=True))


def read_splats(path: Path, tables: Tables) -> Gaussians:
    """Return the scene in the tables of a 3DGS file; further properties are ignored."""
    rest = sum(name.startswith("f_rest_") for name in tables["vertex"])
    found = f"{rest} f_rest properties"
    require(path, "element vertex", rest in (0, 9, 24, 45), found, "0, 9, 24 or 45")
    names = [name for name in _names(rest) if name not in ("nx", "ny", "nz")]
    columns = read_columns(path, tables, "vertex", names)
    opacity = columns[:, names.index("opacity")]
    opacity[np.isinf(opacity)] = np.sign(opacity[np.isinf(opacity)]) * LARGEST_LOGIT
    check_finite(path, [f"property {name}" for name in names], columns)
    means, mean_color, rest_color, opacity, scales, quaternions = np.split(
        columns, np.cumsum([3, 3, rest, 1, 3]), axis=1
    )
    rest_color = rest_color.reshape(len(means), 3, rest // 3).swapaxes(1, 2)
    harmonics = np.concatenate([mean_color[:, None], rest_color], 1)
    return to_gaussians(means, quaternions, scales, opacity[:, 0], harmonics)


def _names(rest: int) -> list[str]:
    return [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(rest)),
        "opacity",
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
    ]


def _unpack_scene(path: Path, tables: Tables) -> Gaussians:
    """Return the scene in the tables of a packed file, in its order; raises FormatError."""
    names = ["packed_rotation", *RANGES]
    columns = read_columns(path, tables, "vertex", names, np.uint32)
    rotation, position, scale, color = columns.T
    g = len(rotation)
    chunks = _row_count(tables["chunk"])
    wanted = -(-g // CHUNK_GAUSSIANS)
    found = f"{chunks} rows"
    expected = f"{wanted} for {g} Gaussians"
    require(path, "element chunk", chunks == wanted, found, expected)
    rgba = _unpack(color, COLOR_BITS)
    if "min_r" in tables["chunk"]:
        rgba[:, :3] = _in_range(path, tables, "packed_color", rgba[:, :3])
    harmonics = mean_harmonics(rgba[:, None, :3])
    if "sh" in tables:
        count = len(tables["sh"])
        rows = _row_count(tables["sh"])
        fits = rows == g and count in (9, 24, 45)
        found = f"{rows} rows of {count} properties"
        require(path, "element sh", fits, found, f"{g} rows of 9, 24 or 45")
        names = [f"f_rest_{i}" for i in range(count)]
        steps = read_columns(path, tables, "sh", names, np.uint8)
        # The middles of the steps, as other readers do, and -4 and 4 for the outermost.
        middle = (steps.astype(np.float32) + 0.5) / 128 - 1
        unit = np.where(steps == 0, -1, np.where(steps == 255, 1, middle))
        rest = (unit * LARGEST_HARMONIC).reshape(g, 3, count // 3)
        rest = rest.swapaxes(1, 2).astype(np.float32)
        harmonics = np.concatenate([harmonics, rest], 1)
    means = _in_range(path, tables, "packed_position", _unpack(position, POSITION_BITS))
    log_scales = _in_range(path, tables, "packed_scale", _unpack(scale, POSITION_BITS))
    smaller = (_unpack(rotation, ROTATION_BITS)[:, 1:] - 0.5) * np.sqrt(2)
    unit = with_largest((rotation >> 30).astype(np.int64), smaller).astype(np.float32)
    return to_gaussians(means, unit, log_scales, logit(rgba[:, 3]), harmonics)


def _fractions(
    values: Triples,
) -> tuple[Triples, tuple[Float[ndarray, "chunks 3"], Float[ndarray, "chunks 3"]]]:
    """Return the place of every value in the range of its chunk, and both ends of each range."""
    first_rows = np.arange(0, len(values), CHUNK_GAUSSIANS)
    low = np.minimum.reduceat(values, first_rows)
    high = np.maximum.reduceat(values, first_rows)
    chunk = np.arange(len(values)) // CHUNK_GAUSSIANS
    # A difference of two floats may be too large for one.
    doubles = low.astype(np.float64)
    span = np.where(high > low, high - doubles, 1)
    return (values - doubles[chunk]) / span[chunk], (low, high)


def _labels(word: str) -> list[str]:
    return [f"{end}_{name}" for end in ("min", "max") for name in RANGES[word]]


def _in_range(path: Path, tables: Tables, word: str, fractions: Triples) -> Triples:
    """Return the inverse of `_fractions`."""
    labels = _labels(word)
    edges = read_columns(path, tables, "chunk", labels)
    check_finite(path, [f"property {label}" for label in labels], edges)
    ends = edges.astype(np.float64)[np.arange(len(fractions)) // CHUNK_GAUSSIANS]
    low, high = np.split(ends, 2, axis=1)
    return (low + fractions * (high - low)).astype(np.float32)


def _pack(
    fractions: Float[ndarray, "g c"], bits: tuple[int, ...]
) -> UInt32[ndarray, "g"]:
    """Pack fractions as integers of so many bits, the first in the highest place."""
    word = np.zeros(len(fractions), np.uint32)
    for fraction, width in zip(fractions.T, bits, strict=True):
        steps = np.rint(np.clip(fraction, 0, 1) * (2**width - 1)).astype(np.uint32)
        word = (word << width) | steps
    return word


def _unpack(word: UInt32[ndarray, "g"], bits: tuple[int, ...]) -> Float[ndarray, "g c"]:
    """Return the inverse of `_pack`."""
    shifts = np.cumsum((0, *bits[:0:-1]))[::-1]
    parts = [
        ((word >> shift) & (2**width - 1)) / np.float32(2**width - 1)
        for shift, width in zip(shifts.astype(np.uint32), bits, strict=True)
    ]
    return np.stack(parts, -1).astype(np.float32)


def _row_count(columns: dict[str, ndarray]) -> int:
    return len(next(iter(columns.values()), ()))
