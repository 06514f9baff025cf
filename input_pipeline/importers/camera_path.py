"""The path of one moving camera: JSON of ours or nerfstudio's, or a COLMAP model, no pictures.

Our JSON holds `world_to_camera`, (n 4 4) or (1 n 4 4), and if known `intrinsics` (3 3) or (1 3 3)
of pictures of `image_size` [width, height], `times` (n,) in [0, 1] and `fps`. nerfstudio writes
camera_path.json of a video, and transforms.json of pictures. Frames of COLMAP and transforms.json
are sorted by their names, whose numbers must follow one another evenly: a frame that was left out
would shift all that follow.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from input_pipeline import conventions, lenses, media_files
from input_pipeline.importers import calibrated, colmap
from input_pipeline.importers.colmap import model_files
from input_pipeline.importers.transforms_json import FILE as TRANSFORMS
from input_pipeline.importers.transforms_json import read_moving_camera
from input_pipeline.pinhole import check_cameras, check_poses
from input_pipeline.plain_files import (
    check_field,
    field,
    field_number,
    field_numbers,
    load_json,
    named,
    numbers,
)


class CameraPath(NamedTuple):
    """A camera's poses in order of time, in any world and unit, and its lens if known.

    Attributes:
      world_to_camera: OpenCV axes.
      intrinsics: pixels of pictures of `size`.
      size: rows and columns.
      times: when in the clip each picture is taken, from 0 to 1.
      fps: pictures per second of a video along the path.
    """

    world_to_camera: Float64[np.ndarray, "n 4 4"]
    intrinsics: Float64[np.ndarray, "3 3"] | None = None
    size: tuple[int, int] | None = None
    times: Float64[np.ndarray, "n"] | None = None
    fps: float | None = None


def path_files(path: Path) -> list[Path]:
    """Return the files that `read_path` reads; none where it finds nothing to read."""
    if path.is_file():
        is_model = path.suffix in (".bin", ".txt") and path.stem in (
            "images",
            "cameras",
        )
        return model_files(path.parent) if is_model else [path]
    folders = [path] if model_files(path) else colmap.model_folders(path)
    files = [file for folder in folders for file in model_files(folder)]
    transforms = media_files.first_file(path, (TRANSFORMS,))
    return files or ([transforms] if transforms else [])


def read_path(path: Path) -> CameraPath:
    """Read a JSON file, a folder with a COLMAP model or transforms.json, or a file of one of these.

    Raises:
      ValueError: naming the file and what is missing, damaged or impossible there.
    """
    files = path_files(path)
    nothing = "neither a COLMAP model nor transforms.json"
    found = nothing if path.is_dir() else "no such file"
    check_field(path, files, found, "the poses of a camera")
    camera_path = _from_json(files[0]) if len(files) == 1 else _from_colmap(files)
    if camera_path.size is not None:
        rows, columns = camera_path.size
        found = f"pictures of {columns}x{rows}"
        check_field(path, min(rows, columns) >= 1, found, "at least 1x1")
    with named(f"{path}, "):
        check_poses(camera_path.world_to_camera[None])
        if camera_path.intrinsics is not None:
            check_cameras(
                camera_path.intrinsics[None], camera_path.world_to_camera[None]
            )
    return camera_path


def _from_json(file: Path) -> CameraPath:
    table = load_json(file)
    if isinstance(table, dict) and "frames" in table:
        names, poses, lens, size = read_moving_camera(file)
        return CameraPath(poses[_order(file, names)], lens, size)
    is_nerfstudio = isinstance(table, dict) and "camera_path" in table
    path = (_nerfstudio if is_nerfstudio else _ours)(str(file), table)
    if path.times is not None:
        low, high = path.times.min(), path.times.max()
        found = f"{low:g} to {high:g}"
        fits = low >= 0 and high <= 1
        check_field(f"{file}, times", fits, found, "times from 0 to 1")
    if "fps" not in table:
        return path
    fps = field_number(table, "fps", str(file))
    check_field(f"{file}, fps", 0.1 <= fps <= 240, f"{fps:g}", "0.1 to 240")
    return path._replace(fps=fps)


def _ours(where: str, table: Any) -> CameraPath:
    listed = field(table, "world_to_camera", where)
    poses = numbers(listed, np.shape(listed), f"{where}, world_to_camera")
    poses = poses[0] if poses.ndim == 4 and len(poses) == 1 else poses
    fits = poses.ndim == 3 and len(poses)
    expected = "(n, 4, 4) or (1, n, 4, 4)"
    check_field(f"{where}, world_to_camera", fits, f"shape {poses.shape}", expected)
    path = CameraPath(poses)
    if "times" in table:
        path = path._replace(times=field_numbers(table, "times", (len(poses),), where))
    if not {"intrinsics", "image_size"} <= set(table):
        return path
    lens = numbers(np.squeeze(table["intrinsics"]), (3, 3), f"{where}, intrinsics")
    columns, rows = field_numbers(table, "image_size", (2,), where)
    return path._replace(intrinsics=lens, size=(round(rows), round(columns)))


def _nerfstudio(where: str, table: dict[str, Any]) -> CameraPath:
    """Return the path of nerfstudio's camera_path.json: a pose, and a vertical fov, a picture."""
    rows = round(field_number(table, "render_height", where))
    columns = round(field_number(table, "render_width", where))
    kind = table.get("camera_type", "perspective")
    fits = kind == "perspective"
    check_field(f"{where}, camera_type", fits, repr(kind), "perspective")
    cameras = table["camera_path"]
    check_field(f"{where}, camera_path", cameras, f"{len(cameras)} cameras", "some")
    fovs = [field_number(camera, "fov", where) for camera in cameras]
    flat = [np.ravel(field(camera, "camera_to_world", where)) for camera in cameras]
    poses = numbers(flat, (len(cameras), 16), f"{where}, camera_to_world").reshape(
        -1, 4, 4
    )
    one = np.ptp(fovs) <= 1e-6 and 0 < fovs[0] < 180
    found = f"{min(fovs):g} to {max(fovs):g}"
    check_field(f"{where}, fov", one, found, "one number of degrees for all")
    focal = rows / 2 / np.tan(np.radians(fovs[0]) / 2)
    lens = lenses.lens_matrix(focal, focal, columns / 2, rows / 2)
    times = None
    if all("render_time" in camera for camera in cameras):
        listed = [camera["render_time"] for camera in cameras]
        times = numbers(listed, (len(cameras),), f"{where}, render_time")
    world_to_camera = conventions.to_opencv(poses, "opengl")
    return CameraPath(world_to_camera, lens, (rows, columns), times)


def _from_colmap(files: Sequence[Path]) -> CameraPath:
    folders = list(dict.fromkeys(file.parent for file in files))
    (folder, model), *smaller = colmap.read_models(folders)
    names, cameras = zip(*model, strict=True)
    # Each model has a world of its own, and frames lost at an end would shift no number.
    lost = {name for _, images in smaller for name, _ in images} - {*names}
    found = f"no pose of {sorted(lost)[:1]}, which another model has"
    check_field(
        folder, not lost, found, "all frames in one model, or the folder of one"
    )
    joined = calibrated.join_poses(cameras, str(folder))
    order = _order(folder, names)
    return CameraPath(joined.world_to_camera[order], joined.intrinsics, joined.size)


def _order(where: Path, names: Sequence[str]) -> list[int]:
    """Return the frames' order by name.

    Raises:
      ValueError: the numbers in the names leave some out.
    """
    order = sorted(range(len(names)), key=lambda i: media_files.natural(names[i]))
    digits = [re.findall(r"\d+", Path(names[i]).stem) for i in order]
    if len(order) < 3 or not all(digits):
        return order
    steps = np.diff([int(found[-1]) for found in digits])
    jumps = np.flatnonzero(steps != np.median(steps))
    if jumps.size:
        before, after = (names[i] for i in order[jumps[0] :][:2])
        raise ValueError(
            f"{where}: found {after} after {before}, expected frames in equal steps, none lost"
        )
    return order
