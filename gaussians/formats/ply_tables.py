"""PLY files as tables of numbers, with one clear error for whatever is wrong with them.

A file is a header of text, then the rows of its elements one after another, as text or binary:

    ply
    format binary_little_endian 1.0       or ascii, or binary_big_endian
    element vertex 9                      a table of 9 rows
    property float x                      one column
    end_header
"""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from gaussians.formats.scene_files import FormatError, damage_of, existing_file, require

MOST_HEADER_BYTES = 2**20
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
NAMES = {
    "i1": "char",
    "u1": "uchar",
    "i2": "short",
    "u2": "ushort",
    "i4": "int",
    "u4": "uint",
    "f4": "float",
    "f8": "double",
}
KINDS = {name: kind for kind, name in NAMES.items()} | {
    np.dtype(k).name: k for k in NAMES
}
LIST = "list"
Tables = dict[str, dict[str, ndarray]]
# By name the count of rows, and the numpy type of each property in order, `LIST` for a list.
Elements = dict[str, tuple[int, dict[str, str]]]


def read_tables(path: str | Path) -> Tables:
    """Return the columns of every element, text or binary; an element with lists ends the reading.

    Memory is bounded by the size of the file, whatever its header says.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not PLY, is damaged, or has no element `vertex` of at least one row.
    """
    path = existing_file(path, "a .ply file")
    content = path.read_bytes()
    layout, elements, place = _read_header(path, content[:MOST_HEADER_BYTES])
    is_text = layout == "ascii"
    lines = content[place:].decode("ascii", "replace").splitlines() if is_text else []
    tables: Tables = {}
    for name, (count, kinds) in elements.items():
        # Where the elements after it are is unknown.
        if LIST in kinds.values():
            break
        order = ORDERS[layout]
        dtype = np.dtype([(column, order + kind) for column, kind in kinds.items()])
        with damage_of(path, f"element {name}", f"{count} rows"):
            if is_text:
                rows = _read_text(lines[:count], dtype)
                lines = lines[count:]
            else:
                rows = np.frombuffer(content, dtype, count, place)
                place += rows.nbytes
        require(path, f"element {name}", len(rows) == count, f"{len(rows)} rows", count)
        tables[name] = {column: rows[column] for column in kinds}
    vertex = tables.get("vertex", {})
    rows = len(next(iter(vertex.values()), ()))
    require(path, "element vertex", rows, f"{rows} rows of numbers", "at least 1")
    return tables


def read_columns(
    path: Path, tables: Tables, element: str, names: list[str], dtype: type = np.float32
) -> Shaped[ndarray, "g c"]:
    """Return some columns of an element side by side; doubles are rounded, the rest must fit.

    Raises:
      FormatError: A column is missing or has a type that `dtype` cannot hold.
    """
    columns = tables[element]
    wanted = np.dtype(dtype)
    missing = ", ".join(name for name in names if name not in columns)
    found = f"no property {missing}"
    require(path, f"element {element}", not missing, found, "a Gaussian splat scene")
    for name in names:
        kind = columns[name].dtype
        rounds = kind.kind == wanted.kind == "f"
        fits = rounds or (kind.kind == "u" and np.can_cast(kind, wanted))
        require(path, f"property {name}", fits, kind.name, wanted.name)
    # What is too large for a float becomes infinite.
    with np.errstate(over="ignore"):
        return np.stack([np.asarray(columns[name], wanted) for name in names], -1)


def read_comments(path: Path) -> dict[str, str]:
    """Return the comments `comment NAME TEXT` in the header of a file that `read_tables` reads."""
    head = path.read_bytes()[:MOST_HEADER_BYTES].partition(b"end_header")[0]
    lines = head.decode("ascii", "replace").replace("\r", "\n")
    return dict(re.findall(r"^comment +(\S+) *(.*?)\s*$", lines, re.MULTILINE))


def write_tables(
    path: str | Path, tables: Tables, comments: dict[str, str] | None = None
) -> None:
    """Write little-endian binary; the columns of a table have equal lengths.

    Comments stand in the header as `comment NAME TEXT`.
    """
    lines = ["ply", "format binary_little_endian 1.0"]
    lines += [f"comment {name} {text}" for name, text in (comments or {}).items()]
    parts = []
    for element, columns in tables.items():
        kinds = {name: column.dtype.str[1:] for name, column in columns.items()}
        dtype = np.dtype([(name, f"<{kind}") for name, kind in kinds.items()])
        rows = np.rec.fromarrays(list(columns.values()), dtype)
        lines.append(f"element {element} {len(rows)}")
        lines += [f"property {NAMES[kind]} {name}" for name, kind in kinds.items()]
        parts.append(rows.tobytes())
    header = "\n".join([*lines, "end_header", ""]).encode("ascii")
    Path(path).write_bytes(header + b"".join(parts))


def _read_header(path: Path, head: bytes) -> tuple[str, Elements, int]:
    """Return the layout, the elements, and where the rows begin."""
    ends = b"\r\n", b"\n", b"\r"
    newline = next((end for end in ends if head.startswith(b"ply" + end)), b"?")
    last = newline + b"end_header" + newline
    end = head.find(last)
    require(path, "header", end >= 0, repr(head[:20]), "ply ... end_header")
    layout = ""
    elements: Elements = {}
    kinds: dict[str, str] = {}
    for line in head[:end].decode("ascii", "replace").split(newline.decode())[1:]:
        match line.split():
            case ["format", name, *_] if name in ORDERS:
                layout = name
            case ["element", name, count] if count.isdecimal() and name not in elements:
                kinds = {}
                elements[name] = (int(count[:19]), kinds)
            case ["property", "list", *_, name] if elements:
                kinds[name] = LIST
            case ["property", kind, name] if (
                elements and kind in KINDS and name not in kinds
            ):
                kinds[name] = KINDS[kind]
            case ["comment" | "obj_info", *_] | []:
                pass
            case _:
                known = "a format, a new element with its number of rows, or a property"
                raise FormatError(path, "header", repr(line), known)
    require(path, "header", layout, "no format", f"one of {', '.join(ORDERS)}")
    return layout, elements, end + len(last)


def _read_text(lines: list[str], dtype: np.dtype) -> ndarray:
    """Return rows, a line each."""
    lines = [line for line in lines if line.strip()]
    # Loadtxt warns of nothing.
    empty = np.zeros(0, dtype)
    return np.loadtxt(lines, dtype, comments=None, ndmin=1) if lines else empty
