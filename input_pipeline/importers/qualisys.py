"""Qualisys calibrations: *.qca.txt, and one video a camera, as Pose2Sim's projects have them.

A qca.txt holds 64ths of pixels and millimetres, its rotation's rows are right, up, backward, and
its coefficients are OpenCV's as they stand: Pose2Sim divides them by 64, too, but the checkerboard
calibration of the same cameras in its own repository (Calib_scene.toml, k1 -0.053, k2 0.151) agrees
with them undivided (-0.046, 0.140).
"""

import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np

from input_pipeline.cameras import rigid
from input_pipeline.capture import Capture
from input_pipeline.importers.opencv import Calibrated, make_rig
from input_pipeline.opening import open_regular
from input_pipeline.plain_files import field, numbers

NEEDS = "one *.qca.txt, here or in calibration/, and videos here or in videos/"


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    files = _calibrations(path)
    if files:
        return True, f"the calibration {files[0].relative_to(path)} is there"
    return False, "no *.qca.txt"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture, in metres.

    Raises:
      ValueError: several calibrations, a broken one, or videos that do not fit it.
    """
    files = _calibrations(path)
    if len(files) > 1:
        found = ", ".join(str(file) for file in files)
        raise ValueError(f"{path}: found calibrations {found}, expected one: move the others away")
    return make_rig(path, read_qca(files[0]), fps, unit=1.0)


def _calibrations(path: Path) -> list[Path]:
    return sorted((path / "calibration").glob("*.qca.txt")) or sorted(path.glob("*.qca.txt"))


def read_qca(file: Path) -> dict[str, Calibrated]:
    """Return cameras by name.

    Raises:
      ValueError: naming what is missing, or a camera that was turned.
    """
    try:
        with open_regular(file) as opened:
            cameras = xml.parse(opened).getroot().findall("cameras/camera")
    except (OSError, xml.ParseError) as error:
        raise ValueError(f"{file}: found no readable XML ({error}), expected qca.txt") from None
    if not cameras:
        raise ValueError(f"{file}: found no cameras, expected cameras/camera")
    cameras_of_file = {}
    for camera in cameras:
        name = camera.get("serial", "?")
        where = f"{file}, camera {name}"
        turn = camera.get("viewrotation", "0")
        if turn != "0":
            raise ValueError(f"{where}: found viewrotation {turn}, expected 0")
        parts = {part: camera.find(part) for part in ("intrinsic", "transform", "fov_video")}
        missing = [part for part, element in parts.items() if element is None]
        if missing:
            raise ValueError(f"{where}: found no {', '.join(missing)}, expected it")
        cameras_of_file[name] = _qca_camera(
            {p: dict(e.attrib) for p, e in parts.items() if e is not None}, where
        )
    return cameras_of_file


def _qca_camera(parts: dict[str, dict[str, str]], where: str) -> Calibrated:
    def take(part: str, *names: str) -> np.ndarray:
        values = [field(parts[part], name, f"{where}, {part}") for name in names]
        return numbers(values, (len(names),), f"{where}, {part}")

    fx, fy, cx, cy, skew = 64**-1 * take(
        "intrinsic", "focalLengthU", "focalLengthV", "centerPointU", "centerPointV", "skew"
    )
    left, top, right, bottom = take("fov_video", "left", "top", "right", "bottom")
    k1, k2, k3 = take("intrinsic", *(f"radialDistortion{i}" for i in (1, 2, 3)))
    p1, p2 = take("intrinsic", "tangentalDistortion1", "tangentalDistortion2")  # their spelling
    rotation = take("transform", *(f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3))).reshape(3, 3)
    rotation = rotation * np.array([[1], [-1], [-1]])  # up and backward to down and forward
    center = take("transform", "x", "y", "z") / 1000
    return Calibrated(
        size=(round(bottom - top + 1), round(right - left + 1)),
        intrinsics=np.array([[fx, skew, cx - left], [0, fy, cy - top], [0, 0, 1]]),
        distortion=(k1, k2, p1, p2, k3),
        world_to_camera=rigid(rotation, -rotation @ center),
    )
