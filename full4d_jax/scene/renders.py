"""Videos and pictures of a scene from where no camera was, and its page."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.geometry.paths import interpolate_poses
from full4d_jax.grid import Grid
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.media.video_io import write_video
from full4d_jax.scene import page, scene_reader
from full4d_jax.scene.show_options import RenderOptions
from full4d_jax.session import errors, files, progress
from full4d_jax.session.stages import Stages
from full4d_jax.source import camera_paths
from full4d_jax.source.camera_paths import MOVED_LEVELS
from full4d_jax.source.own_motion import passing_in
from gaussians import Camera, Rendering, Scene, intersection_budget, render
from input_pipeline.importers.camera_path import CameraPath, read_path
from input_pipeline.pinhole import orbit, resize_intrinsics

VIDEO_FPS = 24
Draw = Callable[[Camera, float], Rendering]
# Behind a scene; None is black.
Color = Float[ndarray, "3"] | None


def show_first_look(stages: Stages, grid: Grid, scene: Scene) -> None:
    """Write the page of a scene that is not fitted yet, and say so."""
    # Those of an earlier scene.
    for name in ("orbit.mp4", "bullet.mp4", "scene.png"):
        (stages.folder / name).unlink(missing_ok=True)
    path = _write_page(stages, grid, scene, None, quick=True)
    seconds = time.perf_counter() - stages.started
    stages.say(f"first look after {seconds:.0f} s, before fitting: {path}")


def show_scene(
    stages: Stages, grid: Grid, arrays: files.Arrays, show: RenderOptions
) -> None:
    """Write videos and the page.

    Args:
      stages: the folder, and what the command made there.
      grid: what the scene was fitted to.
      arrays: what the stage `scene` saved.
      show: how the scene is shown.
    """
    cameras = grid.known_cameras
    scene = scene_reader.from_arrays(arrays)
    behind = scene_reader.background_in(arrays)
    centred = grid.starts_at_its_end
    with stages.timed("renders"):
        write_renders(
            stages.folder,
            scene,
            cameras,
            show,
            behind,
            centred=centred,
            credit=grid.about.credit,
        )
    with stages.timed("page"):
        _write_page(stages, grid, scene, arrays.get("background"))


def read_film(path: Path) -> CameraPath:
    """Read a file with the camera path of a film.

    Raises:
      InputError: It cannot be read.
    """
    do = "give another file as --path (docs/cameras.md)"
    with errors.input_errors("camera path", do):
        return read_path(path)


def show_path(
    stages: Stages,
    grid: Grid,
    arrays: files.Arrays,
    show: RenderOptions,
    path: CameraPath,
) -> None:
    """Write path.mp4, the film of a camera path; arguments as of `show_scene`."""
    cameras = grid.known_cameras
    file = stages.folder / "path.mp4"
    scene = scene_reader.from_arrays(arrays)
    size = show.size or cameras.height
    behind = scene_reader.background_in(arrays)
    with stages.timed("path"):
        credit = grid.about.credit
        write_film(file, scene, path, cameras, behind, size=size, credit=credit)


def _write_page(
    stages: Stages, grid: Grid, scene: Scene, background: Color, quick: bool = False
) -> Path:
    """Write the page of a scene; it plays as long as the source lasts, and with its sound."""
    passing = passing_in(grid, MOVED_LEVELS)
    viewing = page.run_viewing(grid.known_cameras, passing, background)
    seconds = page.clip_seconds(grid.times)
    sound = grid.about.sound
    path = stages.folder / "scene.html"
    page.write_page(
        path,
        scene,
        viewing,
        seconds=seconds,
        sound=sound,
        quick=quick,
        credit=grid.about.credit,
    )
    if sound is not None:
        of_sound = len(page.sound_element(sound))
        others = path.stat().st_size - of_sound
        stages.say(f"page: {others:,} bytes, and {of_sound:,} of sound")
    return path


def write_renders(
    folder: Path,
    scene: Scene,
    cameras: Cameras,
    show: RenderOptions,
    background: Color = None,
    *,
    centred: bool = False,
    credit: str = "",
) -> None:
    """Write `orbit.mp4`, `bullet.mp4` and `scene.png`: the scene from where no camera was.

    In orbit.mp4 time runs there and back while the camera moves, in bullet.mp4 it stands still.

    Args:
      folder: where to write.
      scene: in world units.
      cameras: of the grid; the pictures have the lens of view 0, the source.
      show: how the scene is shown.
      background: colour behind the scene; None is black.
      centred: whether the path lies around the middle of the views, not around view 0.
      credit: of the source, a tag of the videos.
    """
    count = max(2, round(show.orbit_seconds * VIDEO_FPS))
    phase = np.linspace(0, 1, count, endpoint=False)
    there_and_back = 1 - np.abs(2 * phase - 1)
    along = phase if show.orbit == "ring" else there_and_back
    angles = camera_paths.directions(show.orbit, along, show.sweep, show.sweep / 4)
    size = show.size or cameras.height
    scale = size / cameras.height
    source_lens = np.asarray(cameras.intrinsics[0])
    lens = resize_intrinsics(source_lens, rows=scale, columns=scale)
    width = round(cameras.width * scale)

    places = np.asarray(cameras.world_to_camera)
    pivot = camera_paths.pivot_of(places)
    up = camera_paths.up_of(places)
    middle = (
        camera_paths.middle_angles(camera_paths.angles_of(places[:, 0], pivot))
        if centred
        else np.zeros(2)
    )

    instants = np.linspace(0, 1, places.shape[1])

    def seen_from(angles, times):
        """Return cameras around that of the source at these times."""
        azimuth, elevation = (middle + angles).T
        poses = orbit(azimuth, elevation, pivot[2], tuple(pivot), up)
        poses = poses @ interpolate_poses(places[0], instants, times)
        intrinsics = lens.astype(np.float32)[None]
        return Cameras(intrinsics, poses.astype(np.float32)[None], size, width)

    videos = {"orbit": there_and_back, "bullet": np.full(count, 0.5)}
    around = {name: seen_from(angles, times) for name, times in videos.items()}
    draw = scene_renderer(scene, around["orbit"], background)
    for name, times in videos.items():
        file = folder / f"{name}.mp4"
        _write_video(file, draw, around[name], times, VIDEO_FPS, credit)
    azimuths = np.linspace(-show.sweep, show.sweep, 5)
    aside = np.stack([azimuths, np.zeros(5)], 1)
    moments = (0.0, 0.5, 1.0)
    pictures = []
    for moment in moments:
        row = seen_from(aside, np.full(5, moment))
        pictures.append(
            [to_uint8(draw(row.camera(0, i), moment).rgb) for i in range(5)]
        )
    sheet = contact_sheet(
        np.array(pictures),
        rows=[f"time {moment:g}" for moment in moments],
        columns=[f"azimuth {azimuth:+.0f}" for azimuth in middle[0] + azimuths],
        title="the fitted scene; the source camera is at azimuth 0",
    )
    save_picture(folder / "scene.png", sheet)


def write_film(
    file: Path,
    scene: Scene,
    path: CameraPath,
    source: Cameras,
    background: Color = None,
    *,
    size: int,
    credit: str = "",
) -> None:
    """Write a video of the scene from a camera that goes along a path.

    Where the path says no times, the clip passes once.

    Args:
      file: to write.
      scene: in world units.
      path: in the world of the scene; its lens is used, or else the source's.
      source: cameras of the grid, view 0 first.
      background: colour behind the scene; None is black.
      size: rows of the pictures.
      credit: of the source, a tag of the video.
    """
    poses = path.world_to_camera.astype(np.float32)
    lens = np.asarray(source.intrinsics[0])
    rows = source.height
    columns = source.width
    if path.intrinsics is not None and path.size is not None:
        lens = path.intrinsics
        rows, columns = path.size
    scale = size / rows
    width = max(1, round(columns * scale))
    lens = resize_intrinsics(lens, rows=scale, columns=scale).astype(np.float32)
    cameras = Cameras(lens[None], poses[None], size, width)
    times = np.linspace(0, 1, len(poses)) if path.times is None else path.times
    draw = scene_renderer(scene, cameras, background)
    _write_video(file, draw, cameras, times, path.fps or VIDEO_FPS, credit)


def _write_video(
    file: Path,
    draw: Draw,
    cameras: Cameras,
    times: Float[ndarray, " n"],
    fps: float,
    credit: str,
) -> None:
    """Write what a camera sees along its path."""
    shown = pictures_along(draw, cameras, progress.watch(file.name, times))
    write_video(file, shown, fps, credit=credit)


def pictures_along(
    draw: Draw, cameras: Cameras, times: Iterable[Any], view: int = 0
) -> UInt8[ndarray, "t h w 3"]:
    """Return what a view's camera sees along its path, at these times."""
    drawn = (draw(cameras.camera(view, i), time) for i, time in enumerate(times))
    return np.stack([to_uint8(picture.rgb) for picture in drawn])


def scene_renderer(scene: Scene, cameras: Cameras, background: Color = None) -> Draw:
    """Return a function that draws the scene from a camera at a normalised time.

    None as `background` is black.

    One budget of intersections is counted on a few cameras of the views, so that one compiled
    program draws all pictures; a picture that overflows it is drawn again with a budget of its own.
    """
    behind = None if background is None else jax.numpy.asarray(background, np.float32)
    draw_over = partial(render, background=behind, antialiased=True)
    at = jax.jit(type(scene).at)
    views, count = cameras.world_to_camera.shape[:2]
    few = range(0, count, max(1, count // (6 if views == 1 else 2)))
    times = np.linspace(0, 1, len(few), dtype=np.float32)
    count_budget = partial(intersection_budget, antialiased=True, slack=1.4)
    budget = max(
        count_budget(at(scene, time), cameras.camera(view, i))
        for i, time in zip(few, times, strict=True)
        for view in range(views)
    )

    def draw(camera, time):
        instant = at(scene, np.float32(time))
        picture = draw_over(instant, camera, max_intersections=budget)
        if int(picture.overflow) > 0:
            picture = draw_over(instant, camera)
        return picture

    return draw


def render_views(
    scene: Scene,
    cameras: Cameras,
    times: Float[ndarray, " t"],
    background: Color = None,
) -> UInt8[ndarray, "v t h w 3"]:
    """Render the scene from each view's cameras at the normalised times, over black or a colour."""
    draw = scene_renderer(scene, cameras, background)
    views = progress.watch("rendering", range(len(cameras.intrinsics)))
    return np.stack([pictures_along(draw, cameras, times, view) for view in views])
