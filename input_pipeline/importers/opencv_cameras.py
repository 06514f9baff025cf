"""Cameras as OpenCV writes them: a matrix, coefficients, and world-to-camera as R (or rvec) and t.

OpenCV's pixel centres are whole numbers, ours lie at +0.5: `opencv_camera` adds half a pixel to cx
and cy. Names of the fields differ from program to program, see `NAMES`. Fields mark lenses of
cv2.fisheye: `fisheye` of aniposelib, Pose2Sim and caliscope, `fisheye_model` of OpenCV's own
camera_calibration, `distortion_model: equidistant` of ROS and Kalibr.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float64

from input_pipeline.cameras import check_poses, rigid
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.fisheye import usual_lens
from input_pipeline.footage import files_of_camera, find_footage, picture_size
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
FISHEYE_COEFFICIENTS = 4
MODELS = ("", "radtan", "plumb_bob", "rational_polynomial", "none", "opencv", "pinhole")
FISHEYE_MODELS = ("fisheye", "equidistant", "opencv_fisheye")
FISHEYE_FLAGS = ("fisheye", "fisheye_model")
MODEL_FIELDS = ("distortion_model", "camera_model", *FISHEYE_FLAGS)
LEAST_SPREAD = 0.001  # of the focal length, by which a film's lens varies silently
MOST_FOCUSING = 0.1  # of the focal length; a phone's f of 6 mm is 6 % longer, focused at 10 cm
FEW_FRAMES = 0.1  # of a film, that may be farther off: their numbers are wrong
MOST_TANGENTIAL = 0.05  # p1 and p2 of usual lenses are below; fisheye ones have k3 and k4 there


class Calibrated(NamedTuple):
    """A camera of a calibration file."""

    size: tuple[int, int] | None
    """Rows and columns of its pictures; None where the file has none."""
    intrinsics: Float64[np.ndarray, "3 3"]
    """Pixels, pixel centres at +0.5."""
    distortion: tuple[float, ...]
    """OpenCV's k1 k2 p1 p2 k3 k4 k5 k6, or the first of them; of a fisheye lens k1 k2 k3 k4."""
    world_to_camera: Float64[np.ndarray, "4 4"]
    """Rigid, OpenCV axes, in the unit of the file."""
    is_fisheye: bool = False


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
    is_fisheye = check_fisheye(table, where)
    matrix = _array(table, "matrix", where, (9,)).reshape(3, 3)
    turn = _array(table, "rotation", where, (3, 9))
    rotation = turn.reshape(3, 3) if turn.size == 9 else cv2.Rodrigues(turn)[0]
    pose = rigid(rotation, _array(table, "translation", where, (3,)))
    try:
        check_poses(pose[None, None])
    except ValueError as error:
        raise ValueError(f"{where}, {error}") from None
    counts = (FISHEYE_COEFFICIENTS,) if is_fisheye else COEFFICIENT_COUNTS
    is_distorted = is_fisheye or any(name in table for name in NAMES["distortion"])
    bent = _array(table, "distortion", where, counts) if is_distorted else np.zeros(0)
    if bent.size == FISHEYE_COEFFICIENTS and not any(name in table for name in MODEL_FIELDS):
        _check_tangential(bent, where)
    coefficients = lens_coefficients(bent, where)
    return Calibrated(_size(table, where), centred(matrix), coefficients, pose, is_fisheye)


def centred(matrix: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    """Return OpenCV's camera matrix for pixel centres at +0.5."""
    return matrix + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def median_lens(
    lenses: Float64[np.ndarray, "t 4"], where: str
) -> tuple[Float64[np.ndarray, "3 3"], str]:
    """Return the camera matrix of the median fx fy cx cy of a film, and a note where these vary.

    Focusing changes a lens by a few per cent, stabilizing moves its centre; a single frame's wrong
    numbers change no median.

    Raises:
      ValueError: the focal length is not positive, or of many frames another: the lens zooms.
    """
    fx, fy, cx, cy = np.median(lenses, axis=0)
    if min(fx, fy) <= 0:
        raise ValueError(f"{where}: found a focal length of {min(fx, fy):g}, expected one above 0")
    apart = np.abs(lenses[:, :2] / [fx, fy] - 1).max(1)
    if np.mean(apart > MOST_FOCUSING) > FEW_FRAMES:
        focal = f"focal lengths from {lenses[:, :2].min():.0f} to {lenses[:, :2].max():.0f} pixels"
        expected = f"one within {MOST_FOCUSING:.0%}: give a part of the film without zooming"
        raise ValueError(f"{where}: found {focal}, expected {expected}")
    spread = (np.ptp(lenses[:, :2], axis=0) / [fx, fy]).max()
    moved = np.ptp(lenses[:, 2:], axis=0).max()
    notes = []
    if spread > LEAST_SPREAD:
        notes.append(f"the focal length varies by {spread:.1%}; its median is taken")
    if moved > LEAST_SPREAD * fx:
        notes.append(f"the lens's centre varies by {moved:.1f} pixels; its median is taken")
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), "; ".join(notes)


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


def usual_coefficients(
    fisheye: Sequence[float],
    intrinsics: Float64[np.ndarray, "3 3"],
    size: tuple[int, int],
    where: str,
) -> tuple[float, ...]:
    """Return k1 k2 p1 p2 k3 k4 k5 k6 of a fisheye lens in pictures of `size`, rows and columns.

    Raises:
      ValueError: naming `where` and what the usual model cannot be.
    """
    try:
        return tuple(usual_lens(np.array(fisheye), intrinsics, *size).tolist())
    except ValueError as error:
        raise ValueError(f"{where}, {error}") from None


def check_fisheye(table: Mapping[str, Any], where: str) -> bool:
    """Return whether a table's lens is OpenCV's fisheye, not its usual one.

    Raises:
      ValueError: naming a lens that is neither.
    """
    model = str(table.get("distortion_model", table.get("camera_model", ""))).lower()
    if "xi" in table and np.any(entries(table["xi"], f"{where}, xi")):
        model = "omnidirectional (xi)"
    if model not in (*MODELS, *FISHEYE_MODELS):
        expected = (
            "OpenCV's usual model (k1 k2 p1 p2 k3 k4 k5 k6) or its fisheye (k1 k2 k3 k4): "
            "undistort the pictures first"
        )
        raise ValueError(f"{where}: found a lens of the kind {model}, expected {expected}")
    marked = [is_marked(table[flag], f"{where}, {flag}") for flag in FISHEYE_FLAGS if flag in table]
    return model in FISHEYE_MODELS or any(marked)


def is_marked(value: Any, where: str) -> bool:
    """Return whether a field that is 0 or 1, false or true, says yes.

    Raises:
      ValueError: it is something else.
    """
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise ValueError(f"{where}: found {value!r:.60}, expected 1 or 0")
    return bool(value)


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
        distortion = calibrated.distortion
        if calibrated.is_fisheye:
            size = calibrated.size or picture_size(films[name][0])
            where = f"{path}, camera {camera}"
            distortion = usual_coefficients(distortion, calibrated.intrinsics, size, where)
        view = make_view(
            name,
            films[name],
            calibrated.intrinsics,
            calibrated.world_to_camera,
            size=calibrated.size,
            distortion=distortion,
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


def _check_tangential(coefficients: Float64[np.ndarray, "4"], where: str) -> None:
    """Refuse four coefficients that are hardly k1 k2 p1 p2 where no field names the model.

    Raises:
      ValueError: telling how to say which lens it is.
    """
    if np.abs(coefficients[2:]).max() > MOST_TANGENTIAL:
        four = f"four coefficients {coefficients.tolist()}, as of a fisheye lens"
        expected = (
            f"p1 and p2 up to {MOST_TANGENTIAL}: of a fisheye lens give the field fisheye, 1, or "
            "cameras.json; of a usual one add k3, 0"
        )
        raise ValueError(f"{where}, distortion: found {four}, expected {expected}")


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
