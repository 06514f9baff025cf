"""Grids from the folder of a run, and scenes from the files that hold one."""

from pathlib import Path
from typing import Any

import numpy as np

from full4d_jax.config.saved import check_saved
from full4d_jax.scene.scene_arrays import from_arrays
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.files import Arrays
from full4d_jax.session.stage_arrays import check_arrays
from full4d_jax.session.stages import Stages
from full4d_jax.source import two_videos
from gaussians import Gaussians, Scene, load_any_ply, load_splat
from input_pipeline.plain_files import load_arrays, load_json

SOURCES = "the folder of a run, a .ply, a .splat or an .npz"


def read_grid(stages: Stages) -> dict[str, Any]:
    """Load the grid in the folder of a run, its source and depth; return the config that made it.

    Raises:
      InputError: one of them is missing or not what `sample` leaves, or they do not fit together.
    """
    source, grid, depth = stages.finished("source"), posed_grid(stages), stages.finished("depth")
    do = f"run full4d sample SOURCE --out {stages.folder} first"
    views, *shape = grid["frames"].shape[:4]
    fitting = {
        "source": (source["frames"].shape[1:4], {(*shape,)}),
        "depth": (depth["depth"].shape, {(*shape,), (views, *shape), (views, shape[0], 0, 0)}),
        "grid": (grid.get("projection", grid["frames"][1:]).shape[:4], {(views - 1, *shape)}),
    }
    for name, (found, expected) in fitting.items():
        if found not in expected:
            like = f"arrays that fit the grid's {views} views of {shape}"
            raise InputError("output folder", stages.folder / f"{name}.npz", found, like, do)
    path = stages.folder / "config.json"
    with input_errors("output folder", do):
        saved = load_json(path)
    if said := check_saved(saved, str(path)):
        stages.say(f"note: {said}")
    return saved


def posed_grid(stages: Stages) -> Arrays:
    """Load the grid in the folder of a run, whose cameras are known.

    Raises:
      InputError: there is none, or its cameras are not known.
    """
    grid = stages.finished("grid")
    if "intrinsics" not in grid:
        why = str(stages.finished("source").get("unposed", ""))
        path, found = stages.folder / "grid.npz", f"a grid without cameras: {why}".rstrip(": ")
        raise InputError("output folder", path, found, "one with them", two_videos.DO)
    return grid


def is_captured(stages: Stages) -> bool:
    """Return whether all views of a run count alike: those of a capture, or of a filled grid."""
    depth = stages.arrays["depth"]
    if "of" not in depth:  # saved in format 2
        return depth["depth"].ndim == 4
    return str(depth["of"]) == "all views"


def is_enlarged(stages: Stages) -> bool:
    """Return whether the grid is larger than the prior knows, which then is not asked again."""
    return bool(stages.arrays["grid"].get("enlarged", np.False_))


def read_scene(path: Path) -> Scene | Gaussians:
    """Read the scene of a run's folder, or of a .ply (3DGS, packed, 4D), .splat or .npz file.

    Raises:
      InputError: There is none, or the file is damaged.
    """
    do = "give another file"
    if path.is_dir() or path.name == "scene.npz":
        return from_arrays(Stages(path if path.is_dir() else path.parent).finished("scene"))
    kinds = {".splat": load_splat, ".ply": load_any_ply, ".npz": _read_arrays}
    if path.suffix not in kinds:
        raise InputError("scene", path, path.suffix or "no suffix", SOURCES, do)
    if not path.is_file():
        raise InputError("scene", path, "no such file", SOURCES, do)
    with input_errors("scene", do):
        return kinds[path.suffix](path)


def _read_arrays(path: Path) -> Scene:
    arrays = load_arrays(path)
    check_arrays("scene", arrays, str(path))
    return from_arrays(arrays)
