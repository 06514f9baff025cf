"""The path of one moving camera: JSON of ours or nerfstudio's, or a COLMAP model, no pictures.

Our JSON holds `world_to_camera`, (n 4 4) or (1 n 4 4), and if known `intrinsics` (3 3) or (1 3 3)
of pictures of `image_size` [width, height], `times` (n,) in [0, 1] and `fps`. nerfstudio writes
camera_path.json of a film, and transforms.json of pictures. Frames of COLMAP and transforms.json
are sorted by their names, whose numbers must follow one another evenly: a frame that was left out
would shift all that follow.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from input_pipeline.cameras import check_cameras, check_poses
from input_pipeline.conventions import to_opencv
from input_pipeline.footage import natural
from input_pipeline.importers.colmap import MODELS
from input_pipeline.importers.colmap_files import model_files, read_model
from input_pipeline.importers.transforms_json import read_moving_camera
from input_pipeline.plain_files import field, load_json, numbers

TRANSFORMS = "transforms.json"


class CameraPath(NamedTuple):
    """A camera's poses in order of time, in any world and unit, and its lens if known."""

    world_to_camera: Float64[np.ndarray, "n 4 4"]
    """OpenCV axes."""
    intrinsics: Float64[np.ndarray, "3 3"] | None
    """Pixels of pictures of `size`."""
    size: tuple[int, int] | None
    """Rows and columns."""
    times: Float64[np.ndarray, "n"] | None = None
    """When in the clip each picture is taken, from 0 to 1."""
    fps: float | None = None
    """Pictures per second of a film along the path."""


def path_files(path: Path) -> list[Path]:
    """Return the files that `read_path` reads; none where it finds nothing to read."""
    if path.is_file():
        named = path.suffix in (".bin", ".txt") and path.stem in ("images", "cameras")
        return model_files(path.parent) if named else [path]
    model = _model(path)
    if model is not None:
        return model_files(model)
    return [path / TRANSFORMS] if (path / TRANSFORMS).is_file() else []


def read_path(path: Path) -> CameraPath:
    """Read a JSON file, a folder with a COLMAP model or transforms.json, or a file of one of these.

    Raises:
      ValueError: naming the file and what is missing, damaged or impossible there.
    """
    files = path_files(path)
    if not files:
        found = "neither a COLMAP model nor transforms.json" if path.is_dir() else "no such file"
        raise ValueError(f"{path}: found {found}, expected the poses of a camera")
    if len(files) == 2:
        return _checked(path, _from_colmap(files[0].parent))
    table = load_json(files[0])
    if isinstance(table, dict) and "frames" in table:
        names, poses, lens, size = read_moving_camera(files[0])
        return _checked(path, CameraPath(poses[_order(files[0], names)], lens, size))
    if isinstance(table, dict) and "camera_path" in table:
        return _checked(path, _nerfstudio(files[0], table))
    return _checked(path, _ours(files[0], table))


def _ours(file: Path, table: object) -> CameraPath:
    listed = field(table, "world_to_camera", str(file))
    assert isinstance(table, dict), "it has a field"
    poses = numbers(listed, np.shape(listed), f"{file}, world_to_camera")
    if poses.ndim == 4 and len(poses) == 1:
        poses = poses[0]
    if poses.ndim != 3 or not len(poses):
        expected = "expected (n, 4, 4) or (1, n, 4, 4)"
        raise ValueError(f"{file}, world_to_camera: found shape {poses.shape}, {expected}")
    times = None
    if "times" in table:
        times = _times(table["times"], len(poses), f"{file}, times")
    fps = _fps(table, file)
    if not {"intrinsics", "image_size"} <= set(table):
        return CameraPath(poses, None, None, times, fps)
    lens = numbers(np.squeeze(table["intrinsics"]), (3, 3), f"{file}, intrinsics")
    columns, rows = numbers(table["image_size"], (2,), f"{file}, image_size")
    return CameraPath(poses, lens, (round(rows), round(columns)), times, fps)


def _nerfstudio(file: Path, table: dict) -> CameraPath:
    """Return the path of nerfstudio's camera_path.json: a pose, and a vertical fov, a picture."""
    size = [
        round(float(numbers(field(table, name, str(file)), (), f"{file}, {name}")))
        for name in ("render_height", "render_width")
    ]
    rows, columns = size
    cameras = field(table, "camera_path", str(file))
    if not isinstance(cameras, list) or not cameras or min(size) < 1:
        found = f"{len(cameras) if isinstance(cameras, list) else 'no list of'} cameras, {size}"
        raise ValueError(
            f"{file}, camera_path: found {found}, expected cameras and sizes of pictures"
        )
    if table.get("camera_type", "perspective") != "perspective":
        found = repr(table["camera_type"])
        raise ValueError(f"{file}, camera_type: found {found}, expected perspective")
    places = [f"{file}, camera_path {i}" for i in range(len(cameras))]
    poses = []
    fovs = []
    for camera, where in zip(cameras, places, strict=True):
        flat = np.ravel(field(camera, "camera_to_world", where))
        poses.append(numbers(flat, (16,), f"{where}, camera_to_world").reshape(4, 4))
        fovs.append(float(numbers(field(camera, "fov", where), (), f"{where}, fov")))
    if np.ptp(fovs) > 1e-6 or not 0 < fovs[0] < 180:
        found = f"{min(fovs):g} to {max(fovs):g}"
        raise ValueError(f"{file}, fov: found {found}, expected one number of degrees for all")
    focal = rows / 2 / np.tan(np.radians(fovs[0]) / 2)
    lens = np.array([[focal, 0, columns / 2], [0, focal, rows / 2], [0, 0, 1]])
    times = None
    if all("render_time" in camera for camera in cameras):
        listed = [camera["render_time"] for camera in cameras]
        times = _times(listed, len(cameras), f"{file}, render_time")
    poses = to_opencv(np.stack(poses), "opengl")
    return CameraPath(poses, lens, (rows, columns), times, _fps(table, file))


def _times(listed: object, count: int, where: str) -> np.ndarray:
    times = numbers(listed, (count,), where)
    if times.min() < 0 or times.max() > 1:
        found = f"{times.min():g} to {times.max():g}"
        raise ValueError(f"{where}: found {found}, expected times from 0 to 1")
    return times


def _fps(table: dict, file: Path) -> float | None:
    if "fps" not in table:
        return None
    fps = float(numbers(table["fps"], (), f"{file}, fps"))
    if not 0.1 <= fps <= 240:
        raise ValueError(f"{file}, fps: found {fps:g}, expected 0.1 to 240")
    return fps


def _from_colmap(folder: Path) -> CameraPath:
    lenses, images = read_model(folder)
    used = {repr(lenses[image.camera]) for image in images}
    if len(used) > 1:
        found = f"{len(used)} lenses"
        raise ValueError(f"{folder}: found {found}, expected one (COLMAP's --single_camera)")
    lens = lenses[images[0].camera]
    poses = np.stack([image.world_to_camera for image in images])
    order = _order(folder, [image.name for image in images])
    return CameraPath(poses[order], lens.intrinsics, lens.size)


def _checked(path: Path, camera_path: CameraPath) -> CameraPath:
    if camera_path.size is not None and min(camera_path.size) < 1:
        rows, columns = camera_path.size
        raise ValueError(f"{path}: found pictures of {columns}x{rows}, expected at least 1x1")
    try:
        check_poses(camera_path.world_to_camera[None])
        if camera_path.intrinsics is not None:
            check_cameras(camera_path.intrinsics[None], camera_path.world_to_camera[None])
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None
    return camera_path


def _order(where: Path, names: Sequence[str]) -> list[int]:
    """Return the frames' order by name.

    Raises:
      ValueError: the numbers in the names leave some out.
    """
    order = sorted(range(len(names)), key=lambda i: natural(names[i]))
    numbers = [re.findall(r"\d+", Path(names[i]).stem) for i in order]
    if len(order) < 3 or not all(numbers):
        return order
    numbered = np.array([int(digits[-1]) for digits in numbers])
    steps = np.diff(numbered)
    jump = np.flatnonzero(steps != np.median(steps))
    if jump.size:
        after = names[order[jump[0] + 1]]
        found_names = f"{after} after {names[order[jump[0]]]}"
        raise ValueError(f"{where}: found {found_names}, expected frames in equal steps, none lost")
    return order


def _model(folder: Path) -> Path | None:
    return next((f for f in (folder, *(folder / name for name in MODELS)) if model_files(f)), None)
