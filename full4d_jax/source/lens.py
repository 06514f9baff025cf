"""The lens of a video or picture: from metadata, a depth network that knows it, or else a phone's.

Cameras record the focal length, mm, that would show as much on film of 36 x 24 mm, by the diagonal.
QuickTime and MP4 files have it in a tag of the whole file, or of a single track, which FFmpeg does
not show. Such a file is boxes in boxes, each with its size and kind before its body. Tags are in
`meta` boxes: its `keys` has their names, its `ilst` their values, each with the number of its name,
from 1. Sizes that do not fit end the search.
"""

import math
import struct
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from full4d_jax.geometry.arrays import Lens, Pictures
from full4d_jax.media.video_io import Video
from input_pipeline import media_files, pinhole, video_files
from input_pipeline.importers.camera_path import CameraPath

QUICKTIME_FOCAL_LENGTH = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
# Tag of the block of camera settings.
EXIF_BLOCK_TAG = 0x8769
# Returns the horizontal field of view of a clip (t h w 3) in degrees, or None.
LensEstimate = Callable[[Pictures], float | None]
# Side by side.
MOST_BOXES = 20_000
META, USER = b"meta", b"udta"
TAG_PLACES = (b"trak", META), (b"trak", USER, META), (META,), (USER, META)


def lens_of(
    video: Video,
    file: Path,
    fov: float | None,
    poses: CameraPath | None,
    estimate: LensEstimate | None = None,
) -> tuple[Lens, str, bool]:
    """Return the intrinsics of a clip's frames in pixels, where they come from, and if that knows.

    Args:
      video: the clip.
      file: where it was read from.
      fov: horizontal field of view of the upright video in degrees; None where it is unknown.
      poses: what a file of poses holds; None without one.
      estimate: that of a depth network, taken where neither a person nor a file gives it; None
        without one that knows.
    """
    # Degrees along the long side, of a phone's main camera.
    phone_fov = 65.0
    height, width = video.frames.shape[1:3]
    known = ""
    if fov is None and poses is not None:
        fov = fov_of_poses(poses)
        known = ", by the lens of the poses"
    if fov is None and (equivalent := focal_length(file)) is not None:
        rows, columns = video_files.frame_size(file)
        pixels = equivalent / math.hypot(36, 24) * math.hypot(rows, columns)
        fov = math.degrees(2 * math.atan(columns / 2 / pixels))
        known = f", of {equivalent:g} mm (as on 35 mm film) in the file's metadata"
    if fov is None and estimate and (here := estimate(video.frames)) is not None:
        fov = cropped_fov(here, 1 / video.kept_width)
        known = ", by the depth network; give --fov if you know it"
    if fov is None:
        seen = cropped_fov(phone_fov, min(1.0, width / height))
        near, far = (cropped_fov(seen, 1 / zoom) for zoom in (2, 0.5))
        others = f"give --fov {near:.0f} for a zoom of 2x, {far:.0f} for 0.5x"
        sentence = f"{seen:.0f} degrees assumed, a phone's at 1x; {others}"
    else:
        seen = cropped_fov(fov, video.kept_width)
        sentence = f"{seen:.1f} degrees, {fov:.4g} before cropping{known}"
    lens = pinhole.intrinsics_from_fov(seen, height, width)
    return lens, f"horizontal field of view: {sentence}", fov is not None


def found_fov(lens: Lens, error: float) -> str:
    """Return a sentence about a lens that was found with a path, and the error of its logarithm."""
    fov = [
        np.degrees(2 * np.arctan(lens[0, 2] / lens[0, 0] * x))
        for x in (1, np.exp(2 * error))
    ]
    off = f"{fov[0]:.0f} degrees, give or take {max(1, fov[1] - fov[0]):.0f}"
    return f"horizontal field of view: {off}, found with its path"


def cropped_fov(fov: float, kept_width: float) -> float:
    """Return the horizontal field of view in degrees of a picture cropped to `kept_width` of it."""
    return float(2 * np.degrees(np.arctan(kept_width * np.tan(np.radians(fov) / 2))))


def fov_of_poses(path: CameraPath) -> float | None:
    """Return the horizontal field of view of the whole picture in degrees; None if not recorded."""
    if path.intrinsics is None or path.size is None:
        return None
    return float(2 * np.degrees(np.arctan(path.size[1] / 2 / path.intrinsics[0, 0])))


def focal_length(path: Path) -> float | None:
    """Return the focal length in mm as on 35 mm film in a file's metadata, or None.

    Pictures have it in EXIF, videos of phones among the tags of a track or of the whole file.
    """
    focal_length_tag = 0xA405
    try:
        with media_files.opened_picture(path) as picture:
            written = picture.getexif().get_ifd(EXIF_BLOCK_TAG).get(focal_length_tag)
    # It is no picture.
    except ValueError:
        written = read_tag(path, QUICKTIME_FOCAL_LENGTH)
    try:
        value = float(str(written).strip(" \0m"))
    # Nothing is written, or no number.
    except ValueError:
        return None
    # Files say 0 for unknown.
    return value if 5 <= value <= 2000 else None


def read_tag(path: Path, name: str) -> str | float | None:
    """Return a tag's value, a track's before the whole file's; None where there is none.

    Values are text (UTF-8) or numbers. A file of another kind, or a damaged one, has none.
    """
    try:
        whole = np.memmap(path, np.uint8, "r").data
    # A folder, or an empty file.
    except (OSError, ValueError):
        return None
    places = (_inside(whole, b"moov", *place) for place in TAG_PLACES)
    for meta in chain.from_iterable(places):
        # MP4's begins with four bytes more than QuickTime's.
        for body in (meta, meta[4:]):
            value = _value_of(name.encode(), dict(_boxes(body)))
            if value is not None:
                return value
    return None


def _inside(box: memoryview, kind: bytes, *kinds: bytes) -> Iterator[memoryview]:
    """Yield the bodies of the boxes of the last kind that lie in boxes of the kinds before it."""
    for found, body in _boxes(box):
        if found == kind:
            yield from _inside(body, *kinds) if kinds else (body,)


def _boxes(outer: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and body of the boxes that lie side by side, up to the first that does not fit."""
    for _ in range(MOST_BOXES):
        if len(outer) < 8:
            return
        size, kind = struct.unpack_from(">I4s", outer)
        body = 8
        # The size has 64 bits.
        if size == 1 and len(outer) >= 16:
            (size,) = struct.unpack_from(">Q", outer, 8)
            body = 16
        # It goes up to the end.
        elif size == 0:
            size = len(outer)
        if not body <= size <= len(outer):
            return
        yield kind, outer[body:size]
        outer = outer[size:]


def _value_of(name: bytes, meta: dict[bytes, memoryview]) -> str | float | None:
    """Return a tag's value in the boxes of a `meta` box."""
    if not {b"keys", b"ilst"} <= meta.keys():
        return None
    # The entries of `keys` look like boxes.
    for number, (_, key) in enumerate(_boxes(meta[b"keys"][8:]), 1):
        if key.tobytes() == name:
            for data in _inside(meta[b"ilst"], struct.pack(">I", number), b"data"):
                if len(data) > 8:
                    (code,) = struct.unpack_from(">I", data)
                    return _decoded(code, data[8:].tobytes())
    return None


def _decoded(kind: int, content: bytes) -> str | float | None:
    """Return what a value's bytes say; None for kinds that are neither text nor numbers."""
    utf8_kind = 1
    floats = {(23, 4): ">f", (24, 8): ">d"}
    signed_kinds = (21, 65, 66, 67, 74)
    unsigned_kinds = (22, 75, 76, 77, 78)
    if kind == utf8_kind:
        return content.decode("utf-8", "replace")
    if (kind, len(content)) in floats:
        return struct.unpack(floats[kind, len(content)], content)[0]
    if kind in signed_kinds + unsigned_kinds and len(content) <= 8:
        return int.from_bytes(content, "big", signed=kind in signed_kinds)
    return None
