"""OpenCV calibrations (.toml, .yaml, .yml, .json) of six programs, here or in calibration/.

    OpenCV      FileStorage, YAML or JSON: a table of cameras, or a file named as its camera
    aniposelib  calibration.toml, [cam_0] with name (freemocap writes the same)
    caliscope   camera_array.toml, [cameras.0]; older: config.toml, [cam_0] with port
    Pose2Sim    *.toml, as aniposelib's, with `fisheye` in each camera
    EasyMocap   intri.yml and extri.yml, with K_NAME, dist_NAME, R_NAME or Rot_NAME, T_NAME
    Kalibr      camchain.yaml, T_cn_cnm1 from each camera to the next

Videos lie beside them or in videos/. The unit is known of Pose2Sim and Kalibr, metres. Cameras that
their file says to `ignore` are left out. OpenCV's pixel centres are whole numbers, ours lie at
+0.5: half a pixel is added to cx and cy. Names of the fields differ from program to program, see
`NAMES`. Fields mark lenses of cv2.fisheye: `fisheye` of aniposelib, Pose2Sim and caliscope,
`fisheye_model` of OpenCV's own camera_calibration, `distortion_model: equidistant` of ROS and
Kalibr.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from input_pipeline import capture, lenses, media_files
from input_pipeline.importers import calibrated
from input_pipeline.pinhole import rigid
from input_pipeline.plain_files import (
    check_field,
    damage_of,
    field,
    field_numbers,
    load_json,
    numbers,
    read_regular,
)

ENDINGS = (".toml", ".yaml", ".yml", ".json")
# Larger files are no calibrations.
MOST_BYTES = 1 << 22
EASYMOCAP = ("intri", "extri")
# Of a field, in the order in which they are looked for.
NAMES = {
    "matrix": "matrix camera_matrix cameraMatrix K intrinsic_matrix mtx",
    "distortion": "distortions distortion distortion_coefficients distCoeffs distCoef "
    "dist_coeffs dist D",
    "rotation": "Rot R rotation rotation_matrix rvec rotation_vector",
    "translation": "t T tvec translation translation_vector",
    "size": "size image_size resolution",
}
SIDES = (("image_width", "image_height"), ("width", "height"), ("W", "H"))
# What Pose2Sim writes for each camera; others leave out fisheye, and are not in metres.
KEYS = {"name", "size", "matrix", "distortions", "rotation", "translation", "fisheye"}
MODELS = ("", "radtan", "plumb_bob", "rational_polynomial", "none", "opencv", "pinhole")
FISHEYE_MODELS = ("fisheye", "equidistant", "opencv_fisheye")
FISHEYE_FLAGS = ("fisheye", "fisheye_model")
# Of p1 and p2 of usual lenses.
MOST_TANGENTIAL = 0.05
HALF_A_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
Table = Mapping[str, Any]
Tables = dict[Path, Any]
# File, name and fields of cameras.
Entries = list[tuple[Path, str, Table]]


class _Loader(yaml.SafeLoader):
    """Reads FileStorage's matrices as tables."""


_Loader.add_multi_constructor(
    "tag:yaml.org,2002:opencv-",
    lambda loader, _, node: loader.construct_mapping(node, deep=True),
)


def matches(path: Path) -> Path | None:
    """Return the first calibration that shows this layout."""
    return next(iter(_tables(path)[0]), None)


def broken_tables(path: Path) -> list[str]:
    """Return why files that may be calibrations cannot be read, naming each; else nothing."""
    return _tables(path)[1]


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture, in the unit of its calibration.

    Raises:
      ValueError: naming the file, camera and field that is missing or impossible, several
        calibrations, or videos that do not fit.
    """
    tables, _ = _tables(path)
    in_metres = False
    if all(file.stem in EASYMOCAP for file in tables):
        entries = _easymocap(tables)
    elif all(_is_camera(table) for table in tables.values()):
        entries = [(file, file.stem, table) for file, table in tables.items()]
    else:
        found = ", ".join(str(file.relative_to(path)) for file in tables)
        one = len(tables) == 1
        check_field(path, one, f"calibrations {found}", "one: move the others away")
        ((file, table),) = tables.items()
        is_kalibr = _is_kalibr(table)
        entries = _kalibr(file, table) if is_kalibr else _named(file, table)
        has_all = all(entry.keys() >= KEYS for *_, entry in entries)
        in_metres = is_kalibr or (file.suffix == ".toml" and has_all)
    cameras: dict[str, calibrated.CalibratedCamera] = {}
    for file, name, entry in entries:
        check_field(file, name not in cameras, f"camera {name} twice", "it once")
        if not entry.get("ignore", False):
            cameras[name] = _camera(entry, f"{file}, camera {name}")._replace(fps=fps)
    views = calibrated.make_rig(path, cameras)
    return [capture.make_capture(path.name, views, unit=float(in_metres))]


def load_table(file: Path) -> Any:
    """Return what a TOML, JSON or YAML file holds.

    Raises:
      ValueError: naming a file that is broken.
    """
    kind = file.suffix.lower()[1:]
    if kind == "json":
        return load_json(file)
    with damage_of(file, f"cameras in {kind}"):
        text = read_regular(file).decode()
        if kind == "toml":
            return tomllib.loads(text)
        # FileStorage's first line, %YAML:1.0, is not what YAML allows there.
        content = text.partition("\n")[2] if text[:5] == "%YAML" else text
        return yaml.load(content, _Loader)


def _tables(path: Path) -> tuple[Tables, list[str]]:
    """Return the files with cameras of the first folder that has any, and words on broken ones."""
    broken = []
    for folder in (path / "calibration", path):
        tables = {}
        # macOS leaves ._NAME beside NAME.
        for file in sorted(folder.glob("[!.]*"), key=media_files.natural):
            is_text = file.is_file() and file.suffix.lower() in ENDINGS
            if not is_text or file.stat().st_size > MOST_BYTES:
                continue
            try:
                table = load_table(file)
            except ValueError as error:
                broken.append(" ".join(str(error).split()))
                continue
            keys = (
                table if file.stem in EASYMOCAP and isinstance(table, Mapping) else ()
            )
            part = any(str(key)[:2] in ("K_", "R_") for key in keys)
            if part or _is_camera(table) or _is_kalibr(table) or _named(file, table):
                tables[file] = table
        if tables:
            return tables, broken
    return {}, broken


def _is_camera(table: Any) -> bool:
    """Return whether a table has a camera matrix, and something else of a camera."""
    if not isinstance(table, Mapping):
        return False
    names = {field: name for field in NAMES if (name := _name(table, field))}
    return len(names) > 1 and isinstance(table.get(names.get("matrix")), list | Mapping)


def _named(file: Path, table: Any) -> Entries:
    """Return the cameras of a file that has several, with their names."""
    inside = table.get("cameras", table) if isinstance(table, Mapping) else table
    if isinstance(inside, list):
        inside = dict(enumerate(inside))
    entries = inside.items() if isinstance(inside, Mapping) else ()
    named = []
    for key, entry in entries:
        if _is_camera(entry):
            # Videos of caliscope have the port in their names, not the key.
            name = entry.get("name", entry.get("camera_name", entry.get("port", key)))
            named.append((file, str(name), entry))
    return named


def _easymocap(tables: Tables) -> Entries:
    """Return the cameras of intri.yml and extri.yml, without their names in those of fields."""
    files = {key: file for file, table in tables.items() for key in table}
    fields = {key: value for table in tables.values() for key, value in table.items()}
    entries = []
    for key in fields:
        if key.startswith("K_"):
            end = key[1:]
            own = {f.removesuffix(end): x for f, x in fields.items() if f.endswith(end)}
            entries.append((files[key], end[1:], own))
    return entries


def _is_kalibr(table: Any) -> bool:
    entries = table.values() if isinstance(table, Mapping) else ()
    cameras = [entry for entry in entries if isinstance(entry, Mapping)]
    return any({"camera_model", "intrinsics"} <= entry.keys() for entry in cameras)


def _kalibr(file: Path, table: Table) -> Entries:
    """Return the cameras of a chain in the frame of its first."""
    entries = []
    pose = np.eye(4)
    names = [name for name in table if str(name).startswith("cam")]
    for index, name in enumerate(sorted(names, key=lambda name: (len(name), name))):
        where = f"{file}, {name}"
        entry = table[name]
        model = entry.get("camera_model")
        check_field(where, model == "pinhole", f"the camera model {model}", "pinhole")
        fu, fv, pu, pv = field_numbers(entry, "intrinsics", (4,), where)
        if index:
            pose = field_numbers(entry, "T_cn_cnm1", (4, 4), where) @ pose
        camera = {
            "matrix": lenses.lens_matrix(fu, fv, pu, pv),
            "distortion": entry.get("distortion_coeffs", ()),
            "distortion_model": entry.get("distortion_model", ""),
            "R": pose[:3, :3],
            "t": pose[:3, 3],
            "size": field(entry, "resolution", where),
        }
        entries.append((file, str(name), camera))
    return entries


def _camera(table: Table, where: str) -> calibrated.CalibratedCamera:
    """Read one camera.

    Args:
      table: the fields of `NAMES`, as lists or as FileStorage's matrices (rows, cols, data).
      where: the file and the camera, for messages.

    Raises:
      ValueError: naming a field that is missing, has another shape or is not finite, or a lens of
        another kind.
    """
    is_fisheye = _is_fisheye(table, where)
    matrix = _array(table, "matrix", where, (9,)).reshape(3, 3)
    turn = _array(table, "rotation", where, (3, 9))
    rotation = turn.reshape(3, 3) if turn.size == 9 else cv2.Rodrigues(turn)[0]
    bent = np.zeros(0)
    counts = (4,) if is_fisheye else (0, 4, 5, 8, 12, 14)
    if is_fisheye or _name(table, "distortion"):
        bent = _array(table, "distortion", where, counts)
    # Where no field names the model, p1 and p2 that are large may be a fisheye's k3 and k4.
    is_named = not {"distortion_model", "camera_model", *FISHEYE_FLAGS}.isdisjoint(
        table
    )
    is_usual = is_named or bent.size != 4 or np.abs(bent[2:]).max() <= MOST_TANGENTIAL
    expected = f"p1 and p2 up to {MOST_TANGENTIAL}: give fisheye, 1, or add k3, 0"
    found = f"four coefficients {bent.tolist()}, as of a fisheye lens"
    check_field(f"{where}, distortion", is_usual, found, expected)
    # Those of thin prisms and tilted sensors, which nothing here undoes, are refused unless 0.
    coefficients = bent if bent[8:].any() else bent[:8]
    return calibrated.CalibratedCamera(
        matrix + HALF_A_PIXEL,
        rigid(rotation, _array(table, "translation", where, (3,))),
        _size(table, where),
        tuple(coefficients.tolist()),
        is_fisheye,
    )


def _is_fisheye(table: Table, where: str) -> bool:
    """Return whether a table's lens is OpenCV's fisheye, not its usual one.

    Raises:
      ValueError: naming a lens that is neither.
    """
    model = str(table.get("distortion_model", table.get("camera_model", ""))).lower()
    if "xi" in table and _entries(table["xi"], f"{where}, xi").any():
        model = "omnidirectional (xi)"
    expected = "OpenCV's usual model or its fisheye: undistort the pictures first"
    known = model in (*MODELS, *FISHEYE_MODELS)
    check_field(where, known, f"a lens of the kind {model}", expected)
    flags = [
        numbers(table.get(flag, 0), (), f"{where}, {flag}") for flag in FISHEYE_FLAGS
    ]
    return model in FISHEYE_MODELS or any(flags)


def _name(table: Table, field: str) -> str:
    """Return the first of a field's names that a table has; empty for none."""
    return next((name for name in NAMES[field].split() if name in table), "")


def _array(table: Table, field: str, where: str, counts: tuple[int, ...]) -> np.ndarray:
    """Return the numbers of a field under whichever of its names."""
    name = _name(table, field)
    expected = f"a field {field} (one of {NAMES[field]})"
    check_field(where, name, ", ".join(map(str, table)), expected)
    where = f"{where}, {name}"
    values = _entries(table[name], where)
    expected = " or ".join(map(str, counts))
    check_field(where, values.size in counts, f"{values.size} numbers", expected)
    return values


def _entries(value: Any, where: str) -> np.ndarray:
    """Return all numbers of a list or of one of FileStorage's matrices, in one row."""
    listed: Any = value.get("data", value) if isinstance(value, Mapping) else value
    return numbers(listed, np.shape(listed), where).ravel()


def _size(table: Table, where: str) -> tuple[int, int] | None:
    """Return rows and columns; files have them the other way round."""
    sides = [[table[w], table[h]] for w, h in SIDES if w in table and h in table]
    if _name(table, "size"):
        sides = [_array(table, "size", where, (2,))]
    if not sides:
        return None
    columns, rows = numbers(sides[0], (2,), f"{where}, size")
    return round(rows), round(columns)
