"""The pictures of one view as an H.264 stream, a piece for each frame, as records keep them.

A piece is an access unit; the pieces in a row are a video that any player shows. No picture refers
to a later one and every `KEY_EVERY`-th to none, so a frame needs the pieces from the last such one
on. Where frames are left out (`take`), a piece holds those since the frame before it, and its last
picture is the frame.

Each unit begins with a delimiter (ITU-T H.264, 7.3.2.4), whose next byte says what kinds of slices
follow. Start codes occur nowhere else in a stream (7.4.1), so units are found without parsing.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
from av.error import FFmpegError
from jaxtyping import Int, Shaped, UInt8

from input_pipeline.plain_files import check_field

UNIT = b"\0\0\0\1\x09"
# A key frame has intra slices only.
KEY = UNIT + b"\x10"
# Frames: a window decodes 3.5 more than it shows, on average.
KEY_EVERY = 8
# The constant quality at which real footage has the PSNR of JPEG files of quality 95; no arithmetic
# coding and no deblocking, which take half of the time of decoding.
QUALITY = "10"
TUNE = "fastdecode"
# One thread, so that the bytes do not depend on the number of cores.
X264 = (
    f"keyint={KEY_EVERY}:min-keyint={KEY_EVERY}:scenecut=0:bframes=0:aud=1:repeat-headers=1"
    ":threads=1:slices=1:colormatrix=smpte170m"
)


def is_stream(file: bytes) -> bool:
    """Return whether a file of a view is a piece of an H.264 stream."""
    return file.startswith(UNIT)


def encode_stream(
    pictures: Iterable[UInt8[np.ndarray, "h w 3"]],
) -> Shaped[np.ndarray, "t"]:
    """Return the pieces of a stream of sRGB pictures, all of one size; colours at half resolution.

    Raises:
      ValueError: a size is odd or not that of the picture before.
    """
    encoder = None
    shape = ()
    pieces = []
    for picture in pictures:
        if encoder is None:
            shape = picture.shape
            encoder = _encoder(*shape[:2])
        found = f"pictures of {shape} and {picture.shape}"
        check_field("video", picture.shape == shape, found, "one size")
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        yuv = rgb.reformat(
            format="yuv420p", dst_colorspace="ITU601", interpolation="AREA"
        )
        pieces += map(bytes, encoder.encode(yuv))
    if encoder is not None:
        pieces += map(bytes, encoder.encode(None))
    return _objects(pieces)


def decode_stream(pieces: Iterable[bytes]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the sRGB frame of each piece.

    Raises:
      ValueError: the next piece does not decode.
    """
    decoder = av.CodecContext.create("h264", "r")
    # The loader has threads of its own.
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    for piece in pieces:
        units = piece.split(UNIT)[1:]
        shown = []
        with contextlib.suppress(FFmpegError):
            for unit in units:
                shown += decoder.decode(av.Packet(UNIT + unit))
        if not shown or len(shown) != len(units) or any(f.is_corrupt for f in shown):
            problem = "bytes that do not decode, expected a piece of an H.264 stream"
            raise ValueError(f"found {len(piece)} {problem}")
        yield cv2.cvtColor(shown[-1].to_ndarray(), cv2.COLOR_YUV2RGB_I420)


def take(
    files: Shaped[np.ndarray, "t"], times: Sequence[int] | Int[np.ndarray, "n"]
) -> Shaped[np.ndarray, "n"]:
    """Return the files of these frames of a view, in any order: JPEG, or pieces of a stream."""
    if not is_stream(files.item(0)):
        return files[list(times)]
    taken = []
    last = None
    for time in map(int, times):
        key = next(i for i in range(time, -1, -1) if files[i].startswith(KEY))
        start = last + 1 if last is not None and key <= last < time else key
        taken.append(b"".join(files[start : time + 1]))
        last = time
    return _objects(taken)


def _encoder(height: int, width: int) -> av.VideoCodecContext:
    is_even = height % 2 == width % 2 == 0
    check_field("video", is_even, f"{width}x{height} pixels", "even numbers")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height = height
    encoder.width = width
    encoder.pix_fmt = "yuv420p"
    # The times of frames are in the records; the file just needs some rate.
    encoder.time_base = Fraction(1, 25)
    encoder.framerate = Fraction(25)
    encoder.thread_count = 1
    encoder.options = {"crf": QUALITY, "tune": TUNE, "x264-params": X264}
    return encoder


def _objects(files: list[bytes]) -> Shaped[np.ndarray, "n"]:
    """Make an array of objects: numpy's strings lose zeros at their end."""
    return np.array([*files, None], object)[:-1]
