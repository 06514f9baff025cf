"""LLFF and DyNeRF (Neural 3D Video): poses_bounds.npy beside videos or pictures.

A row is a 3x5 matrix and two depth bounds: camera-to-world with axes down, right, backward, and a
column of height, width and focal length; the principal point is the middle
(https://github.com/Fyusion/LLFF).
"""

from pathlib import Path

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.conventions import homogeneous, to_opencv
from input_pipeline.footage import PICTURES, VIDEOS, beside, listed, load_array

NEEDS = "poses_bounds.npy, and one video (cam*.mp4) or picture (images/) a row"


def matches(path: Path) -> tuple[bool, str]:
    """Whether the folder is of this layout, and why."""
    if (path / "poses_bounds.npy").is_file():
        return True, "poses_bounds.npy is there"
    return False, "no poses_bounds.npy"


def read(path: Path, fps: float | None) -> list[Capture]:
    """One capture; rows belong to the files in the order of their names as LLFF sorts them, by
    character (cam10 before cam2).

    Raises:
      ValueError: a broken table, or as many files as rows are not there.
    """
    file = path / "poses_bounds.npy"
    table = load_array(file, "(n 17)")
    real = table.dtype.kind in "fiu" and table.ndim == 2 and table.shape[1] == 17
    if not real or not np.isfinite(table).all():
        raise ValueError(f"{file}: found {table.dtype} {table.shape}, expected finite (n 17)")
    files = (
        listed(path, VIDEOS) or listed(path / "videos", VIDEOS) or listed(path / "images", PICTURES)
    )
    if len(files) != len(table):
        found = f"{len(table)} poses and {len(files)} videos or pictures"
        raise ValueError(f"{path}: found {found}, expected as many")
    poses = table[:, :15].reshape(-1, 3, 5).astype(np.float64)
    views = []
    rows = dict(zip(sorted(files), poses, strict=True))
    for film in files:
        pose = rows[film]
        height, width, focal = pose[:, 4]
        lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        view = make_view(
            film.stem,
            [film],
            lens,
            to_opencv(homogeneous(pose[:, :4]), "llff"),
            size=(round(height), round(width)),
            fps=fps,
            depth=beside(path, "depth", film.stem),
            masks=beside(path, "masks", film.stem),
        )
        views.append(view)
    return [make_capture(path.name, views)]
