"""TUM RGB-D: rgb.txt, depth.txt and groundtruth.txt, one hand-held camera with measured depth.

A row of the first two is a time and a file, of the third a time, the camera's place (metres) and
its rotation (qx qy qz qw) in the world, in OpenCV axes. Depth is registered to the colour pictures,
5000 levels a metre. The lens is the driver's for all sequences, as the authors recommend for depth
that was registered with it. Format: https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from input_pipeline.cameras import invert
from input_pipeline.capture import Capture, make_capture, make_view

FILES = ("rgb.txt", "depth.txt", "groundtruth.txt")
NEEDS = "rgb.txt, depth.txt and groundtruth.txt"
# Their pixel centres are whole numbers, ours lie at +0.5: 319.5 and 239.5 are the middle.
LENS = np.array([[525, 0, 320], [0, 525, 240], [0, 0, 1]], np.float64)
SIZE = (480, 640)  # rows and columns that the lens is of
LEVELS = 5000  # of a depth picture in a metre
MOST_APART = 0.02  # seconds between what counts as one instant, as in their associate.py


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    missing = [name for name in FILES if not (path / name).is_file()]
    return (False, f"no {', '.join(missing)}") if missing else (True, f"{NEEDS} are there")


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture of one view: the pictures that have depth and a pose at their time.

    Raises:
      ValueError: a row is not what it should be, or no picture has depth and a pose.
    """
    del fps  # the files have times
    times, pictures = _files(path / "rgb.txt")
    depth_times, depth_files = _files(path / "depth.txt")
    pose_times, poses = _poses(path / "groundtruth.txt")
    depth, depth_apart = _nearest(depth_times, times)
    pose, pose_apart = _nearest(pose_times, times)
    rows = np.flatnonzero(np.maximum(depth_apart, pose_apart) <= MOST_APART)
    if not len(rows):
        found = f"no picture with depth and a pose within {MOST_APART} s"
        raise ValueError(f"{path / 'rgb.txt'}: found {found}, expected at least one")
    view, note = make_view(
        "camera",
        [path / pictures[i] for i in rows],
        LENS,
        invert(poses[pose[rows]]),
        size=SIZE,
        timestamps=times[rows] - times[rows[0]],
        depth=[path / depth_files[depth[i]] for i in rows],
        depth_scale=1 / LEVELS,
    )
    left_out = len(times) - len(rows)
    notes = [f"{left_out} of {len(times)} pictures have no depth or no pose"] if left_out else []
    capture = make_capture(
        path.name, [(view, note)], unit=1.0, source=f"TUM RGB-D, {path.name}", notes=notes
    )
    return [capture]


def _rows(file: Path) -> list[list[str]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]


def _files(file: Path) -> tuple[Float[ndarray, " n"], list[str]]:
    rows = _rows(file)
    for row in rows:
        if len(row) != 2:
            raise ValueError(f"{file}: found {' '.join(row)!r}, expected a time and a file")
    return _numbers(file, [row[:1] for row in rows], 1)[:, 0], [row[1] for row in rows]


def _poses(file: Path) -> tuple[Float[ndarray, " n"], Float[ndarray, "n 4 4"]]:
    """Return times and camera-to-world."""
    table = _numbers(file, _rows(file), 8)
    lengths = np.linalg.norm(table[:, 4:], axis=1, keepdims=True)
    if (np.abs(lengths - 1) > 0.01).any():
        worst = lengths[np.abs(lengths - 1).argmax(), 0]
        raise ValueError(f"{file}: found a rotation of length {worst:.3g}, expected 1")
    x, y, z, w = (table[:, 4:] / lengths).T
    poses = np.tile(np.eye(4), (len(table), 1, 1))
    poses[:, 0, :3] = np.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], 1
    )
    poses[:, 1, :3] = np.stack(
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], 1
    )
    poses[:, 2, :3] = np.stack(
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], 1
    )
    poses[:, :3, 3] = table[:, 1:4]
    return table[:, 0], poses


def _numbers(file: Path, rows: list[list[str]], columns: int) -> Float[ndarray, "n k"]:
    """Return rows of finite numbers, of which the first are times in order."""
    try:
        table = np.array(rows, np.float64).reshape(-1, columns)
    except ValueError:
        expected = f"rows of {columns} numbers"
        raise ValueError(f"{file}: found something else, expected {expected}") from None
    rises = bool((np.diff(table[:, 0]) > 0).all())
    if not len(table) or not np.isfinite(table).all() or not rises:
        found = f"{len(table)} rows" if rises else "times that go back"
        raise ValueError(f"{file}: found {found}, expected rows of finite numbers in order of time")
    return table


def _nearest(
    times: Float[ndarray, " n"], wanted: Float[ndarray, " m"]
) -> tuple[ndarray, Float[ndarray, " m"]]:
    """Return which time is nearest to each of those wanted, and by how many seconds it misses."""
    after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    is_before = np.abs(times[before] - wanted) <= np.abs(times[after] - wanted)
    nearest = np.where(is_before, before, after)
    return nearest, np.abs(times[nearest] - wanted)
