"""Videos whose file tells of their lens or of their pixels."""

import struct
from pathlib import Path

import av
import numpy as np

from full4d_jax.source.lens import QUICKTIME_FOCAL_LENGTH


def write_video(path: Path, said: str) -> None:
    """A video of 60 x 40 pixels whose container says something."""
    kind = path.suffix[1:].replace("m4v", "mp4")
    options = {"movflags": "use_metadata_tags"}
    with av.open(str(path), "w", format=kind, options=options) as container:
        container.metadata[QUICKTIME_FOCAL_LENGTH] = said
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 60, 40, "yuv420p"
        zeros = np.zeros((40, 60, 3), np.uint8)
        black = av.VideoFrame.from_ndarray(zeros, format="rgb24")
        container.mux([*stream.encode(black), *stream.encode()])


def set_pixel_shape(path: Path, width: int, height: int) -> None:
    """Change the shape of the pixels that an mp4 tells, which encoders write up to some bound."""
    data = bytearray(path.read_bytes())
    place = data.index(b"pasp") + 4
    struct.pack_into(">II", data, place, width, height)
    path.write_bytes(bytes(data))


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Change how an mp4 says that its only track is turned and mirrored."""
    data = bytearray(path.read_bytes())
    # Behind the box's name and 40 bytes of other fields (ISO/IEC 14496-12, 8.3.2).
    place = data.index(b"tkhd") + 44
    one = 1 << 16
    struct.pack_into(
        ">9i", data, place, *(one * x for x in (a, b, 0, c, d, 0, 0, 0)), 1 << 30
    )
    path.write_bytes(bytes(data))


def set_projection(path: Path, boxes: bytes) -> None:
    """Put boxes behind the codec's own in an mp4 of one H.264 track, whose description is last."""
    data = bytearray(path.read_bytes())
    place = data.index(b"avc1", data.rindex(b"moov")) - 4
    (size,) = struct.unpack_from(">I", data, place)
    data[place + size : place + size] = boxes
    # All boxes around it grow.
    for name in (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        place = data.rindex(name, 0, place + 8) - 4
        (size,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, size + len(boxes))
    path.write_bytes(data)


def box(name: bytes, content: bytes) -> bytes:
    """Return a box of an mp4."""
    return struct.pack(">I", 8 + len(content)) + name + content


def spherical_boxes(projection: bytes) -> bytes:
    """Return Google's boxes of spherical video, version 2, for a projection's box."""
    header = box(b"svhd", bytes(4) + b"camera\0")
    pose = box(b"prhd", bytes(16))
    return box(b"sv3d", header + box(b"proj", pose + projection))


EQUIRECTANGULAR = spherical_boxes(box(b"equi", bytes(20)))
CUBE_MAP = spherical_boxes(box(b"cbmp", bytes(12)))
MESH = spherical_boxes(box(b"mshp", bytes(4) + box(b"ytmp", bytes(12))))
# The left eye's picture beside the right one's.
SIDE_BY_SIDE = box(b"st3d", bytes(4) + b"\2")


def add_cover(path: Path, picture: bytes) -> None:
    """Put a JPEG file before the tracks of an mp4 that ends with its description of them."""

    jpeg = struct.pack(">II", 13, 0)
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    items = box(b"ilst", box(b"covr", box(b"data", jpeg + picture)))
    cover = box(b"udta", box(b"meta", bytes(4) + handler + items))
    data = path.read_bytes()
    start = data.rindex(b"moov") + 4
    (header,) = struct.unpack_from(">I", data, start)
    movie = data[start : start + header] + cover + data[start + header :]
    path.write_bytes(data[: start - 8] + box(b"moov", movie))
