"""Films whose frames are no camera's pictures are refused: spheres, two eyes, single fields."""

import re
import struct
import sys
from pathlib import Path

import av

from input_pipeline.plain_files import FileRefusal

# Projections of FFmpeg (libavutil/spherical.h); the fifth, 4, is a flat film's.
PROJECTIONS = {
    0: "equirectangular",
    1: "cube map",
    2: "part of an equirectangular one",
    3: "half equirectangular",
    5: "fisheye",
    6: "immersive",
}
# Boxes of an mp4 in which FFmpeg sees no sphere: a mesh, and XML without the name of a program.
SPHERES = re.compile(rb"sv3d.{,400}?mshp|<GSpherical:Spherical>true", re.DOTALL)
# Of a file's description that are searched for them.
MOST_BYTES = 2**26
# Of FFmpeg (libavutil/stereo3d.h): both eyes' pictures in each frame.
PACKED_EYES = {1, 2, 4, 5, 6, 7}


def check_boxes(path: Path) -> None:
    """Refuse an mp4 whose boxes tell of a sphere in ways that FFmpeg does not read.

    Raises:
      FileRefusal: naming the file.
    """
    total = path.stat().st_size
    start = 0
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", header)
            if size == 1:
                size = int.from_bytes(file.read(8))
            if name == b"moov":
                sphere = SPHERES.search(file.read(min(size, total, MOST_BYTES)))
                if sphere is not None:
                    is_mesh = b"mshp" in sphere[0]
                    kind = "VR180 or another mesh" if is_mesh else "Google's XML"
                    raise _sphere_refusal(path, kind)
            start += size
            if size < 8 or start >= total:
                return
            file.seek(start)


def check_flat(path: Path, frame: av.VideoFrame, codec: str) -> None:
    """Refuse pictures of another geometry than a camera's.

    Raises:
      FileRefusal: naming the file.
    """
    projection = _side_number(frame, "SPHERICAL")
    if projection in PROJECTIONS:
        raise _sphere_refusal(path, PROJECTIONS[projection])
    if _side_number(frame, "STEREO3D") in PACKED_EYES:
        found = "a 3D film with both eyes' pictures in each frame"
        expected = "one eye's: crop it"
        raise FileRefusal(f"{path}: found {found}, expected {expected}")
    if codec == "hevc" and frame.interlaced_frame:
        found = "single fields (interlaced HEVC)"
        expected = "whole frames: encode it with an editor that deinterlaces"
        raise FileRefusal(f"{path}: found {found}, expected {expected}")


def side_data(frame: av.VideoFrame, kind: str) -> bytes:
    """Return a frame's side data of a kind; empty where it has none.

    PyAV lists none beside a kind that it has no name for, such as a photo's EXIF.
    """
    try:
        return bytes(frame.side_data.get(kind) or b"")
    except ValueError:
        return b""


def _side_number(frame: av.VideoFrame, kind: str) -> int | None:
    """Return the first number of a frame's side data; None where it has none of this kind."""
    data = side_data(frame, kind)
    return int.from_bytes(data[:4], sys.byteorder) if data else None


def _sphere_refusal(path: Path, projection: str) -> FileRefusal:
    """Return the error for a film that shows a sphere."""
    tools = "its camera's editor or FFmpeg's filter v360"
    expected = f"a flat one: cut a view out of it with {tools}"
    return FileRefusal(f"{path}: found a 360° film ({projection}), expected {expected}")
