"""Depth of posed photographs by plane sweep: a start for fits to pictures that come without depth.

Every view is compared with its nearest neighbours on planes parallel to its own image, evenly
spaced in inverse depth. The score of a pixel on a plane is the zero-mean normalised
cross-correlation of a window of grey values, averaged over the better half of the neighbours, so
that an occluded one does no harm. A pixel keeps its best plane if that correlates well and is
confirmed: the depth that a neighbour found where the point falls must be nearly the same.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray

from input_pipeline.cameras import pixel_rays

WINDOW_PIXELS = 7  # pixels
LEAST_CONFIRMING_VIEWS = 2  # neighbours


def sweep(
    frames: Float[np.ndarray, "v h w 3"],
    intrinsics: Float[np.ndarray, "v 3 3"],
    world_to_camera: Float[np.ndarray, "v 4 4"],
    near: float,
    far: float,
    neighbours: Sequence[Int[np.ndarray, "_"]] | None = None,
) -> Float[np.ndarray, "v h w"]:
    """Depth z in world units where it is sure, else 0; hypotheses lie from `near` to `far`.

    Each view is compared with its `neighbours`, or else with the nearest ones. Of a view that has
    none, nothing is sure.
    """
    least_score = 0.6  # least score of a pixel that is kept
    tried_planes = 96
    near_by = nearest_views(world_to_camera) if neighbours is None else neighbours
    if near_by is None:
        return np.zeros(frames.shape[:3], np.float32)
    grey = frames.mean(-1).astype(np.float32)
    inverse = np.linspace(1 / far, 1 / near, tried_planes)
    lens = intrinsics.astype(np.float64)
    pose = world_to_camera.astype(np.float64)
    depth = np.full_like(grey, np.nan)
    score = np.zeros_like(grey)
    compared = [(v, n) for v, n in enumerate(near_by) if len(n)]
    for v, n in compared:
        relative = pose[n] @ np.linalg.inv(pose[v])
        depth[v], score[v] = _best_plane(grey[v], grey[n], lens[v], lens[n], relative, inverse)
    for v, n in compared:
        relative = pose[n] @ np.linalg.inv(pose[v])
        votes = _agreement(depth[v], depth[n], lens[v], lens[n], relative)
        score[v] *= votes >= min(LEAST_CONFIRMING_VIEWS, len(n))
    return np.where(score > least_score, depth, 0.0).astype(np.float32)


def nearest_views(world_to_camera: Float[np.ndarray, "v 4 4"]) -> Int[np.ndarray, "v n"] | None:
    """Return the nearest cameras that look the same way as each; None if they are too few."""
    most_neighbours = 6
    eyes = -np.einsum("vji,vj->vi", world_to_camera[:, :3, :3], world_to_camera[:, :3, 3])
    distance = np.linalg.norm(eyes[:, None] - eyes, axis=-1)
    turned = np.einsum("vi,ui->vu", world_to_camera[:, 2, :3], world_to_camera[:, 2, :3])
    distance = np.where(turned > np.cos(np.radians(50)), distance, np.inf)
    enough = np.isfinite(distance).sum(1) > LEAST_CONFIRMING_VIEWS
    if not enough.all():  # cameras too far apart, or too few
        return None
    most = int(np.isfinite(distance).sum(1).min()) - 1
    return np.argsort(distance, axis=1)[:, 1 : 1 + min(most_neighbours, most)]


def _best_plane(
    grey: Float32[ndarray, "h w"],
    neighbours: Float32[ndarray, "n h w"],
    lens: Float[ndarray, "3 3"],
    lenses: Float[ndarray, "n 3 3"],
    poses: Float[ndarray, "n 4 4"],
    inverse: Float[ndarray, " p"],
) -> tuple[Float[ndarray, "h w"], Float[ndarray, "h w"]]:
    """Return depth and score of the best plane of every pixel of one view."""
    scores = np.empty((len(inverse), *grey.shape), np.float32)
    mean, spread = _statistics(grey)
    for plane, one in enumerate(inverse):
        correlations = np.full((len(neighbours), *grey.shape), -1.0, np.float32)
        for n, neighbour in enumerate(neighbours):
            seen, inside = _warp(neighbour, _homography(lens, lenses[n], poses[n], one))
            their_mean, their_spread = _statistics(seen)
            product = _blur(grey * seen) - mean * their_mean
            np.divide(product, spread * their_spread, out=correlations[n], where=inside)
        scores[plane] = np.sort(correlations, axis=0)[len(neighbours) // 2 :].mean(0)
    best = scores.argmax(0)
    place = best + _vertex(scores, best)
    depth = 1 / (inverse[0] + place * (inverse[1] - inverse[0]))
    return depth, np.take_along_axis(scores, best[None], 0)[0]


def _homography(
    lens: Float[ndarray, "3 3"],
    neighbour_lens: Float[ndarray, "3 3"],
    pose: Float[ndarray, "4 4"],
    inverse: float,
) -> Float[ndarray, "3 3"]:
    """Return where another camera sees the pixels of a plane at a depth of 1 / `inverse`."""
    plane = pose[:3, 3:] * np.array([[0.0, 0.0, inverse]])
    return neighbour_lens @ (pose[:3, :3] @ np.linalg.inv(lens) + plane)


def _warp(
    neighbour: Float32[ndarray, "h w"], homography: Float[ndarray, "3 3"]
) -> tuple[Float32[ndarray, "h w"], Bool[ndarray, "h w"]]:
    """Return what a camera sees through a plane, and where the whole window is in its picture."""
    h, w = neighbour.shape
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's pixels have centres at 0
    mapped = np.linalg.inv(half) @ homography @ half
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpPerspective(
        neighbour, mapped, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    y, x = np.mgrid[:h, :w].astype(np.float32)
    u, v, z = (a * x + b * y + c for a, b, c in mapped.astype(np.float32))
    inside = (z > 0) & (u >= 0) & (u <= (w - 1) * z) & (v >= 0) & (v <= (h - 1) * z)
    whole = cv2.erode(inside.astype(np.uint8), np.ones((WINDOW_PIXELS, WINDOW_PIXELS), np.uint8))
    return seen, whole > 0


def _vertex(scores: Float[ndarray, "p h w"], best: Int[ndarray, "h w"]) -> Float[ndarray, "h w"]:
    """Return how far from its best plane, in planes, the parabola through three scores peaks."""
    inner = best.clip(1, len(scores) - 2)
    before, here, after = (
        np.take_along_axis(scores, (inner + step)[None], 0)[0] for step in (-1, 0, 1)
    )
    bend = np.minimum(before - 2 * here + after, -1e-6)
    return np.where(inner == best, ((before - after) / (2 * bend)).clip(-0.5, 0.5), 0.0)


def _blur(x: Float32[ndarray, "h w"]) -> Float32[ndarray, "h w"]:
    """Return the mean of the window of every pixel."""
    return cv2.blur(x, (WINDOW_PIXELS, WINDOW_PIXELS), borderType=cv2.BORDER_REFLECT_101)


def _statistics(
    x: Float32[ndarray, "h w"],
) -> tuple[Float32[ndarray, "h w"], Float32[ndarray, "h w"]]:
    """Return mean and standard deviation in the window of every pixel."""
    mean = _blur(x)
    return mean, np.sqrt(np.maximum(_blur(x * x) - mean**2, 1e-5))


def _agreement(
    depth: Float32[ndarray, "h w"],
    neighbours: Float32[ndarray, "n h w"],
    lens: Float[ndarray, "3 3"],
    lenses: Float[ndarray, "n 3 3"],
    poses: Float[ndarray, "n 4 4"],
) -> Int[ndarray, "h w"]:
    """Count the neighbours that found the same point."""
    # Largest relative difference of inverse depths that confirm each other.
    confirming_ratio = 0.05
    h, w = depth.shape
    points = pixel_rays(lens, h, w) * depth[..., None]
    votes = np.zeros(depth.shape, int)
    for neighbour, their_lens, pose in zip(neighbours, lenses, poses, strict=True):
        u, v, z = np.moveaxis((points @ pose[:3, :3].T + pose[:3, 3]) @ their_lens.T, -1, 0)
        ahead = np.maximum(z, 1e-6)
        row = np.floor(v / ahead)
        column = np.floor(u / ahead)
        inside = (z > 0) & (row >= 0) & (row < h) & (column >= 0) & (column < w)
        theirs = neighbour[row.clip(0, h - 1).astype(int), column.clip(0, w - 1).astype(int)]
        votes += inside & (np.abs(z / theirs - 1) < confirming_ratio)
    return votes
