"""4D scenes as PLY files: two kinds of one file, or a folder with a file for each instant.

Either file is a 3DGS file of every Gaussian at its own moment, with further properties that tools
for still scenes ignore. Time runs from 0 to 1. Ours keeps everything:

    time           when it is most visible, clips
    duration       for how long, one standard deviation, clips
    vx vy vz       velocity, world units per clip
    log_duration   natural logarithm of duration, exactly as fitted; read in its place
    logit_gate     share of the opacity that is always there, before the sigmoid

Files of other tools lack the last two: the gate is then 0, and `duration` is read.

FTGS PLY, version 1 (`.ftgs.ply`), which players of FreeTimeGS open, has time and log_duration, and
velocity_0..2 in place of vx vy vz. Its header says in comments which rules apply: ftgs_version,
time_units, sh_degree, use_velocity, min_duration, opacity_floor. There is no gate; see `ungated.py`
for what becomes of ours.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.deformation import Scene
from gaussians.formats import ply, ply_tables, scene_files, ungated
from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians

COMMON = ["time", "duration", "vx", "vy", "vz"]
OURS = ["log_duration", "logit_gate"]
FTGS = ["time", "log_duration", "velocity_0", "velocity_1", "velocity_2"]
# Players of FreeTimeGS lengthen what is shorter.
SHORTEST_CLIPS = 1e-3


def save_dynamic_ply(path: str | Path, scene: DynamicGaussians) -> None:
    """Write a 4D scene without loss.

    Raises:
      FormatError: The scene is of another kind, or a file cannot hold it, see `arrays_to_write`.
    """
    velocities, moments, log_durations, logit_gates = ungated.moving_arrays(path, scene)
    # Wide enough for any float32 whose exponential a float32 can hold.
    durations = np.exp(np.clip(log_durations, -87, 88))
    values = [moments, durations, *velocities.T, log_durations, logit_gates]
    columns = ply.splat_columns(path, scene.gaussians)
    tables = {"vertex": columns | dict(zip(COMMON + OURS, values, strict=True))}
    ply_tables.write_tables(path, tables)


def save_ftgs_ply(path: str | Path, scene: Scene | Gaussians) -> None:
    """Write a 4D scene as players of FreeTimeGS open it, without its gates.

    Raises:
      FormatError: The scene is of another kind, or a file cannot hold it, see `arrays_to_write`.
    """
    parts = ungated.without_gates(path, scene)
    logits = scene_files.logit(parts.opacities).astype(np.float32)
    gaussians = scene_files.to_gaussians(*parts[:3], logits, parts.harmonics)
    log_durations = np.log(np.maximum(parts.durations, SHORTEST_CLIPS))
    values = [parts.moments, log_durations, *parts.velocities.T]
    columns = ply.splat_columns(path, gaussians)
    comments = {
        "ftgs_version": "1",
        "time_units": "normalized",
        "sh_degree": str(round(parts.harmonics.shape[1] ** 0.5) - 1),
        "use_velocity": "1",
        "min_duration": f"{SHORTEST_CLIPS:g}",
        "opacity_floor": "0",
    }
    tables = {"vertex": columns | dict(zip(FTGS, values, strict=True))}
    ply_tables.write_tables(path, tables, comments)


def load_dynamic_ply(path: str | Path) -> DynamicGaussians:
    """Read a 4D scene; files of `save_dynamic_ply` are read exactly.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not a complete 4D scene.
    """
    path = Path(path)
    return _read(path, ply_tables.read_tables(path))


def load_any_ply(path: str | Path) -> Gaussians | DynamicGaussians:
    """Read a 4D scene if the file has its properties, else a still one; raises like `load_ply`."""
    path = Path(path)
    tables = ply_tables.read_tables(path)
    if tables["vertex"].keys() >= set(FTGS):
        return _read_ftgs(path, tables)
    return (
        _read(path, tables)
        if "time" in tables["vertex"]
        else ply.scene_in(path, tables)
    )


def _read(path: Path, tables: ply_tables.Tables) -> DynamicGaussians:
    gaussians = ply.read_splats(path, tables)
    ours = tables["vertex"].keys() >= set(OURS)
    columns = _columns(path, tables, COMMON + OURS * ours)
    durations = columns[:, 1]
    found = durations.min()
    scene_files.require(path, "property duration", found > 0, found, "positive numbers")
    log_durations = columns[:, 5] if ours else np.log(durations)
    logit_gates = (
        columns[:, 6] if ours else np.full_like(durations, -scene_files.LARGEST_LOGIT)
    )
    moving = (columns[:, 2:5], columns[:, 0], log_durations, logit_gates)
    return DynamicGaussians(gaussians, *map(jnp.asarray, moving))


def _read_ftgs(path: Path, tables: ply_tables.Tables) -> DynamicGaussians:
    columns = _columns(path, tables, FTGS)
    comments = ply_tables.read_comments(path)
    shortest = comments.get("min_duration", "0")
    try:
        log_shortest = np.log(max(float(shortest), 1e-37))
    except ValueError:
        log_shortest = np.nan
    fits = np.isfinite(log_shortest)
    scene_files.require(path, "comment min_duration", fits, shortest, "a number")
    is_moving = comments.get("use_velocity", "1") != "0"
    return DynamicGaussians(
        ply.read_splats(path, tables),
        velocities=jnp.asarray(columns[:, 2:] * is_moving),
        moments=jnp.asarray(columns[:, 0]),
        log_durations=jnp.asarray(np.maximum(columns[:, 1], np.float32(log_shortest))),
        logit_gates=jnp.full(len(columns), -scene_files.LARGEST_LOGIT),
    )


def _columns(path: Path, tables: ply_tables.Tables, names: list[str]) -> np.ndarray:
    columns = ply_tables.read_columns(path, tables, "vertex", names)
    scene_files.check_finite(path, [f"property {name}" for name in names], columns)
    return columns


def save_ply_sequence(folder: str | Path, scene: Scene, count: int) -> None:
    """Write `count` evenly spaced instants from the first to the last: 0000.ply, ...

    Raises:
      FormatError: The count is below 1, or the folder holds other .ply files, which would be
        read as instants, too.
    """
    folder = Path(folder)
    scene_files.require(folder, "count", count >= 1, count, "at least 1")
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:04d}.ply" for i in range(count)]
    foreign = sorted({path.name for path in folder.glob("*.ply")} - set(names))
    expected = f"no .ply files beyond {names[-1]}"
    found = ", ".join(foreign[:1])
    scene_files.require(folder, "content", not foreign, found, expected)
    at = jax.jit(type(scene).at)
    partial = folder / f".partial-{os.getpid()}"
    # Which may be a link to somewhere else.
    partial.unlink(missing_ok=True)
    try:
        times = np.linspace(0, 1, count, dtype=np.float32)
        for name, time in zip(names, times, strict=True):
            ply.save_ply(partial, at(scene, time))
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
        text = f"{folder}: found no .ply files, expected one an instant"
        raise FileNotFoundError(text)
    return [ply.load_ply(path) for path in paths]
