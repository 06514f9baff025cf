"""The first stage: a source clip with its camera, from a video file or from a procedural scene."""

import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.config import DataConfig
from full4d_jax.media.pictures import to_uint8
from full4d_jax.media.video import read_video
from full4d_jax.session.files import Arrays
from full4d_jax.session.options import Shot
from full4d_jax.source.camera_motion import camera_motion_warning
from full4d_jax.source.camera_paths import Preset, cropped_fov, load_views, target_views
from input_pipeline.cameras import intrinsics_from_fov
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.scene import HELD_OUT_START

DEFAULT_FOV = 55.0  # degrees of the cropped picture, in the middle of what the prior was trained on
PRESETS: tuple[Preset, ...] = ("arc", "ring", "spiral")


def read_source(data: DataConfig, shot: Shot) -> Arrays:
    """The source stage.

    Returns:
      frames (t, h, w, 3) uint8 sRGB, fps (), intrinsics (3, 3) pixels, and note and warning, text.

    Raises:
      InputError: an unusable video.
    """
    if shot.video is None:
        return _procedural_source(data, shot.scene)
    video = read_video(
        shot.video,
        height=data.height,
        width=data.width,
        frames=data.frames,
        fps=shot.fps,
        start=shot.start,
    )
    fov, lens = DEFAULT_FOV, "taken as 55 degrees in want of --fov"
    if shot.fov is not None:
        fov = cropped_fov(shot.fov, video.kept_width)
        lens = f"of {shot.fov:g} degrees becomes {fov:.1f} by the crop"
    return {
        "frames": video.frames,
        "fps": np.asarray(video.fps),
        "intrinsics": intrinsics_from_fov(fov, data.height, data.width).astype(np.float32),
        "note": np.asarray(f"{video.note}; the horizontal field of view is {lens}"),
        "warning": np.asarray(camera_motion_warning(video.gray) or ""),
    }


def _procedural_source(data: DataConfig, scene: int) -> Arrays:
    make = scene_program(2, data.frames, data.height, data.width, data.worlds)
    clip = make(HELD_OUT_START + scene)
    times = np.asarray(clip.timestamps)
    fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 6.0
    moved = np.abs(np.asarray(clip.world_to_camera[0]) - np.eye(4)).max() > 1e-3
    return {
        "frames": to_uint8(clip.frames[0]),
        "fps": np.asarray(fps),
        "intrinsics": np.asarray(clip.intrinsics[0]),
        "note": np.asarray(
            f"held-out procedural scene {scene}, source view only; its lens is known"
        ),
        "warning": np.asarray("the source camera of this scene moves" if moved else ""),
    }


def cameras(data: DataConfig, shot: Shot, source: Arrays) -> Cameras:
    """The source and its target cameras, by preset, from a file or the dataset's.

    Raises:
      InputError: an unusable camera file.
    """
    if "lenses" in source:
        return Cameras(source["lenses"], source["world_to_camera"], data.height, data.width)
    if shot.path in PRESETS:
        return target_views(
            shot.path,
            source["intrinsics"],
            views=data.views,
            frames=data.frames,
            height=data.height,
            width=data.width,
            azimuth=shot.azimuth,
            elevation=shot.elevation,
        )
    return load_views(
        shot.path, source["intrinsics"], frames=data.frames, height=data.height, width=data.width
    )
