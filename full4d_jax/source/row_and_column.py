"""The first row and the first column of a grid without poses: two videos, or a procedural scene.

The column is a film of the frozen scene from a camera that walks around it. Its path places the
views: the camera of view v stands at all instants where frame v of the column was taken. The path
comes from a file, or is found in the film's own frames, more than the column has. A grid without
cameras is filled all the same, but no scene is fitted to it.
"""

from pathlib import Path

import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.config import DataConfig, Size
from full4d_jax.geometry.arrays import Lens, Picture, Poses
from full4d_jax.geometry.paths import interpolate_poses, travels
from full4d_jax.grid import About, Grid, Origin
from full4d_jax.media.pictures import to_uint8
from full4d_jax.media.sound import read_sound
from full4d_jax.media.video_io import Video, read_credit, read_video
from full4d_jax.session import errors, fields
from full4d_jax.source.depth.any_network import AnyNetwork, open_network
from full4d_jax.source.film import read_part, read_shot, require_one_shot
from full4d_jax.source.handheld import find_path
from full4d_jax.source.lens import found_fov, lens_of
from full4d_jax.source.options import DemoGridOptions, TwoVideosOptions
from input_pipeline import pinhole
from input_pipeline.procedural import clips, scene
from input_pipeline.video_files import frame_times

FILM_ADVICE = "film the still scene while you walk around it, or give --poses"


class NoCameras(ValueError):
    """The views of a grid have no cameras; the message says why."""


def open_two_videos(
    size: Size,
    options: TwoVideosOptions,
    usual_fps: float,
    network: AnyNetwork | None = None,
) -> Grid:
    """Read the first row and the first column of a grid, or one of them.

    Args:
      size: of the grid.
      options: the videos, and where and how fast they are read.
      usual_fps: frames a second where the options name none.
      network: estimates depth, by which the film's cameras are found; None is ours.

    Raises:
      InputError: a video is unusable or shows two shots, or the poses are unusable.
    """
    network = network or open_network(None)
    film = options.freeze_time
    if film is None:
        of_film = {"poses": options.poses, "fov": options.fov}
        fields.refuse(of_film, "none without --freeze_time, whose camera it tells of")
    frames, origin = _empty_grid(size)
    rate = options.fps or usual_fps
    times = np.arange(size.frames) / rate
    notes = []
    warning = ""
    sound = None
    cameras = None
    unposed = "without --freeze_time nothing tells where its views are"
    if film is not None:
        shots = size._replace(frames=size.views)
        column = read_part(film, shots, options, usual_fps)
        # Stills of cameras that stand apart need share nothing.
        if _frames_inside(column, film) > size.views:
            require_one_shot(column, film, options)
        frames[:, 0] = column.frames
        origin[:, 0] = Origin.REAL
        try:
            cameras, note = _cameras_of(column, film, size, options, network)
            unposed = ""
        except NoCameras as error:
            unposed = note = f"{error}"
        notes += [f"column: {column.note}", note]
    if options.fixed_view is not None:
        row = read_shot(options.fixed_view, size, options, usual_fps)
        if film is not None:
            warning = _disagreement(row.frames[0], frames[0, 0])
        frames[0] = row.frames
        origin[0] = Origin.REAL
        times = row.timestamps
        sound = read_sound(options.fixed_view, times)
        notes.append(f"row: {row.note}")
    note = "; ".join(notes)
    films = filter(None, (options.fixed_view, film))
    credits = dict.fromkeys(map(read_credit, films))
    about = About(
        note=note,
        warning=warning,
        unposed=unposed,
        credit="; ".join(filter(None, credits)),
        rate=rate,
        sound=sound,
    )
    return Grid(frames=frames, origin=origin, times=times, cameras=cameras, about=about)


def open_demo_grid(data: DataConfig, options: DemoGridOptions) -> Grid:
    """Render the first row and the first column of a held-out procedural scene."""
    frames, origin = _empty_grid(data.size)
    origin[0] = Origin.REAL
    if data.frames > 1:
        origin[:, 0] = Origin.REAL
    real = origin == Origin.REAL
    draw = clips.scene_program(*data.size, data.worlds, orbit=data.orbit)
    clip = draw(scene.HELD_OUT_START + options.scene)
    frames[real] = to_uint8(clip.frames)[real]
    rate = options.fps or data.fps
    note = f"row and column of the held-out procedural scene {options.scene}"
    cameras = None
    unposed = ""
    try:
        lens = np.asarray(clip.intrinsics[0], np.float64)
        poses = np.asarray(clip.world_to_camera[:, 0], np.float64)
        cameras = place_views(lens, poses, data.size)
        note += "; its cameras are known"
    except NoCameras as error:
        unposed = f"{error}"
    about = About(note=note, unposed=unposed, rate=rate)
    times = np.arange(data.frames) / rate
    return Grid(frames=frames, origin=origin, times=times, cameras=cameras, about=about)


def require_cameras(grid: Grid) -> None:
    """Refuse a grid whose cameras are unknown: no scene can be fitted to it.

    Raises:
      InputError: The message says why they are unknown.
    """
    if grid.cameras is None:
        expected = "cameras of all its views, to fit a scene to"
        found = grid.about.unposed
        raise errors.InputError("grid", "its cameras", found, expected, FILM_ADVICE)


def place_views(lens: Lens, world_to_camera: Poses, size: Size) -> Cameras:
    """Return cameras that stand still at these places, in the world of the first.

    The unit is the distance of the first from the place that all look at.

    Raises:
      NoCameras: they look at no common place.
    """
    poses = pinhole.relative_to(world_to_camera, world_to_camera[0])
    middle = pinhole.nearest_to_axes(poses)
    if middle is None:
        close = "the cameras of its views stand too close together"
        raise NoCameras(f"{close}, or look past the scene")
    scaled = pinhole.rescale(poses, float(np.linalg.norm(middle)))
    still = np.repeat(scaled[:, None], size.frames, 1)
    lenses = np.repeat(lens[None], len(poses), 0).astype(np.float32)
    return Cameras(lenses, still.astype(np.float32), size.height, size.width)


def _cameras_of(
    column: Video,
    film: Path,
    size: Size,
    options: TwoVideosOptions,
    network: AnyNetwork,
) -> tuple[Cameras, str]:
    """Return the cameras of all views, and where they come from.

    Raises:
      NoCameras: they cannot be found from the film.
      InputError: the poses that are given are unusable, or do not fit the film.
    """
    poses = find_path.read_poses(options.poses, film)
    own = poses and poses.path
    lens, seen, known = lens_of(column, film, options.fov, own)
    filmed = column if poses else _with_frames_between(column, film)
    path = find_path.find_path(
        film,
        filmed.timestamps,
        filmed.frames,
        lens,
        known=known,
        network=network,
        poses=poses,
    )
    if poses is None and (path.warning or not travels(path.world_to_camera)):
        raise NoCameras(path.warning or f"the camera of {film} stays in its place")
    if path.lens is not None:
        lens = path.lens
        seen = found_fov(lens, path.lens_error)
    times = filmed.timestamps, column.timestamps
    placed = interpolate_poses(path.world_to_camera, *times)
    cameras = place_views(lens, placed, size)
    apart = _angle(np.asarray(cameras.world_to_camera[:, 0], np.float64))
    stand = f"they stand {apart:.0f} degrees apart at most"
    note = "; ".join(filter(None, (path.note, path.warning, stand, seen)))
    return cameras, note


def _with_frames_between(column: Video, film: Path) -> Video:
    """Return the film of a column, with more frames a step than that has."""
    views, height, width = column.frames.shape[:3]
    more = _frames_between(column, film)
    return read_video(
        film,
        height=height,
        width=width,
        frames=(views - 1) * more + 1,
        fps=column.fps * more,
        start=float(column.timestamps[0]),
    )


def _frames_between(column: Video, film: Path) -> int:
    """Return the frames of a film from one frame of the column to the next, as many as help."""
    # Frames of a column's film whose cameras are found, at most.
    most_placed = 25
    steps = len(column.frames) - 1
    frames = min(_frames_inside(column, film), most_placed)
    return max(1, (frames - 1) // max(steps, 1))


def _frames_inside(column: Video, film: Path) -> int:
    """Return how many frames a film has from the column's first to its last; 0 without times."""
    try:
        times = frame_times(film)
    except ValueError:
        return 0
    first, last = column.timestamps[[0, -1]]
    return int(((times >= first - 1e-6) & (times <= last + 1e-6)).sum())


def _angle(world_to_camera: Poses) -> float:
    """Return the largest angle between views of the place that all look at, degrees."""
    middle = pinhole.nearest_to_axes(world_to_camera)
    assert middle is not None, "they were placed so"
    rays = pinhole.centers(world_to_camera) - middle
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))


def _empty_grid(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames of a grid, all black, and their origin: all are missing."""
    frames = np.zeros((*size, 3), np.uint8)
    return frames, np.full(frames.shape[:2], Origin.MISSING, np.uint8)


def _disagreement(row: Picture, column: Picture) -> str:
    """Return a warning where two frames that should be one picture are not, else ""."""
    # DB between the first frames of two videos, below which they count as different.
    same_picture_decibel = 20.0
    error = np.mean((row.astype(np.float32) - column) ** 2) / 255**2
    decibel = -10 * np.log10(max(float(error), 1e-10))
    if decibel >= same_picture_decibel:
        return ""
    different = f"the two videos start with different pictures ({decibel:.0f} dB)"
    return f"{different}; both have to start at one instant of one scene, at one camera"
