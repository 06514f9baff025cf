"""Depth of every pixel and a camera's path, adjusted to optical flow.

A path is found by a few hundred points, and depth by a network that sees one picture. Together they
explain most of what moves in a film. Flow tells what is left: the picture of instant j is brought
to instant i by depth and path, and the flow r from i to that says where pixel p really is in j,

    q = m(p + r),    m(p) = K (R_ji z K^-1 p + t_ji)        divided by the third coordinate

with the lens K, the depth z of p, and the motion R_ji, t_ji from camera i to camera j. A match
counts if the one from j back returns. Poses follow from matches of pixels on a grid, by the
least squares of `camera_path`. Then the inverse depth d of each pixel follows by itself, from all
instants that it is matched with, and from the pixels beside it, by Gauss-Newton steps

    sum w m' (q - m) / sum w m' m'                          w: Cauchy's weights, m' = dm / dd

The denominator is the information about d, one over its variance if a match is off by one pixel.
Where it is small, as far away, without travel or without matches, the estimate z of the network is
wrong by the factor f of what is near at a similar depth: log f is averaged in a grid over columns,
rows and log z, whose empty cells take the mean of coarser ones, and read between its cells (the
bilateral grid of Chen et al. 2007). What is measured stays.

What moves by itself has no depth by this, and is left out where it is known.
"""

from functools import partial
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Bool, Float, Float32, Int, UInt8
from numpy import ndarray

from full4d_jax.cameras import inverse_lens
from full4d_jax.geometry import camera_path
from full4d_jax.geometry.arrays import Lens, Maps, Masks, Pictures, Poses
from full4d_jax.geometry.camera_path import MOST_ASTRAY, SPANS, CameraPath, Tracks
from full4d_jax.geometry.depth_maps import nearest
from full4d_jax.geometry.image_motion import SMALLEST_SIDE, gray_flow
from full4d_jax.geometry.rays import homogeneous_pixels, relative_pose
from gaussians.precision import exact_products
from input_pipeline.pinhole import pixel_centers, resize_intrinsics

# Instants from a picture's own to those that it is matched with.
OFFSETS = np.append(-SPANS[::-1], SPANS)
# How often flow is measured: for depth, and for a path at most.
DEPTH_ROUNDS = 2
PATH_ROUNDS = 3
# Rounds end once no entry of a pose changes by more: radians, or first median depths.
LAST_CHANGE = 5e-4
# Depths in another camera, relative to a pixel's own, are divided by this at least.
LEAST_AHEAD = 1e-3
# Long side of the pictures that are matched, pixels, and by how much small ones grow at most.
MATCHED_SIDE = 456
MOST_ENLARGED = 4.0

Places = Float32[ndarray, "h w 2"]
Film = UInt8[ndarray, "t h w"]
# Of a frame, and of a smaller one.
Plane = Float[Array, "h w"]
SmallPlane = Float[Array, "r q"]
# The bilateral grid, and the weights of its cells along each axis.
Blocks = Float[Array, "k i j"]
Cells = tuple[Float[Array, "k h w"], Float[Array, "i h"], Float[Array, "j w"]]


class Matches(NamedTuple):
    """Where the pixels of each instant are at other instants.

    Attributes:
      there: pixels, x then y, centres at +0.5, at the instants `OFFSETS` away.
      seen: whether they were found there.
    """

    there: Float[ndarray, "t o h w 2"]
    seen: Bool[ndarray, "t o h w"]


def adjust_path(
    film: Film, path: CameraPath, depth: Maps, still: Masks, lens: Lens, *, known: bool
) -> CameraPath:
    """Return a path that explains the flow of its film best, with its lens and its points.

    What was said of the tracks by which the path was found stays.

    Args:
      film: pictures of the instants in gray.
      path: found before, nearly right.
      depth: by a network, in the path's unit.
      still: where nothing may move by itself.
      lens: the known or assumed intrinsics, pixels.
      known: whether the lens is to stay.
    """
    size = film.shape[1:]
    film = resize_film(film)
    rows, columns = film.shape[1:]
    depth = nearest(depth, rows, columns)
    still = nearest(still, rows, columns)
    lens = _resized(lens, size, (rows, columns))
    path = path._replace(lens=_resized(path.lens, size, (rows, columns)))
    measured = np.zeros_like(depth)
    for _ in range(PATH_ROUNDS):
        depth = np.asarray(corrected(depth, depth, measured))
        before = path.world_to_camera
        matches = match(film, depth, path.lens, before, still)
        tracks = grid_tracks(matches)
        if camera_path.find_gap(tracks, len(film), 1) is not None:
            break
        path = camera_path.adjust(path, tracks, 1 / depth, lens, known=known)
        known = known or bool(np.isinf(path.lens_error))
        if np.abs(path.world_to_camera - before).max() < LAST_CHANGE:
            break
        measured = measure(matches, depth, path.lens, path.world_to_camera, still)
    larger = np.array([size[1] / columns, size[0] / rows])
    return path._replace(
        lens=_resized(path.lens, (rows, columns), size),
        points=path.points._replace(pixels=path.points.pixels * larger),
    )


def flow_depth(
    frames: Pictures, depth: Maps, lens: Lens, poses: Poses, passing: Masks
) -> tuple[Maps, Masks]:
    """Correct depth by flow; also return which pixels it was measured of.

    Args:
      frames: the clip.
      depth: its estimated z-depth in the path's unit.
      lens: intrinsics, pixels.
      poses: world to camera, of each frame.
      passing: what may move by itself, of which nothing is measured.
    """
    h, w = depth.shape[1:]
    gray = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in frames]
    film = resize_film(np.stack(gray))
    rows, columns = film.shape[1:]
    still = ~nearest(passing, rows, columns)
    small_lens = _resized(lens, (h, w), (rows, columns))
    measured = np.zeros((len(film), rows, columns), np.float32)
    for _ in range(DEPTH_ROUNDS):
        resized = nearest(depth, rows, columns)
        matches = match(film, resized, small_lens, poses, still)
        measured = measure(matches, resized, small_lens, poses, still)
        depth = np.asarray(corrected(depth, resized, measured))
    return depth, nearest(measured > 0, h, w)


def resize_film(film: UInt8[ndarray, "t h w"]) -> UInt8[ndarray, "t r q"]:
    """Return pictures of the size in which they are matched."""
    height, width = film.shape[1:]
    scale = min(MOST_ENLARGED, MATCHED_SIDE / max(height, width))
    size = round(scale * width), round(scale * height)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.stack(
        [cv2.resize(picture, size, interpolation=interpolation) for picture in film]
    )


def _resized(lens: Lens, size: tuple[int, ...], new: tuple[int, ...]) -> Lens:
    """Return the intrinsics of pictures of another size, rows and columns."""
    return resize_intrinsics(lens, rows=new[0] / size[0], columns=new[1] / size[1])


def match(film: Film, depth: Maps, lens: Lens, poses: Poses, still: Masks) -> Matches:
    """Match the pixels of all instants by flow, beyond what depth and poses explain.

    Nothing is matched in pictures with a side below `SMALLEST_SIDE`.

    Args:
      film: pictures of the instants in gray.
      depth: z of their pixels, above 0.
      lens: intrinsics, pixels.
      poses: world to camera, of each instant.
      still: pixels of what stands still, which are matched.
    """
    times, height, width = film.shape
    most_astray = MOST_ASTRAY * max(height, width)
    here = pixel_centers(height, width).astype(np.float32)
    places = np.asarray(_places_elsewhere(depth, lens, poses))
    there = np.zeros(places.shape, np.float32)
    seen = np.zeros(places.shape[:-1], bool)
    if min(height, width) < SMALLEST_SIDE:
        return Matches(there, seen)
    for i, o, j in _pairs(times):
        inside = _inside(places[i, o])
        brought = sample_picture(film[j], places[i, o], cv2.INTER_CUBIC)
        brought = np.where(inside, brought, film[i])
        ends = here + gray_flow(film[i], brought, finest=1)
        there[i, o] = sample_picture(places[i, o], ends)
        inside = sample_picture(inside.astype(np.uint8), ends, cv2.INTER_NEAREST)
        ends_inside = inside > 0
        seen[i, o] = ends_inside & _inside(there[i, o]) & still[i]
    both = np.zeros_like(seen)
    for i, o, j in _pairs(times):
        # The match from there is the opposite offset's.
        opposite = len(OFFSETS) - 1 - o
        returned = sample_picture(there[j, opposite], there[i, o])
        matched = seen[j, opposite].astype(np.uint8)
        matched = sample_picture(matched, there[i, o], cv2.INTER_NEAREST) > 0
        astray = cv2.magnitude(*cv2.split(returned - here))
        both[i, o] = seen[i, o] & matched & (astray < most_astray)
    return Matches(there, both)


def grid_tracks(matches: Matches) -> Tracks:
    """Return the matches of pixels on a grid with later instants as tracks."""
    # Columns of the grid.
    most_columns = 38
    times, _, height, width = matches.seen.shape
    step = max(1, width // most_columns)
    rows = slice(step // 2, None, step)
    later = OFFSETS > 0
    seen = matches.seen[:, later, rows, rows]
    there = matches.there[:, later, rows, rows]
    here = pixel_centers(height, width)[rows, rows]
    instants, y, x = np.nonzero(seen.any(1))
    return Tracks(
        instants,
        here[y, x],
        there[instants, :, y, x].astype(np.float64),
        seen[instants, :, y, x],
    )


def measure(
    matches: Matches, depth: Maps, lens: Lens, poses: Poses, still: Masks
) -> Maps:
    """Return the depth of what stands still by `triangulate`, 0 where it is not known."""
    measured = np.asarray(triangulate(matches, depth, lens, poses))
    return np.where(still, measured, np.float32(0))


@jax.jit
@exact_products
def triangulate(
    matches: Matches,
    depth: Float[Array, "t h w"],
    lens: Float[Array, "3 3"],
    poses: Float[Array, "t 4 4"],
) -> Float[Array, "t h w"]:
    """Return the depth of pixels that follows from their matches, 0 where these tell too little.

    Args:
      matches: of all instants.
      depth: an estimate.
      lens: intrinsics, pixels.
      poses: world to camera, of each instant.
    """
    # Gauss-Newton steps, and the largest factor that one of them changes a depth by.
    steps = 2
    most_factor = 4.0
    # Squared pixels by which a match counts half.
    half_weight_error = 1.0
    # Of the logarithm of a depth: one over the square of its error, if a match is wrong by a pixel.
    least_information = 4.0
    # Of its weight, by which a match counts as information.
    trust_power = 4

    def one(instant):
        lines = _lines(instant, lens, poses, *depth.shape[1:])
        there = matches.there[instant]

        def step(_, estimate):
            inverse, _ = estimate
            along = jnp.ones_like(inverse)
            places, slopes = jax.jvp(partial(_on_lines, lines), (inverse,), (along,))
            off = there - places
            weight = 1 / (1 + (off**2).sum(-1) / half_weight_error)
            weight *= matches.seen[instant]
            gradient = _smoothed((weight * (slopes * off).sum(-1)).sum(0))
            bend = _smoothed((weight * (slopes**2).sum(-1)).sum(0))
            change = gradient / jnp.maximum(bend, 1e-9) / inverse
            factor = jnp.clip(1 + change, 1 / most_factor, most_factor)
            # Matches that are far off tell nothing, as of what moves by itself.
            trusted = weight**trust_power
            information = _smoothed((trusted * (slopes**2).sum(-1)).sum(0))
            return inverse * factor, information

        start = 1 / depth[instant], jnp.zeros(depth.shape[1:])
        inverse, information = jax.lax.fori_loop(0, steps, step, start)
        is_known = information * inverse**2 > least_information
        return jnp.where(is_known, 1 / inverse, 0.0)

    return jax.lax.map(one, jnp.arange(len(depth)))


class EpipolarLines(NamedTuple):
    """Lines in the pictures of other instants, on which each pixel lies, by its inverse depth.

    Attributes:
      far: homogeneous pixels of what is infinitely far.
      shift: what an inverse depth of 1 adds.
    """

    far: Float[Array, "o h w 3"]
    shift: Float[Array, "o 1 1 3"]


def _lines(
    instant: Int[Array, ""],
    lens: Float[Array, "3 3"],
    poses: Float[Array, "t 4 4"],
    height: int,
    width: int,
) -> EpipolarLines:
    """Return the lines at the instants `OFFSETS` away, or at the film's end."""
    targets = jnp.clip(instant + OFFSETS, 0, len(poses) - 1)
    motions = relative_pose(poses[targets], poses[instant][None])
    turned = lens @ motions[:, :3, :3] @ inverse_lens(lens)
    pixels = homogeneous_pixels(height, width)
    far = jnp.einsum("oab,hwb->ohwa", turned, pixels)
    return EpipolarLines(far, (motions[:, :3, 3] @ lens.T)[:, None, None])


def _on_lines(
    lines: EpipolarLines, inverse: Float[Array, "h w"]
) -> Float[Array, "o h w 2"]:
    """Return where pixels of this inverse depth are, x then y, centres at +0.5."""
    places = lines.far + inverse[None, ..., None] * lines.shift
    return places[..., :2] / jnp.maximum(places[..., 2:], LEAST_AHEAD)


@jax.jit
@exact_products
def _places_elsewhere(
    depth: Float[Array, "t h w"],
    lens: Float[Array, "3 3"],
    poses: Float[Array, "t 4 4"],
) -> Float[Array, "t o h w 2"]:
    """Return where the pixels of each instant are at the instants `OFFSETS` away."""

    def one(instant):
        lines = _lines(instant, lens, poses, *depth.shape[1:])
        return _on_lines(lines, 1 / depth[instant])

    return jax.lax.map(one, jnp.arange(len(depth)))


def _smoothed(values: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """Return sums over a window whose weights, of a deviation of one pixel, add up to 1."""
    window = jnp.exp(-(jnp.arange(-3, 4) ** 2) / 2)
    window /= window.sum()
    return jax.scipy.signal.convolve(values, jnp.outer(window, window), mode="same")


def _pairs(times: int) -> list[tuple[int, int, int]]:
    """Return each instant, the number of an offset, and the instant that this leads to."""
    instants = range(times)
    leads = [(i, o, i + int(d)) for i in instants for o, d in enumerate(OFFSETS)]
    return [pair for pair in leads if pair[2] in instants]


def _inside(places: Places) -> Bool[ndarray, "h w"]:
    """Return which places are in the picture, of as many pixels as there are places."""
    height, width = places.shape[:2]
    x, y = cv2.split(places)
    return (x >= 0.5) & (x <= width - 0.5) & (y >= 0.5) & (y <= height - 0.5)


def sample_picture(
    values: ndarray, places: Places, how: int = cv2.INTER_LINEAR
) -> ndarray:
    """Return the values of a picture between its pixels."""
    # OpenCV counts from the first pixel's centre.
    x, y = cv2.split(places - np.float32(0.5))
    return cv2.remap(values, x, y, how)


@jax.jit
@exact_products
def corrected(
    depth: Float[Array, "t h w"],
    resized: Float[Array, "t r q"],
    measured: Float[Array, "t r q"],
) -> Float[Array, "t h w"]:
    """Return depth times the factors of the module's text.

    Args:
      depth: estimated, above 0.
      resized: the same, of the size of what is measured.
      measured: 0 where it is not known.
    """
    return jax.lax.map(lambda maps: _correct(*maps), (depth, resized, measured))


def _correct(depth: Plane, resized: SmallPlane, measured: SmallPlane) -> Plane:
    """Return the depth of one instant times its factors; arguments are those of `corrected`."""
    # Largest residual of log f of pixels that count in the grid.
    most_averaged = 0.5
    logs = jnp.log(resized)
    is_measured = measured > 0
    factor = jnp.log(jnp.where(is_measured, measured, resized)) - logs
    low, high = jnp.quantile(logs, jnp.array([0.02, 0.98]))
    place = partial(_cells, low=low, high=high)
    # What is far off the mean of its cell is left out of it in a second round.
    grid = _averaged(factor, is_measured, place(logs))
    residual = factor - sample_grid(grid, place(logs))
    inliers = is_measured & (jnp.abs(residual) < most_averaged)
    grid = _averaged(factor, inliers, place(logs))
    residual = jnp.where(is_measured, factor - sample_grid(grid, place(logs)), 0.0)
    change = sample_grid(grid, place(jnp.log(depth)))
    change += jax.image.resize(residual, depth.shape, "linear")
    return depth * jnp.exp(change)


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


def sample_grid(grid: Blocks, cells: Cells) -> Plane:
    """Return the grid's values at the pixels, between its cells."""
    return jnp.einsum("kij,khw,ih,jw->hw", grid, *cells)
