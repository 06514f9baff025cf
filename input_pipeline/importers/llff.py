"""LLFF and DyNeRF (Neural 3D Video): poses_bounds.npy beside videos or pictures.

A row is a 3x5 matrix and two depth bounds: camera-to-world with axes down, right, backward, and a
column of height, width and focal length; the principal point is the middle
(https://github.com/Fyusion/LLFF).
"""

from pathlib import Path

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.conventions import homogeneous, to_opencv
from input_pipeline.footage import PICTURES, VIDEOS, has_one, listed, natural
from input_pipeline.importers.pairing import check_lengths
from input_pipeline.plain_files import load_array

NEEDS = "poses_bounds.npy, and one video (cam*.mp4), picture (images/) or folder (cam*/) a row"
REDUCED_FOLDERS = ("images_2", "images_4", "images_8")  # as LLFF's scripts name reduced pictures


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    return has_one(path, ("poses_bounds.npy",))


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
    films = _films(path, len(table))
    poses = table[:, :15].reshape(-1, 3, 5).astype(np.float64)
    views = []
    rows = dict(zip(sorted(films), poses, strict=True))
    for film, files in films.items():
        pose = rows[film]
        height, width, focal = pose[:, 4]
        lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        view = make_view(
            film.stem,
            files,
            lens,
            to_opencv(homogeneous(pose[:, :4]), "llff"),
            size=(round(height), round(width)),
            fps=fps,
            beside=path,
        )
        views.append(view)
    return [make_capture(path.name, views)]


def _films(path: Path, count: int) -> dict[Path, list[Path]]:
    """The first videos, photos or folders of frames that are as many as the poses, by their place.

    The film that photos were taken from may lie beside them, and frames in cam00/images.

    Raises:
      ValueError: none are, or folders of unequal length.
    """
    films = [listed(path / name, VIDEOS) for name in (".", "videos")]
    photos = [listed(path / name, PICTURES) for name in ("images", *REDUCED_FOLDERS)]
    films_of_views = [{file: [file] for file in files} for files in (*films, *photos)]
    folders = sorted((f for f in path.glob("cam*") if f.is_dir()), key=natural)
    frames = {f: listed(f / "images", PICTURES) or listed(f, PICTURES) for f in folders}
    films_of_views.append({f: files for f, files in frames.items() if files})
    fitting = [films for films in films_of_views if len(films) == count]
    if not fitting:
        counts = " or ".join(str(len(films)) for films in films_of_views if films) or "0"
        there = f"{count} poses and {counts} videos or pictures"
        raise ValueError(f"{path}: found {there}, expected as many")
    check_lengths({film.name: tuple(files) for film, files in fitting[0].items()}, path)
    return fitting[0]
