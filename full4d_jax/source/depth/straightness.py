"""How straight what is straight in a video stays when its depth is seen from aside.

Long line segments of a frame (OpenCV's detector, LSD) are taken to be straight in the world. Their
pixels, lifted by their depth, are seen from cameras at +-`AZIMUTH_DEGREES` that look at the point
at depth 1 on the optical axis, as an orbit does. With the image points q_i of a segment there, and
the line through their mean m along their first principal direction of normal n (total least
squares),

    deviation = max_i |n . (q_i - m)| / (extent of the q_i along the line)

A clip's straightness is the median of it over segments and both angles, at instants that are spread
over the clip; 0 is straight. Only planes bend no line: disparity is linear along it.

A segment at an occluding edge belongs to the nearer side, which hides the farther. So the points a
little to the nearer side of it count (`segment_points`).
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from input_pipeline.cameras import orbit

AZIMUTH_DEGREES = 15.0  # degrees to either side


class SegmentPoints(NamedTuple):
    """Points of a straight segment on one surface.

    Attributes:
      points: x y in pixels.
      depth: at the points, known.
    """

    points: Float[ndarray, "n 2"]
    depth: Float[ndarray, " n"]


class Straightness(NamedTuple):
    """How far segments of a clip deviate from lines, as shares of their lengths.

    Attributes:
      median: over segments and angles; None where no segment was found.
      segments: how many were measured.
      worst_instant: the number of the frame whose own median is largest; None without segments.
    """

    median: float | None
    segments: int
    worst_instant: int | None


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
    least_length = 0.15  # of a segment, of the short side
    most_instants = 4  # of a clip that are measured
    count = min(most_instants, len(frames))
    instants = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    deviations: dict[int, list[float]] = {}
    for instant in instants.tolist():
        pieces = segment_points(frames[instant], depth[instant], least_length, nearer_only=True)
        both = [deviation for piece in pieces for deviation in deviations_aside(piece, lens)]
        if both:
            deviations[instant] = both
    if not deviations:
        return Straightness(None, 0, None)
    every = np.concatenate([*deviations.values()])
    worst_instant = max(deviations, key=lambda instant: np.median(deviations[instant]))
    return Straightness(float(np.median(every)), len(every) // 2, worst_instant)


def long_segments(frame: UInt8[ndarray, "h w 3"], least: float) -> Float[ndarray, "n 2 2"]:
    """Return both ends, x y in pixels (pixel centres + .5), of segments longer than `least`."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    segments = cv2.createLineSegmentDetector().detect(grey)[0]
    if segments is None:
        return np.zeros((0, 2, 2))
    ends = segments.reshape(-1, 2, 2).astype(np.float64) + 0.5
    return ends[np.linalg.norm(ends[:, 1] - ends[:, 0], axis=-1) > least]


def segment_points(
    frame: UInt8[ndarray, "h w 3"],
    depth: Float[ndarray, "h w"],
    shortest: float,
    *,
    nearer_only: bool = False,
) -> list[SegmentPoints]:
    """Return the points aside of a picture's segments that lie on the segments' surfaces.

    Where the sides differ in depth, these are those of the nearer one, else of both, unless only
    the nearer is wanted. A segment is cut where depth jumps along it. Pieces shorter than
    `shortest`, of the short side, do not count.
    """
    aside_pixels = 2.0  # from a segment to where depth is read on either side of it
    surface_jump = 1.1  # ratio of depths that parts two surfaces
    least = shortest * min(depth.shape)
    result = []
    for ends in long_segments(frame, least):
        along = ends[1] - ends[0]
        length = np.linalg.norm(along)
        middle = ends[0] + np.linspace(0, 1, int(length) + 1)[:, None] * along
        aside = aside_pixels * np.array([-along[1], along[0]]) / length
        sides = [SegmentPoints(x, sample_depth(depth, x)) for x in (middle - aside, middle + aside)]
        sides = [SegmentPoints(x[z > 0], z[z > 0]) for x, z in sides if (z > 0).any()]
        sides.sort(key=lambda side: float(np.median(side.depth)))
        middles = [np.median(side.depth) for side in sides]
        if nearer_only or (len(sides) == 2 and middles[1] > surface_jump * middles[0]):
            sides = sides[:1]
        for points, z in sides:
            cuts = np.flatnonzero(np.abs(np.diff(np.log(z))) > np.log(surface_jump)) + 1
            pieces = zip(np.split(points, cuts), np.split(z, cuts), strict=True)
            result += [
                SegmentPoints(*piece)
                for piece in pieces
                if len(piece[0]) > 2 and np.linalg.norm(np.ptp(piece[0], 0)) > least
            ]
    return result


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


def deviations_aside(piece: SegmentPoints, lens: Float[ndarray, "3 3"]) -> list[float]:
    """Return how far a segment deviates from a line at -+`AZIMUTH_DEGREES`, as shares."""
    pixels = np.concatenate([piece.points, np.ones((len(piece.points), 1))], 1)
    points = pixels @ np.linalg.inv(lens).T * piece.depth[:, None]
    deviations = []
    for azimuth in (-AZIMUTH_DEGREES, AZIMUTH_DEGREES):
        pose = orbit(azimuth, 0.0)
        seen = (points @ pose[:3, :3].T + pose[:3, 3]) @ np.asarray(lens, np.float64).T
        image = seen[:, :2] / np.maximum(seen[:, 2:], 1e-3)
        centred = image - image.mean(0)
        along, across = np.linalg.svd(centred, full_matrices=False)[2]
        away = np.abs(centred @ across).max() / max(np.ptp(centred @ along), 1e-9)
        deviations.append(float(away))
    return deviations
