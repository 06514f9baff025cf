"""Sources of one view, from a video or a procedural scene.

They have the camera of that view alone; `camera_paths` puts the target cameras beside it.
"""

from dataclasses import replace

import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.config import DataConfig
from full4d_jax.grid import About, Grid, PicturesBetween, all_real, seen_in
from full4d_jax.media.pictures import to_uint8
from full4d_jax.media.sound import read_sound
from full4d_jax.media.video import check_file, read_video
from full4d_jax.source.best_part import best_start
from full4d_jax.source.camera_paths import still_camera
from full4d_jax.source.handheld.pose_files import read_poses
from full4d_jax.source.handheld.video_path import path_of_video
from full4d_jax.source.lens import LensEstimate, lens_of
from full4d_jax.source.options import DemoOptions, VideoOptions
from full4d_jax.source.rest_of_film import pictures_around
from full4d_jax.source.shots import check_one_shot
from gaussians.fitting.stillness import camera_moves
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.scene import HELD_OUT_START

DEMO_WORLDS = "rich"


def open_video_source(
    data: DataConfig, options: VideoOptions, estimate: LensEstimate | None = None
) -> Grid:
    """Read a video of one camera, and find the camera's path.

    Args:
      data: how many frames of which size.
      options: what is read.
      estimate: a depth network's field of view (`lens_of`); None without one that knows.

    Raises:
      InputError: the video is unusable or shows two shots, or the poses that are given.
    """
    poses = None if options.poses is None else read_poses(options.poses, options.video)
    choice = ""
    if options.start is None:
        options = replace(options, start=chosen_start(data, options))
        if options.start:
            choice = "; this part was chosen as most moves in it, --start takes another"
    start = options.start or 0.0
    video = read_video(
        options.video,
        height=data.height,
        width=data.width,
        frames=data.frames,
        fps=options.fps,
        start=start,
        usual=data.fps,
    )
    check_one_shot(video, options.video, seconds=True)
    lens, seen = lens_of(video, options.video, options.fov, poses, estimate)
    wanted = round((options.size.seconds or 0) * (options.fps or data.fps))
    short = f"; of {wanted} frames asked for the video has these" * (wanted > data.frames)
    path = path_of_video(video, lens, data, options, poses)
    note = f"{video.note}{choice}; {seen}{short}"
    world_to_camera = path.world_to_camera[None].astype(np.float32)
    rests = not camera_moves(path.world_to_camera)  # else the camera in between is unknown
    between = None
    if rests and video.between is not None and video.between_times is not None:
        between = PicturesBetween(video.between, video.between_times)
    return Grid(
        frames=video.frames[None],
        origin=all_real(video.frames[None]),
        times=video.timestamps,
        cameras=Cameras(lens[None].astype(np.float32), world_to_camera, data.height, data.width),
        points=seen_in(0, path.points),
        between=between,
        around=pictures_around(options.video, video) if rests else None,
        about=About(
            note="; ".join(text for text in (note, path.note) if text),
            warning=path.warning,
            rate=options.fps or data.fps,
            sound=read_sound(options.video, video.timestamps),
        ),
    )


def chosen_start(data: DataConfig, options: VideoOptions) -> float:
    """Return where the part that is taken begins, in seconds, if no start is given.

    Poses and depth that are given are those from the video's start on.

    Raises:
      InputError: The file is no video.
    """
    if options.poses is not None or options.measured.depth is not None:
        return 0.0
    check_file(options.video)
    return best_start(options.video, data.frames / (options.fps or data.fps))


def open_demo(data: DataConfig, options: DemoOptions) -> Grid:
    """Render the source view of a held-out procedural scene, whose camera stands still.

    Its true depth is known, unless a depth network is asked for.
    """
    draw = scene_program(1, data.frames, data.height, data.width, DEMO_WORLDS, orbit=True)
    clip = draw(HELD_OUT_START + options.scene)
    frames = to_uint8(clip.frames)
    camera = still_camera(
        np.asarray(clip.intrinsics[0]), frames=data.frames, height=data.height, width=data.width
    )
    knows = options.measured.depth_network is None
    known = "and its depth are" if knows else "is"
    note = f"held-out procedural scene {options.scene}, source view only; its lens {known} known"
    return Grid(
        frames=frames,
        origin=all_real(frames),
        times=np.asarray(clip.timestamps),
        cameras=camera,
        depth=np.asarray(clip.depth) if knows else None,
        about=About(note=note),
    )
