"""The lens of a file: from EXIF, from tags of videos and of single tracks as FFmpeg writes them."""

import struct

import numpy as np
import pytest
from PIL import Image
from tagged_videos import write_video

from full4d_jax.config import Size
from full4d_jax.grid import DEFAULT_FPS
from full4d_jax.source.lens import (
    EXIF_BLOCK_TAG,
    QUICKTIME_FOCAL_LENGTH,
    focal_length,
    read_tag,
)
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.video_source import open_video_source

FOCAL, ORIENTATION = 0xA405, 0x112
SIZE = Size(views=2, frames=1, height=32, width=32)


def write_picture(path, equivalent):
    """A picture of 60 x 40 pixels that was taken upright, by a camera that lay on its side."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(EXIF_BLOCK_TAG)[FOCAL] = equivalent
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path, exif=exif)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jpg", lambda path: write_picture(path, 26)),
        ("a.mov", lambda path: write_video(path, "26.00mm")),
    ],
)
def test_metadata_tell_the_lens(name, write, tmp_path):
    path = tmp_path / name
    write(path)
    assert focal_length(path) == 26
    source = open_video_source(SIZE, VideoOptions(path), DEFAULT_FPS)
    assert "of 26 mm (as on 35 mm film) in the file's metadata" in source.about.note
    focal = 26 / 43.2666 * np.hypot(60, 40) * 32 / 40
    assert source.known_cameras.intrinsics[0, 0, 0] == pytest.approx(focal, rel=1e-3)
    of_option = open_video_source(SIZE, VideoOptions(path, fov=40.0), DEFAULT_FPS)
    assert "40 before cropping" in of_option.about.note
    assert "metadata" not in of_option.about.note


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


def tagged(kind: int, value: bytes, *, wide: bool) -> bytes:
    """A file of one track that has the tag, after a large box that is not to be read."""
    keys = struct.pack(">II", 0, len(NAMES))
    keys += b"".join(struct.pack(">I4s", len(x) + 8, b"mdta") + x for x in NAMES)
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
    """FFmpeg's metadata of the whole file is read there, and inside the track."""
    path = tmp_path / name
    write_video(path, "50.00mm")
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
        (23, struct.pack(">f", 26.5), 26.5),
        (21, b"\x1a", 26),
        (23, struct.pack(">f", np.nan), None),
        (13, b"26", None),  # a picture
    ],
)
def test_values_of_every_type(tmp_path, kind, value, expected, wide):
    (tmp_path / "a.mov").write_bytes(tagged(kind, value, wide=wide))
    assert focal_length(tmp_path / "a.mov") == expected
