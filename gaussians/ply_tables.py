"""PLY files as tables of numbers, with one clear error for whatever is wrong with them."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray
from plyfile import PlyData, PlyElement, PlyListProperty, PlyParseError

from gaussians.scene_files import FormatError, existing_file

HEADER = 2**20  # bytes in which the header of a scene must end


def read_tables(path: str | Path) -> dict[str, PlyElement]:
    """All elements of a file by name, text or binary.

    Raises:
      FileNotFoundError: no such file.
      FormatError: not a PLY file, damaged, or without an element `vertex` of at least one row.
    """
    path = existing_file(path, "a .ply file")
    _check_counts(path)
    try:
        tables = {element.name: element for element in PlyData.read(str(path)).elements}
    except (PlyParseError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise FormatError(path, "content", error, "a complete PLY file") from error
    if "vertex" not in tables:
        raise FormatError(path, "elements", ", ".join(tables) or "none", "one named vertex")
    if tables["vertex"].count == 0:
        raise FormatError(path, "element vertex", "0 rows", "at least 1")
    return tables


def read_columns(
    path: Path, table: PlyElement, names: list[str], dtype: type = np.float32
) -> Shaped[ndarray, "g c"]:
    """Some columns, side by side; doubles are rounded to floats, nothing else is converted.

    Raises:
      FormatError: a column is missing or of a type that `dtype` cannot hold.
    """
    found = {
        p.name: None if isinstance(p, PlyListProperty) else np.dtype(p.val_dtype)
        for p in table.properties
    }
    missing = [name for name in names if name not in found]
    if missing:
        said = f"no property {', '.join(missing)}"
        raise FormatError(path, f"element {table.name}", said, "a Gaussian splat scene")
    wanted = np.dtype(dtype)
    for name in names:
        kind = found[name]
        rounds = kind is not None and kind.kind == wanted.kind == "f"
        if kind is None or not (rounds or (kind.kind == "u" and np.can_cast(kind, wanted))):
            said = kind.name if kind else "a list"
            raise FormatError(path, f"property {name}", said, wanted.name)
    with np.errstate(over="ignore"):  # what is too large for a float becomes infinite
        return np.stack([np.asarray(table[name], wanted) for name in names], -1)


def write_tables(path: str | Path, tables: dict[str, dict[str, ndarray]]) -> None:
    """Little-endian binary; every table is a dict of columns of equal lengths."""
    elements = []
    for name, columns in tables.items():
        dtype = [(key, column.dtype.newbyteorder("<")) for key, column in columns.items()]
        rows = np.empty(len(next(iter(columns.values()))), dtype)
        for key, column in columns.items():
            rows[key] = column
        elements.append(PlyElement.describe(rows, name))
    PlyData(elements, byte_order="<").write(str(path))


def _check_counts(path: Path) -> None:
    """Refuse a header that does not end, or that announces more rows than the file has room for.

    The reader allocates what the header says; a value takes at least one byte of the file.
    """
    with path.open("rb") as file:
        head = file.read(HEADER)
    text, end, _ = head.partition(b"end_header")
    if not head.startswith(b"ply") or not end:
        raise FormatError(path, "header", repr(head[:20]), "ply ... end_header")
    size, count, name, columns = path.stat().st_size, 0, "", 0
    for words in map(bytes.split, text.splitlines()):
        if len(words) == 3 and words[0] == b"element":
            name, number = (word.decode("ascii", "replace") for word in words[1:])
            if not number.isdecimal():
                raise FormatError(path, f"element {name}", number, "a number of rows")
            count, columns = int(number[:19]), 0
        elif words[:1] == [b"property"]:
            columns += 1
        if count * max(columns, 1) > size:
            found = f"{count} rows of at least {max(columns, 1)} bytes in a file of {size} bytes"
            raise FormatError(path, f"element {name}", found, "rows that are there")
