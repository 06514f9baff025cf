"""COLMAP's cameras, images and points, binary and text (https://colmap.github.io/format.html).

Poses are OpenCV world-to-camera and pixel centres lie at +0.5, both as ours.
"""

import struct
from collections.abc import Callable
from io import SEEK_CUR, BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8
from scipy.spatial.transform import Rotation

from input_pipeline.cameras import rigid
from input_pipeline.lenses import usual_lens
from input_pipeline.opening import read_regular, require_regular

MODELS = {  # number of parameters, by id
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
FISHEYE = "OPENCV_FISHEYE"
SUPPORTED_MODELS = (
    *("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", FISHEYE),
)


RawLens = tuple[str, int, int, tuple[float, ...]]
"""Model, width, height, parameters."""


class Lens(NamedTuple):
    """A COLMAP camera."""

    size: tuple[int, int]
    """Rows, columns."""
    intrinsics: Float64[np.ndarray, "3 3"]
    distortion: tuple[float, ...]
    """OpenCV's order."""


class Image(NamedTuple):
    """A registered COLMAP image."""

    name: str
    camera: int
    world_to_camera: Float64[np.ndarray, "4 4"]


def model_files(folder: Path) -> list[Path]:
    """Return a folder's cameras and images, both binary or else both text; empty for none."""
    for end in ("bin", "txt"):
        files = [folder / f"cameras.{end}", folder / f"images.{end}"]
        if all(file.is_file() for file in files):
            return files
    return []


def read_model(folder: Path) -> tuple[dict[int, Lens], list[Image]]:
    """Return cameras by id, and images sorted by name; binary files are preferred.

    Raises:
      ValueError: naming the file: damaged, a lens we cannot draw, an unknown camera.
    """
    text = [folder / "cameras.txt", folder / "images.txt"]
    lenses_file, images_file = model_files(folder) or text
    binary = lenses_file.suffix == ".bin"
    raw = _whole(lenses_file, "COLMAP cameras", _binary_lenses if binary else _text_lenses)
    images = _whole(images_file, "COLMAP images", _binary_images if binary else _text_images)
    lenses = {number: _lens(lenses_file, *words) for number, words in raw.items()}
    if not images:
        raise ValueError(f"{images_file}: found no images, expected registered ones")
    for image in images:
        if image.camera not in lenses:
            found = f"camera {image.camera} of {image.name}"
            raise ValueError(f"{images_file}: found {found}, expected one in {lenses_file.name}")
    return lenses, sorted(images, key=lambda image: image.name)


def read_points(path: Path) -> tuple[Float64[np.ndarray, "n 3"], UInt8[np.ndarray, "n 3"]]:
    """Return positions in the world of the cameras, and colours, of points3D.bin or points3D.txt.

    Raises:
      ValueError: naming the file if it is damaged or empty.
    """
    reader = _binary_points if path.suffix == ".bin" else _text_points
    rows = _whole(path, "COLMAP points", reader)
    if not len(rows) or not np.isfinite(rows).all():
        raise ValueError(f"{path}: found no finite points, expected some")
    return rows[:, :3], rows[:, 3:].clip(0, 255).astype(np.uint8)


def _binary_points(path: Path) -> Float64[np.ndarray, "n 6"]:
    file = BytesIO(read_regular(path))
    (count,) = _unpack(file, "<Q")
    rows = []
    for _ in range(count):
        _, *row, _, track = _unpack(file, "<Q3d3BdQ")
        file.seek(8 * track, SEEK_CUR)
        rows.append(row)
    if file.tell() != len(file.getbuffer()):
        raise ValueError("another size")
    return np.array(rows, np.float64).reshape(-1, 6)


def _text_points(path: Path) -> Float64[np.ndarray, "n 6"]:
    rows = [line.split()[1:7] for line in _lines(path) if line.strip()]
    return np.array(rows, np.float64).reshape(-1, 6)


def _whole(path: Path, kind: str, read: Callable[[Path], Any]) -> Any:
    """Read a file; any failure of the reader is damage."""
    require_regular(path)
    try:
        return read(path)
    except _UnknownModelError as error:
        found = f"camera model number {error}"
        expected = f"one of 0 to {max(MODELS)}, or the file is damaged"
        raise ValueError(f"{path}: found {found}, expected {expected}") from None
    except (struct.error, IndexError, KeyError, OSError, OverflowError, ValueError, MemoryError):
        raise ValueError(f"{path}: found a damaged file, expected {kind}") from None


class _UnknownModelError(Exception):
    """A number that COLMAP may have given to a lens since."""


def _binary_lenses(path: Path) -> dict[int, RawLens]:
    file = BytesIO(read_regular(path))
    (count,) = _unpack(file, "<Q")
    lenses = {}
    for _ in range(count):
        number, model, width, height = _unpack(file, "<iiQQ")
        if model not in MODELS:
            raise _UnknownModelError(model)
        name, size = MODELS[model]
        lenses[number] = (name, width, height, _unpack(file, f"<{size}d"))
    return lenses


def _binary_images(path: Path) -> list[Image]:
    file = BytesIO(read_regular(path))
    (count,) = _unpack(file, "<Q")
    images = []
    for _ in range(count):
        _, *pose, camera = _unpack(file, "<i7di")
        name = bytearray()
        while (character := _unpack(file, "<c")[0]) != b"\0":
            name += character
        (points,) = _unpack(file, "<Q")
        _unpack(file, f"<{24 * points}x")
        images.append(_image(name.decode(), camera, pose))
    return images


def _text_lenses(path: Path) -> dict[int, RawLens]:
    lenses = {}
    for line in _lines(path):
        number, model, width, height, *values = line.split()
        parameters = tuple(float(value) for value in values)
        lenses[int(number)] = (model, int(width), int(height), parameters)
    return lenses


def _text_images(path: Path) -> list[Image]:
    images = []
    for line in _lines(path)[::2]:  # every other line lists points
        _, *pose, camera, name = line.split(maxsplit=9)
        images.append(_image(name, int(camera), [float(value) for value in pose]))
    return images


def _lens(path: Path, model: str, width: int, height: int, values: tuple[float, ...]) -> Lens:
    if model not in SUPPORTED_MODELS:
        do = f"one of {', '.join(SUPPORTED_MODELS)}: undistort with COLMAP's image_undistorter"
        raise ValueError(f"{path}: found lens model {model}, expected {do}")
    count = dict(MODELS.values())[model]
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{path}: found parameters {values} of {model}, expected {count} numbers")
    one_focal = model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
    fx, fy, cx, cy, *rest = (values[0], *values) if one_focal else values
    intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
    size = int(height), int(width)
    if model == FISHEYE:
        return Lens(size, intrinsics, tuple(usual_lens(np.array(rest), intrinsics, *size).tolist()))
    return Lens(size, intrinsics, tuple(rest))


def _image(name: str, camera: int, pose: list[float]) -> Image:
    rotation = Rotation.from_quat(pose[:4], scalar_first=True).as_matrix()
    return Image(name, camera, rigid(rotation, np.array(pose[4:])))


def _lines(path: Path) -> list[str]:
    """Return all lines but comments; empty lines count, since an image may list no points."""
    lines = read_regular(path).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def _unpack(file: BytesIO, form: str) -> tuple:
    return struct.unpack(form, file.read(struct.calcsize(form)))
