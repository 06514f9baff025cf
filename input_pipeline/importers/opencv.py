"""OpenCV calibrations: FileStorage YAML or JSON, aniposelib, caliscope, EasyMocap, Kalibr.

    OpenCV      a table of cameras in one file, or a file for each camera, which has its name
    aniposelib  calibration.toml, [cam_0] with name (freemocap writes the same)
    caliscope   camera_array.toml, [cameras.0]; older: config.toml, [cam_0] with port
    EasyMocap   intri.yml and extri.yml, with K_NAME, dist_NAME, R_NAME or Rot_NAME, T_NAME
    Kalibr      camchain.yaml, T_cn_cnm1 from each camera to the next

Only Kalibr's unit is known, metres. Cameras that their file says to `ignore` are left out.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from input_pipeline.capture import Capture
from input_pipeline.footage import natural
from input_pipeline.importers.opencv_cameras import (
    FISHEYE_COEFFICIENTS,
    Calibrated,
    centred,
    check_fisheye,
    entries,
    is_camera,
    lens_coefficients,
    make_rig,
    opencv_camera,
)
from input_pipeline.opening import read_regular
from input_pipeline.plain_files import load_json, numbers

NEEDS = (
    "cameras with matrix, R (or rvec) and t, in one .toml, .yaml or .json file or one a camera, "
    "here or in calibration/, and videos here or in videos/"
)
ENDINGS = (".toml", ".yaml", ".yml", ".json")
MAX_BYTES = 1 << 22  # bytes; larger files are no calibrations
EASYMOCAP = ("intri", "extri")
METRES = 1.0


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
    return False, f"{reason}{'; ' if broken else ''}{'; '.join(broken)}"


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
    whole = [file for file, table in tables.items() if not is_camera(table)]
    if len(whole) > 1 or (whole and len(tables) > 1):
        found = ", ".join(str(file.relative_to(path)) for file in tables)
        raise ValueError(f"{path}: found calibrations {found}, expected one: move the others away")
    if not whole:
        cameras = {f.stem: opencv_camera(table, str(f)) for f, table in tables.items()}
        return make_rig(path, cameras, fps)
    file, table = next(iter(tables.items()))
    if _is_kalibr(table):
        return make_rig(path, _kalibr(table, str(file)), fps, unit=METRES)
    cameras = {}
    for name, entry in _named(table):
        if name in cameras:
            raise ValueError(f"{file}: found camera {name} twice, expected a name for each")
        if not entry.get("ignore", False):
            cameras[name] = opencv_camera(entry, f"{file}, camera {name}")
    return make_rig(path, cameras, fps)


def _tables(path: Path) -> tuple[dict[Path, Any], list[str]]:
    """Return the files with cameras of the first folder that has any, and words on broken ones."""
    broken = []
    for folder in (path / "calibration", path):
        tables = {}
        for file in sorted(folder.glob("*"), key=natural):
            small = file.is_file() and file.suffix.lower() in ENDINGS
            is_hidden = file.name.startswith(".")  # macOS leaves ._NAME beside NAME
            if is_hidden or not small or file.stat().st_size > MAX_BYTES:
                continue
            try:
                table = _load(file)
            except (ValueError, RecursionError) as error:
                broken.append(str(error))
                continue
            if _has_cameras(file, table):
                tables[file] = table
        if tables:
            return tables, broken
    return {}, broken


def _load(file: Path) -> Any:
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
        raise ValueError(
            f"{file}: found broken {kind} ({message:.120}), expected cameras"
        ) from None


def _has_cameras(file: Path, table: Any) -> bool:
    if isinstance(table, Mapping) and file.stem in EASYMOCAP:
        return any(str(key).startswith(("K_", "R_", "Rot_")) for key in table)
    return is_camera(table) or _is_kalibr(table) or any(True for _ in _named(table))


def _named(table: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the cameras of a file that has several, with their names."""
    inside = table.get("cameras", table) if isinstance(table, Mapping) else table
    numbered = enumerate(inside) if isinstance(inside, list) else ()
    pairs = inside.items() if isinstance(inside, Mapping) else numbered
    for key, entry in pairs:
        if is_camera(entry):  # caliscope's films have the port in their names, not the key
            name = entry.get("name", entry.get("camera_name", entry.get("port", key)))
            yield str(name), entry


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
        is_fisheye = check_fisheye({"distortion_model": entry.get("distortion_model", "")}, here)
        fields = {"intrinsics": (4,), "resolution": (2,)} | ({"T_cn_cnm1": (4, 4)} if index else {})
        missing = [field for field in fields if field not in entry]
        if missing:
            raise ValueError(f"{here}: found no {', '.join(missing)}, expected it")
        values = {f: numbers(entry[f], shape, f"{here}, {f}") for f, shape in fields.items()}
        fu, fv, pu, pv = values["intrinsics"]
        columns, rows = values["resolution"]
        pose = values.get("T_cn_cnm1", np.eye(4)) @ pose
        bent = entries(entry.get("distortion_coeffs", ()), f"{here}, distortion_coeffs")
        if is_fisheye:
            bent = numbers(bent, (FISHEYE_COEFFICIENTS,), f"{here}, distortion_coeffs")
        cameras[str(name)] = Calibrated(
            (round(rows), round(columns)),
            centred(np.array([[fu, 0, pu], [0, fv, pv], [0, 0, 1]])),
            lens_coefficients(bent, here),
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
