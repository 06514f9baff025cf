"""A first scene from frames with depth: unprojected pixels, still where the picture is still.

A pixel rests at the instants at which it shows the farthest thing that it ever shows. If it keeps
its colour in half of these or more, that becomes one Gaussian that is always there, whatever passes
before it at other instants. Where a pixel differs from that, it becomes a Gaussian that is visible
around its own instant and moves as its pixel does. Before a moving camera, points
are compared in place of pixels (`stillness`).
There are more pixels than Gaussians, so these are spread evenly over the pictures, closer where the
picture has detail.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from einops import repeat
from jaxtyping import Array, Bool, Float, Float32, Int, Shaped
from numpy import ndarray

from gaussians import harmonics, morton, motion, types
from gaussians.fitting import stillness
from gaussians.precision import in_own_precision

# Logit of the gate of static Gaussians.
PERMANENT_GATE = 4.0


class Seeding(NamedTuple):
    """Weights and extents of Gaussians at pixels; the defaults suit captures with rough depth.

    Attributes:
      detail: weight of a difference of 1 between neighbouring pixels, relative to a flat pixel.
      transient: weight of a moving pixel, which is seen at one instant, relative to a still one.
      gate: logit of the gate of what moves. Below -5.5 nothing of it is drawn at other instants,
        which is fast, but it cannot learn to stand still.
      duration: steps between instants that what moves is visible at first, one standard deviation.
    """

    detail: float = 12.0
    transient: float = 0.4
    gate: float = -4.0
    duration: float = 0.7


CAPTURE_SEEDING = Seeding()
# Measures how the pixels of a view move, as by optical flow; see `initialize`.
Velocities = Callable[..., Float32[ndarray, "t h w 3"]]


class CandidatePixels(NamedTuple):
    """Pixels of a view that may become Gaussians; its n instants are those with any depth.

    Attributes:
      instants: their numbers.
      instant: for each pixel the instant at which it is closest to its resting colour.
      still: weights of the pixels that show something still, else 0.
      moving: weights of the others, by instant.
      lasting: which of these, of a camera that moves, show something still for the first time.
      depth: of the pixels, where what moves lies before what stands still there, 0 where unknown.
    """

    instants: Int[ndarray, "n"]
    instant: Int[ndarray, "h w"]
    still: Float[ndarray, "h w"]
    moving: Float[ndarray, "n h w"]
    lasting: Bool[ndarray, "n h w"]
    depth: Float[ndarray, "n h w"]


@in_own_precision
def initialize(
    frames: Float[Array | ndarray, "v t h w 3"],
    depth: Float[Array | ndarray, "v t h w"],
    intrinsics: Float[Array | ndarray, "v 3 3"],
    world_to_camera: Float[Array | ndarray, "v t 4 4"],
    capacity: int,
    key: Array,
    *,
    sh_degree: int = 0,
    weights: Float[Array | ndarray, "v"] | None = None,
    times: Float[Array | ndarray, "t"] | None = None,
    durations: Float[ndarray, "v t h w"] | None = None,
    may_move: Bool[ndarray, "v t h w"] | None = None,
    passing: Bool[ndarray, "v t h w"] | None = None,
    velocities: Velocities | None = None,
    seeding: Seeding = CAPTURE_SEEDING,
) -> motion.DynamicGaussians:
    """Return at most `capacity` Gaussians at pixels of known depth.

    Args:
      frames: colours in [0, 1].
      depth: z in world units; 0 where unknown. A view need not have depth at all instants.
      intrinsics: of each view, in pixels.
      world_to_camera: of each view and frame.
      capacity: largest number of Gaussians.
      key: decides the pixels.
      sh_degree: degree of the harmonics; all but the mean colour are 0.
      weights: how many Gaussians the pixels of a view get, relative to other views; None for 1.
      times: of the instants, in clips; None spreads them evenly from 0 to 1.
      durations: how long what moves at a pixel is visible, one standard deviation, in clips; None
        for `seeding.duration` mean steps between instants with depth.
      may_move: which pixels with depth may become Gaussians that move; None for all.
      passing: which pixels of cameras that move show something else at other instants, whatever
        their colours; None for none.
      velocities: function of the frames (t h w 3), depth, intrinsics and poses of a view, of its
        moving pixels (t h w), of the times, and with its number as `view`. It returns velocities
        where Gaussians begin (t h w 3), world units per clip; None begins with all at rest.
      seeding: how pixels become Gaussians.

    Raises:
      ValueError: No depth is known.
    """
    v, t, h, w = depth.shape
    pictures = np.asarray(frames)
    maps = np.where(np.isfinite(depth), depth, 0)
    importance = np.broadcast_to(1.0 if weights is None else weights, v).tolist()
    moments = np.linspace(0, 1, t) if times is None else np.asarray(times, np.float64)
    lenses = np.asarray(intrinsics)
    poses = np.asarray(world_to_camera, np.float64)
    if may_move is None:
        may_move = maps > 0
    if passing is None:
        passing = np.zeros(maps.shape, bool)
    # Each view offers pixels whose depth is known; the capacity is shared among all of them.
    of_views = pictures, maps, importance, lenses, poses, may_move, passing
    views = zip(*of_views, strict=True)
    candidates = [_candidates(*view, seeding=seeding) for view in views]
    weights_of_pixels = [x for own in candidates for x in (own.still, own.moving)]
    count = int(sum(map(np.count_nonzero, weights_of_pixels)))
    if count == 0:
        found = f"no valid depth in {v}x{t} frames of {h}x{w}"
        raise ValueError(f"{found}: expected some pixels > 0")
    start = float(jax.random.uniform(key))
    most = min(capacity, count)
    view, time, y, x, is_moving, spacing = _choose(candidates, most, start)
    for film, own in zip(maps, candidates, strict=True):
        film[own.instants] = own.depth

    # Views come one by one, as a film of all is large.
    # Instants without depth, as those that are held out, are bridged.
    shown = moments[(maps > 0).any((0, 2, 3))]
    step = (shown[-1] - shown[0]) / (len(shown) - 1) if len(shown) > 1 else 1.0
    visible = np.where(is_moving, seeding.duration * step, 1.0)
    motions = np.zeros((len(view), 3), np.float32)
    for i in np.unique(view[is_moving]).tolist():
        here = is_moving & (view == i)
        places = time[here], y[here], x[here]
        if durations is not None:
            visible[here] = durations[i][places]
        if velocities is None:
            continue
        own = candidates[i]
        moving = np.zeros(maps[i].shape, bool)
        moving[own.instants] = (own.moving > 0) & ~own.lasting
        film = pictures[i], maps[i], lenses[i], poses[i]
        motions[here] = velocities(*film, moving, moments, view=i)[places]

    # The chosen pixels become Gaussians where their depth puts them. It is computed on the host:
    # there the device holds no whole film, and another number of pixels compiles no other program.
    # A standard deviation is relative to the distance to the next pixel.
    spread = 0.65
    z = maps[view, time, y, x].astype(np.float32)
    lens = lenses[view].astype(np.float32)
    pose = poses[view, time].astype(np.float32)
    log_scales = np.log(spread * spacing * z / lens[:, 0, 0])
    spots = np.stack([x + 0.5, y + 0.5, np.ones_like(z)], -1).astype(np.float32)
    local = np.einsum("gij,gj->gi", np.linalg.inv(lens), spots) * z[:, None]
    points = np.einsum("gji,gj->gi", pose[:, :3, :3], local - pose[:, :3, 3])
    return motion.DynamicGaussians(
        round_gaussians(points, log_scales, 0.9, pictures[view, time, y, x], sh_degree),
        velocities=on_device(motions),
        moments=on_device(np.where(is_moving, moments[time], 0.5)),
        log_durations=on_device(np.log(visible)),
        logit_gates=on_device(np.where(is_moving, seeding.gate, PERMANENT_GATE)),
    )


def _candidates(
    frames: Float[ndarray, "t h w 3"],
    depth: stillness.Maps,
    weight: float,
    lens: stillness.Lens,
    poses: stillness.Poses,
    may_move: stillness.Masks,
    passing: stillness.Masks,
    seeding: Seeding,
) -> CandidatePixels:
    """Sort the pixels of known depth of a view into still and moving ones, and weigh them."""
    instants = np.flatnonzero((depth > 0).any((1, 2)))
    travels = stillness.camera_moves(poses)
    frames, depth, poses, may_move, passing = (
        x[instants] for x in (frames, depth, poses, may_move, passing)
    )
    known = depth > 0
    if travels or not instants.size:
        is_still, again = stillness.still_points(frames, depth, lens, poses, passing)
        lasting = is_still & ~again
        transient = known & ~again & may_move
        importance = np.where(lasting, 1.0, seeding.transient * transient).astype(
            np.float32
        )
        moving = weight * importance * (1 + seeding.detail * _contrast(frames))
        still = np.zeros(depth.shape[1:])
        instant = still.astype(int)
        return CandidatePixels(instants, instant, still, moving, lasting, depth)
    resting = stillness.shows_farthest(depth)
    # What is known of few instants, as behind somebody, may not be the colour at the others.
    is_seldom = 2 * known.sum(0) < len(depth)
    median = np.minimum(stillness.median_where(frames, resting | is_seldom[None]), 1)
    away = np.abs(frames - median[None]).max(-1)
    still = known & (away < stillness.STILL_COLOR_DIFFERENCE)
    stands = (2 * (still & resting).sum(0) >= resting.sum(0)) & known.any(0)
    moving = known & ~(still & stands[None])
    transient = (seeding.transient * (moving & may_move)).astype(np.float32)
    closest = np.where(resting, away, np.inf).argmin(0)
    still_depth = stillness.median_where(depth, resting)  # one for the whole clip
    # Least share of its depth by which what moves lies before what it hides.
    nearer_share = 0.015
    before = np.minimum(depth, (1 - nearer_share) * still_depth)
    return CandidatePixels(
        instants=instants,
        instant=instants[closest],
        still=weight * stands * (1 + seeding.detail * _contrast(median)),
        moving=weight * transient * (1 + seeding.detail * _contrast(frames)),
        lasting=np.zeros_like(known),
        depth=np.where(
            known & stands[None], np.where(moving, before, still_depth), depth
        ),
    )


def _contrast(pictures: Float[ndarray, "*b h w 3"]) -> Float[ndarray, "*b h w"]:
    """Return the mean difference of each pixel from its right and its lower neighbour."""
    gray = pictures.mean(-1)
    right = np.abs(np.diff(gray, axis=-1, append=gray[..., -1:]))
    down = np.abs(np.diff(gray, axis=-2, append=gray[..., -1:, :]))
    return (right + down) / 2


def _choose(
    candidates: Sequence[CandidatePixels], count: int, start: float
) -> tuple[Shaped[ndarray, "g"], ...]:
    """Choose `count` pixels evenly along a curve through all pictures, by their weights.

    Returns view, time, y and x of each, whether it is visible around its own instant only, and how
    far the next one is, pixels.
    """
    v = len(candidates)
    h, w = candidates[0].still.shape
    # The still picture of each view comes first, then those of its instants.
    still = np.stack([x.still for x in candidates])
    moving = np.concatenate([x.moving for x in candidates])
    lasting = np.concatenate([x.lasting for x in candidates])
    views = np.repeat(np.arange(v), [len(x.instants) for x in candidates])
    times = np.concatenate([x.instants for x in candidates])
    # Neighbours on the curve are neighbours in the picture.
    order = morton_order(h, w)
    weights = np.concatenate([still, moving]).reshape(-1, h * w)[:, order]
    density = _densities(weights.ravel(), count)
    places = np.cumsum(density, dtype=np.float64)
    picks = (np.arange(count) + start) * (places[-1] / count)
    chosen = np.searchsorted(places, picks, side="right")
    picture, spot = np.divmod(chosen, h * w)
    y, x = np.divmod(order[spot], w)
    passes = picture >= v
    film = np.maximum(picture - v, 0)
    view = np.where(passes, views[film], np.minimum(picture, v - 1))
    instant = np.stack([x.instant for x in candidates])
    time = np.where(passes, times[film], instant[view, y, x])
    is_moving = passes & ~lasting[film, y, x]
    return view, time, y, x, is_moving, density[chosen] ** -0.5


def _densities(weights: Float[ndarray, "n"], count: int) -> Float[ndarray, "n"]:
    """Return Gaussians per pixel, in proportion to the weights but none above 1; `count` in all."""
    density = weights * (count / weights.sum())
    for _ in range(4):
        density = np.minimum(density, 1.0)
        density *= count / density.sum()
    return np.minimum(density, 1.0)


def morton_order(height: int, width: int) -> Int[ndarray, "p"]:
    """Return the numbers of a picture's pixels, counted row by row, along Morton's curve."""
    y, x = np.divmod(np.arange(height * width), width)
    places = morton.morton_places(np.stack([x, y], 1), max(height, width).bit_length())
    return np.argsort(places, kind="stable")


def round_gaussians(
    means: Float[ndarray, "g 3"],
    log_scales: Float[ndarray, "g"],
    opacity: float,
    colors: Float[ndarray, "g 3"],
    sh_degree: int,
) -> types.Gaussians:
    """Return Gaussians that are as wide in all directions, on the device."""
    count = len(means)
    return types.Gaussians(
        means=on_device(means),
        quaternions=on_device(np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))),
        log_scales=on_device(repeat(log_scales, "g -> g c", c=3)),
        logit_opacities=on_device(np.full(count, np.log(opacity / (1 - opacity)))),
        harmonics=on_device(
            harmonics.from_rgb(np.asarray(colors, np.float32), sh_degree)
        ),
    )


def on_device(values: Float[ndarray, "..."]) -> Float32[Array, "..."]:
    """Return an array of single precision on the device."""
    # JAX would compile a cast of each shape.
    return jax.device_put(np.asarray(values, np.float32))
