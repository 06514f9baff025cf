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

Rest, turn and travel are results. A camera rests if no motion leaves hardly more error than the
best path. It turns on its place if what translations explain beside rotations may be noise, by an
F-test: there are more unknowns, one depth of each point among them.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from scipy.stats import f as f_distribution

from full4d_jax.geometry.arrays import Lens, Maps, Masks, Poses
from full4d_jax.geometry.paths import travels
from full4d_jax.geometry.tracking import spread_corners
from input_pipeline.depth_alignment import SparseDepth, joined
from input_pipeline.pinhole import centers, rescale

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
# Standard deviations of a network's log depth: its errors are alike all over a thing. Where tracks
# are many, it hardly counts: those that tell no depth must not outvote the others.
NETWORK_DEPTH_ERROR = 1.0
DENSE_DEPTH_ERROR = 20.0
# Weights of priors, factors of the unknown: together they count as a share of the tracks.
FIRST_SCALE_WEIGHT = 10.0
SCALE_WEIGHT = 3.0
SHIFT_WEIGHT = 10.0
SCALE_CHANGE_WEIGHT = 10.0
SHIFT_CHANGE_WEIGHT = 20.0
PRIOR_SHARE = 1e-3
LENS_WEIGHT = 3.0
DENSE_LENS_WEIGHT = 1.0
# Widths of Cauchy's loss: at the end, and where a search begins that is near it, or far from it.
FINAL_SQUARED_PIXELS = 0.5
NEAR_SQUARED_PIXELS = 2.0
FAR_SQUARED_PIXELS = 64.0
# Standard deviation of the logarithm of the focal length, above which tracks do not tell the lens.
UNKNOWN_LENS = 0.1
# Share of the cost with the assumed lens, above which another lens is no better.
CLEARLY_LESS = 0.9
# Probability that noise alone makes a camera that turns seem to travel.
CHANCE_TRAVEL = 1e-3
# Points that an instant needs.
FEWEST_POINTS = 12
# Of the width: what a simpler motion may leave more than the fullest, the error of a track that
# agrees, and what a point of a camera at rest may seem to move.
SIMPLER_ERROR = 5e-4
AGREEING_ERROR = 3.3e-3
RESTING_ERROR = 1.1e-3
# Of the error of rotations, what remains where a picture only grows: what is shown seems flat.
FLAT_SHARE = 0.1
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
      unknowns: their values.
      errors: pixels between tracks and their points; NaN where not seen.
      lens_error: standard deviation of the logarithm of the focal length, by the tracks alone.
      cost: what was made small.
    """

    unknowns: Unknowns
    errors: Float[ndarray, "n s"]
    lens_error: float
    cost: float


class CameraPath(NamedTuple):
    """The path of a camera.

    Attributes:
      motion: of what kind it is.
      world_to_camera: at every instant; the first is the identity. The unit is about the first
        instant's median depth.
      lens: intrinsics, pixels.
      lens_error: standard deviation of the logarithm of the focal length; infinite where the tracks
        tell nothing and the lens is the assumed one.
      error: median over the tracks, pixels.
      agree: share of the tracks of each instant that land where the path says.
      points: of what stands still, where they were found, with depth in the path's unit.
      zooms: whether it seems to travel, but what is near and what is far moves alike.
    """

    motion: Motion
    world_to_camera: Poses
    lens: Lens
    lens_error: float
    error: float
    agree: Float[ndarray, " t"]
    points: SparseDepth
    zooms: bool = False


class Seen(NamedTuple):
    """What is known of the points.

    Attributes:
      tracks: their pixels.
      later: the instants of `there`; the last one where there is none.
      here: the network's disparity at `here`.
      there: the same at `there`.
      lens: intrinsics that the focal length is a factor of, pixels.
      depth_error: standard deviation of the logarithm of the network's depth.
    """

    tracks: Tracks
    later: Int[ndarray, "n s"]
    here: Float[ndarray, " n"]
    there: Float[ndarray, "n s"]
    lens: Lens
    depth_error: float = NETWORK_DEPTH_ERROR


def track_points(film: UInt8[ndarray, "f r q"], instants: Int[ndarray, " t"]) -> Tracks:
    """Follow corners from each instant through all frames.

    They are tracked from frame to frame (Lucas and Kanade). Where they come to is refined against
    their first picture, and tracked back from there: only what returns counts.

    Args:
      film: all frames in gray.
      instants: the places of the instants among them.
    """
    track = cv2.calcOpticalFlowPyrLK
    fine = {"winSize": (15, 15), "maxLevel": 1, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    rows, columns = film.shape[1:]
    astray = MOST_ASTRAY * columns
    no_pixels = np.zeros((0, len(SPANS), 2))
    never = np.zeros((0, len(SPANS)), bool)
    parts = [(np.zeros(0, int), np.zeros((0, 2)), no_pixels, never)]
    for i, start in enumerate(instants):
        corners = spread_corners(film[start], MOST_CORNERS)
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
            own = film[start]
            other = film[after]
            to, ok, _ = track(own, other, corners, now.copy(), **fine)
            back, ok_back, _ = track(other, own, to, corners.copy(), **fine)
            x, y = np.floor(to[:, 0] + 0.5).astype(int).T
            good = alive & (ok[:, 0] > 0) & (ok_back[:, 0] > 0)
            good &= (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
            good &= np.linalg.norm(back - corners, axis=-1)[:, 0] < astray
            good &= np.linalg.norm(to - now, axis=-1)[:, 0] < 3 * astray
            # OpenCV counts from the first pixel's centre.
            there[:, span[0]] = to[:, 0] + 0.5
            seen[:, span[0]] = good
        tracked = seen.any(1)
        instant = np.full(tracked.sum(), i)
        pixels = corners[tracked, 0] + 0.5
        parts.append((instant, pixels, there[tracked], seen[tracked]))
    return Tracks(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def tracks_within(tracks: Tracks, masks: Masks) -> Tracks:
    """Return the tracks whose points are within masks of the instants, where they are seen."""
    last = len(masks) - 1

    def are_within(
        instant: Int[ndarray, "*n"], pixels: Float[ndarray, "*n 2"]
    ) -> Bool[ndarray, "*n"]:
        x, y = np.moveaxis(np.floor(pixels).astype(int), -1, 0)
        return masks[instant.clip(0, last), y, x]

    later = tracks.instant[:, None] + SPANS
    there = np.where(tracks.seen[..., None], tracks.there, 0)
    seen = tracks.seen & are_within(later, there)
    stays = are_within(tracks.instant, tracks.here) & seen.any(1)
    return Tracks(*(x[stays] for x in tracks._replace(seen=seen)))


def find_camera_path(
    tracks: Tracks, disparity: Maps, lens: Lens, *, known: bool = False
) -> CameraPath:
    """Return the path that explains the tracks of a film.

    Args:
      tracks: of points of what stands still, without a gap.
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
    may_turn = _is_chance(turn, travel)
    most = _far_error(travel.errors) + SIMPLER_ERROR * width
    if not known:
        # Of a camera that travels a longer lens and a flatter scene look nearly alike.
        as_assumed = _travel(seen, np.inf, solve(seen, "turn", np.inf))
        is_clear = travel.cost < CLEARLY_LESS * as_assumed.cost
        if travel.lens_error > UNKNOWN_LENS or not is_clear:
            travel = as_assumed
    motion: Motion = "travel"
    chosen = travel
    if _far_error(rest.errors) <= most:
        motion = "rest"
        chosen = rest
    elif may_turn:
        motion = "turn"
        chosen = turn
    path = _camera_path(tracks, disparity, lens, motion, chosen)
    alike = _far_error(_similarity_errors(tracks)) < FLAT_SHARE * _far_error(
        turn.errors
    )
    return path._replace(zooms=motion == "travel" and alike)


def follow_path(
    tracks: Tracks, disparity: Maps, lens: Lens, poses: Poses, *, known: bool = False
) -> CameraPath:
    """Return a path that is given, with what the tracks say of it, of the lens and of depth.

    Arguments are those of `find_camera_path`, and world-to-camera poses in any unit, which stay.
    """
    seen = look_up(tracks, disparity, lens)
    start = _at_rest(seen)
    length = float(np.ptp(centers(poses), axis=0).max())
    # First median depths that the path may be long.
    lengths = np.geomspace(1e-3, 10, 41)
    units = length / lengths if travels(poses) else np.ones(1)
    starts = [start._replace(poses=rescale(poses, unit)) for unit in units]
    priors = _priors(len(poses), np.inf)
    costs = [_cost(start, seen, priors, FAR_SQUARED_PIXELS) for start in starts]
    unit = units[np.argmin(costs)]
    start = starts[np.argmin(costs)]
    chosen = solve(seen, "rest", np.inf if known else LENS_WEIGHT, start)
    if chosen.lens_error > UNKNOWN_LENS:
        chosen = solve(seen, "rest", np.inf, start)
    path = _camera_path(tracks, disparity, lens, "rest", chosen)
    points = path.points._replace(depth=path.points.depth * unit)
    return path._replace(world_to_camera=poses, points=points)


def adjust(
    path: CameraPath, tracks: Tracks, disparity: Maps, lens: Lens, *, known: bool
) -> CameraPath:
    """Return a path, its lens and its points by many tracks.

    `agree`, `error` and `zooms` stay those of the tracks by which the path was found.

    Args:
      path: nearly right; its motion stays of the same kind.
      tracks: of points of what stands still, without a gap.
      disparity: 1 / z of every instant, in the path's unit.
      lens: the known or assumed intrinsics, pixels.
      known: whether the lens is to stay.
    """
    seen = look_up(tracks, disparity, lens)._replace(depth_error=DENSE_DEPTH_ERROR)
    start = _at_rest(seen)._replace(
        poses=path.world_to_camera, focal=float(np.log(path.lens[0, 0] / lens[0, 0]))
    )
    if not known:
        chosen = solve(seen, path.motion, DENSE_LENS_WEIGHT, start)
        known = chosen.lens_error > UNKNOWN_LENS
    if known:
        chosen = solve(seen, path.motion, np.inf, start._replace(focal=0.0))
    return path._replace(
        world_to_camera=chosen.unknowns.poses,
        lens=_zoomed(lens, chosen.unknowns),
        lens_error=chosen.lens_error,
        points=_sightings(chosen.unknowns, seen),
    )


def _camera_path(
    tracks: Tracks, disparity: Maps, lens: Lens, motion: Motion, chosen: Solution
) -> CameraPath:
    """Return the path of a solution, after a second round without what moves by itself."""
    width = 2 * lens[0, 2]
    errors = chosen.errors
    error = float(np.nanmedian(errors))
    times = len(disparity)
    agrees = (errors < AGREEING_ERROR * width)[tracks.seen]
    ends = _ends(tracks, times)
    good = np.bincount(ends.ravel(), np.tile(agrees, 2), times)
    agree = good / np.bincount(ends.ravel(), minlength=times)
    most = max(OUTLYING_ERRORS * error, SIMPLER_ERROR * width)
    still = np.nanmax(errors, 1) < most
    stays = Tracks(*(x[still] for x in tracks))
    unknowns = chosen.unknowns
    seen = look_up(tracks, disparity, lens)
    if find_gap(stays, times, 1) is None:
        lens_weight = LENS_WEIGHT if np.isfinite(chosen.lens_error) else np.inf
        start = unknowns._replace(inverse=unknowns.inverse[still])
        seen = look_up(stays, disparity, lens)
        unknowns = solve(seen, motion, lens_weight, start).unknowns
    return CameraPath(
        motion,
        unknowns.poses,
        _zoomed(lens, unknowns),
        chosen.lens_error if chosen.lens_error <= UNKNOWN_LENS else np.inf,
        error,
        agree,
        _sightings(unknowns, seen),
    )


def _zoomed(lens: Lens, unknowns: Unknowns) -> Lens:
    """Return a lens of the focal length that was found."""
    zoom = np.exp(unknowns.focal)
    return lens * np.array([[zoom, 1, 1], [1, zoom, 1], [1, 1, 1]])


def find_gap(tracks: Tracks, times: int, span: int) -> int | None:
    """Return the first instant after which too few points are followed; None for none.

    Args:
      tracks: of points.
      times: how many instants there are.
      span: instants over which points count, of `SPANS`.
    """
    own = tracks.instant[tracks.seen[:, span == SPANS][:, 0]]
    for t in range(times - 1):
        if ((t - span < own) & (own <= t)).sum() < FEWEST_POINTS:
            return t
    return None


def _ends(tracks: Tracks, times: int) -> Int[ndarray, "2 m"]:
    """Return the two instants of each track that was found."""
    later = np.minimum(tracks.instant[:, None] + SPANS, times - 1)
    own = np.broadcast_to(tracks.instant[:, None], later.shape)
    return np.stack([own[tracks.seen], later[tracks.seen]])


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
    candidates = (
        solve(seen, "travel", lens_weight),
        solve(seen, "travel", lens_weight, turn.unknowns),
    )
    return min(candidates, key=lambda solution: solution.cost)


def _is_chance(turn: Solution, travel: Solution) -> bool:
    """Return whether noise may explain what a camera that travels explains beside one that turns.

    Both have the same lens. Tracks that neither explains do not count. Where no residuals are left
    over, anything may be noise.
    """
    least = np.minimum(turn.errors, travel.errors)
    counts = least < OUTLYING_ERRORS * np.nanmedian(least)
    squares = (np.log1p(x.errors[counts] ** 2).sum() for x in (turn, travel))
    turn_misfit, travel_misfit = squares
    poses = 3 * (len(turn.unknowns.poses) - 1)
    more_unknowns = poses + int(counts.any(1).sum())
    left = 2 * int(counts.sum()) - poses - more_unknowns
    if left <= 0:
        return True
    explained = (turn_misfit - travel_misfit) / more_unknowns
    ratio = explained * left / travel_misfit
    return bool(f_distribution.sf(ratio, more_unknowns, left) > CHANCE_TRAVEL)


def _far_error(errors: Float[ndarray, "n s"]) -> float:
    """Return the largest over the spans of the median error."""
    medians = [np.nanmedian(x) for x in errors.T if np.isfinite(x).any()]
    return float(max(medians, default=np.inf))


def _similarity_errors(tracks: Tracks) -> Float[ndarray, "n s"]:
    """Return what is off if a picture only shifts, turns and grows from instant to instant."""
    errors = np.full(tracks.seen.shape, np.nan)
    for instant in np.unique(tracks.instant):
        for span in range(len(SPANS)):
            mine = (tracks.instant == instant) & tracks.seen[:, span]
            here = tracks.here[mine]
            there = tracks.there[mine, span]
            if len(here) < FEWEST_POINTS:
                continue
            moved, _ = cv2.estimateAffinePartial2D(here, there)
            if moved is not None:
                off = here @ moved[:, :2].T + moved[:, 2] - there
                errors[mine, span] = np.linalg.norm(off, axis=-1)
    return errors


def _sightings(unknowns: Unknowns, seen: Seen) -> SparseDepth:
    """Return the points with their depth wherever they were found; none that is infinitely far."""
    tracks = seen.tracks
    near = unknowns.inverse > np.log(FARTHEST_INVERSE)
    depth = np.exp(-unknowns.inverse)
    focal = np.diag(seen.lens)[:2] * np.exp(unknowns.focal)
    rays = (tracks.here - seen.lens[:2, 2]) / focal
    own = np.append(rays * depth[:, None], depth[:, None], 1)
    rotation = unknowns.poses[:, :3, :3]
    translation = unknowns.poses[:, :3, 3]
    i = tracks.instant
    j = seen.later
    world = np.einsum("nba,nb->na", rotation[i], own - translation[i])
    ahead = np.einsum("nsb,nb->ns", rotation[j, 2], world) + translation[j, 2]
    there = tracks.seen & near[:, None] & (ahead > NEAREST_DEPTH)
    return joined(
        [
            (i[near], tracks.here[near], depth[near]),
            (j[there], tracks.there[there], ahead[there]),
        ]
    )


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
      motion: what may differ from the poses that the search begins with.
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
    u = start or _at_rest(seen)
    damping = 1e-2
    matrix = np.eye(times * PER_INSTANT + 1)
    for number in range(rounds):
        # Without a start nothing is far off.
        first = NEAR_SQUARED_PIXELS if start else FAR_SQUARED_PIXELS
        width = max(FINAL_SQUARED_PIXELS, first * 0.75**number)
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
    pixels = _place(u, seen).pixels
    errors = np.linalg.norm(pixels - tracks.there, axis=-1)
    lens_error = np.inf
    if free[-1]:
        # What the tracks say of the lens, whatever the other unknowns are, without the prior.
        free[-1] = False
        block = matrix[np.ix_(free, free)]
        coupling = matrix[free, -1]
        information = matrix[-1, -1] - priors[0, -1] ** 2
        information -= coupling @ np.linalg.lstsq(block, coupling, rcond=None)[0]
        lens_error = float(1 / np.sqrt(information)) if information > 0 else np.inf
    cost = _cost(u, seen, priors, FINAL_SQUARED_PIXELS)
    return Solution(u, np.where(tracks.seen, errors, np.nan), lens_error, cost)


def _at_rest(seen: Seen) -> Unknowns:
    """Return a camera at rest, and the network's own depth."""
    times = int(seen.later.max()) + 1
    return Unknowns(
        poses=np.tile(np.eye(4), (times, 1, 1)),
        scale=np.zeros(times),
        shift=np.zeros(times),
        focal=0.0,
        inverse=np.log(np.maximum(seen.here, FARTHEST_INVERSE)),
    )


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
            FIRST_SCALE_WEIGHT * rows[scale[:1]],
            SCALE_WEIGHT * rows[scale],
            SHIFT_WEIGHT * rows[shift],
            SCALE_CHANGE_WEIGHT * (rows[scale[1:]] - rows[scale[:-1]]),
            SHIFT_CHANGE_WEIGHT * (rows[shift[1:]] - rows[shift[:-1]]),
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
    off, own = _residuals(u, seen, _place(u, seen))
    pixels, depths, owns = _relative_squares(off, own, width, seen.depth_error)
    by_track = width * np.log1p(pixels) + 4 * np.log1p(depths)
    total = (by_track * seen.tracks.seen).sum() + 4 * np.log1p(owns).sum()
    return float(total + ((priors @ _numbers(u)) ** 2).sum())


def _relative_squares(
    off: ndarray, own: ndarray, width: float, depth_error: float
) -> list[ndarray]:
    """Return squares of pixels, of depths and of own depths, by the widths of their losses."""
    pixels = (off[..., :2] ** 2).sum(-1) / width
    return [pixels, *((x / depth_error) ** 2 / 4 for x in (off[..., 2], own))]


def _normal_equations(
    u: Unknowns, seen: Seen, priors: ndarray, width: float
) -> tuple[ndarray, ndarray, Callable[[ndarray], ndarray]]:
    """Return matrix and right side of a step without points, and their step, given the others'."""
    placed = _place(u, seen)
    off, own = _residuals(u, seen, placed)
    slopes = _slopes(seen, placed)
    # By scale, shift and inverse depth.
    own_slopes = np.append(placed.by_here[:, 1:], -np.ones((len(own), 1)), 1)
    pixels, depths, owns = _relative_squares(off, own, width, seen.depth_error)
    by_depth = 1 / (1 + depths) / seen.depth_error**2
    weights = np.stack([1 / (1 + pixels), 1 / (1 + pixels), by_depth], -1)
    weights *= seen.tracks.seen[..., None]
    own_weights = 1 / (1 + owns) / seen.depth_error**2
    matrix = priors.T @ priors
    side = priors.T @ (priors @ _numbers(u))
    instants = seen.tracks.instant
    each = np.arange(PER_INSTANT)
    last = len(side) - 1
    steps = []
    for instant in np.unique(instants):
        (mine,) = np.nonzero(instants == instant)
        own_columns = instant * PER_INSTANT + each
        disparity_columns = own_columns[[SCALE, SHIFT]]
        # By the own depth.
        slope = own_slopes[mine]
        weighted = slope * own_weights[mine, None]
        square = slope.T @ weighted
        matrix[np.ix_(disparity_columns, disparity_columns)] += square[:2, :2]
        side[disparity_columns] += weighted[:, :2].T @ own[mine]
        # Of points with the others, with themselves, and their right sides.
        coupling = np.zeros((len(mine), len(side)))
        coupling[:, disparity_columns] = weighted[:, :2] * slope[:, 2:]
        squares = weighted[:, 2] * slope[:, 2]
        pull = weighted[:, 2] * own[mine]
        for span, later in enumerate(seen.later[mine[0]]):
            # By pixels and depth at another instant.
            slope = slopes[mine, span]
            weighted = slope * weights[mine, span, :, None]
            square = np.tensordot(slope, weighted, ((0, 1), (0, 1)))
            columns = np.array([*own_columns, *(later * PER_INSTANT + each), last])
            matrix[np.ix_(columns, columns)] += square[:-1, :-1]
            all_pull = np.einsum("nrc,nr->nc", weighted, off[mine, span])
            side[columns] += all_pull[:, :-1].sum(0)
            with_points = np.einsum("nrc,nr->nc", weighted, slope[..., -1])
            coupling[:, columns] += with_points[:, :-1]
            squares += with_points[:, -1]
            pull += all_pull[:, -1]
        # The points' own unknowns are eliminated.
        (columns,) = np.nonzero(coupling.any(0))
        share = coupling[:, columns] / squares[:, None]
        matrix[np.ix_(columns, columns)] -= coupling[:, columns].T @ share
        side[columns] -= share.T @ pull
        steps.append((mine, columns, share, pull / squares))

    def finish(step: ndarray) -> ndarray:
        inverse = np.zeros(len(instants))
        for mine, columns, share, own_pull in steps:
            inverse[mine] = -own_pull - share @ step[columns]
        return inverse

    return matrix, side, finish


class Placed(NamedTuple):
    """Points as the unknowns place them.

    Attributes:
      own: at their instants, in the camera's frame.
      turn: rotation from there to the other instants.
      other: in the frames of those.
      ahead: whether they are before the camera there.
      depth: of `other`, at least `NEAREST_DEPTH`.
      focal: pixels, of columns and rows.
      pixels: where they are seen.
      by_here: a network's logarithm of inverse depth at `own`, and its derivatives by scale and
        shift.
      by_there: the same at `other`.
    """

    own: Float[ndarray, "n 1 3"]
    turn: Float[ndarray, "n s 3 3"]
    other: Float[ndarray, "n s 3"]
    ahead: Bool[ndarray, "n s"]
    depth: Float[ndarray, "n s"]
    focal: Float[ndarray, "2"]
    pixels: Float[ndarray, "n s 2"]
    by_here: Float[ndarray, "n 3"]
    by_there: Float[ndarray, "n s 3"]


def _place(u: Unknowns, seen: Seen) -> Placed:
    """Return the points at their own and the other instants."""
    i = seen.tracks.instant
    j = seen.later
    center = seen.lens[:2, 2]
    focal = np.diag(seen.lens)[:2] * np.exp(u.focal)
    rays = np.append((seen.tracks.here - center) / focal, np.ones((len(i), 1)), 1)
    own = (rays * np.exp(-u.inverse)[:, None])[:, None]
    rotation = u.poses[:, :3, :3]
    translation = u.poses[:, :3, 3]
    turn = rotation[j] @ rotation[i].swapaxes(1, 2)[:, None]
    other = np.einsum("nsab,nsb->nsa", turn, own - translation[i][:, None])
    other += translation[j]
    ahead = other[..., 2] > NEAREST_DEPTH
    depth = np.where(ahead, other[..., 2], NEAREST_DEPTH)

    def network(disparity: ndarray, instant: ndarray) -> ndarray:
        """Return log inverse depth and its derivatives."""
        scaled = np.exp(u.scale[instant]) * disparity
        inverse = scaled + u.shift[instant]
        near = inverse > FARTHEST_INVERSE
        inverse = np.where(near, inverse, FARTHEST_INVERSE)
        return np.stack([np.log(inverse), near * scaled / inverse, near / inverse], -1)

    return Placed(
        own,
        turn,
        other,
        ahead,
        depth,
        focal,
        other[..., :2] / depth[..., None] * focal + center,
        network(seen.here, i),
        network(seen.there, j),
    )


def _residuals(
    u: Unknowns, seen: Seen, placed: Placed
) -> tuple[Float[ndarray, "n s 3"], Float[ndarray, " n"]]:
    """Return what is off: pixels of x and y and log depth, and log depth at the own instant."""
    depth = np.log(placed.depth) + placed.by_there[..., 0]
    off = np.append(placed.pixels - seen.tracks.there, depth[..., None], -1)
    return off, placed.by_here[:, 0] - u.inverse


def _slopes(seen: Seen, placed: Placed) -> Float[ndarray, "n s 3 x"]:
    """Return the derivatives of the residuals at other instants.

    They are by the 8 unknowns of the point's own instant, the 8 of the other one, the focal length
    and the inverse depth.
    """
    _, turn, other, ahead, depth, focal, pixels, _, by_there = placed
    # By the point in the frame of the other instant.
    by_other = np.zeros((*depth.shape, 3, 3))
    by_other[..., 0, 0] = focal[0] / depth
    by_other[..., 1, 1] = focal[1] / depth
    sideways = other[..., :2] / depth[..., None] ** 2
    by_other[..., :2, 2] = -sideways * focal * ahead[..., None]
    by_other[..., 2, 2] = ahead / depth
    by_own = by_other @ turn
    slopes = np.zeros((*depth.shape, 3, 2 * PER_INSTANT + 2))
    own_part, other_part = slopes[..., :PER_INSTANT], slopes[..., PER_INSTANT:-2]
    own_part[..., ROTATION] = np.cross(by_own, placed.own[..., None, :])
    own_part[..., TRANSLATION] = -by_own
    other_part[..., ROTATION] = np.cross(other[..., None, :], by_other)
    other_part[..., TRANSLATION] = by_other
    other_part[..., 2, SCALE:] = by_there[..., 1:]
    # A longer focal length brings rays together, and their pixels apart.
    flat = placed.own * np.array([-1, -1, 0])
    by_focal = (by_own @ flat[..., None])[..., 0]
    by_focal[..., :2] += (pixels - seen.lens[:2, 2]) * ahead[..., None]
    slopes[..., -2] = by_focal
    slopes[..., -1] = -(by_own @ placed.own[..., None])[..., 0]
    return slopes
