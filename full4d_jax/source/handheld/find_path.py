"""The path of a video's camera: that of a file of poses, or what the pictures show.

A film some of which stays in its place is one of a camera at rest. Otherwise points of what stands
still are followed through all frames, and path, lens and the scale of depth are found together
(`geometry.camera_path`). The unit of a path is settled when there is depth (`path_scale`).

In a file of poses as many poses as instants belong to them in order. Any other number is spread
evenly over the whole video, from its first frame on, and the poses of instants between are
interpolated: so the file may have a pose for every frame, or for frames that were taken at any
fixed rate.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.geometry import camera_path, paths
from full4d_jax.geometry.arrays import Lens, Maps, Masks, Pictures, Poses
from full4d_jax.geometry.poses_between import find_poses_between
from full4d_jax.media import video_io
from full4d_jax.media.pictures import to_model
from full4d_jax.models.weights import load_shipped
from full4d_jax.session import errors
from full4d_jax.source.depth import any_network
from full4d_jax.source.subjects import class_shares
from input_pipeline import depth_alignment, pinhole, video_files
from input_pipeline.importers.camera_path import CameraPath, read_path

# Of the matches that must agree with given poses, and of the tracks with a path that is found.
LEAST_AGREEMENT = 0.5
POSES_ADVICE = "see 'Hand-held cameras' in docs/cameras.md"
ADVICE = "take another part (--start), or give --poses"
VERBS = {"turn": "turns on its place", "travel": "travels"}
Large = Callable[[], tuple[Pictures, Lens]]


class SourcePath(NamedTuple):
    """The path of a source camera.

    Attributes:
      world_to_camera: at every instant; the first is the identity, the unit is free.
      points: still points of the scene, in the path's unit; None where none are known.
      estimate: depth by a network, in the path's unit, 0 where unknown; None of a camera at rest.
      note: a sentence about where it comes from; empty for a camera that stands still.
      warning: a sentence about what may go wrong; empty for nothing.
      lens: intrinsics that were found with it, pixels; None where it tells nothing of them.
      lens_error: standard deviation of the logarithm of its focal length.
      between: poses at the times between the instants; None where they are unknown.
    """

    world_to_camera: Poses
    points: depth_alignment.SparseDepth | None = None
    estimate: Maps | None = None
    note: str = ""
    warning: str = ""
    lens: Lens | None = None
    lens_error: float = 0.0
    between: Poses | None = None


def still_path(frames: int) -> SourcePath:
    """Return the path of a camera that stands still."""
    return SourcePath(np.tile(np.eye(4), (frames, 1, 1)))


def find_path(
    file: Path,
    times: Float[ndarray, " t"],
    frames: Pictures,
    lens: Lens,
    *,
    known: bool,
    network: any_network.AnyNetwork,
    between: Float[ndarray, " b"] | None = None,
) -> SourcePath:
    """Find the path of a video's camera by its pictures, and its lens where that is unknown.

    Args:
      file: the video.
      times: when the frames were taken, seconds into the file.
      frames: sRGB.
      lens: intrinsics of the frames, pixels.
      known: whether the lens is that of the camera, or merely assumed.
      network: estimates the depth of single frames.
      between: a time between each two of these, at which the pose is sought too.
    """
    height, width = frames.shape[1:3]
    wanted = times if between is None else np.sort(np.append(times, between))
    film, places = video_io.gray_film(file, wanted, height, width)
    instants = places[np.isin(wanted, times)]
    everywhere = np.ones(frames.shape[:3], bool)
    if camera_path.rests(camera_path.track_points(film, instants, everywhere), width):
        return still_path(len(frames))
    tracks = camera_path.track_points(film, instants, still_masks(frames))
    if not camera_path.reach_all(tracks, len(frames)):
        lost = "too little stands still in some of its frames to follow its camera"
        warning = f"{lost}, which is taken to stand; the scene may smear: {ADVICE}"
        return still_path(len(frames))._replace(warning=warning)
    depth = single_depth(network, frames)
    disparity = 1 / any_network.as_far(depth)
    found = camera_path.find_camera_path(tracks, disparity, lens, known=known)
    if found.motion == "rest":
        return still_path(len(frames))
    agree = float(found.agree.mean())
    seen = f"{agree:.0%} of the tracks agree, {found.error:.2f} pixels in the median"
    note = f"its camera {VERBS[found.motion]}: {seen}"
    warning = ""
    if agree < LEAST_AGREEMENT:
        warning = (
            f"the camera's path is doubtful: {seen}; the scene may smear: {ADVICE}"
        )
    estimate = np.where(depth > 0, found.depth, 0)
    points = found.points if found.motion == "travel" else None
    path = SourcePath(found.world_to_camera, points, estimate, note, warning)
    if between is not None and found.points is not None:
        where = film, instants, places[np.isin(wanted, between)]
        poses = find_poses_between(
            *where, found.points, found.lens, path.world_to_camera
        )
        path = path._replace(between=poses)
    if known or not np.isfinite(found.lens_error):
        return path
    return path._replace(lens=found.lens, lens_error=found.lens_error)


def single_depth(network: any_network.AnyNetwork, frames: Pictures) -> Maps:
    """Return a network's depth of frames, each by itself, of median 1; 0 where unknown."""
    depth = [
        any_network.source_depth(network, to_model(frame[None]), still=False)
        for frame in frames
    ]
    return np.concatenate(depth)


def still_masks(frames: Pictures) -> Masks:
    """Return where no people, animals or vehicles are, or near."""
    # Probability of a class that may move, and pixels around it of 456.
    moving_share = 0.3
    margin = round(9 / 456 * frames.shape[2]) | 1
    shares = class_shares(load_shipped("segmentation"), frames).sum(-1)
    still = (shares < moving_share).astype(np.uint8)
    return np.stack([cv2.erode(x, np.ones((margin, margin))) > 0 for x in still])


def read_poses(file: Path | None, video: Path) -> CameraPath | None:
    """Read a file of poses, and compare its lens with the video; None without a file.

    Raises:
      InputError: the file is unusable, or of pictures of another shape than the video's.
    """
    # By which the calibrated pictures' shape may differ from the video's.
    shape_tolerance = 0.02
    if file is None:
        return None
    with errors.input_errors("poses", POSES_ADVICE):
        path = read_path(file)
        height, width = video_files.frame_size(video)
    if path.size is not None:
        rows, columns = path.size
        if abs(columns * height / (rows * width) - 1) > shape_tolerance:
            found = f"pictures of {columns}x{rows}"
            expected = f"the shape of {width}x{height}"
            do = "calibrate the video's own frames"
            raise errors.InputError("poses", file, found, expected, do)
    return path


def path_from_poses(
    poses: CameraPath,
    file: Path,
    video: Path,
    instants: Float[ndarray, " t"],
    large: Large,
) -> SourcePath:
    """Return the path that a file holds, with points of the scene that it shows.

    Raises:
      InputError: it does not fit the video's frames.
    """
    # Of the given poses' misfit, below which another reading is clearly better.
    better_misfit = 0.75
    other_readings = {
        "as camera-to-world": pinhole.invert,
        "in reversed time": lambda poses: poses[::-1],
    }
    path = _poses_at(poses, file, video, instants)
    note = f"its camera moves; its path is that of {file.name}"
    if not paths.travels(path):
        return SourcePath(path, note=note)
    matched = paths.match_frames(*large())
    agree = paths.path_agreement(matched, path)
    better = ""
    least = better_misfit * agree.misfit
    for name, read in other_readings.items():
        other = poses._replace(world_to_camera=read(poses.world_to_camera))
        other_path = _poses_at(other, file, video, instants)
        reading = paths.path_agreement(matched, other_path)
        # The misfit is NaN where no frames match.
        if reading.share >= LEAST_AGREEMENT and not reading.misfit >= least:
            better, least = name, reading.misfit
    if better or agree.share < LEAST_AGREEMENT:
        found = f"poses that {agree.share:.0%} of the matches between frames agree with"
        expected = f"at least {LEAST_AGREEMENT:.0%}, and no better reading"
        do = "check their convention and which frames they belong to"
        if better:
            off = f"{least:.2g} pixels off, not {agree.misfit:.2g}"
            do = f"they agree better when read {better} ({off}): {do}"
        raise errors.InputError("poses", file, found, expected, do)
    points = paths.seen_points(matched, path)
    if len(points.depth) < depth_alignment.MIN_MATCHES:
        taken = "the first frame's median depth is taken"
        warning = f"too few points tell the unit of --poses: {taken}"
        return SourcePath(path, note=note, warning=warning)
    return SourcePath(path, points, note=note)


def _poses_at(
    path: CameraPath, file: Path, video: Path, instants: Float[ndarray, " t"]
) -> Poses:
    """Return the poses at the instants (seconds into the video), the first as the world.

    Raises:
      InputError: there is one pose for several instants.
    """
    poses = path.world_to_camera
    if len(poses) != len(instants):
        with errors.input_errors("video", "encode it again"):
            times = video_files.frame_times(video)
        if len(poses) < 2 or len(times) < 2:
            expected = f"{len(instants)}, one an instant, or one a frame of the video"
            raise errors.InputError("poses", file, len(poses), expected, POSES_ADVICE)
        # Of another number than frames, they are spread evenly over these.
        if len(poses) != len(times):
            lasts = times[-1] + np.median(np.diff(times))
            times = np.arange(len(poses)) * (lasts / len(poses))
        poses = paths.interpolate_poses(poses, times, instants)
    return pinhole.relative_to(poses, poses[0])
