"""Safe reading of untrusted files: regular files only, JSON, `.npy` and `.npz`.

The names in a folder are its owner's choice: links to files of the user, pipes that may never
begin, devices that never end, files of the kernel that are read by asking it.

A file can claim more than it holds: nested JSON ends Python's stack, a header of an array names a
shape of terabytes, a zip member inflates a thousand times. So sizes are compared with the file's
own before memory is taken.

What JSON must hold is written once, as a layout, and checked before anything reads it:

    require_layout(index, {"version": int, "files": {str: {"bytes": int}}}, "index.json")

A layout is a type (`int`, `float` for finite numbers, `str`, `bool`), a list with the layout of its
items, a table of layouts by name (a name that ends in "?" may be missing, others beside them may be
there), a table with the one key `str` for any names, or `object` for anything.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np
from numpy.lib.npyio import NpzFile

KERNEL = re.compile("/(proc|sys|dev(?!/shm/))/")

# 8192 x 8192: pictures of that size take a second and 700 MiB each.
MAX_PIXELS = 2**26
# The ratio of the sides of a picture: no camera makes strips.
MAX_SIDE_RATIO = 32
# The largest file of JSON.
MAX_JSON_BYTES = 2**28
WORDS = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
# Numbers of other kinds become those with which all else computes.
COMPUTED = {"e": np.float32, "g": np.float64, "G": np.complex128}


class FileRefusal(ValueError):
    """A path that is not opened: "PATH: found ..., expected ..."."""


def check_field(where: object, holds: object, found: object, expected: object) -> None:
    """Raise an error unless a field holds.

    Raises:
      ValueError: in the words of all of this package.
    """
    if not holds:
        raise ValueError(f"{where}: found {found}, expected {expected}")


@contextlib.contextmanager
def named(where: str) -> Iterator[None]:
    """Prefix messages of errors by the place where they arose.

    Raises:
      ValueError: what was raised in this context, behind `where`.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def open_regular(path: Path, most: float = math.inf) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
      FileRefusal: naming the path and what is there: no file, or one of more than `most` bytes.
    """
    if found := what_is_there(path):
        raise FileRefusal(f"{path}: found {found}, expected a file")
    size = path.stat().st_size
    if size > most:
        raise FileRefusal(f"{path}: found {size} bytes, expected at most {most}")
    return path.open("rb")


def read_regular(path: Path, most: float = math.inf) -> bytes:
    """Return the bytes of a regular file; errors as of `open_regular`."""
    with open_regular(path, most) as file:
        return file.read()


def file_hash(path: Any) -> str:
    """Return SHA-256 of a file on disk or in a bucket, about a second for each GB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_regular(path: Path) -> None:
    """Refuse a path that `open_regular` refuses, for libraries that open it themselves."""
    open_regular(path).close()


def what_is_there(path: Path) -> str:
    """Return in words what lies at a path that is no regular file; empty for one that is."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except (OSError, ValueError) as error:
        # ValueError comes from NUL in a name.
        return str(getattr(error, "strerror", None) or error)
    place = path.resolve()
    if KERNEL.match(str(place)):
        return f"a file of the kernel ({place})"
    if stat.S_ISDIR(mode):
        return "a folder"
    if not stat.S_ISREG(mode):
        return "a pipe, a socket or a device"
    return "" if os.access(path, os.R_OK) else "no permission to read it"


def check_frame_size(path: Path, rows: int, columns: int) -> None:
    """Refuse pictures that take more memory and time than they are worth here.

    Raises:
      FileRefusal: naming the file.
    """
    if rows * columns > MAX_PIXELS:
        expected = f"at most {MAX_PIXELS:,} of them: make them smaller"
    elif max(rows, columns) > MAX_SIDE_RATIO * min(rows, columns):
        expected = f"a side of at most {MAX_SIDE_RATIO} times the other"
    else:
        return
    found = f"pictures of {columns}x{rows} pixels"
    raise FileRefusal(f"{path}: found {found}, expected {expected}")


class Damage(ValueError):
    """A file that a library cannot read: "PATH: found ..., expected ..."."""


@contextlib.contextmanager
def damage_of(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a library raises for a damaged file in this context into one line.

    Raises:
      Damage: naming the file, what the library said and what was expected.
    """
    try:
        yield
    except Exception as error:
        # What is in the words of this package needs no others.
        found = str(error) or type(error).__name__
        if (
            isinstance(error, ValueError)
            and ": found " in found
            and ", expected " in found
        ):
            raise
        raise Damage(f"{path}: found {found}, expected {expected}") from error


def load_json(path: Path) -> Any:
    """Load a JSON file.

    Raises:
      ValueError: naming the file, missing, too large or broken.
    """
    return parse_json(read_regular(path, MAX_JSON_BYTES), str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse JSON that came from `where`.

    Raises:
      ValueError: it is broken, nested deeper than Python's stack, or has a whole number that no
        array holds.
    """
    try:
        value = json.loads(text, parse_int=_whole_number)
        # No file or record can hold half of a surrogate pair.
        if r"\ud" in str(text).lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        found = f"broken JSON ({error})"
        raise ValueError(f"{where}: found {found}, expected a whole file") from None


def _whole_number(digits: str) -> int:
    """Return a whole number of 64 bits; Python reads any, which no array holds."""
    number = int(digits)
    if abs(number) >= 2**63:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return number


def require_layout(value: Any, layout: Any, where: str) -> None:
    """Refuse JSON that does not hold what its readers read.

    Raises:
      ValueError: naming the place, what was found there and what was expected.
    """
    if layout is object:
        return
    kind = layout if isinstance(layout, type) else type(layout)
    is_number = type(value) in (int, float) and math.isfinite(value)
    fits = is_number if kind is float else type(value) is kind
    check_field(where, fits, f"{value!r:.60}", WORDS[kind])
    if isinstance(layout, list):
        for i, item in enumerate(value):
            require_layout(item, layout[0], f"{where}, item {i}")
    elif isinstance(layout, dict) and str in layout:
        for name, item in value.items():
            require_layout(item, layout[str], f"{where}, {name}")
    elif isinstance(layout, dict):
        for key, part in layout.items():
            name = key.removesuffix("?")
            if name == key or name in value:
                require_layout(field(value, name, where), part, f"{where}, {name}")


def load_lines(path: Path, layout: Any) -> list[Any]:
    """Load the rows of a file with JSON in each line, without a last line that a kill cut short.

    Raises:
      ValueError: it is no file, or naming the line that is broken or does not hold what its readers
        read.
    """
    lines = read_regular(path).splitlines(keepends=True)
    rows = []
    for number, line in enumerate(lines, 1):
        if line.endswith(b"\n"):
            where = f"{path}, line {number}"
            rows.append(parse_json(line, where))
            require_layout(rows[-1], layout, where)
    return rows


def field(table: Any, name: str, where: str) -> Any:
    """Return `table[name]`.

    Raises:
      ValueError: naming what lacks the field.
    """
    is_table = isinstance(table, dict)
    found = ", ".join(sorted(table)) or "nothing" if is_table else type(table).__name__
    check_field(where, is_table and name in table, found, f"a field {name}")
    return table[name]


def numbers(values: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return an array of finite float64 of this shape.

    Raises:
      ValueError: naming the place.
    """
    expected = f"finite numbers {shape}"
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        text = f"{where}: found {values!r:.60}, expected {expected}"
        raise ValueError(text) from None
    check_field(where, array.shape == shape, f"shape {array.shape}", expected)
    bad = "NaN" if np.isnan(array).any() else "an infinite number"
    check_field(where, np.isfinite(array).all(), bad, expected)
    return array


def field_numbers(
    table: Any, name: str, shape: tuple[int, ...], where: str
) -> np.ndarray:
    """Return a field as `numbers` does."""
    return numbers(field(table, name, where), shape, f"{where}, {name}")


def field_number(table: Any, name: str, where: str) -> float:
    """Return a field that is one finite number."""
    return float(field_numbers(table, name, (), where))


def load_array(path: Path, expected: str) -> np.ndarray:
    """Load an .npy file.

    Raises:
      ValueError: naming the file, missing or broken, and what it should hold.
    """
    with damage_of(path, expected), open_regular(path) as file:
        return _native(np.lib.format.read_array(file, allow_pickle=False))


def load_arrays(path: Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Load arrays of an .npz file; all of them where no names are given, and no others.

    Raises:
      ValueError: naming the file, missing or broken.
    """
    with (
        damage_of(path, "a whole .npz file"),
        open_regular(path) as file,
        NpzFile(file) as arrays,
    ):
        archive: Any = arrays.zip
        check_members(archive)
        _check_places(archive)
        wanted = [name for name in arrays.files if not names or name in names]
        return {name: _native(arrays[name]) for name in wanted}


def check_members(archive: ZipFile) -> None:
    """Refuse an archive whose members inflate to more than this machine's memory.

    Raises:
      ValueError: they do.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if sum(member.file_size for member in archive.infolist()) > memory:
        raise ValueError("more bytes than this machine has memory")


def _check_places(archive: ZipFile) -> None:
    """Refuse bytes that no member has, such as those of one that a damaged directory lacks.

    Raises:
      ValueError: there are some before, between or after the members, or these overlap.
    """
    # Bytes before the name of a member.
    header = 30
    # Bytes of other fields of a member; one in the directory has more.
    most_between = 45
    end = 0
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        name = member.filename
        if not 0 <= member.header_offset - end <= most_between:
            raise ValueError(f"a gap or an overlap before member {name[:60]!r}")
        end = member.header_offset + header + len(name) + member.compress_size
    if not 0 <= archive.start_dir - end <= most_between:
        raise ValueError("bytes between the last member and the directory")


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array in this machine's order of bytes, of numbers that its libraries know."""
    own = array.dtype.newbyteorder("=")
    # Infinite numbers are refused where they are read.
    with np.errstate(over="ignore"):
        return array.astype(COMPUTED.get(own.char, own), copy=False)
