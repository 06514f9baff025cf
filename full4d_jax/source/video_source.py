"""Sources of one view, from a video or a procedural scene.

They have the camera of that view alone; `camera_paths` puts the target cameras beside it. The path
of a video's camera is that of a file, or found in the pictures.
"""

from dataclasses import replace

import numpy as np

from full4d_jax import cameras, grid
from full4d_jax.config import Size
from full4d_jax.media import pictures, sound
from full4d_jax.media.video_io import check_file, read_credit
from full4d_jax.source import camera_paths, film
from full4d_jax.source.depth import any_network
from full4d_jax.source.handheld import find_path
from full4d_jax.source.lens import found_fov, lens_of
from full4d_jax.source.options import DemoOptions, VideoOptions
from gaussians.fitting.stillness import camera_moves
from input_pipeline.procedural import clips, scene


def open_video_source(
    size: Size,
    options: VideoOptions,
    usual_fps: float,
    network: any_network.AnyNetwork | None = None,
) -> grid.Grid:
    """Read a video of one camera, and find the camera's path.

    Args:
      size: how many frames of which size.
      options: what is read.
      usual_fps: frames a second where the options name none.
      network: estimates depth, and may know the lens; None is ours.

    Raises:
      InputError: the video is unusable or shows two shots, or the poses that are given.
    """
    poses = find_path.read_poses(options.poses, options.video)
    choice = ""
    fps = options.fps or usual_fps
    if options.start is None:
        check_file(options.video)
        # Poses and depth that are given are those from the video's start on.
        start = 0.0
        if not (options.poses or options.measured.depth):
            start = film.best_start(options.video, size.frames / fps)
        options = replace(options, start=start)
        if start:
            choice = "; the part where most moves (another by --start)"
    video = film.read_shot(options.video, size, options, usual_fps)
    network = network or any_network.open_network(None)
    estimate = any_network.lens_estimate(network)
    own = poses and poses.path
    lens, seen, known = lens_of(video, options.video, options.fov, own, estimate)
    wanted = round((options.size.seconds or 0) * fps)
    short = f"; {wanted} frames requested" * (wanted > size.frames)
    path = find_path.find_path(
        options.video,
        video.timestamps,
        video.frames,
        lens,
        known=known,
        network=network,
        between=None if video.between is None else video.between.times,
        poses=poses,
    )
    if path.lens is not None:
        lens = path.lens
        seen = found_fov(lens, path.lens_error)
    note = f"{video.note}{choice}; {seen}{short}"
    # Else the camera in between is unknown.
    rests = not camera_moves(path.world_to_camera)
    between = None
    if video.between is not None and (rests or path.between is not None):
        first = path.world_to_camera[:1].repeat(len(video.between.times), 0)
        own = first if path.between is None else path.between
        between = video.between._replace(world_to_camera=own.astype(np.float32))
    lenses, poses = (x[None].astype(np.float32) for x in (lens, path.world_to_camera))
    return grid.Grid(
        frames=video.frames[None],
        origin=grid.all_real(video.frames[None]),
        times=video.timestamps,
        cameras=cameras.Cameras(lenses, poses, size.height, size.width),
        points=grid.seen_in(0, path.points),
        estimate=path.estimate,
        between=between,
        around=film.pictures_around(options.video, video) if rests else None,
        about=grid.About(
            note="; ".join(filter(None, (note, path.note))),
            warning=path.warning,
            credit=read_credit(options.video),
            rate=fps,
            sound=sound.read_sound(options.video, video.timestamps),
        ),
    )


def open_demo(size: Size, options: DemoOptions) -> grid.Grid:
    """Render the source view of a held-out procedural scene, whose camera stands still.

    Its true depth is known, unless a depth network is given.
    """
    draw = clips.scene_program(*size._replace(views=1), "rich", orbit=True)
    clip = draw(scene.HELD_OUT_START + options.scene)
    frames = pictures.to_uint8(clip.frames)
    knows = options.measured.depth_network is None
    known = "lens and depth" if knows else "lens"
    scene_note = f"held-out procedural scene {options.scene}, source view only"
    return grid.Grid(
        frames=frames,
        origin=grid.all_real(frames),
        times=np.asarray(clip.timestamps),
        cameras=camera_paths.still_camera(np.asarray(clip.intrinsics[0]), size),
        depth=np.asarray(clip.depth) if knows else None,
        about=grid.About(note=f"{scene_note}; known: {known}"),
    )
