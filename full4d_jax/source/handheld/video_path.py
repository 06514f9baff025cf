"""The path of the camera of a video that is opened: from a file, or found in its pictures."""

import numpy as np

from full4d_jax.config import DataConfig
from full4d_jax.geometry.arrays import Lens, Pictures
from full4d_jax.media.video import Video, read_video
from full4d_jax.source.handheld.find_path import SourcePath, find_path, path_from_poses
from full4d_jax.source.options import VideoOptions
from input_pipeline.cameras import resize_intrinsics
from input_pipeline.importers.camera_path import CameraPath

# Pixels, at most, of the long side of frames in which points are sought.
POINTS_SIDE = 960


def path_of_video(
    video: Video,
    lens: Lens,
    data: DataConfig,
    options: VideoOptions,
    poses: CameraPath | None,
) -> SourcePath:
    """Return the path of a video's camera; its points are in pixels of the video's frames.

    Args:
      video: the clip.
      lens: intrinsics of its frames, pixels.
      data: their size.
      options: where the video and its poses are.
      poses: what the file of poses holds; None without one.

    Raises:
      InputError: the poses do not fit the video.
    """
    scale = max(1, POINTS_SIDE // max(data.height, data.width))

    def large() -> tuple[Pictures, Lens]:
        again = read_video(
            options.video,
            height=scale * data.height,
            width=scale * data.width,
            frames=data.frames,
            fps=options.fps,
            start=options.start or 0.0,
            usual=data.fps,
        )
        return again.frames, resize_intrinsics(lens, rows=scale, columns=scale)

    if poses is None or options.poses is None:
        path = find_path(video.gray, gray_lens(video, lens), large)
    else:
        path = path_from_poses(poses, options.poses, options.video, video.timestamps, large)
    if path.points is None:
        return path
    return path._replace(points=path.points._replace(pixels=path.points.pixels / scale))


def gray_lens(video: Video, lens: Lens) -> Lens:
    """Return the intrinsics of the whole picture in gray, of which the frames are the middle."""
    rows, columns = video.gray.shape[1:]
    focal = lens[0, 0] / (2 * lens[0, 2]) * video.kept_width * columns
    return np.array([[focal, 0, columns / 2], [0, focal, rows / 2], [0, 0, 1]])
