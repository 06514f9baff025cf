"""Qualisys calibrations: *.qca.txt, and one video a camera, as Pose2Sim's projects have them.

A qca.txt holds 64ths of pixels and millimetres, its rotation's rows are right, up, backward, and
its coefficients are OpenCV's as they stand: Pose2Sim divides them by 64, too, but the checkerboard
calibration of the same cameras in its own repository (Calib_scene.toml, k1 -0.053, k2 0.151) agrees
with them undivided (-0.046, 0.140).
"""

import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np

from input_pipeline import capture, plain_files
from input_pipeline.importers import calibrated
from input_pipeline.pinhole import rigid


def matches(path: Path) -> Path | None:
    """Return the calibration that shows this layout."""
    return next(iter(_calibrations(path)), None)


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture, in metres.

    Raises:
      ValueError: several calibrations, a broken one, or videos that do not fit it.
    """
    files = _calibrations(path)
    found = f"calibrations {', '.join(map(str, files))}"
    plain_files.check_field(path, len(files) == 1, found, "one: move the others away")
    cameras = {name: c._replace(fps=fps) for name, c in read_qca(files[0]).items()}
    return [
        capture.make_capture(path.name, calibrated.make_rig(path, cameras), unit=1.0)
    ]


def _calibrations(path: Path) -> list[Path]:
    folders = path / "calibration", path
    found = [sorted(folder.glob("*.qca.txt")) for folder in folders]
    return found[0] or found[1]


def read_qca(file: Path) -> dict[str, calibrated.CalibratedCamera]:
    """Return cameras by name.

    Raises:
      ValueError: naming what is missing, or a camera that was turned.
    """
    with (
        plain_files.damage_of(file, "XML with cameras/camera"),
        plain_files.open_regular(file) as opened,
    ):
        cameras = xml.parse(opened).getroot().findall("cameras/camera")
    return {camera.get("serial", "?"): _camera(camera, file) for camera in cameras}


def _camera(camera: xml.Element, file: Path) -> calibrated.CalibratedCamera:
    where = f"{file}, camera {camera.get('serial', '?')}"
    turn = camera.get("viewrotation", "0")
    plain_files.check_field(where, turn == "0", f"viewrotation {turn}", "0")

    def take(part: str, *names: str) -> np.ndarray:
        element = camera.find(part)
        fields = {} if element is None else dict(element.attrib)
        values = [plain_files.field(fields, name, f"{where}, {part}") for name in names]
        return plain_files.numbers(values, (len(names),), f"{where}, {part}")

    fx, fy = take("intrinsic", "focalLengthU", "focalLengthV") / 64
    cx, cy, skew = take("intrinsic", "centerPointU", "centerPointV", "skew") / 64
    left, top, right, bottom = take("fov_video", "left", "top", "right", "bottom")
    k1, k2, k3 = take("intrinsic", *(f"radialDistortion{i}" for i in (1, 2, 3)))
    # Their spelling.
    p1, p2 = take("intrinsic", "tangentalDistortion1", "tangentalDistortion2")
    entries = take("transform", *(f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)))
    # Up and backward to down and forward.
    rotation = entries.reshape(3, 3) * np.array([[1], [-1], [-1]])
    center = take("transform", "x", "y", "z") / 1000
    return calibrated.CalibratedCamera(
        np.array([[fx, skew, cx - left], [0, fy, cy - top], [0, 0, 1]]),
        rigid(rotation, -rotation @ center),
        size=(round(bottom - top + 1), round(right - left + 1)),
        distortion=(k1, k2, p1, p2, k3),
    )
