"""Grids from the folder of a run, with their config, and scenes from the files that hold one."""

from pathlib import Path
from typing import Any

from full4d_jax.grid import Grid, grid_from
from full4d_jax.scene.scene_arrays import from_arrays
from full4d_jax.session.errors import InputError, input_errors, require_file
from full4d_jax.session.stage_arrays import check_arrays
from full4d_jax.session.stages import Stages
from full4d_jax.source import row_and_column
from gaussians import Gaussians, Scene, load_any_ply, load_sog, load_splat, load_spz
from input_pipeline.plain_files import load_arrays, load_json

SOURCES = "the folder of a run, a .ply, .splat, .spz, .sog or .npz"


def read_grid(stages: Stages) -> tuple[Grid, dict[str, Any]]:
    """Load the grid in the folder of a run, whose cameras are known, and the config that made it.

    Raises:
      InputError: one of them is missing or not what `sample` leaves.
    """
    grid = posed_grid(stages)
    path = stages.folder / "config.json"
    do = f"run full4d sample SOURCE --out {stages.folder} first"
    with input_errors("output folder", do):
        saved = load_json(path)
    if not isinstance(saved, dict):
        raise InputError("saved config", path, type(saved).__name__, "a table of fields", do)
    return grid, saved


def posed_grid(stages: Stages) -> Grid:
    """Load the grid in the folder of a run, whose cameras are known.

    Raises:
      InputError: there is none, or its cameras are not known.
    """
    grid = grid_from(stages.finished("grid"))
    if grid.cameras is None:
        path = stages.folder / "grid.npz"
        found = f"a grid without cameras: {grid.about.unposed}".rstrip(": ")
        raise InputError("output folder", path, found, "one with them", row_and_column.FILM_ADVICE)
    return grid


def read_scene(path: Path) -> Scene | Gaussians:
    """Read the scene of a run's folder, or of a .ply, .splat, .spz, .sog or .npz file.

    Raises:
      InputError: There is none, or the file is damaged.
    """
    do = "give another file"
    if path.is_dir() or path.name == "scene.npz":
        return from_arrays(Stages(path if path.is_dir() else path.parent).finished("scene"))
    kinds = {
        ".splat": load_splat,
        ".spz": load_spz,
        ".sog": load_sog,
        ".ply": load_any_ply,
        ".npz": _read_arrays,
    }
    if path.suffix not in kinds:
        raise InputError("scene", path, path.suffix or "no suffix", SOURCES, do)
    require_file("scene", path, SOURCES, do)
    with input_errors("scene", do):
        return kinds[path.suffix](path)


def _read_arrays(path: Path) -> Scene:
    arrays = load_arrays(path)
    check_arrays("scene", arrays, str(path))
    return from_arrays(arrays)
