"""Calibrated cameras and the videos beside them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from input_pipeline import capture, media_files
from input_pipeline.plain_files import check_field

Videos = Mapping[str, tuple[Path, ...]]


class CalibratedCamera(NamedTuple):
    """A camera of a calibration: arguments of `make_view`."""

    intrinsics: Float64[np.ndarray, "3 3"]
    world_to_camera: Float64[np.ndarray, "*t 4 4"]
    size: tuple[int, int] | None = None
    distortion: Sequence[float] = ()
    is_fisheye: bool = False
    timestamps: Sequence[float] | None = None
    fps: float | None = None
    offset: float = 0.0


def make_rig(
    path: Path,
    cameras: Mapping[str, CalibratedCamera],
    depth_scale: float | None = None,
) -> list[capture.View]:
    """Return the views of cameras, by the names of their videos.

    Args:
      path: the capture's folder, with videos or folders of pictures here, in `videos` or `images`.
      cameras: by name.
      depth_scale: see `make_view`.

    Raises:
      ValueError: videos that do not fit the cameras.
    """
    videos = media_files.find_videos(path, ("videos", ".", "images"))
    # Without times, pictures of one number are of one instant: folders must be equally long.
    if any(camera.timestamps is None for camera in cameras.values()):
        check_lengths(videos, path)
    views = []
    for camera, name in pair(videos, list(cameras), path).items():
        there = cameras[camera]._asdict() | {"beside": path, "depth_scale": depth_scale}
        views.append(capture.make_view(name, videos[name], **there))
    return views


def pair(videos: Videos, cameras: Sequence[str], where: Path) -> dict[str, str]:
    """Return for each camera the name of its video: the same, or one that contains the other.

    A number is contained as a whole only: the video cam10 is not that of the camera cam1.

    Raises:
      ValueError: naming cameras without video, and videos without camera.
    """
    pairs: dict[str, str] = {}
    for camera in cameras:
        inside = [x for x in videos if _within(x, camera) or _within(camera, x)]
        if camera in videos:
            pairs[camera] = camera
        elif len(inside) == 1:
            pairs[camera] = inside[0]
    fits = len(pairs) == len(cameras) and sorted(pairs.values()) == sorted(videos)
    bare = [camera for camera in cameras if camera not in pairs]
    unpaired = sorted(set(videos) - set(pairs.values()), key=media_files.natural)
    found = f"cameras without a video: {', '.join(bare) or 'none'}"
    found += f", and videos without a camera: {', '.join(unpaired) or 'none'}"
    check_field(where, fits, found, "one video of its name for each camera")
    return pairs


def _within(short: str, long: str) -> bool:
    """Return whether one name stands in the other without cutting a number."""
    before = r"(?<!\d)" if short[:1].isdigit() else ""
    after = r"(?!\d)" if short[-1:].isdigit() else ""
    return re.search(before + re.escape(short) + after, long) is not None


def check_lengths(videos: Videos, where: Path) -> None:
    """Refuse folders of pictures of unequal length, whose instants are unknown.

    Raises:
      ValueError: naming the counts.
    """
    folders = {
        name: len(files)
        for name, files in videos.items()
        if len(files) != 1 or files[0].suffix.lower() not in media_files.VIDEOS
    }
    found = ", ".join(f"{name} {count}" for name, count in folders.items())
    equal = len(set(folders.values())) <= 1
    check_field(where, equal, f"pictures {found}", "as many for each camera")


def join_poses(cameras: Sequence[CalibratedCamera], where: str) -> CalibratedCamera:
    """Return the moving camera of these cameras, one per frame.

    Raises:
      ValueError: its lens changes.
    """
    # Of the focal length.
    most_change = 1e-3
    first = cameras[0]
    change = max(
        np.abs(camera.intrinsics - first.intrinsics).max() for camera in cameras
    )
    fixed = change <= most_change * abs(first.intrinsics[0, 0])
    found = f"a lens that changes by {change:.2f} pixels"
    check_field(where, fixed, found, "a fixed one (COLMAP's --single_camera)")
    poses = np.stack([c.world_to_camera for c in cameras])
    return first._replace(world_to_camera=poses)
