"""Straight lines of pictures: which way is up, which are upright, and how straight depth is.

Up. A camera that looks down by an angle p, and does not roll, has up u at (0, -cos p, -sin p).
Upright lines of the world meet in the pixel of that direction. Every segment votes for the angles
at which it points there, by its length; segments in the middle columns do so at any angle, and do
not count.

Upright lines, such as corners of rooms, doors and pillars. Depth along one has one unknown: with
the rays r(q) = ((x - cx) / fx, (y - cy) / fy, 1) of its pixels q and m the unit vector along r x u,
which all of its rays share,

    disparity(q) = c p(q),     p(q) = (r(q) x u) . m

as its points r / disparity differ by multiples of u. In the picture upright lines point to where up
is. So do the gaps of a floor that lead straight away from the camera, which is why the estimate has
to agree to within `max_lean` that a line is upright.

Straightness. Long segments of a frame are taken to be straight in the world. Their pixels, lifted
by their depth, are seen from cameras at +-`AZIMUTH_DEGREES` that look at the point at depth 1 on
the optical axis, as an orbit does. With the image points q_i of a segment there, and the line
through their mean m along their first principal direction of normal n (total least squares),

    deviation = max_i |n . (q_i - m)| / (extent of the q_i along the line)

A clip's straightness is the median of it over segments and both angles, at instants that are spread
over the clip; 0 is straight. Only planes bend no line: disparity is linear along it.

A segment at an occluding edge belongs to the nearer side, which hides the farther. So the points a
little to the nearer side of it count (`segment_points`). OpenCV's detector (LSD) finds segments.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from full4d_jax.geometry import arrays
from input_pipeline.pinhole import orbit

# In camera axes.
Direction = tuple[float, float, float]
# Of a level camera.
UP = (0.0, -1.0, 0.0)
# To either side.
AZIMUTH_DEGREES = 15.0


class SegmentPoints(NamedTuple):
    """Points of a straight segment on one surface.

    Attributes:
      points: x y in pixels.
      depth: at the points, known.
    """

    points: arrays.Points
    depth: arrays.Values

    def is_longer(self, least: float) -> bool:
        """Tell whether it is longer than so many pixels."""
        return bool(np.linalg.norm(np.ptp(self.points, 0)) > least)


class UprightLines(NamedTuple):
    """Evidence of upright lines in a picture.

    Attributes:
      lens: intrinsics, pixels.
      up: against gravity, in camera axes.
    """

    lens: arrays.Lens
    up: Direction

    def include(self, segment: SegmentPoints) -> bool:
        """Tell whether a straight segment is upright."""
        # Degrees from up, by the estimate.
        max_lean = 75.0
        # Degrees by which a line may point past the pixel of up.
        max_miss = 4.0
        ends = rays(segment.points[[0, -1]], self.lens)
        # The plane through the camera and the line holds up.
        normal = np.cross(*ends)
        miss = np.degrees(np.arcsin(abs(normal @ self.up) / np.linalg.norm(normal)))
        # Disparity is linear along a straight line, whatever noise its depth has.
        along = np.linspace(-1, 1, len(segment.depth))
        slope, middle = np.polyfit(along, 1 / segment.depth, 1)
        disparity = middle + slope * along[[0, -1], None]
        start, end = ends / np.maximum(disparity, 1e-3 * middle)
        rise = abs((end - start) @ self.up) / np.linalg.norm(end - start)
        lean = np.degrees(np.arccos(min(1.0, rise)))
        return bool(miss < max_miss and lean < max_lean)

    def profile(self, points: arrays.Points) -> arrays.Values:
        """Return the module's p at points of an upright line, over its mean."""
        crossed = np.cross(rays(points, self.lens), self.up)
        profile = crossed @ crossed.mean(0)
        return profile / profile.mean()


def camera_up(frames: arrays.Pictures, lens: arrays.Lens) -> Direction | None:
    """Return the direction against gravity in camera axes; None where too few lines determine it.

    Args:
      frames: of a camera at rest.
      lens: intrinsics, pixels.
    """
    # Of the picture's height, of segments that agree on an angle beyond chance.
    least_votes = 0.3
    # How far people's cameras deviate from level.
    usual_pitch_degrees = 25.0
    # Degrees by which a segment may miss.
    sharpness_degrees = 1.0
    # Of the picture's width: the rims of films have black lines.
    rim_share = 0.015
    # Pixels of a segment, whose direction is not known otherwise.
    fewest_pixels = 10
    # Of the picture's height.
    shortest_share = 0.08
    # The median is without what moves.
    picture = np.median(frames, 0).astype(np.uint8)
    height, width = picture.shape[:2]
    ends = long_segments(picture, max(shortest_share * height, fewest_pixels))
    rim = rim_share * width
    x = ends[..., 0]
    ends = ends[(x.max(1) > rim) & (x.min(1) < width - rim)]
    run = ends[:, 1] - ends[:, 0]
    x, y = (ends.mean(1) - lens[:2, 2]).T[..., None]
    # The pixel of up is (0, focal cos p / sin p) above or below the centre; here times sin p.
    pitches = np.radians(np.arange(-15.0, 40.25, 0.5))
    up = lens[1, 1] * np.cos(pitches) - y * np.sin(pitches)
    toward = np.arctan2(-x * np.sin(pitches), up)
    miss = np.degrees(toward - np.arctan2(*run.T)[:, None])
    miss = (miss + 90) % 180 - 90
    agreement = np.exp(-0.5 * (miss / sharpness_degrees) ** 2)
    votes = np.linalg.norm(run, axis=-1) / height @ agreement
    votes = votes * np.exp(-0.5 * (np.degrees(pitches) / usual_pitch_degrees) ** 2)
    best = votes.argmax()
    if votes[best] - np.median(votes) < least_votes:
        return None
    return 0.0, -float(np.cos(pitches[best])), -float(np.sin(pitches[best]))


def straightness(
    frames: arrays.Pictures, depth: arrays.Maps, lens: arrays.Lens
) -> tuple[float, int] | None:
    """Return how straight segments stay, and the number of the frame where they do so least.

    None where there are no segments.

    Args:
      frames: the clip.
      depth: its z-depth in world units (the median at t = 0 is 1), 0 where unknown.
      lens: intrinsics in pixels.
    """
    # Of a segment, of the short side.
    least_length = 0.15
    # Instants of a clip that are measured.
    most_instants = 4
    count = min(most_instants, len(frames))
    deviations = {}
    for instant in np.linspace(0, len(frames) - 1, count).round().astype(int).tolist():
        shown = frames[instant], depth[instant]
        pieces = segment_points(*shown, least_length, nearer_only=True)
        if pieces:
            aside = [deviations_aside(piece, lens) for piece in pieces]
            deviations[instant] = np.concatenate(aside)
    if not deviations:
        return None
    median = np.median(np.concatenate([*deviations.values()]))
    worst = max(deviations, key=lambda instant: np.median(deviations[instant]))
    return float(median), worst


def deviations_aside(piece: SegmentPoints, lens: arrays.Lens) -> arrays.Values:
    """Return how far a segment deviates from a line at -+`AZIMUTH_DEGREES`, as shares."""
    points = rays(piece.points, lens) * piece.depth[:, None]
    poses = orbit(np.array([-AZIMUTH_DEGREES, AZIMUTH_DEGREES]), 0.0)
    aside = points @ poses[:, :3, :3].mT + poses[:, None, :3, 3]
    seen = aside @ np.asarray(lens, float).T
    image = seen[..., :2] / np.maximum(seen[..., 2:], 1e-3)
    centred = image - image.mean(1, keepdims=True)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].mT
    along, across = np.moveaxis(turned, -1, 0)
    return np.abs(across).max(1) / np.maximum(np.ptp(along, 1), 1e-9)


def segment_points(
    frame: arrays.Picture,
    depth: arrays.Map,
    shortest: float,
    *,
    nearer_only: bool = False,
) -> list[SegmentPoints]:
    """Return the points aside of a picture's segments that lie on the segments' surfaces.

    Where the sides differ in depth, these are those of the nearer one, else of both, unless only
    the nearer is wanted. A segment is cut where depth jumps along it. Pieces shorter than
    `shortest`, of the short side, do not count.
    """
    # From a segment to where depth is read on either side of it.
    aside_pixels = 2.0
    # Ratio of depths that parts two surfaces.
    surface_jump = 1.1
    least = shortest * min(depth.shape)
    result = []
    for start, end in long_segments(frame, least) + 0.5:
        along = end - start
        length = np.linalg.norm(along)
        middle = start + np.linspace(0, 1, int(length) + 1)[:, None] * along
        aside = aside_pixels * np.array([-along[1], along[0]]) / length
        sides = [_known_points(depth, x) for x in (middle - aside, middle + aside)]
        sides = [side for side in sides if len(side.depth)]
        sides.sort(key=lambda side: float(np.median(side.depth)))
        middles = [np.median(side.depth) for side in sides]
        if nearer_only or (len(sides) == 2 and middles[1] > surface_jump * middles[0]):
            sides = sides[:1]
        for points, z in sides:
            cuts = np.flatnonzero(np.abs(np.diff(np.log(z))) > np.log(surface_jump)) + 1
            pieces = map(SegmentPoints, np.split(points, cuts), np.split(z, cuts))
            result += [x for x in pieces if len(x.depth) > 2 and x.is_longer(least)]
    return result


def long_segments(frame: arrays.Picture, least: float) -> Float[np.ndarray, "n 2 2"]:
    """Return both ends, x y as OpenCV counts pixels, of segments longer than `least`."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    segments = cv2.createLineSegmentDetector().detect(grey)[0]
    if segments is None:
        return np.zeros((0, 2, 2))
    ends = segments.reshape(-1, 2, 2).astype(np.float64)
    return ends[np.linalg.norm(ends[:, 1] - ends[:, 0], axis=-1) > least]


def _known_points(depth: arrays.Map, points: arrays.Points) -> SegmentPoints:
    """Return the points x y in pixels around which depth is known, read linearly in disparity."""
    is_known = (depth > 0).astype(np.float32)
    disparity = (is_known / np.maximum(depth, 1e-6)).astype(np.float32)
    x, y = (points.T - 0.5).astype(np.float32)[..., None]
    known, value = (
        cv2.remap(values, x, y, cv2.INTER_LINEAR)[:, 0].astype(np.float64)
        for values in (is_known, disparity)
    )
    known = known > 0.999
    return SegmentPoints(points[known], 1 / np.maximum(value[known], 1e-6))


def rays(points: arrays.Points, lens: arrays.Lens) -> Float[np.ndarray, "n 3"]:
    """Return the directions of pixels at depth 1, in camera axes."""
    return np.pad(points, ((0, 0), (0, 1)), constant_values=1) @ np.linalg.inv(lens).T
