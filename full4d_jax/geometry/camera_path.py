"""A camera's path, its lens and the depth of points, found together by one least squares.

A still point p of instant i, at inverse depth exp(l), must land at instant j where it was tracked
to, q; and its depth in both must be what a network says there, up to two numbers of each instant:

    X = exp(-l) K^-1 p,    Y = R_ji X + t_ji           R, t: from camera i to camera j
    K Y / Y_z = q                                      in pixels
    log X_z = log z_i(p),  log Y_z = log z_j(q)        z = 1 / (exp(s) d + b), d: its disparity

Unknown are the pose, s and b of every instant, one focal length, and l of every point. Residuals
count by Cauchy's loss, so that what moves by itself does not bend the path. The points are
eliminated from the normal equations (Schur's complement), and a dense system of a few hundred
unknowns is left, solved in float64 with Levenberg's and Marquardt's damping.

Rest, turn and travel are results: of the paths without motion, of rotations alone, and of both
rotations and translations, the first is taken that leaves hardly more error than the last.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from full4d_jax.geometry.arrays import Lens, Maps, Masks, Poses
from full4d_jax.geometry.tracking import spread_corners
from input_pipeline.depth_alignment import SparseDepth

# Instants between a point's own and the others where it is tracked to.
SPANS = np.array([1, 2, 4, 8])
MOST_CORNERS = 300
# Of the width, that a corner tracked there and back may be away.
MOST_ASTRAY = 0.0015
# Inverse depths, in those of the first median, that are infinitely far; and depths at the camera.
FARTHEST_INVERSE = 0.02
NEAREST_DEPTH = 0.05

# Unknowns of an instant: a rotation vector and a translation, both of its camera, s and b.
PER_INSTANT = 8
ROTATION = slice(0, 3)
TRANSLATION = slice(3, 6)
SCALE, SHIFT = 6, 7
# Standard deviation of a network's log depth: its errors are alike all over a thing.
DEPTH_ERROR = 1.0
# Priors, as factors of the unknown: they count as a thousandth of the tracks does.
FIRST_SCALE = 10.0
SCALES = 3.0
SHIFTS = 10.0
SCALE_CHANGES = 10.0
SHIFT_CHANGES = 20.0
PRIOR_SHARE = 1e-3
LENS_WEIGHT = 3.0
# Widths of Cauchy's loss, pixels squared: at the end, and where a search begins.
NARROW = 0.5
NEAR = 2.0
FAR = 64.0
# Standard deviation of the logarithm of the focal length, above which tracks do not tell the lens.
UNKNOWN_LENS = 0.1
# Points that an instant needs.
FEWEST_POINTS = 12
# Of the width: what a simpler motion may leave more than the fullest, the error of a track that
# agrees, and what a point of a camera at rest may seem to move.
SIMPLER_ERROR = 5e-4
AGREEING_ERROR = 3.3e-3
RESTING_ERROR = 1.1e-3
# Of the median error: points that are farther off move by themselves.
OUTLYING_ERRORS = 3.0

Motion = Literal["rest", "turn", "travel"]


class Tracks(NamedTuple):
    """Points, and where they are later.

    Attributes:
      instant: of each point.
      here: pixels there, centres at +0.5.
      there: pixels at the instants `SPANS` later.
      seen: whether it was found there.
    """

    instant: Int[ndarray, " n"]
    here: Float[ndarray, "n 2"]
    there: Float[ndarray, "n s 2"]
    seen: Bool[ndarray, "n s"]


class Unknowns(NamedTuple):
    """What is sought.

    Attributes:
      poses: world-to-camera of every instant; the first is the identity.
      scale: logarithm of the factor of each instant's disparity.
      shift: what is added to it.
      focal: logarithm of the factor of the focal length.
      inverse: logarithm of the inverse depth of each point at its own instant.
    """

    poses: Poses
    scale: Float[ndarray, " t"]
    shift: Float[ndarray, " t"]
    focal: float
    inverse: Float[ndarray, " n"]


class Solution(NamedTuple):
    """The unknowns that explain the tracks best, of one kind of motion.

    Attributes:
      found: the unknowns.
      errors: pixels between tracks and their points; NaN where not seen.
      lens_error: standard deviation of the logarithm of the focal length, by the tracks alone.
      cost: what was made small.
    """

    found: Unknowns
    errors: Float[ndarray, "n s"]
    lens_error: float
    cost: float


class CameraPath(NamedTuple):
    """The path of a camera.

    Attributes:
      motion: of what kind it is.
      world_to_camera: at every instant; the first is the identity. The unit is the first instant's
        median depth.
      lens: intrinsics, pixels.
      lens_error: standard deviation of the logarithm of the focal length; infinite where the tracks
        tell nothing and the lens is the assumed one.
      error: median over the tracks, pixels.
      agree: share of the tracks of each instant that land where the path says.
      points: points of what stands still, of a camera that travels.
    """

    motion: Motion
    world_to_camera: Poses
    lens: Lens
    lens_error: float
    error: float
    agree: Float[ndarray, " t"]
    points: SparseDepth | None


class Seen(NamedTuple):
    """What is known of the points.

    Attributes:
      tracks: their pixels.
      later: the instants of `there`; the last one where there is none.
      here: the network's disparity at `here`.
      there: the same at `there`.
      lens: intrinsics that the focal length is a factor of, pixels.
    """

    tracks: Tracks
    later: Int[ndarray, "n s"]
    here: Float[ndarray, " n"]
    there: Float[ndarray, "n s"]
    lens: Lens


def track_points(
    film: UInt8[ndarray, "f r q"], instants: Int[ndarray, " t"], still: Masks
) -> Tracks:
    """Follow corners from each instant through all frames.

    They are tracked from frame to frame (Lucas and Kanade). Where they come to is refined against
    their first picture, and tracked back from there: only what returns counts.

    Args:
      film: all frames in gray.
      instants: the places of the instants among them.
      still: what may be tracked, at the instants.
    """
    track = cv2.calcOpticalFlowPyrLK
    fine = {"winSize": (15, 15), "maxLevel": 1, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    rows, columns = film.shape[1:]
    astray = MOST_ASTRAY * columns
    none = np.zeros((0, len(SPANS), 2)), np.zeros((0, len(SPANS)), bool)
    found = [(np.zeros(0, int), np.zeros((0, 2)), *none)]
    for i, start in enumerate(instants):
        corners = spread_corners(film[start], MOST_CORNERS)
        x, y = corners[:, 0].astype(int).T
        corners = corners[still[i, y, x]]
        if not len(corners):
            continue
        there = np.zeros((len(corners), len(SPANS), 2))
        seen = np.zeros((len(corners), len(SPANS)), bool)
        now = corners
        alive = np.ones(len(corners), bool)
        last = instants[min(i + SPANS[-1], len(instants) - 1)]
        for before, after in pairwise(range(start, last + 1)):
            now, status, _ = track(film[before], film[after], now, now.copy())
            alive &= status[:, 0] > 0
            j = np.searchsorted(instants, after)
            (span,) = np.nonzero((j - i == SPANS) & (instants[j] == after))
            if not span.size:
                continue
            own, other = film[start], film[after]
            to, ok, _ = track(own, other, corners, now.copy(), **fine)
            back, ok_back, _ = track(other, own, to, corners.copy(), **fine)
            x, y = np.floor(to[:, 0] + 0.5).astype(int).T
            good = alive & (ok[:, 0] > 0) & (ok_back[:, 0] > 0)
            good &= (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
            good &= np.linalg.norm(back - corners, axis=-1)[:, 0] < astray
            good &= np.linalg.norm(to - now, axis=-1)[:, 0] < 3 * astray
            good[good] = still[j, y[good], x[good]]
            # OpenCV counts from the first pixel's centre.
            there[:, span[0]] = to[:, 0] + 0.5
            seen[:, span[0]] = good
        kept = seen.any(1)
        own = np.full(kept.sum(), i)
        found.append((own, corners[kept, 0] + 0.5, there[kept], seen[kept]))
    return Tracks(*(np.concatenate(x) for x in zip(*found, strict=True)))


def find_camera_path(
    tracks: Tracks, disparity: Maps, lens: Lens, *, known: bool = False
) -> CameraPath:
    """Return the path that explains the tracks of a film.

    Args:
      tracks: of points of what stands still, which `reach_all` instants.
      disparity: a network's for every instant, affine in 1 / z.
      lens: intrinsics of the frames, pixels: known ones, or where the search begins.
      known: whether the lens is to stay.
    """
    width = 2 * lens[0, 2]
    seen = look_up(tracks, disparity, lens)
    weight = np.inf if known else LENS_WEIGHT
    rest = solve(seen, "rest", np.inf, rounds=0)
    turn = solve(seen, "turn", weight)
    travel = _travel(seen, weight, turn)
    if not known and travel.lens_error > UNKNOWN_LENS:
        travel = _travel(seen, np.inf, solve(seen, "turn", np.inf))
    most = _far_error(travel) + SIMPLER_ERROR * width
    motion: Motion = "travel"
    chosen = travel
    if _far_error(rest) <= most:
        motion, chosen = "rest", rest
    elif _far_error(turn) <= most:
        motion, chosen = "turn", turn
    errors = chosen.errors
    agrees = errors < AGREEING_ERROR * width
    times = range(len(disparity))
    counts = [tracks.seen[tracks.instant == t].sum() for t in times]
    good = [agrees[tracks.instant == t].sum() for t in times]
    # A second round leaves out what moves by itself.
    error = float(np.nanmedian(errors))
    most = max(OUTLYING_ERRORS * error, SIMPLER_ERROR * width)
    still = np.nanmax(errors, 1) < most
    stays = Tracks(*(x[still] for x in tracks))
    if motion != "rest" and reach_all(stays, len(times)):
        lens_weight = weight if np.isfinite(chosen.lens_error) else np.inf
        start = chosen.found._replace(inverse=chosen.found.inverse[still])
        seen = look_up(stays, disparity, lens)
        chosen = solve(seen, motion, lens_weight, start)
    found = chosen.found
    zoom = np.exp(found.focal)
    return CameraPath(
        motion,
        found.poses,
        lens * np.array([[zoom, 1, 1], [1, zoom, 1], [1, 1, 1]]),
        chosen.lens_error if chosen.lens_error <= UNKNOWN_LENS else np.inf,
        error,
        np.array(good) / np.maximum(counts, 1),
        _sightings(found, seen) if motion == "travel" else None,
    )


def reach_all(tracks: Tracks, times: int) -> bool:
    """Return whether enough points are seen at every instant."""
    later = np.minimum(tracks.instant[:, None] + SPANS, times - 1)[tracks.seen]
    instants = np.append(tracks.instant, later)
    return bool((np.bincount(instants, minlength=times) >= FEWEST_POINTS).all())


def rests(tracks: Tracks, width: int) -> bool:
    """Return whether some of what each instant shows stays in its place, as no moving camera shows.

    Args:
      tracks: of all that the film shows.
      width: its columns.
    """
    # Of the points of an instant, that stay where they are for a second.
    least_staying = 0.25
    off = np.linalg.norm(tracks.there - tracks.here[:, None], axis=-1)
    stays = (off < RESTING_ERROR * width) & tracks.seen
    last = tracks.seen.shape[1] - 1 - tracks.seen[:, ::-1].argmax(1)
    stays_longest = stays[np.arange(len(last)), last]
    by_instant = [stays_longest[tracks.instant == t] for t in np.unique(tracks.instant)]
    return bool(min((x.mean() for x in by_instant), default=1.0) >= least_staying)


def _travel(seen: Seen, lens_weight: float, turn: Solution) -> Solution:
    """Return the better of two paths: from a camera at rest on, or from one that turns.

    The latter hardly looks at what rotations do not nearly explain, and things that move are not
    mistaken for the scene; it goes astray where the camera travels far.
    """
    ways = (
        solve(seen, "travel", lens_weight),
        solve(seen, "travel", lens_weight, turn.found),
    )
    return min(ways, key=lambda way: way.cost)


def _far_error(solution: Solution) -> float:
    """Return the largest over the spans of the median error."""
    medians = [np.nanmedian(x) for x in solution.errors.T if np.isfinite(x).any()]
    return float(max(medians))


def _sightings(found: Unknowns, seen: Seen) -> SparseDepth:
    """Return the points and their depths, at their own instants; without those infinitely far."""
    near = found.inverse > np.log(FARTHEST_INVERSE)
    tracks = seen.tracks
    depth = np.exp(-found.inverse[near])
    return SparseDepth(tracks.instant[near], tracks.here[near], depth)


def solve(
    seen: Seen,
    motion: Motion,
    focal_weight: float,
    start: Unknowns | None = None,
    rounds: int = 50,
) -> Solution:
    """Return the unknowns of one kind of motion that explain the tracks best.

    Args:
      seen: the tracks and the disparity of their points.
      motion: what may differ from the first pose.
      focal_weight: weight of the prior of the focal length, see above; infinite keeps the lens.
      start: where the search begins; None is a camera at rest.
      rounds: Gauss-Newton steps at most.
    """
    # Rounds after which Cauchy's loss is as narrow as at the end.
    narrowing_rounds = 16
    tracks = seen.tracks
    times = int(seen.later.max()) + 1
    free = np.ones((times, PER_INSTANT), bool)
    free[0, :SCALE] = False
    free[:, TRANSLATION] &= motion == "travel"
    free[:, ROTATION] &= motion != "rest"
    free = np.append(free.ravel(), np.isfinite(focal_weight))
    priors = np.sqrt(PRIOR_SHARE * tracks.seen.sum()) * _priors(times, focal_weight)
    u = start or Unknowns(
        poses=np.tile(np.eye(4), (times, 1, 1)),
        scale=np.zeros(times),
        shift=np.zeros(times),
        focal=0.0,
        inverse=np.log(np.maximum(seen.here, FARTHEST_INVERSE)),
    )
    damping = 1e-2
    matrix = np.eye(times * PER_INSTANT + 1)
    for number in range(rounds):
        # Without a start nothing is far off.
        width = max(NARROW, (NEAR if start else FAR) * 0.75**number)
        before = _cost(u, seen, priors, width)
        matrix, side, finish = _normal_equations(u, seen, priors, width)
        after = before
        for _ in range(8):
            damped = matrix + damping * np.diag(np.diag(matrix))
            step = np.zeros(len(side))
            step[free] = np.linalg.solve(damped[np.ix_(free, free)], -side[free])
            other = _moved(u, step, finish(step))
            after = _cost(other, seen, priors, width)
            if after < before:
                u = other
                damping = max(damping / 3, 1e-7)
                break
            damping *= 5
        if number > narrowing_rounds and before - after < 1e-4 * before:
            break
    pixels, *_ = _residuals(u, seen)
    errors = np.linalg.norm(pixels[..., :2], axis=-1)
    # What is known without the prior of the lens.
    if free[-1]:
        matrix[-1, -1] -= priors[0, -1] ** 2
    covariance = np.linalg.pinv(matrix[np.ix_(free, free)])
    lens_error = float(np.sqrt(covariance[-1, -1])) if free[-1] else np.inf
    cost = _cost(u, seen, priors, NARROW)
    return Solution(u, np.where(tracks.seen, errors, np.nan), lens_error, cost)


def look_up(tracks: Tracks, disparity: Maps, lens: Lens) -> Seen:
    """Return the points with the disparity that a network gives them."""
    height, width = disparity.shape[1:]

    def at(instant: ndarray, pixels: ndarray) -> ndarray:
        x, y = np.moveaxis(np.floor(pixels).astype(int), -1, 0)
        there = instant, y.clip(0, height - 1), x.clip(0, width - 1)
        return disparity[there].astype(np.float64)

    later = np.minimum(tracks.instant[:, None] + SPANS, len(disparity) - 1)
    here = at(tracks.instant, tracks.here)
    return Seen(tracks, later, here, at(later, tracks.there), lens)


def _priors(times: int, focal_weight: float) -> Float[ndarray, "p x"]:
    """Return priors as rows that multiply the unknowns."""
    scale = np.arange(times) * PER_INSTANT + SCALE
    shift = np.arange(times) * PER_INSTANT + SHIFT
    rows = np.eye(times * PER_INSTANT + 1)
    weight = focal_weight if np.isfinite(focal_weight) else 0.0
    return np.concatenate(
        [
            weight * rows[-1:],
            FIRST_SCALE * rows[scale[:1]],
            SCALES * rows[scale],
            SHIFTS * rows[shift],
            SCALE_CHANGES * (rows[scale[1:]] - rows[scale[:-1]]),
            SHIFT_CHANGES * (rows[shift[1:]] - rows[shift[:-1]]),
        ]
    )


def _numbers(u: Unknowns) -> Float[ndarray, " x"]:
    """Return the unknowns that have priors in their places, others 0."""
    by_instant = np.zeros((len(u.scale), PER_INSTANT))
    by_instant[:, SCALE] = u.scale
    by_instant[:, SHIFT] = u.shift
    return np.append(by_instant.ravel(), u.focal)


def _moved(u: Unknowns, step: ndarray, inverse: ndarray) -> Unknowns:
    """Return the unknowns after a step."""
    by_instant = step[:-1].reshape(-1, PER_INSTANT)
    motion = np.tile(np.eye(4), (len(by_instant), 1, 1))
    motion[:, :3, :3] = [cv2.Rodrigues(turn)[0] for turn in by_instant[:, ROTATION]]
    motion[:, :3, 3] = by_instant[:, TRANSLATION]
    return Unknowns(
        poses=motion @ u.poses,
        scale=u.scale + by_instant[:, SCALE],
        shift=u.shift + by_instant[:, SHIFT],
        focal=u.focal + step[-1],
        inverse=u.inverse + inverse.clip(-1, 1),
    )


def _cost(u: Unknowns, seen: Seen, priors: ndarray, width: float) -> float:
    """Return what is made small; `width` is that of Cauchy's loss, pixels squared."""
    off, _, own, _ = _residuals(u, seen)
    pixels, depths, owns = _relative_squares(off, own, width)
    by_track = width * np.log1p(pixels) + 4 * np.log1p(depths)
    total = (by_track * seen.tracks.seen).sum() + 4 * np.log1p(owns).sum()
    return float(total + ((priors @ _numbers(u)) ** 2).sum())


def _relative_squares(off: ndarray, own: ndarray, width: float) -> list[ndarray]:
    pixels = (off[..., :2] ** 2).sum(-1) / width
    return [pixels, *((x / DEPTH_ERROR) ** 2 / 4 for x in (off[..., 2], own))]


def _normal_equations(u: Unknowns, seen: Seen, priors: ndarray, width: float):
    """Return matrix and right side of a step without points, and their step, given the others'."""
    off, slopes, own, own_slopes = _residuals(u, seen)
    pixels, depths, owns = _relative_squares(off, own, width)
    by_depth = 1 / (1 + depths) / DEPTH_ERROR**2
    weights = np.stack([1 / (1 + pixels), 1 / (1 + pixels), by_depth], -1)
    weights *= seen.tracks.seen[..., None]
    own_weights = 1 / (1 + owns) / DEPTH_ERROR**2
    matrix = priors.T @ priors
    side = priors.T @ (priors @ _numbers(u))
    instants = seen.tracks.instant
    steps = []
    for instant in np.unique(instants):
        (mine,) = np.nonzero(instants == instant)
        later = seen.later[mine[0]]
        # Rows of a point: x, y and depth at each later instant, and its own depth. Columns: the
        # unknowns of its instant, of the later ones, the focal length; and the point's own.
        count, spans = len(mine), len(later)
        rows = np.zeros((count, 3 * spans + 1, PER_INSTANT * (spans + 1) + 2))
        for s in range(spans):
            at = slice(3 * s, 3 * s + 3)
            there = PER_INSTANT * (s + 1) + np.arange(PER_INSTANT)
            rows[:, at, :PER_INSTANT] = slopes[mine, s, :, :PER_INSTANT]
            rows[:, at, there] = slopes[mine, s, :, PER_INSTANT:-2]
            rows[:, at, -2:] = slopes[mine, s, :, -2:]
        rows[:, -1, [SCALE, SHIFT, -1]] = own_slopes[mine]
        weight = np.append(weights[mine].reshape(count, -1), own_weights[mine, None], 1)
        value = np.append(off[mine].reshape(count, -1), own[mine, None], 1)
        weighted = rows * weight[..., None]
        cross = np.einsum("nrc,nr->nc", weighted, rows[..., -1])
        pull = np.einsum("nrc,nr->nc", weighted, value)
        others = slice(0, -1)
        flat = rows.reshape(-1, rows.shape[-1])[:, others]
        block = flat.T @ weighted.reshape(len(flat), -1)[:, others]
        # A point's unknown is eliminated.
        share = cross[:, others] / cross[:, -1:]
        block -= cross[:, others].T @ share
        own_side = pull[:, others].sum(0) - share.T @ pull[:, -1]
        places = PER_INSTANT * np.array([instant, *later])[:, None]
        columns = np.append(places + np.arange(PER_INSTANT), len(side) - 1)
        # The last instant may occur again, without weight.
        np.add.at(matrix, np.ix_(columns, columns), block)
        np.add.at(side, columns, own_side)
        steps.append((mine, columns, share, pull[:, -1] / cross[:, -1]))

    def finish(step: ndarray) -> ndarray:
        inverse = np.zeros(len(instants))
        for mine, columns, share, own_pull in steps:
            inverse[mine] = -own_pull - share @ step[columns]
        return inverse

    return matrix, side, finish


def _residuals(u: Unknowns, seen: Seen):
    """Return residuals and their derivatives.

    Returns:
      (n s 3), pixels of x and y, and log depth; (n s 3 18), by the 8 unknowns of the point's own
      instant, the 8 of the other, focal and inverse; (n), log depth at the own instant; and (n 3),
      by scale, shift and inverse.
    """
    i, j = seen.tracks.instant, seen.later
    center = seen.lens[:2, 2]
    focal = np.diag(seen.lens)[:2] * np.exp(u.focal)
    rays = np.append((seen.tracks.here - center) / focal, np.ones((len(i), 1)), 1)
    x = (rays * np.exp(-u.inverse)[:, None])[:, None]
    rotation, translation = u.poses[:, :3, :3], u.poses[:, :3, 3]
    turn = rotation[j] @ rotation[i].swapaxes(1, 2)[:, None]
    y = np.einsum("nsab,nsb->nsa", turn, x - translation[i][:, None]) + translation[j]
    ahead = y[..., 2] > NEAREST_DEPTH
    z = np.where(ahead, y[..., 2], NEAREST_DEPTH)
    pixels = y[..., :2] / z[..., None] * focal + center

    def network(disparity: ndarray, instant: ndarray) -> tuple[ndarray, ndarray]:
        """Return the logarithm of inverse depth, and its derivatives by scale and shift."""
        scaled = np.exp(u.scale[instant]) * disparity
        inverse = scaled + u.shift[instant]
        near = inverse > FARTHEST_INVERSE
        inverse = np.where(near, inverse, FARTHEST_INVERSE)
        by = np.stack([scaled, np.ones_like(scaled)], -1)
        return np.log(inverse), by * (near / inverse)[..., None]

    here, by_here = network(seen.here, i)
    there, by_there = network(seen.there, j)
    off = np.append(pixels - seen.tracks.there, (np.log(z) + there)[..., None], -1)
    # By the point at the other instant.
    by_y = np.zeros((*z.shape, 3, 3))
    by_y[..., 0, 0] = focal[0] / z
    by_y[..., 1, 1] = focal[1] / z
    by_y[..., :2, 2] = -y[..., :2] / z[..., None] ** 2 * focal * ahead[..., None]
    by_y[..., 2, 2] = ahead / z
    by_x = by_y @ turn
    slopes = np.zeros((*z.shape, 3, 2 * PER_INSTANT + 2))
    own, other = slopes[..., :PER_INSTANT], slopes[..., PER_INSTANT:-2]
    own[..., ROTATION] = np.cross(by_x, x[..., None, :])
    own[..., TRANSLATION] = -by_x
    other[..., ROTATION] = np.cross(y[..., None, :], by_y)
    other[..., TRANSLATION] = by_y
    other[..., 2, SCALE:] = by_there
    # A longer focal length brings rays together, and their pixels apart.
    by_focal = np.einsum("nsab,nsb->nsa", by_x, x * np.array([-1, -1, 0]))
    by_focal[..., :2] += (pixels - center) * ahead[..., None]
    slopes[..., -2] = by_focal
    slopes[..., -1] = -np.einsum("nsab,nsb->nsa", by_x, np.broadcast_to(x, y.shape))
    by_own = np.append(by_here, -np.ones((len(i), 1)), 1)
    return off, slopes, here - u.inverse, by_own
