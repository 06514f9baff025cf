"""Which view, instants and cameras of a clip a grid was made from: numpy only.

The grid's world is its source camera at the first instant, its unit is free. So

    source    the view and evenly spaced instants of the clip that look most like the grid's view 0
    unit      the length by which camera centres of the clip, seen from that source, are divided to
              be those of the grid; every pair of cameras turned alike proposes one, and the one
              that most cameras agree with is kept
    cameras   two are the same if points in front of the source land within `SAME` of the picture's
              larger side of each other in both (median over the points)
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from input_pipeline.cameras import centers, relative_to, rescale, unproject

AGREE = 20.0  # dB of the source against the clip's, below which it is another video
SAME = 0.01
TURNED = 5.0  # degrees, of two cameras that may be the same
APART = 0.05  # of two units, relatively
THUMBNAIL = 32  # pixels of the larger side
DEPTHS = (0.7, 1.0, 1.5, 2.5)  # of the points, in units of the grid


class Source(NamedTuple):
    """Where a video is found in a clip."""

    view: int
    instants: Int[np.ndarray, " t"]
    psnr: float
    """dB, of the frames in full size."""


class Cameras(NamedTuple):
    """Which cameras of a grid are which of a clip."""

    views: Int[np.ndarray, " v"]
    """Of the clip, by view of the grid; the source's first, -1 for none."""
    unit: float
    """World units of the clip in one of the grid."""
    errors: Float[np.ndarray, " v"]
    """Pixels between the two."""
    rivals: tuple[float, ...] = ()
    """Other units that as many cameras agree with."""


def find_source(
    video: UInt8[np.ndarray, "t h w 3"],
    frames: UInt8[np.ndarray, "v n h w 3"],
    timestamps: Float[np.ndarray, "v n"],
    fps: float | None,
) -> Source | None:
    """The view and instants of a clip that a video shows; None where it is too short.

    Args:
      video: of t evenly spaced instants.
      frames: of the clip.
      timestamps: seconds.
      fps: of the video; None: any whole step from instant to instant.
    """
    small, wanted = _thumbnails(frames), _thumbnails(video)
    errors = ((small[:, :, None] - wanted) ** 2).mean((-3, -2, -1))  # (v, n, t)
    choices = _windows(timestamps[0], len(video), fps)
    if not choices:
        return None
    steps = np.arange(len(video))
    found = np.array([errors[:, window, steps].mean(-1) for window in choices])
    choice, view = np.unravel_index(found.argmin(), found.shape)
    return _source(video, frames, int(view), _nudged(choices[choice], errors[view]))


def taken(
    video: UInt8[np.ndarray, "t h w 3"],
    frames: UInt8[np.ndarray, "v n h w 3"],
    views: Int[np.ndarray, " v"],
    instants: Int[np.ndarray, " t"],
) -> Source | None:
    """The same where it is known; None where the clip has no such view or instants."""
    if views[0] >= len(frames) or instants.max() >= frames.shape[1]:
        return None
    return _source(video, frames, int(views[0]), instants)


def _source(video: np.ndarray, frames: np.ndarray, view: int, instants: np.ndarray) -> Source:
    difference = video.astype(np.float64) - frames[view, instants]
    psnr = -10 * np.log10((difference**2).mean() / 255**2 + 1e-10)
    return Source(view, instants, float(psnr))


def match_cameras(
    intrinsics: Float[np.ndarray, "v 3 3"],
    poses: Float[np.ndarray, "v t 4 4"],
    clip_intrinsics: Float[np.ndarray, "n 3 3"],
    clip_poses: Float[np.ndarray, "n t 4 4"],
    source: int,
    size: tuple[int, int],
    unit: float | None = None,
) -> Cameras | None:
    """The cameras of a clip that a grid has; None where no unit can be told.

    Args:
      intrinsics: of the grid, pixels of pictures of `size`.
      poses: of the grid, world to camera.
      clip_intrinsics: of the clip, pixels of such pictures.
      clip_poses: at the grid's instants, world to camera, any world and unit.
      source: the clip's view that is the grid's first.
      size: height and width.
      unit: world units of the clip in one of the grid; None: told by the cameras.
    """
    poses = relative_to(poses.astype(np.float64), poses[0, 0].astype(np.float64))
    others = relative_to(clip_poses.astype(np.float64), clip_poses[source, 0].astype(np.float64))
    units = [unit] if unit else _units(poses, others, source)
    candidates = []
    for number in units:
        scaled = rescale(others, number)
        errors = _errors(intrinsics, poses, clip_intrinsics, scaled, size)
        errors[:, source] = np.inf
        views, smallest = errors.argmin(1), errors.min(1)
        views = np.where(smallest < SAME * max(size), views, -1)
        views[0], smallest[0] = source, 0.0
        candidates.append(Cameras(views, float(number), smallest))
    if not candidates:
        return None
    best = max(candidates, key=_rank)
    agree = (c.unit for c in candidates if _rank(c)[0] == _rank(best)[0])
    others = (number for number in agree if abs(np.log(number / best.unit)) > APART)
    return best._replace(rivals=tuple(sorted(set(others))))


def _rank(cameras: Cameras) -> tuple[int, float]:
    """How many cameras are the same, then how near the nearest are."""
    return int((cameras.views >= 0).sum()), -float(np.sort(cameras.errors)[1:2].sum())


def _units(
    poses: Float[np.ndarray, "v t 4 4"], others: Float[np.ndarray, "n t 4 4"], source: int
) -> list[float]:
    """What pairs of cameras that look the same way propose."""
    found = []
    ours, theirs = centers(poses), centers(others)
    for i, j in zip(*np.nonzero(_alike(poses, others)), strict=True):
        length = float((theirs[j] * ours[i]).sum())
        if i and j != source and length > 1e-6:
            found.append(float((theirs[j] ** 2).sum()) / length)
    return found


def _alike(
    poses: Float[np.ndarray, "v t 4 4"], others: Float[np.ndarray, "n t 4 4"]
) -> Bool[np.ndarray, "v n"]:
    """Whether cameras are turned alike at all instants."""
    turns = poses[:, None, :, :3, :3] @ np.swapaxes(others[None, ..., :3, :3], -1, -2)
    cosines = (np.trace(turns, axis1=-2, axis2=-1) - 1) / 2
    return (cosines > np.cos(np.radians(TURNED))).all(-1)


def _errors(
    intrinsics: Float[np.ndarray, "v 3 3"],
    poses: Float[np.ndarray, "v t 4 4"],
    clip_intrinsics: Float[np.ndarray, "n 3 3"],
    others: Float[np.ndarray, "n t 4 4"],
    size: tuple[int, int],
) -> Float[np.ndarray, "v n"]:
    """Median distance in pixels of where points in front of the source land in two cameras.

    At the instant where they are farthest apart; infinite where most are behind one of them.
    """
    height, width = size
    y, x = (np.linspace(0, n - 1, 5).astype(int) for n in size)
    points = np.concatenate(
        [
            unproject(np.full((height, width), depth), intrinsics[0], np.eye(4))[np.ix_(y, x)]
            for depth in DEPTHS
        ]
    ).reshape(-1, 3)
    ours = _land(points, intrinsics, poses)[:, None]
    theirs = _land(points, clip_intrinsics, others)[None]
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(ours - theirs, axis=-1)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    return np.sort(distance, -1)[..., distance.shape[-1] // 2].max(-1)


def _land(
    points: Float[np.ndarray, "p 3"],
    intrinsics: Float[np.ndarray, "v 3 3"],
    poses: Float[np.ndarray, "v t 4 4"],
) -> Float[np.ndarray, "v t p 2"]:
    """Pixels; infinite behind a camera."""
    seen = points @ np.swapaxes(poses[..., :3, :3], -1, -2) + poses[..., None, :3, 3]
    seen = seen @ np.swapaxes(intrinsics, -1, -2)[:, None]
    ahead = seen[..., 2:] > 1e-3
    return np.where(ahead, seen[..., :2] / np.where(ahead, seen[..., 2:], 1.0), np.inf)


def _windows(
    times: Float[np.ndarray, " n"], count: int, fps: float | None
) -> list[Int[np.ndarray, " t"]]:
    """Evenly spaced instants, from every start."""
    steps = np.arange(count)
    if fps is None:
        strides = range(1, (len(times) - 1) // (count - 1) + 1) if count > 1 else [1]
        reach = ((start, stride) for stride in strides for start in range(len(times)))
        return [s + k * steps for s, k in reach if s + k * (count - 1) < len(times)]
    apart = np.median(np.diff(times)) if len(times) > 1 else 0.0
    found = []
    for start in times:
        wanted = start + steps / fps
        if wanted[-1] <= times[-1] + apart / 2 + 1e-6:
            found.append(np.abs(times[:, None] - wanted).argmin(0))
    return found


def _nudged(
    instants: Int[np.ndarray, " t"], errors: Float[np.ndarray, "n t"]
) -> Int[np.ndarray, " t"]:
    """Instants, but their neighbours where those look far more alike: a reader rounds otherwise."""
    if len(instants) < 2 or np.diff(instants).min() < 3:
        return instants
    near = np.clip(instants + np.array([[0], [-1], [1]]), 0, len(errors) - 1)
    found = errors[near, np.arange(len(instants))]
    better = found.min(0) < found[0] / 2
    return np.where(better, near[found.argmin(0), np.arange(len(instants))], instants)


def _thumbnails(frames: UInt8[np.ndarray, "*n h w 3"]) -> Float[np.ndarray, "*n r q 3"]:
    height, width = frames.shape[-3:-1]
    scale = THUMBNAIL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    flat = frames.reshape(-1, height, width, 3)
    small = np.stack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in flat])
    return small.reshape(*frames.shape[:-3], *small.shape[1:]).astype(np.float32)
