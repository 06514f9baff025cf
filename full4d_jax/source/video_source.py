"""Sources of one view, from a video or a procedural scene.

They have the camera of that view alone; `camera_paths` puts the target cameras beside it.
"""

from dataclasses import replace

import numpy as np

from full4d_jax import cameras, config, grid
from full4d_jax.media import pictures, sound
from full4d_jax.media.video import check_file
from full4d_jax.source import camera_paths, film
from full4d_jax.source.handheld import pose_files, video_path
from full4d_jax.source.lens import LensEstimate, lens_of
from full4d_jax.source.options import DemoOptions, VideoOptions
from gaussians.fitting.stillness import camera_moves
from input_pipeline.procedural import clips, scene


def open_video_source(
    data: config.DataConfig, options: VideoOptions, estimate: LensEstimate | None = None
) -> grid.Grid:
    """Read a video of one camera, and find the camera's path.

    Args:
      data: how many frames of which size.
      options: what is read.
      estimate: a depth network's field of view (`lens_of`); None without one that knows.

    Raises:
      InputError: the video is unusable or shows two shots, or the poses that are given.
    """
    poses = (
        None
        if options.poses is None
        else pose_files.read_poses(options.poses, options.video)
    )
    choice = ""
    if options.start is None:
        check_file(options.video)
        # Poses and depth that are given are those from the video's start on.
        given = options.poses or options.measured.depth
        seconds = data.frames / (options.fps or data.fps)
        options = replace(
            options, start=0.0 if given else film.best_start(options.video, seconds)
        )
        if options.start:
            choice = "; the part with most motion (another by --start)"
    video = film.read_shot(options.video, data.frames, data, options)
    lens, seen = lens_of(video, options.video, options.fov, poses, estimate)
    wanted = round((options.size.seconds or 0) * (options.fps or data.fps))
    short = f"; {wanted} frames were asked for" * (wanted > data.frames)
    path = video_path.path_of_video(video, lens, data, options, poses)
    note = f"{video.note}{choice}; {seen}{short}"
    # Else the camera in between is unknown.
    rests = not camera_moves(path.world_to_camera)
    lenses, poses = (x[None].astype(np.float32) for x in (lens, path.world_to_camera))
    return grid.Grid(
        frames=video.frames[None],
        origin=grid.all_real(video.frames[None]),
        times=video.timestamps,
        cameras=cameras.Cameras(lenses, poses, data.height, data.width),
        points=grid.seen_in(0, path.points),
        between=video.between if rests else None,
        around=film.pictures_around(options.video, video) if rests else None,
        about=grid.About(
            note="; ".join(filter(None, (note, path.note))),
            warning=path.warning,
            rate=options.fps or data.fps,
            sound=sound.read_sound(options.video, video.timestamps),
        ),
    )


def open_demo(data: config.DataConfig, options: DemoOptions) -> grid.Grid:
    """Render the source view of a held-out procedural scene, whose camera stands still.

    Its true depth is known, unless a depth network is asked for.
    """
    draw = clips.scene_program(1, data.frames, data.height, data.width, "rich", orbit=True)
    clip = draw(scene.HELD_OUT_START + options.scene)
    frames = pictures.to_uint8(clip.frames)
    size = {"frames": data.frames, "height": data.height, "width": data.width}
    knows = options.measured.depth_network is None
    known = "lens and depth" if knows else "lens"
    note = f"held-out procedural scene {options.scene}, source view only; known: {known}"
    return grid.Grid(
        frames=frames,
        origin=grid.all_real(frames),
        times=np.asarray(clip.timestamps),
        cameras=camera_paths.still_camera(np.asarray(clip.intrinsics[0]), **size),
        depth=np.asarray(clip.depth) if knows else None,
        about=grid.About(note=note),
    )
