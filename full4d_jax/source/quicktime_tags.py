"""Tags of QuickTime and MP4 files by name, those of single tracks too, which FFmpeg does not show.

A file is boxes in boxes, each with its size and kind before its body. Tags are in `meta` boxes: its
`keys` has their names, its `ilst` their values, each with the number of its name, from 1. Only the
headers of boxes and small `meta` boxes are read. Sizes that do not fit end the search.
"""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAX_BOXES_READ = 20_000  # boxes and names that are looked at in one file
MAX_META_BYTES = 1 << 16  # bytes of a `meta` box
TAG_PLACES = (b"trak", b"meta"), (b"trak", b"udta", b"meta"), (b"meta",), (b"udta", b"meta")


class Box(NamedTuple):
    """A box's kind, and the bytes of the file from where to where its body lies."""

    kind: bytes
    start: int
    end: int


def read_tag(path: Path, name: str) -> str | float | None:
    """Return a tag's value, a track's before the whole file's; None where there is none.

    Values are text (UTF-8) or numbers. A file of another kind, or a damaged one, has none.
    """
    steps = iter(range(MAX_BOXES_READ))
    try:
        with path.open("rb") as file:
            whole = Box(b"", 0, file.seek(0, io.SEEK_END))
            for place in TAG_PLACES:
                for meta in _find(file, whole, (b"moov", *place), steps):
                    value = _of_meta(file, meta, name.encode(), steps)
                    if value is not None:
                        return value
    except OSError:
        pass
    return None


def _find(
    file: io.BufferedIOBase, outer: Box, kinds: tuple[bytes, ...], steps: Iterator[int]
) -> Iterator[Box]:
    """Yield the boxes that lie in boxes of these kinds, in which the last kind lies."""
    if not kinds:
        yield outer
        return
    for box in _boxes(file, outer.start, outer.end, steps):
        if box.kind == kinds[0]:
            yield from _find(file, box, kinds[1:], steps)


def _boxes(file: io.BufferedIOBase, start: int, end: int, steps: Iterator[int]) -> Iterator[Box]:
    """Yield the boxes that lie side by side, up to the first that does not fit."""
    while end - start >= 8 and next(steps, None) is not None:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind = struct.unpack_from(">I4s", header)
        body = 8
        if size == 1:  # the size has 64 bits
            if len(header) < 16:
                return
            (size,) = struct.unpack_from(">Q", header, 8)
            body = 16
        elif size == 0:  # up to the end
            size = end - start
        if not body <= size <= end - start:
            return
        yield Box(kind, start + body, start + size)
        start += size


def _of_meta(
    file: io.BufferedIOBase, meta: Box, name: bytes, steps: Iterator[int]
) -> str | float | None:
    """Return a tag's value in a `meta` box: MP4's begins with four bytes more than QuickTime's."""
    if meta.end - meta.start > MAX_META_BYTES:
        return None
    file.seek(meta.start)
    body = file.read(meta.end - meta.start)
    for skip in (0, 4):
        inside = {
            box.kind: body[box.start : box.end]
            for box in _boxes(io.BytesIO(body), skip, len(body), steps)
        }
        if b"keys" not in inside or b"ilst" not in inside:
            continue
        number = _number(inside[b"keys"], name, steps)
        if number is not None:
            return _of_list(inside[b"ilst"], struct.pack(">I", number), steps)
    return None


def _number(keys: bytes, name: bytes, steps: Iterator[int]) -> int | None:
    """Return the number of a name in a `keys` box; its entries look like boxes."""
    entries = _boxes(io.BytesIO(keys), 8, len(keys), steps)
    for number, entry in enumerate(entries, 1):
        if keys[entry.start : entry.end] == name:
            return number
    return None


def _of_list(items: bytes, number: bytes, steps: Iterator[int]) -> str | float | None:
    """Return the value with this number in an `ilst` box."""
    file = io.BytesIO(items)
    whole = Box(b"", 0, len(items))
    for data in _find(file, whole, (number, b"data"), steps):
        if data.end - data.start > 8:
            kind = struct.unpack_from(">I", items, data.start)[0]
            return _value(kind, items[data.start + 8 : data.end])
    return None


def _value(kind: int, content: bytes) -> str | float | None:
    """Return what a value's bytes say; None for kinds that are neither text nor numbers."""
    unsigned_kinds = (22, 75, 76, 77, 78)
    signed_kinds = (21, 65, 66, 67, 74)
    float64_kind = 24
    float32_kind = 23
    utf8_kind = 1
    if kind == utf8_kind:
        return content.decode("utf-8", "replace")
    if (kind, len(content)) in ((float32_kind, 4), (float64_kind, 8)):
        return struct.unpack(">f" if kind == float32_kind else ">d", content)[0]
    if kind in signed_kinds + unsigned_kinds and len(content) <= 8:
        return int.from_bytes(content, "big", signed=kind in signed_kinds)
    return None
