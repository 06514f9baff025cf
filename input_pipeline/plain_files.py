"""JSON, `.npy` and `.npz` files of strangers, whose claims are checked before memory is taken.

A file can claim more than it holds: nested JSON ends Python's stack, a header of an array names a
shape of terabytes, a zip member inflates a thousand times. So sizes are compared with the file's
own first, and files are opened by `opening`.

What JSON must hold is written once, as a layout, and checked before anything reads it:

    require_layout(index, {"version": int, "files": {str: {"bytes": int}}}, "index.json")

A layout is a type (`int`, `float` for finite numbers, `str`, `bool`), a list with the layout of its
items, a table of layouts by name (a name that ends in "?" may be missing, others beside them may be
there), a table with the one key `str` for any names, or `object` for anything.
"""

import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from input_pipeline.opening import FileRefusal, open_regular, read_regular

MAX_JSON_BYTES = 2**28  # of a file of JSON
WORDS = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
MAX_WHOLE_NUMBER = 2**63  # of whole numbers: what arrays can hold
# What numpy and zipfile raise for files that are damaged.
UNREADABLE = (
    *(OSError, ValueError, EOFError, TypeError, AttributeError, LookupError, SyntaxError),
    *(OverflowError, BadZipFile, NotImplementedError, MemoryError, TokenError, zlib.error),
    RecursionError,
)


def load_json(path: Path) -> Any:
    """Load a JSON file.

    Raises:
      ValueError: naming the file, missing, too large or broken.
    """
    try:
        return parse_json(read_regular(path, MAX_JSON_BYTES), str(path))
    except OSError as error:
        raise ValueError(f"{path}: found {error.strerror}, expected a JSON file") from None


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse JSON that came from `where`.

    Raises:
      ValueError: it is broken, nested deeper than Python's stack, or has a whole number that no
        array holds.
    """
    try:
        value = json.loads(text, parse_int=_whole_number)
        if r"\ud" in str(text).lower():  # half of a pair, which no file or record can hold
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        found = "JSON that is nested too deeply"
        raise ValueError(f"{where}: found {found}, expected at most some hundred levels") from None
    except ValueError as error:
        raise ValueError(f"{where}: found broken JSON ({error}), expected a whole file") from None


def _whole_number(digits: str, most_digits: int = 19) -> int:
    """Return a whole number of 64 bits; Python reads any, which no array holds."""
    if len(digits) > most_digits:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def require_layout(value: Any, layout: Any, where: str) -> None:
    """Refuse JSON that does not hold what its readers read.

    Raises:
      ValueError: naming the place, what was found there and what was expected.
    """
    if layout is object:
        return
    kind = layout if isinstance(layout, type) else type(layout)
    if not _is(value, kind):
        raise ValueError(f"{where}: found {_word_of(value)}, expected {WORDS[kind]}")
    if isinstance(layout, list):
        for i, item in enumerate(value):
            require_layout(item, layout[0], f"{where}, item {i}")
    elif isinstance(layout, Mapping):
        for name, part in _parts(value, layout, where):
            require_layout(value[name], part, f"{where}, {name}")


def load_lines(path: Path, layout: Any) -> list[Any]:
    """Load the rows of a file with JSON in each line, without a last line that a kill cut short.

    Raises:
      ValueError: it is no file, or naming the line that is broken or does not hold what its readers
        read.
    """
    lines = read_regular(path).splitlines(keepends=True)
    rows = []
    for number, line in enumerate((x for x in lines if x.endswith(b"\n")), 1):
        where = f"{path}, line {number}"
        rows.append(parse_json(line, where))
        require_layout(rows[-1], layout, where)
    return rows


def _parts(value: dict[str, Any], layout: Mapping[Any, Any], where: str) -> Any:
    """Yield the names in a table that a layout speaks of, with their layouts."""
    for name, part in layout.items():
        if name is str:
            yield from ((key, part) for key in value)
            continue
        key = name.removesuffix("?")
        if key in value:
            yield key, part
        elif not name.endswith("?"):
            found = ", ".join(sorted(value)) or "nothing"
            raise ValueError(f"{where}: found {found:.200}, expected a field {key}")


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) < MAX_WHOLE_NUMBER**16 and math.isfinite(value)
    if kind is int:
        return type(value) is int and abs(value) < MAX_WHOLE_NUMBER
    return isinstance(value, kind)


def _word_of(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{WORDS[type(value)]} of {len(value)}"
    return f"{value!r:.60}"


def field(table: Any, name: str, where: str) -> Any:
    """`table[name]`.

    Raises:
      ValueError: naming what lacks the field.
    """
    if not isinstance(table, dict) or name not in table:
        found = ", ".join(sorted(table)) if isinstance(table, dict) else type(table).__name__
        raise ValueError(f"{where}: found {found or 'nothing'}, expected a field {name}")
    return table[name]


def numbers(values: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return an array of finite float64 of this shape.

    Raises:
      ValueError: naming the place.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: found {values!r:.60}, expected numbers {shape}") from None
    if array.shape != shape:
        raise ValueError(f"{where}: found shape {array.shape}, expected finite numbers {shape}")
    if not np.isfinite(array).all():
        bad = "NaN" if np.isnan(array).any() else "an infinite number"
        raise ValueError(f"{where}: found {bad}, expected finite numbers {shape}")
    return array


def load_array(path: Path, expected: str) -> np.ndarray:
    """Load an .npy file.

    Raises:
      ValueError: naming the file, missing or broken, and what it should hold.
    """
    try:
        with open_regular(path) as file:
            _check_header(file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            return _native(np.load(file, allow_pickle=False))
    except UNREADABLE:
        raise ValueError(f"{path}: found no readable array, expected {expected}") from None


def load_arrays(path: Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Load arrays of an .npz file; all of them where no names are given, and no others.

    Raises:
      ValueError: naming the file, missing or broken, or the array that claims more than its file
        can hold.
    """
    try:
        with open_regular(path) as opened, ZipFile(opened) as archive:
            check_members(archive)
            stored = archive.infolist()
            foreign = [member.filename for member in stored if member.filename[-4:] != ".npy"]
            if foreign:  # such as one whose name is damaged, which no checksum covers
                raise ValueError(f"a member {foreign[0][:60]!r} that is no array")
            members = {member.filename[:-4]: member for member in stored}
            selected = [name for name in members if not names or name in names]
            for name in selected:
                with archive.open(members[name]) as file:
                    _check_header(file, members[name].file_size)
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as arrays:
                return {name: _native(arrays[name]) for name in selected}
    except FileRefusal:
        raise
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: found {reason}, expected a whole .npz file") from None


def check_members(archive: ZipFile) -> None:
    """Refuse an archive whose members claim sizes that its bytes cannot have.

    Raises:
      ValueError: a member is encrypted, packed in another way than numpy and PyTorch pack, or
        inflates more than deflate can; all are larger than this machine's memory; or members
        overlap, or leave bytes between them, such as members that a damaged directory lacks.
    """
    encrypted = 1  # bit of a member's flags
    most_times = 1032  # that deflate shrinks a file
    members = archive.infolist()
    for member in members:
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ValueError(f"a member {member.filename[:60]!r} that is not stored or deflated")
        if member.flag_bits & encrypted:
            raise ValueError(f"a member {member.filename[:60]!r} that is encrypted")
        if member.file_size > most_times * (member.compress_size + 1):
            raise ValueError(f"a member {member.filename[:60]!r} that claims too many bytes")
    _check_places(archive)
    if sum(member.file_size for member in members) > memory():
        raise ValueError("more bytes than this machine has memory")


def _check_places(archive: ZipFile) -> None:
    """Refuse an archive whose members, one after the other, are not all before its directory."""
    file = archive.fp
    assert file is not None
    end = 0  # of the member before
    slack = 0  # bytes that may follow it
    has_descriptor = 8  # bit of a member's flags: its sizes follow it, in at most 24 bytes
    place_of_lengths = 26  # bytes into a member's header
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        if not 0 <= member.header_offset - end <= slack:
            raise ValueError(f"a member {member.filename[:60]!r} that begins not where one ends")
        file.seek(member.header_offset + place_of_lengths)
        name = int.from_bytes(file.read(2), "little")  # bytes
        extra = int.from_bytes(file.read(2), "little")  # bytes, of other fields
        end = file.tell() + name + extra + member.compress_size
        slack = 24 if member.flag_bits & has_descriptor else 0
    if not 0 <= archive.start_dir - end <= slack:
        raise ValueError("bytes between the last member and the directory")


def memory() -> int:
    """Return the bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array in this machine's order of bytes, of numbers that its libraries know.

    Long doubles become doubles, and halves floats, with which all else computes.

    Raises:
      ValueError: a long double is beyond every double.
    """
    kinds = {("f", 2): np.float32, ("f", 16): np.float64, ("c", 32): np.complex128}
    own = array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        native = array.astype(kinds.get((own.kind, own.itemsize), own), copy=False)
    if native.itemsize < array.itemsize and np.isfinite(native).sum() != np.isfinite(array).sum():
        raise ValueError("long doubles beyond every double")
    return native


def _check_header(file: BinaryIO | Any, size: int) -> None:
    """Refuse an array whose header claims other bytes than the `size` of its file."""
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        reader = np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(file)
    claimed = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or claimed > size:
        raise ValueError(f"an array that claims {claimed} bytes of {size}")
