"""Cameras as OpenCV writes them: a matrix, coefficients, and world-to-camera as R (or rvec) and t.

OpenCV's pixel centres are whole numbers, ours lie at +0.5: `opencv_camera` adds half a pixel to cx
and cy. Names of the fields differ from program to program, see `NAMES`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float64

from input_pipeline.cameras import check_poses, rigid
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import files_of_camera, find_footage
from input_pipeline.importers.pairing import check_lengths, pair

NAMES = {
    "matrix": ("matrix", "camera_matrix", "cameraMatrix", "K", "intrinsic_matrix", "mtx"),
    "distortion": (
        *("distortions", "distortion", "distortion_coefficients", "distCoeffs", "distCoef"),
        *("dist_coeffs", "dist", "D"),
    ),
    "rotation": ("R", "rotation", "rotation_matrix", "rvec", "rotation_vector"),
    "translation": ("t", "T", "tvec", "translation", "translation_vector"),
    "size": ("size", "image_size", "resolution"),
}
SIDES = (("image_width", "image_height"), ("width", "height"))
MAX_COEFFICIENTS = 8  # coefficients that are undone here; OpenCV has up to 14
COEFFICIENT_COUNTS = (0, 4, 5, 8, 12, 14)
MODELS = ("", "radtan", "plumb_bob", "rational_polynomial", "none", "opencv", "pinhole")


class Calibrated(NamedTuple):
    """A camera of a calibration file."""

    size: tuple[int, int] | None
    """Rows and columns of its pictures; None where the file does not tell."""
    intrinsics: Float64[np.ndarray, "3 3"]
    """Pixels, pixel centres at +0.5."""
    distortion: tuple[float, ...]
    """OpenCV's k1 k2 p1 p2 k3 k4 k5 k6, or the first of them."""
    world_to_camera: Float64[np.ndarray, "4 4"]
    """Rigid, OpenCV axes, in the unit of the file."""


def is_camera(table: Any) -> bool:
    """Return whether a table has a camera matrix, and something else of a camera."""
    if not isinstance(table, Mapping):
        return False
    matrices = [table[name] for name in NAMES["matrix"] if name in table]
    other_fields = {name for field, names in NAMES.items() if field != "matrix" for name in names}
    numeric = bool(matrices) and isinstance(matrices[0], list | Mapping)
    return numeric and not other_fields.isdisjoint(table)


def opencv_camera(table: Mapping[str, Any], where: str) -> Calibrated:
    """Read one camera.

    Args:
      table: the fields of `NAMES`, as lists or as FileStorage's matrices (rows, cols, data).
      where: the file and the camera, for messages.

    Raises:
      ValueError: naming a field that is missing, has another shape or is not finite, a rotation
        that is none, or a lens of another kind.
    """
    check_model(table, where)
    matrix = _array(table, "matrix", where, (9,)).reshape(3, 3)
    turn = _array(table, "rotation", where, (3, 9))
    rotation = turn.reshape(3, 3) if turn.size == 9 else cv2.Rodrigues(turn)[0]
    pose = rigid(rotation, _array(table, "translation", where, (3,)))
    try:
        check_poses(pose[None, None])
    except ValueError as error:
        raise ValueError(f"{where}, {error}") from None
    is_distorted = any(name in table for name in NAMES["distortion"])
    bent = _array(table, "distortion", where, COEFFICIENT_COUNTS) if is_distorted else np.zeros(0)
    return Calibrated(_size(table, where), centred(matrix), lens_coefficients(bent, where), pose)


def centred(matrix: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    """Return OpenCV's camera matrix for pixel centres at +0.5."""
    return matrix + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def median_lens(lenses: Float64[np.ndarray, "t 4"]) -> tuple[Float64[np.ndarray, "3 3"], str]:
    """Return the camera matrix of the median fx fy cx cy of a film, and a note where fx varies."""
    fx, fy, cx, cy = np.median(lenses, axis=0)
    spread = np.ptp(lenses[:, 0]) / fx
    varies = f"the focal length varies by {spread:.1%}; its median is taken"
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), varies if spread > 0.001 else ""


def lens_coefficients(coefficients: Float64[np.ndarray, " n"], where: str) -> tuple[float, ...]:
    """Return the coefficients that are undone here.

    Raises:
      ValueError: there are others, for thin prisms or tilted sensors, that are not 0.
    """
    unsupported = coefficients[MAX_COEFFICIENTS:]
    if np.any(unsupported):
        found = f"coefficients of thin prisms or tilted sensors {unsupported.tolist()}"
        raise ValueError(f"{where}, distortion: found {found}, expected k1 k2 p1 p2 k3 k4 k5 k6")
    return tuple(coefficients[:MAX_COEFFICIENTS].tolist())


def check_model(table: Mapping[str, Any], where: str) -> None:
    """Refuse fisheye and other lenses than OpenCV's usual one.

    Raises:
      ValueError: naming the lens.
    """
    model = str(table.get("distortion_model", table.get("camera_model", "")))
    if table.get("fisheye") is True or table.get("fisheye") == 1:
        model = "fisheye"
    if model.lower() not in MODELS:
        expected = "OpenCV's usual model (k1 k2 p1 p2 k3 k4 k5 k6): undistort the pictures first"
        raise ValueError(f"{where}: found a lens of the kind {model}, expected {expected}")


def make_rig(
    path: Path,
    cameras: Mapping[str, Calibrated],
    fps: float | None,
    *,
    unit: float = 0.0,
) -> list[Capture]:
    """Return the capture of these cameras and the footage beside them.

    Args:
      path: the folder of the capture, with videos or folders of pictures here or in `videos`.
      cameras: by name; the footage carries the names.
      fps: pictures a second.
      unit: metres of a world unit, 0 if unknown.

    Raises:
      ValueError: films that do not fit the cameras.
    """
    films = find_footage(path, ("videos", ".", "images"))
    check_lengths(films, path)
    views = []
    for camera, name in pair(films, list(cameras), path).items():
        calibrated = cameras[camera]
        view = make_view(
            name,
            films[name],
            calibrated.intrinsics,
            calibrated.world_to_camera,
            size=calibrated.size,
            distortion=calibrated.distortion,
            fps=fps,
            depth=files_of_camera(path, "depth", name),
            masks=files_of_camera(path, "masks", name),
        )
        views.append(view)
    return [make_capture(path.name, views, unit=unit)]


def entries(value: Any, where: str) -> np.ndarray:
    """Return all numbers of a list or of one of FileStorage's matrices, in one row.

    Raises:
      ValueError: they are no finite numbers.
    """
    if isinstance(value, Mapping) and "data" in value:
        value = value["data"]
    try:
        numbers = np.asarray(value, np.float64).ravel()
    except (TypeError, ValueError):
        raise ValueError(f"{where}: found {value!r:.60}, expected numbers") from None
    if not np.isfinite(numbers).all():
        raise ValueError(f"{where}: found NaN or infinite values, expected finite ones")
    return numbers


def _array(table: Mapping[str, Any], field: str, where: str, counts: tuple[int, ...]) -> np.ndarray:
    """Return the numbers of a field under whichever of its names."""
    name = next((name for name in NAMES[field] if name in table), None)
    if name is None:
        names = ", ".join(NAMES[field])
        found = ", ".join(map(str, table))
        raise ValueError(f"{where}: found {found}, expected a field {field} (one of {names})")
    values = entries(table[name], f"{where}, {name}")
    if values.size not in counts:
        expected = " or ".join(map(str, counts))
        raise ValueError(f"{where}, {name}: found {values.size} numbers, expected {expected}")
    return values


def _size(table: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    """Return rows and columns; files have them the other way round."""
    if any(name in table for name in NAMES["size"]):
        columns, rows = _array(table, "size", where, (2,))
        return round(rows), round(columns)
    for width, height in SIDES:
        if width in table and height in table:
            sides = entries([table[height], table[width]], f"{where}, {width} and {height}")
            return round(sides[0]), round(sides[1])
    return None
