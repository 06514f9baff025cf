"""3DGS `.ply` files: x y z, f_dc, f_rest (channel by channel), opacity, scale, rot (w x y z)."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gaussians.deformation import Scene
from gaussians.formats.packed_ply import unpack
from gaussians.formats.ply_tables import Tables, read_columns, read_tables, write_tables
from gaussians.formats.scene_files import LARGEST_LOGIT, arrays_to_write, check_finite, require
from gaussians.types import Gaussians


def save_ply(path: str | Path, scene: Gaussians | Scene, time: float | None = None) -> None:
    """Write a static scene, or a dynamic one as it is at `time` in [0, 1].

    Raises:
      ValueError: The scene is dynamic and there is no time.
      FormatError: A file cannot hold the scene, see `arrays_to_write`.
    """
    if not isinstance(scene, Gaussians):
        if time is None:
            raise ValueError("a dynamic scene is written for one instant: pass time in [0, 1]")
        scene = scene.at(time)
    write_tables(path, {"vertex": splat_columns(path, scene)})


def load_ply(path: str | Path) -> Gaussians:
    """Read a 3DGS file of any harmonic degree up to 3, text or binary, plain or packed.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not a complete scene.
    """
    path = Path(path)
    return scene_in(path, read_tables(path))


def scene_in(path: Path, tables: Tables) -> Gaussians:
    """Return the scene in the tables of a file, plain or packed."""
    return unpack(path, tables) if "chunk" in tables else read_splats(path, tables)


def splat_columns(path: str | Path, scene: Gaussians) -> dict[str, Float32[ndarray, "g"]]:
    """Return the properties of a 3DGS file in the order of other writers."""
    means, quaternions, log_scales, logit_opacities, harmonics = arrays_to_write(path, scene)
    # Files hold all red coefficients, then green, then blue; normals are customary and unused.
    rest = harmonics[:, 1:].swapaxes(1, 2).reshape(len(means), -1)
    opacity = logit_opacities[:, None]
    parts = (means, np.zeros_like(means), harmonics[:, 0], rest, opacity, log_scales, quaternions)
    columns = np.concatenate(parts, axis=1)
    return dict(zip(_names(rest.shape[1]), columns.T, strict=True))


def read_splats(path: Path, tables: Tables) -> Gaussians:
    """Return the scene in the tables of a 3DGS file; further properties are ignored."""
    rest = sum(name.startswith("f_rest_") for name in tables["vertex"])
    found = f"{rest} f_rest properties"
    require(path, "element vertex", rest in (0, 9, 24, 45), found, "0, 9, 24 or 45")
    names = [name for name in _names(rest) if name not in ("nx", "ny", "nz")]
    columns = read_columns(path, tables, "vertex", names)
    opacity = columns[:, names.index("opacity")]
    opacity[np.isinf(opacity)] = np.sign(opacity[np.isinf(opacity)]) * LARGEST_LOGIT
    check_finite(path, [f"property {name}" for name in names], columns)
    means, mean_color, rest_color, opacity, scales, quaternions = np.split(
        columns, np.cumsum([3, 3, rest, 1, 3]), axis=1
    )
    rest_color = rest_color.reshape(len(means), 3, rest // 3).swapaxes(1, 2)
    harmonics = np.concatenate([mean_color[:, None], rest_color], 1)
    return Gaussians(*map(jnp.asarray, (means, quaternions, scales, opacity[:, 0], harmonics)))


def _names(rest: int) -> list[str]:
    return [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(rest)),
        "opacity",
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
    ]
