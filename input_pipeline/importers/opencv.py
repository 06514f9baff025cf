"""OpenCV calibrations, as six programs write them.

    OpenCV      FileStorage, YAML or JSON: a table of cameras, or a file named as its camera
    aniposelib  calibration.toml, [cam_0] with name (freemocap writes the same)
    caliscope   camera_array.toml, [cameras.0]; older: config.toml, [cam_0] with port
    Pose2Sim    *.toml, as aniposelib's, with `fisheye` in each camera
    EasyMocap   intri.yml and extri.yml, with K_NAME, dist_NAME, R_NAME or Rot_NAME, T_NAME
    Kalibr      camchain.yaml, T_cn_cnm1 from each camera to the next

The unit is known of Pose2Sim and Kalibr, metres. Cameras that their file says to `ignore` are left
out. OpenCV's pixel centres are whole numbers, ours lie at +0.5: half a pixel is added to cx and cy.
Names of the fields differ from program to program, see `NAMES`. Fields mark lenses of cv2.fisheye:
`fisheye` of aniposelib, Pose2Sim and caliscope, `fisheye_model` of OpenCV's own camera_calibration,
`distortion_model: equidistant` of ROS and Kalibr.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import yaml
from jaxtyping import Float64

from input_pipeline.cameras import check_poses, rigid
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import find_footage, natural, picture_size
from input_pipeline.importers.pairing import check_lengths, pair
from input_pipeline.lenses import usual_lens
from input_pipeline.opening import read_regular
from input_pipeline.plain_files import field, load_json, numbers

NEEDS = (
    "cameras with matrix, R (or rvec) and t, in one .toml, .yaml or .json file or one a camera, "
    "here or in calibration/, and videos here or in videos/"
)
ENDINGS = (".toml", ".yaml", ".yml", ".json")
EASYMOCAP = ("intri", "extri")
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
# What Pose2Sim writes for each camera; others leave out fisheye, and are not in metres.
POSE2SIM = {"name", "size", "matrix", "distortions", "rotation", "translation", "fisheye"}
COEFFICIENT_COUNTS = (0, 4, 5, 8, 12, 14)
FISHEYE_COUNTS = (4,)
MODELS = ("", "radtan", "plumb_bob", "rational_polynomial", "none", "opencv", "pinhole")
FISHEYE_MODELS = ("fisheye", "equidistant", "opencv_fisheye")
FISHEYE_FLAGS = ("fisheye", "fisheye_model")
HALF_A_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


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


class _Loader(yaml.SafeLoader):
    """Reads FileStorage's matrices as tables."""


_Loader.add_multi_constructor(
    "tag:yaml.org,2002:opencv-",
    lambda loader, _, node: loader.construct_mapping(node, deep=True),
)


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    tables, broken = _tables(path)
    if tables:
        names = ", ".join(str(file.relative_to(path)) for file in list(tables)[:4])
        return True, f"{names} {'has' if len(tables) == 1 else 'have'} cameras as OpenCV's"
    reason = "no .toml, .yaml or .json file with cameras that have matrix, R or rvec, and t"
    return False, "; ".join([reason, *broken])


def broken_tables(path: Path) -> list[str]:
    """Return why files that may be calibrations cannot be read, naming each; else nothing."""
    return _tables(path)[1]


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture, in the unit of its calibration.

    Raises:
      ValueError: naming the file, camera and field that is missing or impossible, several
        calibrations, or films that do not fit.
    """
    tables, broken = _tables(path)
    if not tables:
        found = "; ".join(broken) or "none"
        raise ValueError(f"{path}, calibration: found {found}, expected {NEEDS}")
    if all(file.stem in EASYMOCAP for file in tables):
        return make_rig(path, _easymocap(tables), fps)
    if all(_is_camera(table) for table in tables.values()):
        cameras = {f.stem: opencv_camera(table, str(f)) for f, table in tables.items()}
        return make_rig(path, cameras, fps)
    if len(tables) > 1:
        found = ", ".join(str(file.relative_to(path)) for file in tables)
        raise ValueError(f"{path}: found calibrations {found}, expected one: move the others away")
    ((file, table),) = tables.items()
    if _is_kalibr(table):
        return make_rig(path, _kalibr(table, str(file)), fps, unit=1.0)
    return make_rig(path, named_cameras(file, table), fps, unit=float(_is_pose2sim(file, table)))


def named_cameras(file: Path, table: Any) -> dict[str, Calibrated]:
    """Return the cameras of a file that has several.

    Raises:
      ValueError: naming the camera and field that is missing, or a lens that is not supported.
    """
    cameras = {}
    for name, entry in _named(table):
        if name in cameras:
            raise ValueError(f"{file}: found camera {name} twice, expected a name for each")
        if not entry.get("ignore", False):
            cameras[name] = opencv_camera(entry, f"{file}, camera {name}")
    return cameras


def opencv_camera(table: Mapping[str, Any], where: str) -> Calibrated:
    """Read one camera.

    Args:
      table: the fields of `NAMES`, as lists or as FileStorage's matrices (rows, cols, data).
      where: the file and the camera, for messages.

    Raises:
      ValueError: naming a field that is missing, has another shape or is not finite, a rotation
        that is none, or a lens of another kind.
    """
    is_fisheye = _is_fisheye(table, where)
    matrix = _array(table, "matrix", where, (9,)).reshape(3, 3)
    turn = _array(table, "rotation", where, (3, 9))
    rotation = turn.reshape(3, 3) if turn.size == 9 else cv2.Rodrigues(turn)[0]
    pose = rigid(rotation, _array(table, "translation", where, (3,)))
    try:
        check_poses(pose[None, None])
    except ValueError as error:
        raise ValueError(f"{where}, {error}") from None
    counts = FISHEYE_COUNTS if is_fisheye else COEFFICIENT_COUNTS
    is_distorted = is_fisheye or any(name in table for name in NAMES["distortion"])
    bent = _array(table, "distortion", where, counts) if is_distorted else np.zeros(0)
    if {"distortion_model", "camera_model", *FISHEYE_FLAGS}.isdisjoint(table):
        _check_tangential(bent, where)
    coefficients = _lens_coefficients(bent, where)
    return Calibrated(_size(table, where), matrix + HALF_A_PIXEL, coefficients, pose, is_fisheye)


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
            where = f"{path}, camera {camera}, fisheye"
            distortion = usual_lens(np.array(distortion), calibrated.intrinsics, *size, where)
        view = make_view(
            name,
            films[name],
            calibrated.intrinsics,
            calibrated.world_to_camera,
            size=calibrated.size,
            distortion=tuple(distortion),
            fps=fps,
            beside=path,
        )
        views.append(view)
    return [make_capture(path.name, views, unit=unit)]


def _tables(path: Path) -> tuple[dict[Path, Any], list[str]]:
    """Return the files with cameras of the first folder that has any, and words on broken ones."""
    most_bytes = 1 << 22  # larger files are no calibrations
    broken = []
    for folder in (path / "calibration", path):
        tables = {}
        for file in sorted(folder.glob("[!.]*"), key=natural):  # macOS leaves ._NAME beside NAME
            small = file.is_file() and file.suffix.lower() in ENDINGS
            if not small or file.stat().st_size > most_bytes:
                continue
            try:
                table = load_table(file)
            except (ValueError, RecursionError) as error:
                broken.append(str(error))
                continue
            if _has_cameras(file, table):
                tables[file] = table
        if tables:
            return tables, broken
    return {}, broken


def load_table(file: Path) -> Any:
    """Return what a TOML, JSON or YAML file holds.

    Raises:
      ValueError: naming a file that is broken.
    """
    kind = file.suffix.lower()[1:]
    if kind == "json":
        return load_json(file)
    content = read_regular(file)
    try:
        text = content.decode()
        if kind == "toml":
            return tomllib.loads(text)
        # FileStorage's first line, %YAML:1.0, is not what YAML allows there.
        return yaml.load(text.partition("\n")[2] if text[:5] == "%YAML" else text, _Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        message = " ".join(str(error).split())
        found = f"broken {kind} ({message:.120})"
        raise ValueError(f"{file}: found {found}, expected cameras") from None


def _has_cameras(file: Path, table: Any) -> bool:
    if isinstance(table, Mapping) and file.stem in EASYMOCAP:
        return any(str(key).startswith(("K_", "R_", "Rot_")) for key in table)
    return _is_camera(table) or _is_kalibr(table) or any(True for _ in _named(table))


def _is_camera(table: Any) -> bool:
    """Return whether a table has a camera matrix, and something else of a camera."""
    if not isinstance(table, Mapping):
        return False
    matrices = [table[name] for name in NAMES["matrix"] if name in table]
    other_fields = {name for field, names in NAMES.items() if field != "matrix" for name in names}
    numeric = bool(matrices) and isinstance(matrices[0], list | Mapping)
    return numeric and not other_fields.isdisjoint(table)


def _named(table: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the cameras of a file that has several, with their names."""
    inside = table.get("cameras", table) if isinstance(table, Mapping) else table
    numbered = enumerate(inside) if isinstance(inside, list) else ()
    pairs = inside.items() if isinstance(inside, Mapping) else numbered
    for key, entry in pairs:
        if _is_camera(entry):  # caliscope's films have the port in their names, not the key
            name = entry.get("name", entry.get("camera_name", entry.get("port", key)))
            yield str(name), entry


def _is_pose2sim(file: Path, table: Any) -> bool:
    return file.suffix == ".toml" and all(set(entry) >= POSE2SIM for _, entry in _named(table))


def _is_kalibr(table: Any) -> bool:
    cameras = table.values() if isinstance(table, Mapping) else ()
    return any(isinstance(c, Mapping) and {"camera_model", "intrinsics"} <= set(c) for c in cameras)


def _kalibr(table: Mapping[str, Any], where: str) -> dict[str, Calibrated]:
    """Return the cameras of a chain in the frame of its first."""
    cameras = {}
    pose = np.eye(4)
    names = sorted(name for name in table if str(name).startswith("cam"))
    for index, name in enumerate(sorted(names, key=lambda name: (len(name), name))):
        here = f"{where}, {name}"
        entry = table[name]
        model = entry.get("camera_model")
        if model != "pinhole":
            raise ValueError(f"{here}: found the camera model {model}, expected pinhole")
        is_fisheye = _is_fisheye({"distortion_model": entry.get("distortion_model", "")}, here)
        fields = {"intrinsics": (4,), "resolution": (2,)} | ({"T_cn_cnm1": (4, 4)} if index else {})
        values = {
            f: numbers(field(entry, f, here), shape, f"{here}, {f}") for f, shape in fields.items()
        }
        fu, fv, pu, pv = values["intrinsics"]
        columns, rows = values["resolution"]
        pose = values.get("T_cn_cnm1", np.eye(4)) @ pose
        bent = _entries(entry.get("distortion_coeffs", ()), f"{here}, distortion_coeffs")
        if is_fisheye:
            bent = numbers(bent, FISHEYE_COUNTS, f"{here}, distortion_coeffs")
        cameras[str(name)] = Calibrated(
            (round(rows), round(columns)),
            np.array([[fu, 0, pu], [0, fv, pv], [0, 0, 1]]) + HALF_A_PIXEL,
            _lens_coefficients(bent, here),
            pose,
            is_fisheye,
        )
    return cameras


def _easymocap(tables: Mapping[Path, Mapping[str, Any]]) -> dict[str, Calibrated]:
    """Return the cameras of intri.yml and extri.yml."""
    fields = {key: value for table in tables.values() for key, value in table.items()}
    where = " and ".join(str(file) for file in tables)
    names = [key[2:] for key in fields if key.startswith("K_")]
    prefixes = {"K": "K_", "dist": "dist_", "t": "T_", "height": "H_", "width": "W_"}
    cameras = {}
    for name in names:
        table = {f: fields[p + name] for f, p in prefixes.items() if p + name in fields}
        turn = next((p + name for p in ("Rot_", "R_") if p + name in fields), None)
        table |= {"R": fields[turn]} if turn else {}
        cameras[name] = opencv_camera(table, f"{where}, camera {name}")
    return cameras


def _is_fisheye(table: Mapping[str, Any], where: str) -> bool:
    """Return whether a table's lens is OpenCV's fisheye, not its usual one.

    Raises:
      ValueError: naming a lens that is neither.
    """
    model = str(table.get("distortion_model", table.get("camera_model", ""))).lower()
    if "xi" in table and np.any(_entries(table["xi"], f"{where}, xi")):
        model = "omnidirectional (xi)"
    if model not in (*MODELS, *FISHEYE_MODELS):
        expected = (
            "OpenCV's usual model (k1 k2 p1 p2 k3 k4 k5 k6) or its fisheye (k1 k2 k3 k4): "
            "undistort the pictures first"
        )
        raise ValueError(f"{where}: found a lens of the kind {model}, expected {expected}")
    marked = [is_marked(table[flag], f"{where}, {flag}") for flag in FISHEYE_FLAGS if flag in table]
    return model in FISHEYE_MODELS or any(marked)


def _lens_coefficients(
    coefficients: Float64[np.ndarray, " n"], where: str, most: int = 8
) -> tuple[float, ...]:
    """Return the coefficients that are undone here; others must be 0."""
    if np.any(coefficients[most:]):
        found = f"coefficients of thin prisms or tilted sensors {coefficients[most:].tolist()}"
        raise ValueError(f"{where}, distortion: found {found}, expected k1 k2 p1 p2 k3 k4 k5 k6")
    return tuple(coefficients[:most].tolist())


def _check_tangential(bent: Float64[np.ndarray, " n"], where: str, most: float = 0.05) -> None:
    """Refuse four coefficients that are hardly k1 k2 p1 p2 where no field names the model.

    p1 and p2 of usual lenses are below `most`; fisheye ones have k3 and k4 there.
    """
    if bent.size == 4 and np.abs(bent[2:]).max() > most:
        four = f"four coefficients {bent.tolist()}, as of a fisheye lens"
        expected = (
            f"p1 and p2 up to {most}: of a fisheye lens give the field fisheye, 1, or "
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
    values = _entries(table[name], f"{where}, {name}")
    if values.size not in counts:
        expected = " or ".join(map(str, counts))
        raise ValueError(f"{where}, {name}: found {values.size} numbers, expected {expected}")
    return values


def _entries(value: Any, where: str) -> np.ndarray:
    """Return all numbers of a list or of one of FileStorage's matrices, in one row."""
    listed: Any = value["data"] if isinstance(value, Mapping) and "data" in value else value
    return numbers(listed, np.shape(listed), where).ravel()


def _size(table: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    """Return rows and columns; files have them the other way round."""
    if any(name in table for name in NAMES["size"]):
        columns, rows = _array(table, "size", where, (2,))
        return round(rows), round(columns)
    for width, height in SIDES:
        if width in table and height in table:
            sides = _entries([table[height], table[width]], f"{where}, {width} and {height}")
            return round(sides[0]), round(sides[1])
    return None
