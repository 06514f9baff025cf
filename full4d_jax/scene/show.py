"""How a scene is shown: videos, a page for the browser, PLY files."""

import time
from pathlib import Path

import numpy as np

from full4d_jax.grid import Grid
from full4d_jax.scene import page, renders
from full4d_jax.scene.scene_arrays import background_in, from_arrays
from full4d_jax.scene.show_options import RenderOptions
from full4d_jax.session.errors import input_errors
from full4d_jax.session.files import Arrays
from full4d_jax.session.stages import Stages
from gaussians import Scene
from input_pipeline.importers.camera_path import CameraPath, read_path


def show_first_look(stages: Stages, grid: Grid, scene: Scene) -> None:
    """Write the page of a scene that is not fitted yet, and say so."""
    for name in ("orbit.mp4", "bullet.mp4", "scene.png"):  # of an earlier scene
        (stages.folder / name).unlink(missing_ok=True)
    _write_page(stages, grid, scene, None, quick=True)
    seconds = time.perf_counter() - stages.started
    stages.say(f"first look after {seconds:.0f} s, before fitting: {stages.folder / 'scene.html'}")


def show_scene(stages: Stages, grid: Grid, arrays: Arrays, show: RenderOptions) -> None:
    """Write videos and the page.

    Args:
      stages: the folder, and what the command made there.
      grid: what the scene was fitted to.
      arrays: what the stage `scene` saved.
      show: how the scene is shown.
    """
    folder = stages.folder
    scene = from_arrays(arrays)
    cameras = grid.known_cameras
    with stages.timed("renders"):
        renders.write_renders(
            folder,
            scene,
            cameras,
            size=show.size or cameras.height,
            seconds=show.orbit_seconds,
            path=show.orbit,
            sweep=show.sweep,
            elevation=show.sweep / 4,
            background=background_in(arrays),
            between=grid.starts_at_its_end,
        )
    with stages.timed("page"):
        _write_page(stages, grid, scene, arrays.get("background"), quick=False)


def read_film(path: Path) -> CameraPath:
    """Read a file with the camera path of a film.

    Raises:
      InputError: It cannot be read.
    """
    with input_errors("camera path", "give another file as --path (docs/cameras.md)"):
        return read_path(path)


def show_path(
    stages: Stages, grid: Grid, arrays: Arrays, show: RenderOptions, path: CameraPath
) -> None:
    """Write path.mp4, the film of a camera path; arguments as of `show_scene`."""
    cameras = grid.known_cameras
    with stages.timed("path"):
        renders.write_film(
            stages.folder / "path.mp4",
            from_arrays(arrays),
            path,
            cameras,
            size=show.size or cameras.height,
            background=background_in(arrays),
        )


def _write_page(
    stages: Stages, grid: Grid, scene: Scene, background: np.ndarray | None, *, quick: bool
) -> None:
    """Write the page of a scene; it plays as long as the source lasts, and with its sound."""
    viewing = page.run_viewing(grid.known_cameras, grid.frames[0], background)
    seconds = page.clip_seconds(grid.times)
    sound = grid.about.sound
    path = stages.folder / "scene.html"
    page.write_page(path, scene, viewing, seconds=seconds, sound=sound, quick=quick)
    if sound is not None:
        of_sound = len(page.sound_element(sound))
        scene_bytes = path.stat().st_size - of_sound
        stages.say(f"page: {scene_bytes:,} bytes, and {of_sound:,} of sound")
