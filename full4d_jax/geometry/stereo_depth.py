"""Depth by plane sweep, of posed photographs and of static scenes before a travelling camera.

Every view is compared with its nearest neighbours on planes parallel to its own image, evenly
spaced in inverse depth. The score of a pixel on a plane is the zero-mean normalised
cross-correlation of a window of grey values, averaged over the better half of the neighbours, so
that an occluded one does no harm. A pixel keeps its best plane if that correlates well and is
confirmed: the depth that a neighbour found where the point falls must be nearly the same.

Of a clip every frame is compared with others that were taken from elsewhere. Where the sweep is
sure, the estimate z of a network is wrong by a factor f that is known. What the sweep does not
measure, such as plain walls, gets the factor of what is near it at a similar depth: log f is
averaged in a grid over columns, rows and log z, whose empty cells take the mean of coarser ones,
and read between its cells (the bilateral grid of Chen et al. 2007). What is left of a sure pixel's
factor comes on top of that, unless it is large.

The sweep is seldom sure of what moves by itself, whose points leave the epipolar lines of the path.
What goes along with the camera, or against it, stays on them, and is taken for farther, or nearer.
Two things are left out: what is known to move, and factors far from the frame's median.
"""

from collections.abc import Sequence
from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.geometry.arrays import (
    Lens,
    Map,
    Maps,
    Mask,
    Masks,
    Pictures,
    Poses,
    Values,
)
from full4d_jax.geometry.depth_maps import nearest
from gaussians.precision import exact_products
from input_pipeline.pinhole import centers, pixel_rays, resize_intrinsics

# Pixels.
WINDOW = (7, 7)
# Neighbours.
LEAST_CONFIRMING_VIEWS = 2
Lenses = Float[np.ndarray, "t 3 3"]
# Of a frame, and of a smaller one.
Plane = Float[Array, "h w"]
SmallPlane = Float[Array, "r q"]
# The bilateral grid, and the weights of its cells along each axis.
Blocks = Float[Array, "k i j"]
Cells = tuple[Float[Array, "k h w"], Float[Array, "i h"], Float[Array, "j w"]]


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


def stereo_depth(
    frames: Pictures, depth: Maps, lens: Lens, poses: Poses, passing: Masks
) -> tuple[Maps, float]:
    """Correct depth by a plane sweep; also return the share of pixels where the sweep is certain.

    Where the camera's places are too near to each other, or too little of the scene has texture,
    depth stays and the share is 0.

    Args:
      frames: the clip.
      depth: its estimated z-depth in the path's unit, 0 where unknown.
      lens: intrinsics, pixels.
      poses: world to camera, of each frame.
      passing: what may move by itself, of which nothing is measured.
    """
    # Factor by which the range that is swept is wider than the estimated depths.
    swept_range_factor = 2.0
    # Share of the pixels without which a sweep is not believed.
    min_sure = 0.05
    # Short side of the frames that are swept, at most.
    most_rows = 128
    h, w = depth.shape[1:]
    scale = min(1.0, most_rows / min(h, w))
    size = round(scale * w), round(scale * h)
    maps = [cv2.resize(z, size, interpolation=cv2.INTER_NEAREST) for z in depth]
    shrunk = np.stack(maps)
    known = shrunk[shrunk > 0]
    neighbours = compared(poses, float(np.median(known)))
    if not any(map(len, neighbours)):
        return depth, 0.0
    small = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in frames]
    small = np.stack(small) / np.float32(255)
    small_lens = resize_intrinsics(lens, rows=size[1] / h, columns=size[0] / w)
    lenses = np.stack([small_lens] * len(frames))
    near, far = np.quantile(known, (0.02, 0.98))
    reach = near / swept_range_factor, far * swept_range_factor
    swept = sweep(small, lenses, poses, *reach, neighbours)
    swept *= np.stack([*map(agrees_with_neighbours, small, swept)])
    swept[nearest(passing, *swept.shape[1:])] = 0
    share = float((swept > 0).mean())
    if share < min_sure:
        return depth, 0.0
    return np.asarray(corrected(jnp.asarray(depth), jnp.asarray(swept))), share


def compared(poses: Poses, distance: float) -> list[Int[np.ndarray, "_"]]:
    """Return for each frame the numbers of those it is compared with; none if they are too few.

    The angle between two frames is that of their rays to the point on the first one's axis at
    `distance`; those nearest to `best_angle` come first.
    """
    # Degrees between the directions of two frames.
    max_turn = 50.0
    # Degrees between the rays of two frames to the scene.
    max_angle = 20.0
    best_angle = 6.0
    min_angle = 1.0
    min_compared = 2
    # Frames that one is compared with.
    max_compared = 6
    eyes = centers(poses)
    ahead = poses[:, 2, :3]
    rays = (eyes + distance * ahead)[:, None] - eyes[None]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    angles = np.degrees(np.arccos(np.einsum("tui,ti->tu", rays, ahead).clip(-1, 1)))
    good = (angles >= min_angle) & (angles <= max_angle)
    good &= ahead @ ahead.T > np.cos(np.radians(max_turn))
    difference = np.abs(np.log(np.maximum(angles, 1e-6) / best_angle))
    misfit = np.where(good, difference, np.inf)
    counts = np.where(
        good.sum(1) < min_compared, 0, np.minimum(good.sum(1), max_compared)
    )
    order = np.argsort(misfit, axis=1)
    return [row[:count] for row, count in zip(order, counts, strict=True)]


def agrees_with_neighbours(frame: Float[np.ndarray, "h w 3"], swept: Map) -> Mask:
    """Return the pixels whose neighbours of similar colour mostly have the same certain depth.

    The window of a pixel beside an edge sees the edge, so a plain background takes its depth there.
    """
    # Least share of their weight.
    min_support = 0.5
    # Relative difference of depth.
    max_support_jump = 0.1
    # Distance of colours at which their weight falls to 1 / e.
    support_colour = 0.1
    # Pixels around one in which others support its depth.
    support_reach = 5
    h, w = swept.shape
    side = 2 * support_reach + 1
    edges = ((support_reach, support_reach),) * 2
    wide = np.pad(frame, (*edges, (0, 0)), mode="reflect")
    depths = np.pad(swept, edges)
    alike, same = np.zeros((2, h, w), np.float32)
    for y, x in np.ndindex(side, side):
        cut = slice(y, y + h), slice(x, x + w)
        weight = np.exp(-((wide[cut] - frame) ** 2).sum(-1) / support_colour**2)
        alike += weight
        same += weight * (np.abs(depths[cut] - swept) < max_support_jump * swept)
    return same > min_support * alike


@jax.jit
@exact_products
def corrected(
    depth: Float[Array, "t h w"], swept: Float[Array, "t r q"]
) -> Float[Array, "t h w"]:
    """Return depth times the factors of the module's text.

    Args:
      depth: estimated, 0 where unknown.
      swept: by a sweep of smaller frames, 0 where it is not sure.
    """
    small = jax.image.resize(depth, swept.shape, "nearest")
    return jax.lax.map(lambda x: _correct(*x), (depth, small, swept))


def _correct(depth: Plane, small: SmallPlane, swept: SmallPlane) -> Plane:
    # Largest residual of log f of pixels that get their own.
    max_own_residual = 0.6
    # Largest residual of log f of pixels that count in the grid.
    max_averaged_residual = 0.5
    # Largest log f, from the frame's median.
    most_factor = 0.7
    logs = jnp.log(jnp.where(small > 0, small, 1.0))
    sure = (small > 0) & (swept > 0)
    known = jnp.where(small > 0, logs, jnp.nan)
    low, high = jnp.nanquantile(known, jnp.array([0.02, 0.98]))
    factor = jnp.where(sure, jnp.log(jnp.where(sure, swept, 1.0)) - logs, 0.0)
    sure &= (
        jnp.abs(factor - jnp.nanmedian(jnp.where(sure, factor, jnp.nan))) < most_factor
    )
    factor = jnp.where(sure, factor, 0.0)
    place = partial(_cells, low=low, high=high)
    grid = _averaged(factor, sure, place(logs))
    near = sure & (jnp.abs(factor - _read(grid, place(logs))) < max_averaged_residual)
    grid = _averaged(factor, near, place(logs))
    left = factor - _read(grid, place(logs))
    left = jnp.where(sure & (jnp.abs(left) < max_own_residual), left, 0.0)
    large = place(jnp.log(jnp.where(depth > 0, depth, 1.0)))
    change = _read(grid, large) + jax.image.resize(left, depth.shape, "linear")
    return jnp.where(depth > 0, depth * jnp.exp(change), 0.0)


def _cells(logs: Plane, low: Array, high: Array) -> Cells:
    """Return the weights of the grid's cells along each axis, of two for each pixel."""
    # Cells over log z, rows and columns.
    grid_cells = 8, 16, 16
    h, w = logs.shape
    share = jnp.clip((logs - low) / jnp.maximum(high - low, 1e-6), 0, 1)
    places = share, (jnp.arange(h) + 0.5) / h, (jnp.arange(w) + 0.5) / w

    def weights(place, cells):
        numbers = jnp.arange(cells).reshape(-1, *(1,) * place.ndim)
        return jnp.maximum(0, 1 - jnp.abs(place[None] * (cells - 1) - numbers))

    bins, rows, columns = map(weights, places, grid_cells)
    return bins, rows, columns


def _averaged(values: Plane, is_known: Bool[Array, "h w"], cells: Cells) -> Blocks:
    """Return the mean of the known values in each cell; empty ones take that of coarser cells."""
    # Pixels in a cell that weigh as much as the mean of the coarser one.
    faint_weight = 4.0
    pool = partial(jnp.einsum, "hw,khw,ih,jw->kij")
    weight = is_known.astype(values.dtype)
    levels = [(pool(values * weight, *cells), pool(weight, *cells))]
    while min(levels[-1][0].shape) > 1:
        pooled = "(k a) (i b) (j c) -> k i j"
        total, count = (reduce(x, pooled, "sum", a=2, b=2, c=2) for x in levels[-1])
        levels.append((total, count))
    # Without any, the estimate stays.
    mean = jnp.zeros_like(levels[-1][0])
    for total, weight in reversed(levels):
        coarse = jax.image.resize(mean, total.shape, "linear")
        mean = (total + faint_weight * coarse) / (weight + faint_weight)
    return mean


def _read(grid: Blocks, cells: Cells) -> Plane:
    """Return the grid's values at the pixels, between its cells."""
    return jnp.einsum("kij,khw,ih,jw->hw", grid, *cells)
