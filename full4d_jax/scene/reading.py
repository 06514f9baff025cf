"""Scenes from the files that hold one."""

from pathlib import Path

from full4d_jax.scene.scene_arrays import from_arrays
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.files import read_arrays
from full4d_jax.session.stages import Stages
from gaussians import Gaussians, Scene, load_any_ply, load_splat

SOURCES = "the folder of a run, a .ply, a .splat or an .npz"


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
    try:
        return from_arrays(read_arrays(path))
    except KeyError as missing:
        found, do = f"no array {missing}", "give a scene.npz of a run"
        raise InputError("scene", path, found, "the arrays of a scene", do) from None
