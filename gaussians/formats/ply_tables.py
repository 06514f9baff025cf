"""PLY files as tables of numbers, with one clear error for whatever is wrong with them.

A file is a header of text, then the rows of its elements one after another, as text or binary:

    ply
    format binary_little_endian 1.0       or ascii, or binary_big_endian
    element vertex 9                      a table of 9 rows
    property float x                      one column
    end_header
"""

import io
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from gaussians.formats.scene_files import FormatError, existing_file

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
KINDS = {name: kind for kind, name in NAMES.items()} | {np.dtype(k).name: k for k in NAMES}
Tables = dict[str, dict[str, ndarray]]


class Element(NamedTuple):
    """An element as the header announces it.

    Attributes:
      name: such as vertex.
      count: number of rows.
      kinds: numpy type of each property in order, "list" for a list.
    """

    name: str
    count: int
    kinds: dict[str, str]


def read_tables(path: str | Path) -> Tables:
    """Return the columns of every element, text or binary; an element with lists ends the reading.

    Memory is bounded by the size of the file, whatever its header says.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not PLY, is damaged, or has no element `vertex` of at least one row.
    """
    path = existing_file(path, "a .ply file")
    with path.open("rb") as file:
        layout, elements = _read_header(path, file)
        _check_room(path, path.stat().st_size - file.tell(), layout, elements)
        text = io.TextIOWrapper(file, "ascii") if layout == "ascii" else None
        tables = {}
        for element in elements:
            dtype = np.dtype(
                [(name, ORDERS[layout] + kind) for name, kind in element.kinds.items()]
            )
            if text is None:
                rows = np.fromfile(file, dtype, element.count)
            else:
                rows = _read_text(path, text, element, dtype)
            tables[element.name] = {name: rows[name] for name in element.kinds}
    if "vertex" not in tables:
        raise FormatError(path, "elements", ", ".join(tables) or "none", "one named vertex")
    if not len(next(iter(tables["vertex"].values()), ())):
        raise FormatError(path, "element vertex", "0 rows", "at least 1")
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
    missing = [name for name in names if name not in columns]
    if missing:
        found = f"no property {', '.join(missing)}"
        raise FormatError(path, f"element {element}", found, "a Gaussian splat scene")
    for name in names:
        kind = columns[name].dtype
        rounds = kind.kind == wanted.kind == "f"
        if not (rounds or (kind.kind == "u" and np.can_cast(kind, wanted))):
            raise FormatError(path, f"property {name}", kind.name, wanted.name)
    with np.errstate(over="ignore"):  # what is too large for a float becomes infinite
        return np.stack([np.asarray(columns[name], wanted) for name in names], -1)


def read_comments(path: Path) -> dict[str, str]:
    """Return the comments `comment NAME TEXT` in the header of a file that `read_tables` reads."""
    with path.open("rb") as file:
        head = file.read(MOST_HEADER_BYTES).partition(b"end_header")[0].decode("ascii", "replace")
    comments = {}
    for line in head.splitlines():
        kind, _, text = line.partition(" ")
        if kind == "comment":
            name, _, value = text.strip().partition(" ")
            comments[name] = value.strip()
    return comments


def write_tables(path: str | Path, tables: Tables, comments: dict[str, str] | None = None) -> None:
    """Write little-endian binary; the columns of a table have equal lengths.

    Comments stand in the header as `comment NAME TEXT`.
    """
    lines = ["ply", "format binary_little_endian 1.0"]
    lines += [f"comment {name} {text}" for name, text in (comments or {}).items()]
    parts = []
    for element, columns in tables.items():
        kinds = {name: column.dtype.str[1:] for name, column in columns.items()}
        rows = np.empty(
            len(next(iter(columns.values()))), [(name, "<" + kind) for name, kind in kinds.items()]
        )
        for name, column in columns.items():
            rows[name] = column
        lines.append(f"element {element} {len(rows)}")
        lines += [f"property {NAMES[kind]} {name}" for name, kind in kinds.items()]
        parts.append(rows)
    with Path(path).open("wb") as file:
        file.write("\n".join([*lines, "end_header", ""]).encode("ascii"))
        for rows in parts:
            file.write(rows.view(np.uint8))  # `tofile` does not say why a disk refuses


def _read_header(path: Path, file: BinaryIO) -> tuple[str, list[Element]]:
    """Return the layout and the elements before the first list; the file stands at the rows."""
    head = file.read(MOST_HEADER_BYTES)
    newline = next((n for n in (b"\r\n", b"\n", b"\r") if head.startswith(b"ply" + n)), None)
    end = -1 if newline is None else head.find(newline + b"end_header" + newline)
    if newline is None or end < 0:
        raise FormatError(path, "header", repr(head[:20]), "ply ... end_header")
    file.seek(end + 2 * len(newline) + len(b"end_header"))
    layout = ""
    elements: list[Element] = []
    known = set()
    for line in head[:end].decode("ascii", "replace").split(newline.decode())[1:]:
        match line.split():
            case ["format", name, *_] if name in ORDERS:
                layout = name
            case ["element", name, number] if number.isdecimal() and name not in known:
                known.add(name)
                elements.append(Element(name, int(number[:19]), {}))
            case ["property", "list", *_, name] if elements:
                elements[-1].kinds[name] = "list"
            case ["property", kind, name] if (
                elements and kind in KINDS and name not in elements[-1].kinds
            ):
                elements[-1].kinds[name] = KINDS[kind]
            case ["comment" | "obj_info", *_] | []:
                pass
            case _:
                expected = "a format, a new element with its number of rows, or a new property"
                raise FormatError(path, "header", repr(line), expected)
    if not layout:
        raise FormatError(path, "header", "no format", f"one of {', '.join(ORDERS)}")
    return layout, _before_lists(path, elements)


def _before_lists(path: Path, elements: list[Element]) -> list[Element]:
    """Return the elements before the first one with a list: where those after it are is unknown."""
    for i, element in enumerate(elements):
        lists = [name for name, kind in element.kinds.items() if kind == "list"]
        if lists and element.name == "vertex":
            raise FormatError(path, f"property {lists[0]}", "a list", "a number")
        if lists:
            return elements[:i]
    return elements


def _check_room(path: Path, room: int, layout: str, elements: list[Element]) -> None:
    """Refuse more rows than `room` bytes can hold, before anything is allocated for them."""
    for element in elements:
        kinds = [np.dtype(kind).itemsize for kind in element.kinds.values()]
        least = len(kinds) if layout == "ascii" else sum(kinds)
        if element.count * max(least, 1) > room:
            found = f"{element.count} rows of at least {max(least, 1)} bytes in {room} bytes"
            raise FormatError(path, f"element {element.name}", found, "rows that are there")
        room -= element.count * least


def _read_text(path: Path, text: io.TextIOBase, element: Element, dtype: np.dtype) -> ndarray:
    """Return the rows of one element, a line each."""
    try:
        lines = [line for line in islice(text, element.count) if not line.isspace()]
        empty = np.zeros(0, dtype)  # loadtxt warns of nothing
        rows = np.loadtxt(lines, dtype, comments=None, ndmin=1) if lines else empty
    except ValueError as error:  # UnicodeDecodeError is one
        raise FormatError(path, f"element {element.name}", error, "rows of numbers") from error
    if len(rows) != element.count:
        found = f"{len(rows)} of {element.count} rows"
        raise FormatError(path, f"element {element.name}", found, "rows that are there")
    return rows
