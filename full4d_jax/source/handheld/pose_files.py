"""The path of a source camera from a file: poses of frames at the instants of a clip.

As many poses as instants belong to them in order. Any other number is spread evenly over the whole
video, from its first frame on, and the poses of instants between are interpolated: so the file may
have a pose for every frame, or for frames that were taken at any fixed rate.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.geometry.arrays import Poses
from full4d_jax.geometry.paths import interpolate_poses
from full4d_jax.session.errors import InputError, input_errors
from input_pipeline import cameras, video_files
from input_pipeline.importers.camera_path import CameraPath, read_path

POSES_ADVICE = "see 'Hand-held cameras' in docs/cameras.md"


def read_poses(file: Path | None, video: Path) -> CameraPath | None:
    """Read a file of poses, and compare its lens with the video; None without a file.

    Raises:
      InputError: the file is unusable, or of pictures of another shape than the video's.
    """
    # By which the calibrated pictures' shape may differ from the video's.
    shape_tolerance = 0.02
    if file is None:
        return None
    with input_errors("poses", POSES_ADVICE):
        path = read_path(file)
        height, width = video_files.frame_size(video)
    if path.size is not None:
        rows, columns = path.size
        if abs(columns * height / (rows * width) - 1) > shape_tolerance:
            found = f"pictures of {columns}x{rows}"
            expected = f"the shape of {width}x{height}"
            do = "calibrate the video's own frames"
            raise InputError("poses", file, found, expected, do)
    return path


def fov_of_poses(path: CameraPath) -> float | None:
    """Return the horizontal field of view of the whole picture in degrees; None if not recorded."""
    if path.intrinsics is None or path.size is None:
        return None
    return float(2 * np.degrees(np.arctan(path.size[1] / 2 / path.intrinsics[0, 0])))


def poses_at(
    path: CameraPath, file: Path, video: Path, instants: Float[ndarray, " t"]
) -> Poses:
    """Return the poses at the instants (seconds into the video), the first as the world.

    Raises:
      InputError: there is one pose for several instants.
    """
    poses = path.world_to_camera
    if len(poses) != len(instants):
        with input_errors("video", "encode it again"):
            times = video_files.frame_times(video)
        if len(poses) < 2 or len(times) < 2:
            expected = f"{len(instants)}, one an instant, or one a frame of the video"
            raise InputError("poses", file, len(poses), expected, POSES_ADVICE)
        poses = interpolate_poses(poses, _pose_times(len(poses), times), instants)
    return cameras.relative_to(poses, poses[0])


def _pose_times(count: int, times: Float[ndarray, " n"]) -> Float[ndarray, " m"]:
    """Return the seconds of `count` poses that are spread evenly over a video's frames."""
    if count == len(times):
        return times
    lasts = times[-1] + np.median(np.diff(times))
    return np.arange(count) * (lasts / count)
