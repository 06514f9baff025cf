"""The folder of a finished run with small arrays, and what commands read of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, to_dict
from full4d_jax.grid import About, Grid, Origin, grid_arrays, grid_from
from full4d_jax.scene import page
from full4d_jax.scene.scene_reader import posed_grid, read_grid, read_scene, to_arrays
from full4d_jax.session.report import write_report
from full4d_jax.session.stages import Stages
from gaussians import Gaussians, Scene
from gaussians.motion import still
from input_pipeline.pinhole import intrinsics_from_fov

CREDIT = "A. Person, CC BY 4.0"
VIEWS, INSTANTS, SIDE, GAUSSIANS = 2, 2, 16, 5


def small_scene() -> Scene:
    """A scene of a few Gaussians."""
    rng = np.random.default_rng(0)
    shapes = (3,), (4,), (3,), (), (1, 3)
    arrays = (rng.normal(size=(GAUSSIANS, *shape)) for shape in shapes)
    return still(Gaussians(*(jax.numpy.asarray(x, np.float32) for x in arrays)))


def write_run(folder: Path, scene: Scene) -> None:
    """Write the folder of a finished run, with small arrays in place of computed ones."""
    folder.mkdir(parents=True)
    lenses = np.stack([intrinsics_from_fov(55, SIDE, SIDE)] * VIEWS).astype(np.float32)
    poses = np.tile(np.eye(4, dtype=np.float32), (VIEWS, INSTANTS, 1, 1))
    poses[1, :, 0, 3] = 0.1
    frames = np.zeros((VIEWS, INSTANTS, SIDE, SIDE, 3), np.uint8)
    origin = np.full((VIEWS, INSTANTS), Origin.GENERATED, np.uint8)
    origin[0] = Origin.REAL
    depth = np.ones((1, INSTANTS, SIDE, SIDE), np.float32)
    grid = Grid(
        frames=frames,
        origin=origin,
        times=np.arange(INSTANTS) / 8,
        cameras=Cameras(lenses, poses, SIDE, SIDE),
        depth=depth,
        about=About(note="a note", credit=CREDIT),
    )
    source = replace(
        grid,
        frames=frames[:1],
        origin=origin[:1],
        cameras=Cameras(lenses[:1], poses[:1], SIDE, SIDE),
        depth=None,
    )
    arrays = {
        "source": grid_arrays(source),
        "depth": {"depth": depth, "path_unit": np.asarray(1.0)},
        "grid": grid_arrays(grid) | {"projection": frames[1:]},
        "scene": to_arrays(scene) | {"source_psnr": np.asarray(20.0)},
    }
    stages = Stages(folder, say=lambda line: None)
    for name, made in arrays.items():
        stages.run(name, {}, lambda made=made: made)
    (folder / "config.json").write_text(json.dumps(to_dict(Config())))


def read_run(folder: Path) -> None:
    """Arrays of a run that `lift`, `render`, `view` and `evaluate` read before they work."""
    stages = Stages(folder, say=lambda line: None)
    grid, _ = read_grid(stages)
    assert grid.fps > 0
    assert grid_from(stages.finished("source")).fps > 0
    stages.finished("depth")
    cameras = posed_grid(stages).cameras
    assert cameras is not None
    scene, viewing = read_scene(folder), page.run_viewing(cameras)
    page.page_text(scene, viewing, seconds=page.clip_seconds(grid.times))
    write_report(stages, "render", None)


def instead(place: Path, read: Callable[[], Any], path: Path) -> Any:
    """Return what is read of a folder with the file `path` at `place`, which is then put back."""
    whole = place.read_bytes()
    place.write_bytes(path.read_bytes())
    try:
        return read()
    finally:
        place.write_bytes(whole)
