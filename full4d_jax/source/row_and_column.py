"""The first row and the first column of a grid without poses: two videos, or a procedural scene.

The column is a film of the frozen scene from a camera that walks around it. Its path places the
views: the camera of view v stands at all instants where frame v of the column was taken. The path
comes from a file, or from structure from motion on the film's own frames, large and more of them
than the column has. A grid without cameras is filled all the same, but no scene is fitted to it.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.config import DataConfig
from full4d_jax.geometry.paths import interpolate_poses
from full4d_jax.geometry.structure import find_structure
from full4d_jax.grid import About, Grid, Origin
from full4d_jax.media.pictures import to_uint8
from full4d_jax.media.sound import read_sound
from full4d_jax.media.video import Video, read_video
from full4d_jax.session.errors import InputError
from full4d_jax.session.extras import has, install
from full4d_jax.source.handheld.find_path import path_from_poses, path_objection
from full4d_jax.source.handheld.pose_files import read_poses
from full4d_jax.source.handheld.video_path import POINTS_SIDE
from full4d_jax.source.lens import lens_of
from full4d_jax.source.options import DemoGridOptions, TwoVideosOptions
from full4d_jax.source.shots import check_one_shot
from input_pipeline.cameras import centers, nearest_to_axes, relative_to, rescale, resize_intrinsics
from input_pipeline.importers.camera_path import CameraPath
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.scene import HELD_OUT_START
from input_pipeline.video_files import frame_times

FILM_ADVICE = (
    "film the still scene while you walk around it and keep it in the middle, or give --poses"
)


class NoCameras(ValueError):
    """The views of a grid have no cameras; the message says why."""


def open_two_videos(data: DataConfig, options: TwoVideosOptions) -> Grid:
    """Read the first row and the first column of a grid, or one of them.

    Raises:
      InputError: a video is unusable or shows two shots, or the poses are unusable.
    """
    if options.freeze_time is None:
        for name in ("poses", "fov"):
            if (found := getattr(options, name)) is not None:
                expected = "none without --freeze_time, whose camera it tells of"
                raise InputError("option", f"--{name}", found, expected, "leave it out")
    frames, origin = _empty_grid(data)
    times = np.arange(data.frames) / (options.fps or data.fps)
    notes = []
    warning = ""
    sound = None
    cameras = None
    unposed = "without --freeze_time nothing tells where its views are"
    if options.freeze_time is not None:
        column = _read_line(options.freeze_time, data.views, data, options)
        check_one_shot(column, options.freeze_time, seconds=False)
        frames[:, 0] = column.frames
        origin[:, 0] = Origin.REAL
        notes.append(f"column: {column.note}")
        try:
            cameras, note = _cameras_of(column, data, options)
            unposed = ""
        except NoCameras as error:
            unposed = note = f"{error}"
        notes.append(note)
    if options.fixed_view is not None:
        row = _read_line(options.fixed_view, data.frames, data, options)
        check_one_shot(row, options.fixed_view, seconds=False)
        if origin[0, 0] == Origin.REAL:
            warning = _disagreement(row.frames[0], frames[0, 0])
        frames[0] = row.frames
        origin[0] = Origin.REAL
        times = row.timestamps
        sound = read_sound(options.fixed_view, times)
        notes.append(f"row: {row.note}")
    rate = options.fps or data.fps
    about = About(note="; ".join(notes), warning=warning, unposed=unposed, rate=rate, sound=sound)
    return Grid(frames=frames, origin=origin, times=times, cameras=cameras, about=about)


def open_demo_grid(data: DataConfig, options: DemoGridOptions) -> Grid:
    """Render the first row and the first column of a held-out procedural scene."""
    frames, origin = _empty_grid(data)
    origin[0] = Origin.REAL
    if data.frames > 1:
        origin[:, 0] = Origin.REAL
    real = origin == Origin.REAL
    draw = scene_program(
        data.views, data.frames, data.height, data.width, data.worlds, orbit=data.orbit
    )
    clip = draw(HELD_OUT_START + options.scene)
    frames[real] = to_uint8(clip.frames)[real]
    rate = options.fps or data.fps
    times = np.arange(data.frames) / rate
    note = f"row and column of the held-out procedural scene {options.scene}"
    try:
        lens = np.asarray(clip.intrinsics[0], np.float64)
        cameras = place_views(lens, np.asarray(clip.world_to_camera[:, 0], np.float64), data)
    except NoCameras as error:
        about = About(note=note, unposed=f"{error}", rate=rate)
        return Grid(frames=frames, origin=origin, times=times, about=about)
    about = About(note=f"{note}; its cameras are known", rate=rate)
    return Grid(frames=frames, origin=origin, times=times, cameras=cameras, about=about)


def _read_line(path: Path, frames: int, data: DataConfig, options: TwoVideosOptions) -> Video:
    """Return the video of one row or column, in the size of the grid.

    Raises:
      InputError: the video is unusable.
    """
    return read_video(
        path,
        height=data.height,
        width=data.width,
        frames=frames,
        fps=options.fps,
        start=options.start,
        usual=data.fps,
    )


def require_cameras(grid: Grid) -> None:
    """Refuse a grid whose cameras are unknown: no scene can be fitted to it.

    Raises:
      InputError: The message says why they are unknown.
    """
    if grid.cameras is None:
        expected = "cameras of all its views, to fit a scene to"
        raise InputError("grid", "its cameras", grid.about.unposed, expected, FILM_ADVICE)


def place_views(
    lens: Float[ndarray, "3 3"], world_to_camera: Float[ndarray, "v 4 4"], data: DataConfig
) -> Cameras:
    """Return cameras that stand still at these places, in the world of the first.

    The unit is the distance of the first from the place that all look at.

    Raises:
      NoCameras: they look at no common place.
    """
    poses = relative_to(world_to_camera, world_to_camera[0])
    middle = nearest_to_axes(poses)
    if middle is None:
        raise NoCameras("the cameras of its views stand too close together, or look past the scene")
    still = np.repeat(rescale(poses, float(np.linalg.norm(middle)))[:, None], data.frames, 1)
    lenses = np.repeat(lens[None], len(poses), 0).astype(np.float32)
    return Cameras(lenses, still.astype(np.float32), data.height, data.width)


def _cameras_of(column: Video, data: DataConfig, options: TwoVideosOptions) -> tuple[Cameras, str]:
    """Return the cameras of all views, and where they come from.

    Raises:
      NoCameras: they cannot be found from the film.
      InputError: the poses that are given are unusable.
    """
    file = options.freeze_time
    assert file is not None, "there is a column"
    poses = None if options.poses is None else read_poses(options.poses, file)
    lens, seen = lens_of(column, file, options.fov, poses)
    if poses is None:
        path, note = _path_by_structure(column, lens, options)
    else:
        path = _path_from_file(column, lens, options, poses)
        note = f"its cameras are those of {options.poses}"
    cameras = place_views(lens, path, data)
    apart = _angle(np.asarray(cameras.world_to_camera[:, 0], np.float64))
    return cameras, f"{note}; they stand {apart:.0f} degrees apart at most; {seen}"


def _path_from_file(
    column: Video, lens: Float[ndarray, "3 3"], options: TwoVideosOptions, poses: CameraPath
) -> Float[ndarray, "v 4 4"]:
    """Return the poses of a column's frames from a file.

    Raises:
      InputError: they do not fit the film.
    """
    file = options.freeze_time
    poses_file = options.poses
    assert file is not None, "poses are of a column's film"
    assert poses_file is not None, "they were read from it"

    def large() -> tuple[UInt8[ndarray, "n h w 3"], Float[ndarray, "3 3"]]:
        return _large_frames(column, lens, options, 1)[:2]

    return path_from_poses(poses, poses_file, file, column.timestamps, large).world_to_camera


def _path_by_structure(
    column: Video, lens: Float[ndarray, "3 3"], options: TwoVideosOptions
) -> tuple[Float[ndarray, "v 4 4"], str]:
    """Return the poses of a column's frames by structure from motion, and what it says of itself.

    Raises:
      NoCameras: it fails, or is not installed, or does not reach the first or the last frame.
    """
    if not has("pycolmap"):
        raise NoCameras(f"to find its cameras, {install('pycolmap')}")
    more = _frames_between(column, options)
    frames, large_lens, times = _large_frames(column, lens, options, more)
    structure = find_structure(frames, large_lens, frozen=True)
    why = path_objection(structure, frames.shape[2])
    if structure is None or why:
        raise NoCameras(f"structure from motion fails on {options.freeze_time} ({why})")
    first, last = times[list(structure.ends)]
    begin, end = column.timestamps[[0, -1]]
    if begin < first - 1e-6 or end > last + 1e-6:
        raise NoCameras(
            f"structure from motion places {options.freeze_time} from {first:.2f} s to "
            f"{last:.2f} s only, and the views are of {begin:.2f} s to {end:.2f} s"
        )
    note = (
        f"its cameras are found by structure from motion: {structure.placed:.0%} of {len(frames)} "
        f"frames placed, {len(structure.points.depth)} sightings of points, "
        f"{structure.reprojection:.2f} pixels off"
    )
    return interpolate_poses(structure.world_to_camera, times, column.timestamps), note


def _frames_between(column: Video, options: TwoVideosOptions) -> int:
    """Return the frames of a film from one frame of the column to the next, as many as help."""
    most_placed = 25  # frames of a column's film that structure from motion places, at most
    steps = len(column.frames) - 1
    assert options.freeze_time is not None, "there is a column"
    try:
        times = frame_times(options.freeze_time)
    except ValueError:  # a film without timestamps
        return 1
    first, last = column.timestamps[[0, -1]]
    inside = int(((times >= first - 1e-6) & (times <= last + 1e-6)).sum())
    return max(1, min(inside - 1, most_placed - 1) // max(steps, 1))


def _large_frames(
    column: Video, lens: Float[ndarray, "3 3"], options: TwoVideosOptions, more: int
) -> tuple[UInt8[ndarray, "n h w 3"], Float[ndarray, "3 3"], Float[ndarray, " n"]]:
    """Return frames at a size where points are found, `more` a step of the column.

    With them come their lens and their times, seconds into the film: in between the column's own
    frames, which need not be among them.
    """
    views, height, width = column.frames.shape[:3]
    assert options.freeze_time is not None, "there is a column"
    scale = max(1, POINTS_SIDE // max(height, width))
    again = read_video(
        options.freeze_time,
        height=scale * height,
        width=scale * width,
        frames=(views - 1) * more + 1,
        fps=column.fps * more,
        start=float(column.timestamps[0]),
    )
    return again.frames, resize_intrinsics(lens, rows=scale, columns=scale), again.timestamps


def _angle(world_to_camera: Float[ndarray, "v 4 4"]) -> float:
    """Return the largest angle between views of the place that all look at, degrees."""
    middle = nearest_to_axes(world_to_camera)
    assert middle is not None, "they were placed so"
    rays = centers(world_to_camera) - middle
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))


def _empty_grid(data: DataConfig) -> tuple[ndarray, ndarray]:
    """Return the frames of a grid, all black, and their origin: all are missing."""
    frames = np.zeros((data.views, data.frames, data.height, data.width, 3), np.uint8)
    return frames, np.full(frames.shape[:2], Origin.MISSING, np.uint8)


def _disagreement(row: UInt8[ndarray, "h w 3"], column: UInt8[ndarray, "h w 3"]) -> str:
    """Return a warning where two frames that should be one picture are not, else ""."""
    # DB between the first frames of two videos, below which they count as different.
    same_picture_decibel = 20.0
    error = np.mean((row.astype(np.float32) - column) ** 2) / 255**2
    decibel = -10 * np.log10(max(float(error), 1e-10))
    if decibel >= same_picture_decibel:
        return ""
    return (
        f"the two videos start with different pictures ({decibel:.0f} dB); the grid needs one "
        "scene, in which both start at the same instant and camera"
    )
