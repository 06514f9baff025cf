"""FTGS PLY, version 1 (`.ftgs.ply`): a moving scene as players of FreeTimeGS open it.

A 3DGS file of every Gaussian at its own moment, all float32, with these properties more:

    time             when it is most visible, clips
    log_duration     natural logarithm of one standard deviation, clips
    velocity_0..2    world units per clip

The header says in comments which rules apply: ftgs_version, time_units, sh_degree, use_velocity,
min_duration, opacity_floor. There is no gate; see `ungated.py` for what becomes of ours.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from gaussians.deformation import Scene
from gaussians.formats.ply import read_splats, splat_columns
from gaussians.formats.ply_tables import Tables, read_columns, read_comments, write_tables
from gaussians.formats.scene_files import LARGEST_LOGIT, FormatError, check_finite
from gaussians.formats.ungated import logits_of, without_gates
from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians

NAMES = ["time", "log_duration", "velocity_0", "velocity_1", "velocity_2"]
SHORTEST_CLIPS = 1e-3  # players lengthen what is shorter


def save_ftgs_ply(path: str | Path, scene: Scene | Gaussians) -> None:
    """Write a 4D scene without its gates.

    Raises:
      FormatError: The scene is of another kind, or a file cannot hold it, see `arrays_to_write`.
    """
    passing = without_gates(Path(path), scene)
    gaussians = Gaussians(
        means=jnp.asarray(passing.means),
        quaternions=jnp.asarray(passing.quaternions),
        log_scales=jnp.asarray(passing.log_scales),
        logit_opacities=jnp.asarray(logits_of(passing)),
        harmonics=jnp.asarray(passing.harmonics),
    )
    columns = splat_columns(path, gaussians)
    columns["time"] = passing.moments
    columns["log_duration"] = np.log(np.maximum(passing.durations, SHORTEST_CLIPS))
    for axis in range(3):
        columns[f"velocity_{axis}"] = passing.velocities[:, axis]
    comments = {
        "ftgs_version": "1",
        "time_units": "normalized",
        "sh_degree": str(round(passing.harmonics.shape[1] ** 0.5) - 1),
        "use_velocity": "1",
        "min_duration": f"{SHORTEST_CLIPS:g}",
        "opacity_floor": "0",
    }
    write_tables(path, {"vertex": columns}, comments)


def is_ftgs(tables: Tables) -> bool:
    """Return whether the tables of a file are those of a moving scene of this format."""
    return tables["vertex"].keys() >= set(NAMES)


def read_ftgs(path: Path, tables: Tables) -> DynamicGaussians:
    """Return the scene in the tables of a file, with gates of 0; raises FormatError."""
    gaussians = read_splats(path, tables)
    columns = read_columns(path, tables, "vertex", NAMES)
    check_finite(path, [f"property {name}" for name in NAMES], columns)
    comments = read_comments(path)
    shortest = comments.get("min_duration", "0")
    try:
        log_shortest = np.log(max(float(shortest), 1e-37))
    except ValueError as error:
        raise FormatError(path, "comment min_duration", shortest, "a number") from error
    is_moving = comments.get("use_velocity", "1") != "0"
    return DynamicGaussians(
        gaussians,
        velocities=jnp.asarray(columns[:, 2:] * is_moving),
        moments=jnp.asarray(columns[:, 0]),
        log_durations=jnp.asarray(np.maximum(columns[:, 1], np.float32(log_shortest))),
        logit_gates=jnp.full(len(columns), -LARGEST_LOGIT),
    )
