"""Match points between views by pictures alone; measure their distance from epipolar lines.

Points are SIFT's (Lowe 2004), matched both ways by the ratio of the two best distances. Cameras are
compared with them through epipolar lines: a point of one view lies on a line of the other, whatever
its depth, and Sampson's distance is its distance from there in pixels, to first order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from input_pipeline.decoded_clip import DecodedClip
from input_pipeline.lenses import Distortion
from input_pipeline.pinhole import Lens, Places
from input_pipeline.schema import Example

# Places (x, y) in one view, and in two.
Points = Float[ndarray, "n 2"]
Pairs = Float[ndarray, "n 2 2"]
# Intrinsics of two views.
TwoLenses = Float[ndarray, "2 3 3"]
# With less it is not certain on which side of the camera a point is.
PARALLAX = np.radians(0.5)


class Features(NamedTuple):
    """Points of one picture, and descriptors of their surroundings."""

    points: Points
    """Pixels of the picture, centres at +0.5."""
    descriptors: Float32[ndarray, "n 128"]


class Matches(NamedTuple):
    """Points that two views see at one instant."""

    first: int
    second: int
    instant: int
    points: Pairs
    """(x, y) in the first and the second view, pixels of undistorted pictures."""
    verified: Float[ndarray, "m 2 2"]
    """Matches that agree with one epipolar geometry, whichever; none if they are too few."""


def find_features(
    picture: UInt8[ndarray, "h w 3"], intrinsics: Lens, distortion: Distortion
) -> Features:
    """Return points of a picture, where they would be without distortion."""
    # Pixels; larger pictures are reduced to that first.
    longest_side = 1600
    # The most points of a picture.
    most_points = 4000
    scale = min(1.0, longest_side / max(picture.shape[:2]))
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    keypoints, descriptors = cv2.SIFT.create(most_points).detectAndCompute(gray, None)
    if descriptors is None:
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    # OpenCV counts pixel centres from 0.
    points = (np.array([point.pt for point in keypoints]) + 0.5) / scale
    return Features(undistort_points(points, intrinsics, distortion), descriptors)


def undistort_points(
    points: Points, intrinsics: Lens, distortion: Distortion
) -> Points:
    """Return pixels of the pinhole camera with the same intrinsics."""
    if not distortion.any() or not len(points):
        return points
    matrix, lens = intrinsics.astype(float), distortion.astype(float)
    return cv2.undistortPoints(points[:, None], matrix, lens, P=matrix)[:, 0]


def distort_points(points: Points, intrinsics: Lens, distortion: Distortion) -> Points:
    """Return the inverse of `undistort_points`."""
    if not distortion.any() or not len(points):
        return points
    matrix, lens = intrinsics.astype(float), distortion.astype(float)
    rays = _homogeneous(points) @ np.linalg.inv(matrix).T
    return cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, lens)[0][:, 0]


def match_features(first: Features, second: Features) -> Pairs:
    """Return pairs of points that are each other's best match by far."""
    if min(len(first.points), len(second.points)) < 2:
        return np.zeros((0, 2, 2))
    there = _best(first.descriptors, second.descriptors)
    # Only these points need a way back.
    nearest = sorted(set(there.values()))
    back = _best(second.descriptors[nearest], first.descriptors) if nearest else {}
    chosen = {nearest[row]: i for row, i in back.items()}
    pairs = [(i, j) for i, j in there.items() if chosen.get(j) == i]
    i, j = np.array(pairs, int).reshape(-1, 2).T
    return np.stack([first.points[i], second.points[j]], 1)


def verify(points: Pairs) -> Float[ndarray, "m 2 2"]:
    """Find the matches that agree with one fundamental matrix, by RANSAC without any camera.

    None where they are so few that they may agree by chance.
    """
    least_points = 25
    # Share of all matches of the pair.
    least_share = 0.4
    most_pixels = 1.5
    if len(points) < least_points:
        return points[:0]
    first, second = (np.ascontiguousarray(x) for x in points.swapaxes(0, 1))
    _, mask = cv2.findFundamentalMat(
        first, second, cv2.FM_RANSAC, most_pixels, 0.999, 2000
    )
    if mask is None or mask.sum() < max(least_points, least_share * len(points)):
        return points[:0]
    return points[mask[:, 0] > 0]


def match_views(features: Sequence[Features], instant: int, most: int) -> list[Matches]:
    """Match all pairs of views, or the `most` pairs that are nearest in number."""
    v = len(features)
    matches = []
    for i, j in [(i, i + step) for step in range(1, v) for i in range(v - step)][:most]:
        points = match_features(features[i], features[j])
        matches.append(Matches(i, j, instant, points, verify(points)))
    return matches


def find_matches(example: Example, pictures: DecodedClip) -> list[Matches]:
    """Match pairs of views at the instants that were kept."""
    # The most pairs of views of an instant.
    most_pairs = 60
    undecoded = np.zeros((1, 1, 3), np.uint8)
    matches = []
    for place, instant in enumerate(pictures.instants):
        row = [frames[place] for frames in pictures.frames]
        seen = [undecoded if frame is None else frame for frame in row]
        features = list(
            map(find_features, seen, example.intrinsics, example.distortion)
        )
        matches += match_views(features, instant, most_pairs)
    return matches


def pair_cameras(
    example: Example, match: Matches
) -> tuple[TwoLenses, Float[ndarray, "2 4 4"]]:
    """Return intrinsics and world-to-camera of the two views of matches."""
    pair = [match.first, match.second]
    poses = example.world_to_camera[pair, match.instant]
    return example.intrinsics[pair], poses.astype(np.float64)


def near_pixels(shapes: list[list[tuple[int, int]]]) -> float:
    """Return the largest good distance of a match from its epipolar line, pixels."""
    most_pixels = 1.5
    # Share of the picture's diagonal.
    most_diagonals = 0.002
    diagonals = [float(np.hypot(*size)) for sizes in shapes for size in sizes]
    return max(most_pixels, most_diagonals * max(diagonals, default=0.0))


def epipolar_distances(
    points: Pairs, intrinsics: TwoLenses, world_to_camera: Float[ndarray, "... 2 4 4"]
) -> Float[ndarray, "... n"]:
    """Return Sampson's distance, pixels, of matches from the epipolar lines of two cameras.

    Infinite where the point that both see would lie behind one of them (and they see it from
    directions that differ enough to determine it), and where the cameras stand in one place.

    Args:
      points: (x, y) in both views, pixels without distortion.
      intrinsics: of the two cameras, pixels.
      world_to_camera: of the two cameras, any unit; leading axes are further pairs of cameras.
    """
    relative = world_to_camera[..., 1, :, :] @ np.linalg.inv(
        world_to_camera[..., 0, :, :]
    )
    rotation = relative[..., :3, :3]
    x, y, z = np.moveaxis(relative[..., :3, 3], -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(
        *x.shape, 3, 3
    )
    inverse = np.linalg.inv(intrinsics.astype(np.float64))
    fundamental = inverse[1].T @ cross @ rotation @ inverse[0]
    first, second = np.moveaxis(_homogeneous(points), 1, 0)
    lines = first @ np.swapaxes(fundamental, -1, -2)
    back = second @ fundamental
    slope = (lines[..., :2] ** 2).sum(-1) + (back[..., :2] ** 2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs((lines * second).sum(-1)) / np.sqrt(slope)
    turned = first @ inverse[0].T @ np.swapaxes(rotation, -1, -2)
    shift = relative[..., None, :3, 3]
    near, far, angle = _depths(turned, second @ inverse[1].T, shift)
    behind = ((near <= 0) | (far <= 0)) & (angle > PARALLAX)
    return np.where(behind | ~np.isfinite(distance), np.inf, distance)


def triangulate(
    points: Pairs, intrinsics: TwoLenses, world_to_camera: Float[ndarray, "2 4 4"]
) -> tuple[Float[ndarray, "n 2"], Float[ndarray, " n"]]:
    """Return the z-depth of matches in both cameras, world units, and the rays' angle, radians.

    Each depth belongs to the point of its ray that is nearest to the other ray.
    """
    relative = world_to_camera[1] @ np.linalg.inv(world_to_camera[0])
    inverse = np.linalg.inv(intrinsics.astype(np.float64))
    first, second = np.moveaxis(_homogeneous(points), 1, 0)
    turned = first @ (relative[:3, :3] @ inverse[0]).T
    near, far, angle = _depths(turned, second @ inverse[1].T, relative[:3, 3])
    return np.stack([near, far], -1), angle


def _homogeneous(points: Float[ndarray, "... 2"]) -> Places:
    return np.concatenate([points, np.ones_like(points[..., :1])], -1)


def _depths(
    first: Places, second: Places, offset: Places
) -> tuple[ndarray, ndarray, ndarray]:
    """Return a and b with offset + a first nearest to b second, and the angle of the two rays."""
    aa = (first * first).sum(-1)
    bb = (second * second).sum(-1)
    ab = (first * second).sum(-1)
    oa = (offset * first).sum(-1)
    ob = (offset * second).sum(-1)
    area = np.maximum(aa * bb - ab**2, 1e-12 * aa * bb)
    angle = np.arctan2(np.sqrt(area), ab)
    return (ab * ob - bb * oa) / area, (aa * ob - ab * oa) / area, angle


def _best(
    queries: Float32[ndarray, "n c"], candidates: Float32[ndarray, "m c"]
) -> dict:
    """Return the nearest candidate of each query, by its number, where the ratio test passes."""
    # The most that the best distance may be of the second best.
    most_distance_ratio = 0.8
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(queries, candidates, 2)
    return {
        a.queryIdx: a.trainIdx
        for a, b in pairs
        if a.distance < most_distance_ratio * b.distance
    }
