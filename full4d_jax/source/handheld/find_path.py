"""The path of a video's camera: that of a file of poses, or what the pictures show.

A film some of which stays in its place is one of a camera at rest. Otherwise points of what stands
still are followed through all frames, and path, lens and depth are found together
(`geometry.camera_path`). A path from a file stays, and the same least squares tell the depth in its
unit and, where nobody knows it, the lens; the share of the tracks that agree judges it.

In a file of poses as many poses as instants belong to them in order. Any other number is spread
evenly over the whole video, from its first frame on, and the poses of instants between are
interpolated: so the file may have a pose for every frame, or for frames that were taken at any
fixed rate.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from full4d_jax.geometry import camera_path, flow_depth, paths
from full4d_jax.geometry.arrays import Lens, Maps, Masks, Pictures, Poses
from full4d_jax.geometry.poses_between import find_poses_between
from full4d_jax.media import video_io
from full4d_jax.media.pictures import to_model
from full4d_jax.models.weights import load_shipped
from full4d_jax.session import errors
from full4d_jax.source.depth import any_network
from full4d_jax.source.handheld import path_scale
from full4d_jax.source.lens import found_fov
from full4d_jax.source.subjects import class_shares
from gaussians.fitting.stillness import camera_moves
from input_pipeline import depth_alignment, pinhole, video_files
from input_pipeline.importers.camera_path import CameraPath, read_path

# Of the tracks that must agree with a path that is given, and with one that is found.
LEAST_AGREEMENT = 0.5
LEAST_TRACKED_AGREEMENT = 0.6
# Of the tracks of each instant, that must agree with a path that is found.
LEAST_OF_AN_INSTANT = 0.55
# Below this, all points are followed, whatever they show; of an instant, the note tells it.
SURE_AGREEMENT = 0.85
# Share of the tracks that may cease to agree with a path when flow adjusts it.
MOST_AGREEMENT_LOST = 0.1
# Pixels, at most, of the long side of frames that points are followed in, unless results have more.
TRACKED_SIDE = 456
POSES_ADVICE = "see 'Hand-held cameras' in docs/cameras.md"
ADVICE = "take another part (--start), or give --poses"
VERBS = {"turn": "turns on its place", "travel": "travels"}


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


class PoseFile(NamedTuple):
    """A file of poses, and the path that it holds."""

    file: Path
    path: CameraPath


def find_path(
    video: Path,
    times: Float[ndarray, " t"],
    frames: Pictures,
    lens: Lens,
    *,
    known: bool,
    network: any_network.AnyNetwork,
    between: Float[ndarray, " b"] | None = None,
    poses: PoseFile | None = None,
) -> SourcePath:
    """Find the path of a video's camera by its pictures, and its lens where that is unknown.

    Args:
      video: its file.
      times: when the frames were taken, seconds into the file.
      frames: sRGB.
      lens: intrinsics of the frames, pixels.
      known: whether the lens is that of the camera, or merely assumed.
      network: estimates the depth of single frames.
      between: a time between each two of these, at which the pose is sought too.
      poses: the path, which the pictures are compared with; None seeks it.

    Raises:
      InputError: the poses do not fit the pictures.
    """
    count, height, width = frames.shape[:3]
    path = still_path(count)
    if poses is not None:
        note = f"its camera moves; its path is that of {poses.file.name}"
        path = SourcePath(_poses_at(poses, video, times), note=note)
        if not camera_moves(path.world_to_camera):
            return path
    # Small pictures are too coarse to follow points in; enlarged by more, a codec's noise moves.
    most_enlarged = 4
    scale = min(max(1, TRACKED_SIDE // max(height, width)), most_enlarged)
    wanted = times if between is None else np.sort(np.append(times, between))
    film, places = video_io.gray_film(video, wanted, scale * height, scale * width)
    instants = places[np.isin(wanted, times)]
    everywhere = camera_path.track_points(film, instants)
    if poses is None and camera_path.rests(everywhere, film.shape[2]):
        return path._replace(warning=_warning_of_change(everywhere, times))
    still = _enlarged(still_masks(frames), scale)
    tracks = camera_path.tracks_within(everywhere, still)
    gap = camera_path.find_gap(tracks, count, 1)
    if gap is not None:
        lost = f"too little that stands still can be followed {_seconds(times, gap)}"
        taken = ", by which to check --poses and to find their unit"
        if poses is None:
            why = ", as in the dark, in fog or blur, or where all moves"
            taken = f"{why}; the camera is taken to stand: {ADVICE}"
        return path._replace(warning=lost + taken)
    depth = single_depth(network, frames)
    disparity = _enlarged(1 / any_network.as_far(depth), scale)
    enlarged_lens = pinhole.resize_intrinsics(lens, rows=scale, columns=scale)
    if poses is not None:
        follow = partial(camera_path.follow_path, tracks, disparity, enlarged_lens)
        estimated, warning = _compare_readings(poses, video, times, follow, known=known)
        path = path._replace(warning=warning)
    else:
        estimated = estimate_path(
            film, instants, everywhere, still, disparity, enlarged_lens, known=known
        )
        if estimated.motion == "rest":
            return path
        note, warning = _describe(estimated, times)
        path = SourcePath(estimated.world_to_camera, note=note, warning=warning)
    if between is not None:
        poses_between = find_poses_between(
            film,
            instants,
            places[np.isin(wanted, between)],
            estimated.points,
            estimated.lens,
            estimated.world_to_camera,
        )
        path = path._replace(between=poses_between)
    points = estimated.points._replace(pixels=estimated.points.pixels / scale)
    estimate = path_scale.align_to_points(depth, points, by_frame=True)
    path = path._replace(estimate=estimate)
    if paths.travels(estimated.world_to_camera):
        path = path._replace(points=points)
    if not known and np.isfinite(estimated.lens_error):
        smaller = 1 / scale
        lens = pinhole.resize_intrinsics(estimated.lens, rows=smaller, columns=smaller)
        path = path._replace(lens=lens, lens_error=estimated.lens_error)
    return path


def estimate_path(
    film: UInt8[ndarray, "f r q"],
    instants: Int[ndarray, " t"],
    everywhere: camera_path.Tracks,
    still: Masks,
    disparity: Maps,
    lens: Lens,
    *,
    known: bool,
) -> camera_path.CameraPath:
    """Return the path of a camera by what its film shows, and the lens where that is unknown.

    Args:
      film: all frames in gray.
      instants: the places of the instants among them.
      everywhere: points that are followed from these, whatever they show.
      still: where no people, animals or vehicles are; enough points are followed there.
      disparity: a network's, of the instants.
      lens: intrinsics of the film, pixels.
      known: whether the lens is that of the camera, or merely assumed.
    """
    tracks = camera_path.tracks_within(everywhere, still)
    path = camera_path.find_camera_path(tracks, disparity, lens, known=known)
    if path.agree.mean() < SURE_AGREEMENT:
        # What looks like an animal may be a stuffed one, which stays.
        of_all = camera_path.find_camera_path(everywhere, disparity, lens, known=known)
        if _followed(tracks, disparity, of_all).agree.mean() > path.agree.mean():
            path = of_all
            still = np.ones_like(still)
            tracks = everywhere
    if path.motion == "rest":
        return path
    depth = path_scale.align_to_points(1 / disparity, path.points, by_frame=True)
    here = film[instants]
    adjusted = flow_depth.adjust_path(here, path, depth, still, lens, known=known)
    followed = _followed(tracks, disparity, adjusted)
    if followed.agree.mean() < path.agree.mean() - MOST_AGREEMENT_LOST:
        return path
    return adjusted._replace(error=followed.error, agree=followed.agree)


def _followed(
    tracks: camera_path.Tracks, disparity: Maps, path: camera_path.CameraPath
) -> camera_path.CameraPath:
    """Return the path of these poses and this lens with what tracks say of it."""
    poses = path.world_to_camera
    return camera_path.follow_path(tracks, disparity, path.lens, poses, known=True)


def _enlarged(maps: ndarray, scale: int) -> ndarray:
    """Return maps (t h w) each pixel of which is so many pixels high and wide."""
    return maps.repeat(scale, 1).repeat(scale, 2)


def _describe(
    path: camera_path.CameraPath, times: Float[ndarray, " t"]
) -> tuple[str, str]:
    """Return a note about a path that was found, and a warning; empty for nothing."""
    agree = float(path.agree.mean())
    worst = int(path.agree.argmin())
    fewest = float(path.agree[worst])
    share = f"{agree:.0%} of the tracks agree"
    if fewest < SURE_AGREEMENT:
        share = f"{share} ({fewest:.0%} at {times[worst]:.2f} s)"
    seen = f"{share}, {path.error:.2f} pixels in the median"
    note = f"its camera {VERBS[path.motion]}: {seen}"
    doubtful = "the camera's path is doubtful"
    if agree < LEAST_TRACKED_AGREEMENT or fewest < LEAST_OF_AN_INSTANT:
        return note, f"{doubtful}: {seen}; the scene may smear: {ADVICE}"
    if path.zooms:
        zoom = "near and far things grow alike, as where the lens zooms"
        return note, f"{doubtful}: {zoom}; {ADVICE}"
    return note, ""


def _warning_of_change(tracks: camera_path.Tracks, times: Float[ndarray, " t"]) -> str:
    """Return a warning if a camera at rest sees everything change; empty for nothing."""
    gap = camera_path.find_gap(tracks, len(times), 1)
    if gap is not None:
        change = f"everything changes {_seconds(times, gap)}, as in a flash"
        return f"{change} or where frames are black: {ADVICE}"
    spans = camera_path.SPANS
    longest = int(spans[spans < len(times)].max(initial=1))
    if camera_path.find_gap(tracks, len(times), longest) is not None:
        return f"nothing stays the same, as in a cross-fade: {ADVICE}"
    return ""


def _seconds(times: Float[ndarray, " t"], gap: int) -> str:
    """Return between which seconds of the video the instants after a gap are."""
    return f"from {times[gap]:.2f} s to {times[gap + 1]:.2f} s"


def _compare_readings(
    poses: PoseFile,
    video: Path,
    times: Float[ndarray, " t"],
    follow: Callable[..., camera_path.CameraPath],
    *,
    known: bool,
) -> tuple[camera_path.CameraPath, str]:
    """Return the path of a file with what the tracks say of it, and a warning; empty for nothing.

    Args:
      poses: the file.
      video: that of the film.
      times: of the instants, seconds into the film.
      follow: `camera_path.follow_path` of the tracks.
      known: whether the lens is that of the camera.

    Raises:
      InputError: too few tracks agree, or they agree clearly better with another reading.
    """
    # Of the focal length.
    wrong_lens = 0.05
    as_written = poses.path.world_to_camera
    readings = {
        "as camera-to-world": pinhole.invert(as_written),
        "in reversed time": as_written[::-1],
    }
    path = follow(_poses_at(poses, video, times), known=known)
    agree = path.agree.mean()
    least = path.error
    do = "check their convention and which frames they belong to"
    warning = ""
    if known:
        other = follow(_poses_at(poses, video, times), known=False)
        least = min(least, other.error)
        zoom = abs(np.log(other.lens[0, 0] / path.lens[0, 0]))
        if zoom > max(wrong_lens, 3 * other.lens_error):
            do = f"check --fov: {found_fov(other.lens, other.lens_error)}"
            warning = f"the tracks and --poses tell another lens; {do}"
    clearly = camera_path.SIMPLER_ERROR * 2 * path.lens[0, 2]
    better = False
    for name, poses_read in readings.items() if least > clearly else ():
        reading = poses._replace(path=poses.path._replace(world_to_camera=poses_read))
        other = follow(_poses_at(reading, video, times), known=known)
        if other.agree.mean() >= LEAST_AGREEMENT and other.error < least - clearly:
            better = True
            off = f"{other.error:.2g} pixels off, not {path.error:.2g}"
            do = f"they agree better when read {name} ({off}): {do}"
    if better or agree < LEAST_AGREEMENT:
        found = f"poses that {agree:.0%} of the tracks agree with"
        expected = f"at least {LEAST_AGREEMENT:.0%}, and no better reading"
        raise errors.InputError("poses", poses.file, found, expected, do)
    return path, warning


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


def read_poses(file: Path | None, video: Path) -> PoseFile | None:
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
    return PoseFile(file, path)


def _poses_at(
    poses_file: PoseFile, video: Path, instants: Float[ndarray, " t"]
) -> Poses:
    """Return the poses at the instants (seconds into the video), the first as the world.

    Raises:
      InputError: there is one pose for several instants.
    """
    poses = poses_file.path.world_to_camera
    if len(poses) != len(instants):
        with errors.input_errors("video", "encode it again"):
            times = video_files.frame_times(video)
        if len(poses) < 2 or len(times) < 2:
            expected = f"{len(instants)}, one an instant, or one a frame of the video"
            raise errors.InputError(
                "poses", poses_file.file, len(poses), expected, POSES_ADVICE
            )
        # Of another number than frames, they are spread evenly over these.
        if len(poses) != len(times):
            lasts = times[-1] + np.median(np.diff(times))
            times = np.arange(len(poses)) * (lasts / len(poses))
        poses = paths.interpolate_poses(poses, times, instants)
    return pinhole.relative_to(poses, poses[0])
