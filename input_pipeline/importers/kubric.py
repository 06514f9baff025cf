"""Kubric: metadata.json, rgba_NNNNN.png and depth_NNNNN.tiff, a rendered film with its own depth.

The metadata hold the camera's place, its rotation (w x y z, camera to world, OpenGL axes) at each
frame, and its lens in millimetres. Depth is the distance from the camera's centre along the ray, as
`process_depth` of kubric/renderer/blender_utils.py makes it of Blender's z. The world is in metres,
as its gravity is. Format: https://github.com/google-research/kubric (kubric/utils.py and
kubric/file_io.py)
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from input_pipeline.cameras import rigid
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.conventions import to_opencv
from input_pipeline.footage import picture_size
from input_pipeline.plain_files import field, load_json, numbers

FILE = "metadata.json"
NEEDS = "metadata.json and rgba_00000.png, rgba_00001.png, ..."


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    missing = [name for name in (FILE, "rgba_00000.png") if not (path / name).is_file()]
    return (False, f"no {', '.join(missing)}") if missing else (True, f"{NEEDS} are there")


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture of one view.

    Raises:
      ValueError: naming the field of metadata.json that is missing or impossible.
    """
    where = str(path / FILE)
    table = load_json(path / FILE)
    camera = field(table, "camera", where)
    pictures = sorted(path.glob("rgba_[0-9]*.png"))
    count = len(pictures)
    places = numbers(field(camera, "positions", where), (count, 3), f"{where}, positions")
    turns = numbers(field(camera, "quaternions", where), (count, 4), f"{where}, quaternions")
    lengths = np.linalg.norm(turns, axis=1)
    if (np.abs(lengths - 1) > 0.01).any():
        worst = lengths[np.abs(lengths - 1).argmax()]
        raise ValueError(f"{where}, quaternions: found a length of {worst:.3g}, expected 1")
    rotations = Rotation.from_quat(turns, scalar_first=True).as_matrix()
    rows, columns = picture_size(pictures[0])
    focal = _above_zero(camera, "focal_length", where)
    focal *= columns / _above_zero(camera, "sensor_width", where)
    if fps is None:
        fps = _above_zero(field(table, "metadata", where), "frame_rate", where)
    depth = [path / f"depth_{picture.stem.removeprefix('rgba_')}.tiff" for picture in pictures]
    has_depth = any(file.is_file() for file in depth)
    view, note = make_view(
        "camera",
        pictures,
        np.array([[focal, 0, columns / 2], [0, focal, rows / 2], [0, 0, 1]]),
        to_opencv(rigid(rotations, places), "opengl"),
        timestamps=np.arange(count) / fps,
        depth=depth if has_depth else (),
    )
    view = view._replace(depth_is_distance=has_depth)
    return [make_capture(path.name, [(view, note)], unit=1.0, source="Kubric")]


def _above_zero(table: object, name: str, where: str) -> float:
    """Return a number of a table that is finite and above 0."""
    value = float(numbers(field(table, name, where), (), f"{where}, {name}"))
    if value <= 0:
        raise ValueError(f"{where}, {name}: found {value:g}, expected a number above 0")
    return value
