"""How straight what is straight in a video stays when its depth is seen from aside.

Line segments of a frame longer than `LEAST_LENGTH_SHARE` of its short side (OpenCV's detector, LSD)
are taken to be straight in the world. Their pixels, lifted by their depth, are seen from cameras at
+-`AZIMUTH_DEGREES` degrees that look at the point at depth 1 on the optical axis, as an orbit does.
With the image points q_i of a segment there, and the line through their mean m along their first
principal direction of normal n (total least squares),

    deviation = max_i |n . (q_i - m)| / (extent of the q_i along the line)

A clip's straightness is the median of it over segments and both angles, at instants that are spread
over the clip; 0 is straight. Only planes bend no line: disparity is linear along it.

A segment at an occluding edge belongs to the nearer side, which hides the farther: where the depths
a little to both sides differ by more than `SURFACE_JUMP_RATIO` (medians over the segment), those of
the nearer one count, for the whole segment; else those on the line itself. Points of unknown depth
do not count. A segment is cut where depth still jumps along it, as it bridges two things there, and
pieces that are too short then are left out.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from input_pipeline.cameras import orbit

AZIMUTH_DEGREES = 15.0  # degrees to either side
LEAST_LENGTH_SHARE = 0.15  # of a segment, of the short side
ASIDE_PIXELS = 2.0  # pixels from a segment to where depth is read on either side of it
SURFACE_JUMP_RATIO = 1.1  # ratio of depths that parts two surfaces


class BentSegment(NamedTuple):
    """A straight segment of a frame that depth bends.

    Attributes:
      instant: number of the frame.
      ends: x y of both ends in the source frame, pixels.
      deviation: from a line, as a share of the length; the larger one of the two angles.
    """

    instant: int
    ends: tuple[tuple[float, float], tuple[float, float]]
    deviation: float


class Straightness(NamedTuple):
    """How far segments of a clip deviate from lines, as shares of their lengths.

    Attributes:
      median: over segments and angles; None where no segment was found.
      segments: how many were measured.
      worst_instant: the number of the frame whose own median is largest; None without segments.
      worst: up to `most_reported` segments, the most bent first.
    """

    median: float | None
    segments: int
    worst_instant: int | None
    worst: tuple[BentSegment, ...]


def straightness(
    frames: UInt8[ndarray, "t h w 3"],
    depth: Float[ndarray, "t h w"],
    lens: Float[ndarray, "3 3"],
) -> Straightness:
    """Return how straight the segments of a clip stay at +-`AZIMUTH_DEGREES` degrees.

    Args:
      frames: the clip.
      depth: its z-depth in world units (the median at t = 0 is 1), 0 where unknown.
      lens: intrinsics in pixels.
    """
    most_reported = 5  # segments that are reported
    most_instants = 4  # of a clip that are measured, at most
    count = min(most_instants, len(frames))
    instants = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    bent: list[BentSegment] = []
    deviations: dict[int, list[float]] = {}
    for instant in instants.tolist():
        for piece in segment_pieces(frames[instant], depth[instant]):
            both = deviations_aside(piece, lens)
            x, y, _ = piece[[0, -1]].T.tolist()
            ends = (x[0], y[0]), (x[1], y[1])
            bent.append(BentSegment(instant, ends, max(both)))
            deviations.setdefault(instant, []).extend(both)
    if not bent:
        return Straightness(None, 0, None, ())
    median = float(np.median(np.concatenate([*deviations.values()])))
    worst_instant = max(deviations, key=lambda instant: np.median(deviations[instant]))
    worst = sorted(bent, key=lambda segment: -segment.deviation)[:most_reported]
    return Straightness(median, len(bent), worst_instant, tuple(worst))


def long_segments(frame: UInt8[ndarray, "h w 3"], least: float) -> Float[ndarray, "n 2 2"]:
    """Return both ends, x y in pixels (pixel centres + .5), of segments longer than `least`."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    segments = cv2.createLineSegmentDetector().detect(grey)[0]
    if segments is None:
        return np.zeros((0, 2, 2))
    ends = segments.reshape(-1, 2, 2).astype(np.float64) + 0.5
    return ends[np.linalg.norm(ends[:, 1] - ends[:, 0], axis=-1) > least]


def segment_pieces(
    frame: UInt8[ndarray, "h w 3"], depth: Float[ndarray, "h w"]
) -> list[Float[ndarray, "n 3"]]:
    """Return the long segments of a frame as points: x, y in pixels, and depth, all known."""
    least = LEAST_LENGTH_SHARE * min(depth.shape)
    pieces: list[ndarray] = []
    for ends in long_segments(frame, least):
        along = ends[1] - ends[0]
        length = np.linalg.norm(along)
        points = ends[0] + np.linspace(0, 1, int(length) + 1)[:, None] * along
        z = depth_of_segment(depth, points, ASIDE_PIXELS * np.array([-along[1], along[0]]) / length)
        known = np.concatenate([points, z[:, None]], 1)[z > 0]
        jumps = np.abs(np.diff(np.log(known[:, 2]))) > np.log(SURFACE_JUMP_RATIO)
        cut = np.split(known, np.flatnonzero(jumps) + 1)
        pieces.extend(x for x in cut if len(x) > 2 and np.linalg.norm(np.ptp(x[:, :2], 0)) > least)
    return pieces


def depth_of_segment(
    depth: Float[ndarray, "h w"], points: Float[ndarray, "n 2"], aside: Float[ndarray, "2"]
) -> Float[ndarray, " n"]:
    """Return the depth of a segment's points, on the side that owns it; 0 where unknown."""
    sides = [sample_depth(depth, points + offset) for offset in (-aside, aside)]
    if not all(side.any() for side in sides):
        return sample_depth(depth, points)
    near, far = sorted(sides, key=lambda side: float(np.median(side[side > 0])))
    if np.median(far[far > 0]) > SURFACE_JUMP_RATIO * np.median(near[near > 0]):
        return near
    return sample_depth(depth, points)


def sample_depth(
    depth: Float[ndarray, "h w"], points: Float[ndarray, "n 2"]
) -> Float[ndarray, " n"]:
    """Return depth at x y in pixels, linear in disparity; 0 where a neighbour is unknown."""
    disparity = np.where(depth > 0, 1 / np.maximum(depth, 1e-6), 0).astype(np.float32)
    x, y = (points.T - 0.5).astype(np.float32)[..., None]
    known, value = (
        cv2.remap(picture, x, y, cv2.INTER_LINEAR)[:, 0].astype(np.float64)
        for picture in ((depth > 0).astype(np.float32), disparity)
    )
    return np.where(known > 0.999, 1 / np.maximum(value, 1e-6), 0.0)


def deviations_aside(
    piece: Float[ndarray, "n 3"], lens: Float[ndarray, "3 3"]
) -> tuple[float, float]:
    """Return how far points x, y, depth deviate from a line at -+`AZIMUTH_DEGREES`, as shares."""
    pixels = np.concatenate([piece[:, :2], np.ones((len(piece), 1))], 1)
    points = pixels @ np.linalg.inv(lens).T * piece[:, 2:]

    def deviation(azimuth: float) -> float:
        pose = orbit(azimuth, 0.0)
        seen = (points @ pose[:3, :3].T + pose[:3, 3]) @ np.asarray(lens, np.float64).T
        image = seen[:, :2] / np.maximum(seen[:, 2:], 1e-3)
        centred = image - image.mean(0)
        along, across = np.linalg.svd(centred, full_matrices=False)[2]
        return float(np.abs(centred @ across).max() / max(np.ptp(centred @ along), 1e-9))

    return deviation(-AZIMUTH_DEGREES), deviation(AZIMUTH_DEGREES)
