"""4D scenes as PLY files: one file that keeps everything, or a folder with a file for each instant.

The 4D file is a 3DGS file of every Gaussian at its own moment, with further properties that tools
for still scenes ignore. It keeps everything; players of FreeTimeGS open `ftgs_ply.py`'s instead.
Time runs from 0 to 1:

    time           when it is most visible, clips
    duration       for how long, one standard deviation, clips
    vx vy vz       velocity, world units per clip
    log_duration   natural logarithm of duration, exactly as fitted; read in its place
    logit_gate     share of the opacity that is always there, before the sigmoid

Files of other tools lack the last two: the gate is then 0, and `duration` is read.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.deformation import Scene
from gaussians.formats.ftgs_ply import is_ftgs, read_ftgs
from gaussians.formats.ply import load_ply, read_splats, save_ply, scene_in, splat_columns
from gaussians.formats.ply_tables import Tables, read_columns, read_tables, write_tables
from gaussians.formats.scene_files import LARGEST_LOGIT, FormatError, check_finite, check_to_write
from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians

COMMON = ["time", "duration", "vx", "vy", "vz"]
OURS = ["log_duration", "logit_gate"]


def save_dynamic_ply(path: str | Path, scene: DynamicGaussians) -> None:
    """Write a 4D scene without loss.

    Raises:
      FormatError: The scene is of another kind, or a file cannot hold it, see `arrays_to_write`.
    """
    if not isinstance(scene, DynamicGaussians):
        raise FormatError(Path(path), "scene", type(scene).__name__, "DynamicGaussians")
    columns = splat_columns(path, scene.gaussians)
    moving = [np.asarray(x, np.float32) for x in scene[1:]]
    for name, values, more in zip(scene._fields[1:], moving, ((3,), (), (), ()), strict=True):
        if values.shape != (shape := (len(columns["x"]), *more)):
            raise FormatError(Path(path), name, f"shape {values.shape}", shape)
        check_to_write(path, name, values)
    velocities, moments, log_durations, logit_gates = moving
    # Wide enough for any float32 whose exponential a float32 can hold.
    durations = np.exp(np.clip(log_durations, -87, 88))
    names = dict(zip(COMMON, [moments, durations, *velocities.T], strict=True))
    names |= dict(zip(OURS, [log_durations, logit_gates], strict=True))
    write_tables(path, {"vertex": columns | names})


def load_dynamic_ply(path: str | Path) -> DynamicGaussians:
    """Read a 4D scene; files of `save_dynamic_ply` are read exactly.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not a complete 4D scene.
    """
    path = Path(path)
    return _read(path, read_tables(path))


def load_any_ply(path: str | Path) -> Gaussians | DynamicGaussians:
    """Read a 4D scene if the file has its properties, else a still one; raises like `load_ply`."""
    path = Path(path)
    tables = read_tables(path)
    if is_ftgs(tables):
        return read_ftgs(path, tables)
    if "time" in tables["vertex"]:
        return _read(path, tables)
    return scene_in(path, tables)


def _read(path: Path, tables: Tables) -> DynamicGaussians:
    gaussians = read_splats(path, tables)
    ours = tables["vertex"].keys() >= set(OURS)
    names = COMMON + OURS * ours
    columns = read_columns(path, tables, "vertex", names)
    check_finite(path, [f"property {name}" for name in names], columns)
    moments = columns[:, 0]
    durations = columns[:, 1]
    velocities = columns[:, 2:5]
    if durations.min() <= 0:
        raise FormatError(path, "property duration", durations.min(), "positive numbers")
    log_durations = np.log(durations)
    logit_gates = np.full_like(durations, -LARGEST_LOGIT)
    if ours:
        log_durations = columns[:, 5]
        logit_gates = columns[:, 6]
    moving = (velocities, moments, log_durations, logit_gates)
    return DynamicGaussians(gaussians, *map(jnp.asarray, moving))


def save_ply_sequence(folder: str | Path, scene: Scene, count: int) -> None:
    """Write `count` evenly spaced instants from the first to the last: 0000.ply, ...

    Raises:
      FormatError: The count is below 1, or the folder holds other .ply files, which would be
        read as instants, too.
    """
    folder = Path(folder)
    if count < 1:
        raise FormatError(folder, "count", count, "at least 1")
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:04d}.ply" for i in range(count)]
    foreign = {path.name for path in folder.glob("*.ply")} - set(names)
    if foreign:
        expected = f"no .ply files beyond {names[-1]}"
        raise FormatError(folder, "content", min(foreign), expected)
    at = jax.jit(type(scene).at)
    partial = folder / f".partial-{os.getpid()}"
    partial.unlink(missing_ok=True)  # which may be a link to somewhere else
    try:
        for name, time in zip(names, np.linspace(0, 1, count, dtype=np.float32), strict=True):
            save_ply(partial, at(scene, time))
            partial.replace(folder / name)
    finally:
        partial.unlink(missing_ok=True)


def load_ply_sequence(folder: str | Path) -> list[Gaussians]:
    """Read every .ply file of a folder, in the order of their names.

    Raises:
      FileNotFoundError: The folder has no .ply files.
      FormatError: A file is not a complete scene.
    """
    paths = sorted(Path(folder).glob("*.ply"))
    if not paths:
        raise FileNotFoundError(f"{folder}: found no .ply files, expected one an instant")
    return [load_ply(path) for path in paths]
