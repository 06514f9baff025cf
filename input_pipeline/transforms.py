"""Records to arrays: pictures and depth decoded, undistorted, resized, framed by the source."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Float, Float32, Shaped, UInt8
from numpy import ndarray

from input_pipeline import h264, lenses, pinhole
from input_pipeline.plain_files import check_field, named
from input_pipeline.schema import Example


class Clip(NamedTuple):
    """A decoded clip; every view has the same size and no distortion.

    A rendered clip (`procedural.scene.ProceduralClip`) is another type: its pictures are not
    rounded to bytes, and it tells instances apart where this has masks of the subject.
    """

    frames: UInt8[ndarray, "v t h w 3"]
    """sRGB."""
    depth: Float32[ndarray, "v t h w"]
    """z in world units, 0 where unknown."""
    masks: UInt8[ndarray, "v t h w"]
    """255 where the subject is, else 0; all 0 where it is not marked."""
    intrinsics: Float32[ndarray, "v 3 3"]
    """Pixels, pixel centres at +0.5."""
    world_to_camera: Float32[ndarray, "v t 4 4"]
    """Rigid, OpenCV axes."""
    timestamps: Float32[ndarray, "v t"]
    """Seconds."""


def decode(example: Example, *, height: int, width: int) -> Clip:
    """Decode a record's pictures: undistorted, scaled to cover `height` x `width`, cropped.

    Raises:
      ValueError: naming the scene and frame that cannot be decoded.
    """
    size = *example.frames.shape, height, width
    frames = np.empty((*size, 3), np.uint8)
    depth = np.empty(size, np.float32)
    masks = np.empty(size, np.uint8)
    intrinsics = decode_into(example, frames)
    decode_depths(example, depth)
    _decode_beside(example, "masks", decode_mask, masks)
    return Clip(
        frames, depth, masks, intrinsics, example.world_to_camera, example.timestamps
    )


def decode_into(
    example: Example, out: UInt8[ndarray, "v t h w 3"]
) -> Float32[ndarray, "v 3 3"]:
    """Write the first v views of a record to `out`, as `decode` does; return the intrinsics.

    Raises:
      ValueError: naming the scene and frame that cannot be decoded.
    """
    intrinsics = np.empty((len(out), 3, 3), np.float32)
    for i, places in enumerate(out):
        frames = decode_view(example.frames[i])
        for j, place in enumerate(places):
            with named(f"scene {example.scene_id}, view {i}, frame {j}: "):
                frame = next(frames)
            place[:], intrinsics[i] = _fit(example, i, frame, *place.shape[:2])
    return intrinsics


def _fit(
    example: Example, view: int, image: ndarray, height: int, width: int
) -> tuple[ndarray, pinhole.Lens]:
    """Return an image of a view without distortion, in this size, and its intrinsics."""
    flat = lenses.undistort(image, example.intrinsics[view], example.distortion[view])
    return cover(*flat, height, width)


def decode_view(files: Shaped[ndarray, "t"]) -> Iterator[UInt8[ndarray, "h w 3"]]:
    """Yield the sRGB frames of one view of a record, from JPEG files or H.264, as stored.

    Raises:
      ValueError: the next frame cannot be decoded.
    """
    if h264.is_stream(files.item(0)):
        return h264.decode_stream(files)
    return map(decode_jpeg, files)


def decode_frame(files: Shaped[ndarray, "t"], number: int) -> UInt8[ndarray, "h w 3"]:
    """Return one frame of a view; errors as in `decode_view`."""
    return next(decode_view(h264.take(files, [number])))


def encode_view(
    frames: Iterable[UInt8[ndarray, "h w 3"]], film: bool, *, finest: bool = False
) -> Shaped[ndarray, "t"]:
    """Return the frames of one view as H.264 or as JPEG files, almost without loss if `finest`.

    Errors are those of `encode_stream`.
    """
    if film:
        return h264.encode_stream(frames)
    return np.fromiter((encode_jpeg(frame, finest=finest) for frame in frames), object)


def decode_depths(example: Example, out: Float32[ndarray, "v t h w"]) -> None:
    """Write the depth of a record to `out` in its size, as `decode` does; 0 where unknown.

    Raises:
      ValueError: naming the scene and file that cannot be decoded.
    """
    _decode_beside(example, "depth16", decode_depth, out)


def _decode_beside(
    example: Example, field: str, decode: Callable, out: ndarray
) -> None:
    """Decode the files beside the frames, never averaged; 0 where there is no file."""
    for (i, j), file in np.ndenumerate(getattr(example, field)):
        out[i, j] = 0
        if file:
            with named(f"scene {example.scene_id}, view {i}, {field} {j}: "):
                values = decode(file)
            out[i, j], _ = _fit(example, i, values, *out.shape[2:])


def to_source(
    depth: Float32[ndarray, "t h w"], world_to_camera: Float32[ndarray, "v t 4 4"]
) -> tuple[Float32[ndarray, "t h w"], Float32[ndarray, "v t 4 4"]]:
    """Return depth and cameras in view 0's frame at t=0, with its median depth there as unit.

    Raises:
      ValueError: if no depth is known at t=0.
    """
    depths = depth[0][depth[0] > 0]
    check_field("depth of the source at t=0", depths.size, "none", "some pixels > 0")
    unit = float(np.median(depths))
    poses = pinhole.relative_to(world_to_camera, world_to_camera[0, 0])
    return depth / np.float32(unit), pinhole.rescale(poses, unit).astype(np.float32)


def cover(
    image: ndarray, intrinsics: pinhole.Lens, height: int, width: int
) -> tuple[ndarray, pinhole.Lens]:
    """Scale an image (h w 3, or depth h w) to cover `height` x `width` and crop its centre.

    Depth is never averaged: a mean across an edge is a point in mid-air.

    Returns:
      The image, and the intrinsics of its new pixels.
    """
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image, intrinsics
    scale = max(height / rows, width / columns)
    size = max(round(rows * scale), height), max(round(columns * scale), width)
    averaging = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    method = cv2.INTER_NEAREST_EXACT if image.ndim == 2 else averaging
    scaled = cv2.resize(image, size[::-1], interpolation=method)
    tall, wide = size
    top = (tall - height) // 2
    left = (wide - width) // 2
    row_scale = tall / rows
    lens = pinhole.resize_intrinsics(intrinsics, rows=row_scale, columns=wide / columns)
    lens = pinhole.crop_intrinsics(lens, top=float(top), left=float(left))
    return scaled[top : top + height, left : left + width], lens


def encode_jpeg(frame: UInt8[ndarray, "h w 3"], *, finest: bool = False) -> bytes:
    """Return an sRGB frame as a JPEG file; the finest has each pixel's colour."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 95]
    if finest:
        whole = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        options = [cv2.IMWRITE_JPEG_QUALITY, 100, *whole]
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, options)[1].tobytes()


def view_size(file: bytes) -> tuple[int, int]:
    """Return rows and columns of the first picture of a view.

    Raises:
      ValueError: if the file is no picture.
    """
    if h264.is_stream(file):
        return next(h264.decode_stream([file])).shape[:2]
    height, width, *_ = simplejpeg.decode_jpeg_header(file)
    return int(height), int(width)


def decode_jpeg(file: bytes) -> UInt8[ndarray, "h w 3"]:
    """Decode the sRGB frame of a JPEG file.

    Raises:
      ValueError: if the file is no readable JPEG picture.
    """
    try:
        return simplejpeg.decode_jpeg(file)
    except (ValueError, MemoryError) as error:
        # A damaged size may be one that no memory holds.
        problem = f"bytes that do not decode ({error}), expected a whole JPEG picture"
        raise ValueError(f"found {len(file)} {problem}") from None


def encode_depth(depth: Float[ndarray, "h w"]) -> bytes:
    """Return z-depth as a PNG file of float16 bits: 11 significant bits at every distance.

    Distances that half floats do not reach (65,504 units) are unknown, 0.
    """
    finite = np.where(depth <= np.finfo(np.float16).max, depth, 0.0)
    return cv2.imencode(".png", finite.astype(np.float16).view(np.uint16))[1].tobytes()


def encode_mask(mask: UInt8[ndarray, "h w"]) -> bytes:
    """Return a mask, 0 and 255, as a PNG file."""
    return cv2.imencode(".png", mask)[1].tobytes()


def decode_mask(file: bytes) -> UInt8[ndarray, "h w"]:
    """Return the mask of a PNG file, 255 where the subject is, else 0.

    Raises:
      ValueError: if the file is no readable picture of 8-bit grey levels.
    """
    return np.where(_grey_levels(file, np.uint8) > 127, np.uint8(255), np.uint8(0))


def decode_depth(file: bytes) -> Float32[ndarray, "h w"]:
    """Return the z-depth of a PNG file of float16 bits.

    Raises:
      ValueError: if the file is no readable picture of 16-bit grey levels.
    """
    return _grey_levels(file, np.uint16).view(np.float16).astype(np.float32)


def _grey_levels(file: bytes, kind: type) -> Shaped[ndarray, "h w"]:
    try:
        picture = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        # The file is empty, or has a size that no memory holds.
        picture = None
    if picture is None or picture.ndim != 2 or picture.dtype != kind:
        found = "bytes that do not decode"
        if picture is not None:
            found = f"a picture of {picture.dtype} {picture.shape}"
        expected = f"a whole picture of {kind.__name__} grey levels"
        raise ValueError(f"found {found}, expected {expected}")
    return picture
