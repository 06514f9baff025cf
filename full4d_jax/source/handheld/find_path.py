"""The path of a video's camera, in the way that the video allows.

    poses from a file                                 these, if the pictures agree with them
    it hardly moves, or much of the picture stays     it stands still
    its rotations explain the motion                  it turns on its place
    structure from motion (extra `colmap`) places it  that path, with points of the scene
    its rotations undo most of the motion             these, with a warning
    else                                              it is taken to stand still, with a warning

The unit of a path is settled when there is depth (`path_scale`).

In a file of poses as many poses as instants belong to them in order. Any other number is spread
evenly over the whole video, from its first frame on, and the poses of instants between are
interpolated: so the file may have a pose for every frame, or for frames that were taken at any
fixed rate.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.geometry import paths, tracking
from full4d_jax.geometry.arrays import Lens, Pictures, Poses
from full4d_jax.geometry.structure import LEAST_PLACED_SHARE, Structure, find_structure
from full4d_jax.session import errors, extras
from input_pipeline import depth_alignment, pinhole, video_files
from input_pipeline.importers.camera_path import CameraPath, read_path

# Of the picture's width that the background moves: two pixels of 455.
NOTICEABLE_MOTION = 0.004
# Of the matches that must agree with given poses.
LEAST_AGREEMENT = 0.5
POSES_ADVICE = "see 'Hand-held cameras' in docs/cameras.md"
Large = Callable[[], tuple[Pictures, Lens]]


class SourcePath(NamedTuple):
    """The path of a source camera.

    Attributes:
      world_to_camera: at every instant; the first is the identity, the unit is free.
      points: still points of the scene, in the path's unit; None where none are known.
      note: a sentence about where it comes from; empty for a camera that stands still.
      warning: a sentence about what may go wrong; empty for nothing.
    """

    world_to_camera: Poses
    points: depth_alignment.SparseDepth | None = None
    note: str = ""
    warning: str = ""


def still_path(frames: int) -> SourcePath:
    """Return the path of a camera that stands still."""
    return SourcePath(np.tile(np.eye(4), (frames, 1, 1)))


def find_path(gray: tracking.GrayFilm, lens: Lens, large: Large) -> SourcePath:
    """Find the path of a video's camera by its pictures.

    Args:
      gray: the clip in gray, some 300 pixels across.
      lens: intrinsics of these pictures, pixels.
      large: reads the frames at a size where points are found, with their intrinsics.
    """
    # Of the width that rotations may leave: half a pixel of 320.
    explained_motion = 0.0015
    # Of the width: up to here, a thing may move before a still background.
    uncertain_motion = 0.015
    turning = tracking.find_turning(gray, lens)
    if turning.background_shift < NOTICEABLE_MOTION or (
        turning.background_shift < uncertain_motion
        and tracking.standing_share(gray) > tracking.LEAST_STANDING_SHARE
    ):
        return still_path(len(gray))
    if turning.left < explained_motion and not turning.lost:
        return _turned(turning, "")
    if not extras.has("pycolmap"):
        do = f"for the whole path {extras.install('pycolmap')}, or give --poses"
        return _turned(turning, f"nothing says how its place changes; {do}")
    structure, said = trusted_structure(*large())
    if structure is None:
        do = "take another part (--start), or give --poses"
        return _turned(turning, f"structure from motion fails ({said}); {do}")
    note = f"its camera moves; path by structure from motion: {said}"
    return SourcePath(structure.world_to_camera, structure.points, note)


def trusted_structure(
    frames: Pictures, lens: Lens, *, frozen: bool = False
) -> tuple[Structure | None, str]:
    """Return structure from motion and what was found; or None, and why it is not to be trusted.

    Arguments are those of `find_structure`.
    """
    # Of the parts of the frames that have corners, where there must be points.
    least_coverage = 0.5
    # Degrees between the rays to half of its points, at least.
    least_angle = 1.0
    # Of the width, that its points may err.
    max_reprojection = 0.0015
    structure = find_structure(frames, lens, frozen=frozen)
    if structure is None:
        return None, "no frames fit together"
    placed = f"{structure.placed:.0%} of {len(frames)} frames"
    if structure.placed < LEAST_PLACED_SHARE:
        return None, f"{placed} fit together, fewer than {LEAST_PLACED_SHARE:.0%}"
    if structure.reprojection > max_reprojection * frames.shape[2]:
        return None, f"its points are {structure.reprojection:.1f} pixels off"
    if structure.coverage < least_coverage:
        covered = f"{structure.coverage:.0%} of what has corners"
        return None, f"its points cover {covered}: a thing that moves?"
    if structure.angle < least_angle:
        seen = f"from within {structure.angle:.1f} degrees"
        return None, f"half of its points are seen {seen}"
    points = f"{len(structure.points.depth)} sightings of points"
    off = f"{structure.reprojection:.2f} pixels off"
    return structure, f"{placed} placed, {points}, {off}"


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
        return SourcePath(path, None, note)
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
        return SourcePath(path, None, note, warning)
    return SourcePath(path, points, note)


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


def _turned(turning: tracking.Turning, why: str) -> SourcePath:
    """Return the rotations of a camera as its path; with a warning where there is more to it."""
    # Of the motion that rotations must undo, to be better than nothing.
    undone_share = 0.5
    note = "its camera moves; its path is rotations alone"
    path = paths.turning_path(turning.rotations)
    if not why:
        return SourcePath(path, None, note)
    percent = 100 * turning.background_shift
    moved = f"the background shifts by {percent:.1f} % of the width"
    rest = f"rotations alone leave {100 * turning.left:.1f} %"
    seen = f"{moved}; {rest}, and {why}"
    if turning.left > undone_share * turning.background_shift or turning.lost:
        warning = "the camera seems to move but is taken to stand; the scene will smear"
        return still_path(len(path))._replace(warning=f"{warning}: {seen}")
    return SourcePath(path, None, note, f"the camera moves: {seen}")
