"""Tags of single tracks, in the very box that FFmpeg writes for a whole file; damaged files."""

import random
import struct
import time

import numpy as np
import pytest
from tagged_films import write_film

from full4d_jax.source import quicktime_tags
from full4d_jax.source.lens import QUICKTIME_FOCAL_LENGTH, focal_length
from full4d_jax.source.quicktime_tags import read_tag


def box(kind: bytes, body: bytes, *, wide: bool = False) -> bytes:
    if wide:
        return struct.pack(">I4sQ", 1, kind, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, kind) + body


def boxes(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        found.append((kind, content[at + 8 : at + size]))
        at += size
    return found


NAMES = b"other", QUICKTIME_FOCAL_LENGTH.encode()


def tagged(kind: int, value: bytes, *, wide: bool = False, names=NAMES):
    """A file of one track that has the tag, after a large box that is not to be read."""
    keys = struct.pack(">II", 0, len(names))
    keys += b"".join(struct.pack(">I4s", len(x) + 8, b"mdta") + x for x in names)
    values = struct.pack(">II", 1, 0) + b"9", struct.pack(">II", kind, 0) + value
    data = [box(b"data", each) for each in values]
    items = b"".join(box(struct.pack(">I", i + 1), x) for i, x in enumerate(data))
    meta = box(b"hdlr", bytes(24)) + box(b"keys", keys) + box(b"ilst", items)
    track = box(b"trak", box(b"tkhd", bytes(84)) + box(b"meta", meta, wide=wide))
    head = box(b"ftyp", b"qt  ") + box(b"mdat", bytes(99), wide=wide)
    return head + box(b"moov", box(b"mvhd", bytes(100)) + track, wide=wide)


@pytest.mark.parametrize("first", [0, 4])  # bytes: QuickTime's `meta` has no version
@pytest.mark.parametrize("name", ["a.mov", "a.mp4"])
def test_the_box_of_a_file_moved_into_its_track(tmp_path, name, first):
    """What FFmpeg writes for the whole file is read there, and inside the track."""
    path = tmp_path / name
    write_film(path, "50.00mm")
    assert read_tag(path, QUICKTIME_FOCAL_LENGTH) == "50.00mm"
    (moov,) = (body for kind, body in boxes(path.read_bytes()) if kind == b"moov")
    inside = dict(boxes(moov))
    outer = dict(boxes(inside[b"udta"])) if b"meta" not in inside else inside
    meta = outer[b"meta"]
    meta = meta if meta[4:8] == b"hdlr" else meta[4:]
    track = box(b"trak", inside[b"trak"] + box(b"meta", bytes(first) + meta))
    path.write_bytes(box(b"moov", box(b"mvhd", inside[b"mvhd"]) + track))
    assert read_tag(path, QUICKTIME_FOCAL_LENGTH) == "50.00mm"
    assert focal_length(path) == 50


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (1, b"26", 26),
        (1, b"26.50mm", 26.5),
        (1, b" 26 mm\0", 26),
        (23, struct.pack(">f", 26.5), 26.5),
        (24, struct.pack(">d", 26.5), 26.5),
        (21, b"\x1a", 26),
        (22, b"\x00\xc8", 200),
        (66, struct.pack(">h", 26), 26),
        (75, b"\xc8", 200),
        (78, struct.pack(">Q", 26), 26),
        (21, b"\xe6", None),  # -26
        (23, struct.pack(">f", np.nan), None),
        (23, b"26", None),
        (22, bytes(8) + b"\x1a", None),
        (1, b"\xff\xfe", None),
        (1, b"26 inches", None),
        (1, b"", None),
        (13, b"26", None),  # a picture
    ],
)
def test_values_of_every_type(tmp_path, kind, value, expected, wide):
    (tmp_path / "a.mov").write_bytes(tagged(kind, value, wide=wide))
    assert focal_length(tmp_path / "a.mov") == expected


def test_work_is_bounded(tmp_path, monkeypatch):
    """A million small boxes before the tag are not all looked at; a large `meta` is not read."""
    path, good = tmp_path / "a.mov", tagged(1, b"26mm")
    few = box(b"free", b"") * (quicktime_tags.MAX_BOXES_READ // 2)
    path.write_bytes(few + good)
    assert read_tag(path, QUICKTIME_FOCAL_LENGTH) == "26mm"
    path.write_bytes(box(b"free", b"") * 1_000_000 + good)
    began = time.monotonic()
    assert read_tag(path, QUICKTIME_FOCAL_LENGTH) is None
    assert time.monotonic() - began < 5
    monkeypatch.setattr(quicktime_tags, "MAX_META_BYTES", 64)
    path.write_bytes(good)
    assert read_tag(path, QUICKTIME_FOCAL_LENGTH) is None


def test_damaged_files_have_no_tag_and_raise_nothing(tmp_path):
    """Cut anywhere, with a size made huge, zero or too small, or with random bytes."""
    path, good = tmp_path / "a.mov", tagged(1, b"26mm")
    began = time.monotonic()
    for length in range(0, len(good), 2):
        path.write_bytes(good[:length])
        assert read_tag(path, QUICKTIME_FOCAL_LENGTH) is None
    for size in (0, 1, 7, 2**31, 2**32 - 1):
        for at in range(0, len(good) - 4, 3):
            path.write_bytes(good[:at] + struct.pack(">I", size) + good[at + 4 :])
            read_tag(path, QUICKTIME_FOCAL_LENGTH)
    huge = struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1)
    path.write_bytes(huge + good)
    assert read_tag(path, QUICKTIME_FOCAL_LENGTH) is None
    dice = random.Random(0)
    for _ in range(200):
        changed = bytearray(good)
        for _ in range(8):
            changed[dice.randrange(len(good))] = dice.randrange(256)
        path.write_bytes(changed)
        focal_length(path)
    assert time.monotonic() - began < 30
