"""Grids from the folder of a run, with their config, and scenes from whatever holds one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.grid import Grid, grid_from
from full4d_jax.scene import page
from full4d_jax.session.errors import InputError, input_errors, require_file
from full4d_jax.session.stage_arrays import check_arrays
from full4d_jax.session.stages import Stages
from full4d_jax.source.camera_paths import MOVED_LEVELS
from full4d_jax.source.kinds import is_unpacked_sog
from full4d_jax.source.own_motion import passing_in
from full4d_jax.source.row_and_column import FILM_ADVICE
from gaussians import (
    DeformingGaussians,
    DynamicGaussians,
    Gaussians,
    Scene,
    load_any_ply,
    load_sog,
    load_splat,
    load_spz,
)
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
        found = type(saved).__name__
        raise InputError("saved config", path, found, "a table of fields", do)
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
        raise InputError("output folder", path, found, "one with them", FILM_ADVICE)
    return grid


def read_scene(path: Path) -> Scene | Gaussians:
    """Read the scene of a run's folder, of a .ply, .splat, .spz, .sog or .npz, or unpacked SOG.

    Raises:
      InputError: There is none, or the file is damaged.
    """
    do = "give another file"
    if is_unpacked_sog(path):
        with input_errors("scene", do):
            return load_sog(path)
    if path.is_dir() or path.name == "scene.npz":
        return from_arrays(
            Stages(path if path.is_dir() else path.parent).finished("scene")
        )
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


def to_arrays(scene: Scene) -> dict[str, ndarray]:
    """Return a scene as named arrays, float32."""
    parts = scene._asdict()
    parts |= parts.pop("gaussians")._asdict()
    return {name: np.asarray(x) for name, x in parts.items()}


def from_arrays(arrays: Mapping[str, ndarray]) -> Scene:
    """Return the scene of named arrays; the inverse of `to_arrays`."""

    def some(names):
        return {name: jnp.asarray(arrays[name], jnp.float32) for name in names}

    kind = DynamicGaussians if "moments" in arrays else DeformingGaussians
    return kind(Gaussians(**some(Gaussians._fields)), **some(kind._fields[1:]))


def background_in(arrays: Mapping[str, ndarray]) -> Float[ndarray, "3"]:
    """Return the colour behind the scene of named arrays; black where they hold none."""
    return np.asarray(arrays.get("background", np.zeros(3)), np.float32)


@dataclass(frozen=True)
class ShownScene:
    """A scene that was read, with the cameras to look at it.

    Attributes:
      scene: in world units.
      viewing: from the cameras of its run, or from before its middle.
      seconds: one pass through its clip.
      title: of its page.
      credit: of what it is made of; empty for none.
    """

    scene: Scene | Gaussians
    viewing: page.Viewing
    seconds: float
    title: str
    credit: str = ""

    @property
    def count(self) -> int:
        """Return the number of Gaussians."""
        scene = self.scene
        means = scene.means if isinstance(scene, Gaussians) else scene.gaussians.means
        return len(means)

    def page(self, seconds: float | None) -> str:
        """Return the page, of which one pass lasts so many seconds; None keeps the clip's."""
        lasts = seconds or self.seconds
        return page.page_text(
            self.scene,
            self.viewing,
            seconds=lasts,
            title=self.title,
            credit=self.credit,
        )


def open_scene(source: Path) -> ShownScene:
    """Read the scene of a run's folder, or of a file that `read_scene` knows.

    Raises:
      InputError: There is none, or the file is damaged.
    """
    is_run = source.is_dir() and not is_unpacked_sog(source)
    if not (is_run and (source / "grid.npz").exists()):
        scene = read_scene(source)
        title = page.TITLE if is_run else source.name
        return ShownScene(scene, page.overview(scene), page.UNKNOWN_CLIP_SECONDS, title)
    stages = Stages(source)
    arrays = stages.finished("scene")
    grid = posed_grid(stages)
    background = arrays.get("background")
    passing = passing_in(grid, MOVED_LEVELS)
    viewing = page.run_viewing(grid.known_cameras, passing, background)
    seconds = page.clip_seconds(grid.times)
    scene = from_arrays(arrays)
    return ShownScene(scene, viewing, seconds, page.TITLE, grid.about.credit)
