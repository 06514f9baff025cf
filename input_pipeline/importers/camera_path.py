"""The path of one moving camera: our JSON, a COLMAP model, or transforms.json; no pictures needed.

Our JSON holds `world_to_camera`, (n 4 4) or (1 n 4 4), and if known `intrinsics` (3 3) or (1 3 3)
of pictures of `image_size` [width, height]. Frames of the others are sorted by their names, whose
numbers must follow one another evenly: a frame that was left out would shift all that follow.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from input_pipeline.cameras import check_cameras, check_poses
from input_pipeline.footage import natural
from input_pipeline.importers.colmap import MODELS
from input_pipeline.importers.colmap_files import has_model, read_model
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


def path_files(path: Path) -> list[Path]:
    """Return the files that `read_path` reads; none where it finds nothing to read."""
    if path.is_file():
        named = path.suffix in (".bin", ".txt") and path.stem in ("images", "cameras")
        return _model_files(path.parent) if named else [path]
    model = _model(path)
    if model is not None:
        return _model_files(model)
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
    if not {"intrinsics", "image_size"} <= set(table):
        return CameraPath(poses, None, None)
    lens = numbers(np.squeeze(table["intrinsics"]), (3, 3), f"{file}, intrinsics")
    columns, rows = numbers(table["image_size"], (2,), f"{file}, image_size")
    return CameraPath(poses, lens, (round(rows), round(columns)))


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


def _checked(path: Path, found: CameraPath) -> CameraPath:
    try:
        check_poses(found.world_to_camera[None])
        if found.intrinsics is not None:
            check_cameras(found.intrinsics[None], found.world_to_camera[None])
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None
    return found


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
    return next((f for f in (folder, *(folder / name for name in MODELS)) if has_model(f)), None)


def _model_files(folder: Path) -> list[Path]:
    """Return the two files of a model, binary ones first, as `read_model` does."""
    for end in ("bin", "txt"):
        files = [folder / f"cameras.{end}", folder / f"images.{end}"]
        if all(file.is_file() for file in files):
            return files
    return []
