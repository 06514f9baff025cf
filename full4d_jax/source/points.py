"""Points of a scene that a fit starts from: COLMAP's, or those of a PLY file."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.session.errors import InputError, input_errors, require_file
from gaussians.formats.ply_tables import read_tables
from input_pipeline.importers.colmap_files import read_points

KINDS = "points3D.bin, points3D.txt or a .ply file"


def load_points(path: Path, pose: Float[ndarray, "4 4"], unit: float) -> Float[ndarray, "n 6"]:
    """Return positions in our world and colours in [0, 1]; grey where a PLY file has none.

    Args:
      path: of the file, in the world of the capture's cameras.
      pose: from there to our world's axes.
      unit: how much of that world one of our units is.

    Raises:
      InputError: the file is missing, damaged or of another kind.
    """
    do = "give another file as --points"
    require_file("points", path, KINDS, do)
    if path.suffix not in (".bin", ".txt", ".ply"):
        raise InputError("points", path, path.suffix or "no suffix", KINDS, do)
    with input_errors("points", do):
        if path.suffix == ".ply":
            places, colors = _of_ply(path)
        else:
            places, levels = read_points(path)
            colors = levels / 255
    moved = (places @ pose[:3, :3].T + pose[:3, 3]) / unit
    return np.concatenate([moved, colors], 1)


def _of_ply(path: Path) -> tuple[Float[ndarray, "n 3"], Float[ndarray, "n 3"]]:
    vertex = read_tables(path)["vertex"]
    if missing := [name for name in "xyz" if name not in vertex]:
        raise ValueError(f"{path}: found no {' '.join(missing)}, expected points x y z")
    places = np.stack([vertex[name] for name in "xyz"], 1).astype(np.float64)
    names = ("red", "green", "blue")
    if not all(name in vertex for name in names):
        return places, np.full_like(places, 0.5)
    colors = np.stack([vertex[name] for name in names], 1)
    return places, colors / (255.0 if colors.dtype.kind in "ui" else 1.0)
