"""Sources from videos and from procedural scenes: one view, or the first row and column of a grid.

A source of one view has the camera of that view alone; `camera_paths` puts the target cameras
beside it.
"""

from functools import partial

import jax
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.config import DataConfig
from full4d_jax.media.pictures import to_uint8
from full4d_jax.media.video import read_video
from full4d_jax.source.camera_paths import cropped_fov, still_camera
from full4d_jax.source.handheld.given_poses import fov_of_poses, read_poses
from full4d_jax.source.handheld.video_path import path_of_video
from full4d_jax.source.lens import assumed_fov, focal_length, fov_of
from full4d_jax.source.options import (
    DemoGridOptions,
    DemoOptions,
    TwoVideosOptions,
    VideoOptions,
)
from full4d_jax.source.source import Source, all_given
from input_pipeline.cameras import intrinsics_from_fov
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene
from input_pipeline.video_files import frame_size

DEMO_WORLDS = "rich"
AGREE = 20.0  # dB between the first frames of two videos, below which they count as different


def open_video(data: DataConfig, options: VideoOptions) -> Source:
    """Read a video of one camera, and find the camera's path.

    Raises:
      InputError: the video is unusable, or the poses that are given.
    """
    size = {"height": data.height, "width": data.width, "frames": data.frames}
    poses = None if options.poses is None else read_poses(options.poses, options.video)
    video = read_video(options.video, **size, fps=options.fps, start=options.start, usual=data.fps)
    fov = assumed_fov(data.height, data.width)
    lens = f"assumed to be {fov:.0f} degrees; give it as --fov"
    whole, known = options.fov, ""
    if whole is None and poses is not None:
        whole, known = fov_of_poses(poses), ", as the poses' lens has it"
    if whole is None and (equivalent := focal_length(options.video)) is not None:
        whole = fov_of(equivalent, *frame_size(options.video))
        known = f", of {equivalent:g} mm (as on 35 mm film) in the file's metadata"
    if whole is not None:
        fov = cropped_fov(whole, video.kept_width)
        lens = f"{fov:.1f} degrees: {whole:.4g} before cropping{known}"
    wanted = round((options.size.seconds or 0) * (options.fps or data.fps))
    short = f"; of {wanted} frames asked for the video has these" * (wanted > data.frames)
    intrinsics = intrinsics_from_fov(fov, data.height, data.width)
    path = path_of_video(video, intrinsics, data, options, poses)
    note = f"{video.note}; the horizontal field of view is {lens}{short}"
    world_to_camera = path.world_to_camera[None].astype(np.float32)
    return Source(
        frames=video.frames[None],
        given=all_given(video.frames[None]),
        times=video.timestamps,
        cameras=Cameras(
            intrinsics[None].astype(np.float32), world_to_camera, data.height, data.width
        ),
        depth=None,
        depth_of="nothing",
        note="; ".join(text for text in (note, path.note) if text),
        warning=path.warning,
        rate=options.fps or data.fps,
        points=path.points,
    )


def open_demo(data: DataConfig, options: DemoOptions) -> Source:
    """Render the source view of a held-out procedural scene, whose camera stands still.

    Its true depth is known, unless a depth network is asked for.
    """
    size = {"frames": data.frames, "height": data.height, "width": data.width}
    draw = partial(procedural_scene, views=1, **size, orbit=True, worlds=DEMO_WORLDS)
    clip = jax.jit(draw)(HELD_OUT_START + options.scene)
    frames = to_uint8(clip.frames)
    knows = options.measured.depth_network is None
    return Source(
        frames=frames,
        given=all_given(frames),
        times=np.asarray(clip.timestamps),
        cameras=still_camera(np.asarray(clip.intrinsics[0]), **size),
        depth=np.asarray(clip.depth) if knows else None,
        depth_of="the source" if knows else "nothing",
        note=f"held-out procedural scene {options.scene}, source view only; its lens "
        f"{'and its depth are' if knows else 'is'} known",
    )


def open_two_videos(data: DataConfig, options: TwoVideosOptions) -> Source:
    """Read the first row and the first column of a grid, or one of them.

    Raises:
      InputError: a video is unusable.
    """
    frames, given = _empty_grid(data)
    size = {"height": data.height, "width": data.width}
    cut = {"start": options.start, "fps": options.fps, "usual": data.fps}
    times, notes, warning = np.arange(data.frames) / (options.fps or data.fps), [], ""
    if options.freeze_time is not None:
        column = read_video(options.freeze_time, frames=data.views, **size, **cut)
        frames[:, 0], given[:, 0] = column.frames, True
        notes.append(f"column: {column.note}")
    if options.fixed_view is not None:
        row = read_video(options.fixed_view, frames=data.frames, **size, **cut)
        warning = _disagreement(row.frames[0], frames[0, 0]) if given[0, 0] else ""
        frames[0], given[0], times = row.frames, True, row.timestamps
        notes.append(f"row: {row.note}")
    return _without_cameras(
        frames, given, times, options.fps or data.fps, "; ".join(notes), warning
    )


def open_demo_grid(data: DataConfig, options: DemoGridOptions) -> Source:
    """Render the first row and the first column of a held-out procedural scene."""
    frames, given = _empty_grid(data)
    given[0], given[:, 0], given[0, 0] = True, data.frames > 1, True
    sizes = {"views": data.views, "frames": data.frames, "height": data.height, "width": data.width}
    render = partial(procedural_scene, **sizes, orbit=data.orbit, worlds=data.worlds)
    grid = jax.jit(render)(HELD_OUT_START + options.scene).frames
    frames[given] = to_uint8(grid)[given]
    times = np.arange(data.frames) / (options.fps or data.fps)
    note = f"row and column of the held-out procedural scene {options.scene}"
    return _without_cameras(frames, given, times, options.fps or data.fps, note)


def _empty_grid(data: DataConfig) -> tuple[ndarray, ndarray]:
    """Return the frames of a grid, all black, and which are given: none."""
    shape = data.views, data.frames
    return np.zeros((*shape, data.height, data.width, 3), np.uint8), np.zeros(shape, bool)


def _without_cameras(
    frames: ndarray,
    given: ndarray,
    times: ndarray,
    rate: float | None,
    note: str,
    warning: str = "",
) -> Source:
    """Return a source whose cameras and depth are not known."""
    return Source(frames, given, times, None, None, "nothing", note, warning, rate=rate)


def _disagreement(row: UInt8[ndarray, "h w 3"], column: UInt8[ndarray, "h w 3"]) -> str:
    """Return a warning where two frames that should be one picture are not, else ""."""
    error = np.mean((row.astype(np.float32) - column) ** 2) / 255**2
    decibel = -10 * np.log10(max(float(error), 1e-10))
    if decibel >= AGREE:
        return ""
    return (
        f"the two videos start with different pictures ({decibel:.0f} dB); the grid needs one "
        "scene, in which both start at the same instant and camera"
    )
