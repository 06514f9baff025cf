"""Depth by plane sweep, of photographs whose cameras are known.

Every view is compared with its nearest neighbours on planes parallel to its own image, evenly
spaced in inverse depth. The score of a pixel on a plane is the zero-mean normalised
cross-correlation of a window of grey values, averaged over the better half of the neighbours, so
that an occluded one does no harm. A pixel keeps its best plane if that correlates well and is
confirmed: the depth that a neighbour found where the point falls must be nearly the same.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int

from full4d_jax.geometry.arrays import (
    Lens,
    Map,
    Maps,
    Mask,
    Poses,
    Values,
)
from input_pipeline.pinhole import pixel_rays

# Pixels.
WINDOW = (7, 7)
# Neighbours.
LEAST_CONFIRMING_VIEWS = 2
Lenses = Float[np.ndarray, "t 3 3"]


def sweep(
    frames: Float[np.ndarray, "t h w 3"],
    intrinsics: Lenses,
    poses: Poses,
    near: float,
    far: float,
    neighbours: Sequence[Int[np.ndarray, "_"]] | None = None,
) -> Maps:
    """Return z-depth, world units, 0 where uncertain; hypotheses lie from `near` to `far`.

    Each view is compared with its `neighbours`, or else with the nearest ones. Of a view that has
    none, nothing is sure.
    """
    # Least score of a pixel that is kept.
    least_score = 0.6
    tried_planes = 96
    chosen = nearest_views(poses) if neighbours is None else neighbours
    grey = frames.mean(-1).astype(np.float32)
    inverse = np.linspace(1 / far, 1 / near, tried_planes)
    lens = intrinsics.astype(np.float64)
    pose = poses.astype(np.float64)
    depth = np.full_like(grey, np.nan)
    score = np.zeros_like(grey)
    compared = [
        (v, n, pose[n] @ np.linalg.inv(pose[v])) for v, n in enumerate(chosen) if len(n)
    ]
    for v, n, motions in compared:
        depth[v], score[v] = _best_plane(
            grey[v], grey[n], lens[v], lens[n], motions, inverse
        )
    for v, n, motions in compared:
        votes = _agreement(depth[v], depth[n], lens[v], lens[n], motions)
        score[v] *= votes >= min(LEAST_CONFIRMING_VIEWS, len(n))
    return np.where(score > least_score, depth, 0.0).astype(np.float32)


def nearest_views(poses: Poses) -> Int[np.ndarray, "v n"]:
    """Return for each camera the nearest that look the same way; none if they are too few."""
    most_neighbours = 6
    # Degrees.
    largest_turn = 50.0
    eyes = -np.einsum("vji,vj->vi", poses[:, :3, :3], poses[:, :3, 3])
    ahead = poses[:, 2, :3]
    distance = np.linalg.norm(eyes[:, None] - eyes, axis=-1)
    alike = ahead @ ahead.T > np.cos(np.radians(largest_turn))
    distance = np.where(alike, distance, np.inf)
    most = min(most_neighbours, int(np.isfinite(distance).sum(1).min()) - 1)
    # Cameras too far apart, or too few.
    if most < LEAST_CONFIRMING_VIEWS:
        most = 0
    return np.argsort(distance, axis=1)[:, 1 : 1 + most]


def _best_plane(
    grey: Map,
    neighbours: Maps,
    lens: Lens,
    lenses: Lenses,
    motions: Poses,
    inverse: Values,
) -> tuple[Map, Map]:
    """Return depth and score of the best plane of every pixel of one view.

    `motions` go from its axes to those of its neighbours, `inverse` is 1 / depth of the planes.
    """
    scores = np.empty((len(inverse), *grey.shape), np.float32)
    mean, spread = _statistics(grey)
    to_rays = np.linalg.inv(lens)
    for plane, one in enumerate(inverse):
        correlations = np.full(neighbours.shape, -1.0, np.float32)
        for n, motion in enumerate(motions):
            # Where the other camera sees the pixels of a plane at a depth of 1 / `one`.
            shifted = motion[:3, 3:] * np.array([[0.0, 0.0, one]])
            homography = lenses[n] @ (motion[:3, :3] @ to_rays + shifted)
            seen, inside = _warp(neighbours[n], homography)
            their_mean, their_spread = _statistics(seen)
            product = _blur(grey * seen) - mean * their_mean
            np.divide(product, spread * their_spread, out=correlations[n], where=inside)
        scores[plane] = np.sort(correlations, axis=0)[len(neighbours) // 2 :].mean(0)
    # The parabola through the scores of the best plane and those beside it peaks between planes.
    best = scores.argmax(0)
    inner = best.clip(1, len(scores) - 2)
    around = np.take_along_axis(scores, np.stack([inner - 1, inner, inner + 1]), 0)
    before, here, after = around
    bend = np.minimum(before - 2 * here + after, -1e-6)
    vertex = ((before - after) / (2 * bend)).clip(-0.5, 0.5)
    place = best + np.where(inner == best, vertex, 0.0)
    depth = 1 / (inverse[0] + place * (inverse[1] - inverse[0]))
    return depth, scores.max(0)


def _warp(neighbour: Map, homography: Float[np.ndarray, "3 3"]) -> tuple[Map, Mask]:
    """Warp a picture by a plane; also return the pixels whose whole window lies in that picture."""
    h, w = neighbour.shape
    # OpenCV's pixels have centres at 0.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    mapped = np.linalg.inv(half) @ homography @ half
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REPLICATE
    seen = cv2.warpPerspective(
        neighbour, mapped, (w, h), flags=flags, borderMode=border
    )
    y, x = np.mgrid[:h, :w].astype(np.float32)
    u, v, z = (a * x + b * y + c for a, b, c in mapped.astype(np.float32))
    inside = (z > 0) & (u >= 0) & (u <= (w - 1) * z) & (v >= 0) & (v <= (h - 1) * z)
    return seen, cv2.erode(inside.astype(np.uint8), np.ones(WINDOW, np.uint8)) > 0


def _blur(x: Map) -> Map:
    """Return the mean of the window of every pixel."""
    return cv2.blur(x, WINDOW, borderType=cv2.BORDER_REFLECT_101)


def _statistics(x: Map) -> tuple[Map, Map]:
    """Return mean and standard deviation in the window of every pixel."""
    mean = _blur(x)
    return mean, np.sqrt(np.maximum(_blur(x * x) - mean**2, 1e-5))


def _agreement(
    depth: Map, neighbours: Maps, lens: Lens, lenses: Lenses, motions: Poses
) -> Int[np.ndarray, "h w"]:
    """Count the neighbours that found the same point."""
    # Largest relative difference of inverse depths that confirm each other.
    confirming_ratio = 0.05
    h, w = depth.shape
    points = pixel_rays(lens, h, w) * depth[..., None]
    votes = np.zeros(depth.shape, int)
    for neighbour, their_lens, motion in zip(neighbours, lenses, motions, strict=True):
        places = (points @ motion[:3, :3].T + motion[:3, 3]) @ their_lens.T
        u, v, z = np.moveaxis(places, -1, 0)
        ahead = np.maximum(z, 1e-6)
        row = np.floor(v / ahead)
        column = np.floor(u / ahead)
        inside = (z > 0) & (row >= 0) & (row < h) & (column >= 0) & (column < w)
        pixels = row.clip(0, h - 1).astype(int), column.clip(0, w - 1).astype(int)
        theirs = neighbour[pixels]
        votes += inside & (np.abs(z / theirs - 1) < confirming_ratio)
    return votes
