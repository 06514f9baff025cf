"""A first scene from frames with depth: unprojected pixels, still where the picture is still.

A pixel rests at the instants at which it shows the farthest thing that it ever shows. If it keeps
its colour in half of these or more, that becomes one Gaussian that is always there, whatever passes
before it at other instants. Where a pixel differs from that, it becomes a Gaussian that is visible
around its own instant and moves as its pixel does (`Velocities`). Before a moving camera, points
are compared in place of pixels (`stillness`).
There are more pixels than Gaussians, so these are spread evenly over the pictures, closer where the
picture has detail.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from einops import repeat
from jaxtyping import Array, Bool, Float, Float32, Int
from numpy import ndarray

from gaussians import harmonics
from gaussians.fitting.stillness import camera_moves, median_where, shows_farthest, still_points
from gaussians.morton import morton_places
from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians

STILL_COLOR_DIFFERENCE = 0.08  # up to which a pixel shows what stands still there
PERMANENT_GATE = 4.0  # logit of the gate of static Gaussians


class Seeding(NamedTuple):
    """How pixels become Gaussians; the defaults are those of captures, whose depth may be rough.

    Attributes:
      detail: weight of a difference of 1 between neighbouring pixels, relative to a flat pixel.
      passing: weight of a moving pixel, which is seen at one instant, relative to a still one.
      gate: logit of the gate of what moves. Below -5.5 nothing of it is drawn at other instants,
        which is fast, but it cannot learn to stand still.
      duration: steps between instants that what moves is visible at first, one standard deviation.
    """

    detail: float = 12.0
    passing: float = 0.4
    gate: float = -4.0
    duration: float = 0.7


CAPTURE_SEEDING = Seeding()


@runtime_checkable
class Velocities(Protocol):
    """Measures how the pixels of one view move, as by optical flow; a function of the caller."""

    def __call__(
        self,
        view: int,
        frames: Float[ndarray, "t h w 3"],
        depth: Float[ndarray, "t h w"],
        lens: Float[ndarray, "3 3"],
        world_to_camera: Float[ndarray, "t 4 4"],
        moving: Bool[ndarray, "t h w"],
        times: Float[ndarray, "t"],
    ) -> Float32[ndarray, "t h w 3"]:
        """Return the velocities of the moving pixels, world units per clip; 0 for others.

        Args:
          view: number of the view.
          frames: its pictures, colours in [0, 1].
          depth: z in world units, 0 where unknown.
          lens: its intrinsics, pixels.
          world_to_camera: of each frame.
          moving: the pixels that are asked for, of known depth.
          times: of the frames, in clips.
        """
        ...


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
    velocities: Velocities | None = None,
    seeding: Seeding = CAPTURE_SEEDING,
) -> DynamicGaussians:
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
      velocities: measures how pixels move, where Gaussians begin; None begins with all at rest.
      seeding: how pixels become Gaussians.

    Raises:
      ValueError: No depth is known.
    """
    v, t, h, w = depth.shape
    pictures = np.asarray(frames)
    maps = np.where(np.isfinite(depth), depth, 0)
    importance = [1.0] * v if weights is None else np.asarray(weights, float).tolist()
    moments = np.linspace(0, 1, t) if times is None else np.asarray(times, np.float64)
    lenses = np.asarray(intrinsics)
    poses = np.asarray(world_to_camera, np.float64)
    if may_move is None:
        may_move = maps > 0
    # Each view offers pixels whose depth is known; the capacity is shared among all of them.
    candidates = [
        _candidates(
            pictures[view],
            maps[view],
            importance[view],
            lenses[view],
            poses[view],
            may_move[view],
            seeding,
        )
        for view in range(v)
    ]
    count = sum(int(np.count_nonzero(x.still) + np.count_nonzero(x.moving)) for x in candidates)
    if count == 0:
        raise ValueError(f"no valid depth in {v}x{t} frames of {h}x{w}: expected some pixels > 0")
    pixels = _choose(candidates, min(capacity, count), float(jax.random.uniform(key)))
    for view, own in enumerate(candidates):
        maps[view][own.instants] = own.depth

    # Views come one by one, as a film of all is large.
    # Instants without depth, as those that are held out, are bridged.
    shown = moments[(maps > 0).any((0, 2, 3))]
    step = (shown[-1] - shown[0]) / (len(shown) - 1) if len(shown) > 1 else 1.0
    visible = np.where(pixels.is_moving, seeding.duration * step, 1.0)
    motions = np.zeros((len(pixels.view), 3), np.float32)
    for view in np.unique(pixels.view[pixels.is_moving]):
        here = pixels.is_moving & (pixels.view == view)
        places = pixels.time[here], pixels.y[here], pixels.x[here]
        if durations is not None:
            visible[here] = durations[view][places]
        if velocities is None:
            continue
        own = candidates[view]
        moving = np.zeros(maps[view].shape, bool)
        moving[own.instants] = (own.moving > 0) & ~own.lasting
        measured = velocities(
            view=int(view),
            frames=pictures[view],
            depth=maps[view],
            lens=lenses[view],
            world_to_camera=poses[view],
            moving=moving,
            times=moments,
        )
        motions[here] = measured[places]

    # The chosen pixels become Gaussians where their depth puts them.
    spots = pixels.view, pixels.time, pixels.y, pixels.x
    gaussians = _at_pixels(
        pixels,
        z=maps[spots].astype(np.float32),
        colors=pictures[spots].astype(np.float32),
        lenses=lenses[pixels.view].astype(np.float32),
        poses=poses[pixels.view, pixels.time].astype(np.float32),
        sh_degree=sh_degree,
    )
    moment = np.where(pixels.is_moving, moments[pixels.time], 0.5)
    return DynamicGaussians(
        gaussians,
        velocities=_on_device(motions),
        moments=_on_device(moment),
        log_durations=_on_device(np.log(visible)),
        logit_gates=_on_device(np.where(pixels.is_moving, seeding.gate, PERMANENT_GATE)),
    )


def _candidates(
    frames: Float[ndarray, "t h w 3"],
    depth: Float[ndarray, "t h w"],
    weight: float,
    lens: Float[ndarray, "3 3"],
    poses: Float[ndarray, "t 4 4"],
    may_move: Bool[ndarray, "t h w"],
    seeding: Seeding,
) -> CandidatePixels:
    """Sort the pixels of known depth of a view into still and moving ones, and weigh them."""
    instants = np.flatnonzero((depth > 0).any((1, 2)))
    travels = camera_moves(poses)
    frames = frames[instants]
    depth = depth[instants]
    poses = poses[instants]
    may_move = may_move[instants]
    known = depth > 0
    if not instants.size:
        nothing = np.zeros(depth.shape[1:])
        return CandidatePixels(instants, nothing.astype(int), nothing, depth, known, depth)
    if travels:
        is_still, again = still_points(frames, depth, lens, poses, STILL_COLOR_DIFFERENCE)
        lasting = is_still & ~again
        passing = known & ~again & may_move
        importance = np.where(lasting, 1.0, seeding.passing * passing).astype(np.float32)
        moving = weight * importance * (1 + seeding.detail * _contrast(frames))
        nothing = np.zeros(depth.shape[1:])
        return CandidatePixels(instants, nothing.astype(int), nothing, moving, lasting, depth)
    resting = shows_farthest(depth)
    # What is known of few instants, as behind somebody, may not be the colour at the others.
    is_seldom = 2 * known.sum(0) < len(depth)
    median = np.minimum(median_where(frames, resting | is_seldom[None]), 1)
    away = np.abs(frames - median[None]).max(-1)
    still = known & (away < STILL_COLOR_DIFFERENCE)
    stands = (2 * (still & resting).sum(0) >= resting.sum(0)) & known.any(0)
    moving = known & ~(still & stands[None])
    passing = (seeding.passing * (moving & may_move)).astype(np.float32)
    closest = np.where(resting, away, np.inf).argmin(0)
    still_depth = median_where(depth, resting)  # one for the whole clip
    nearer_share = 0.015  # of its depth, by which what moves lies before what it hides, at least
    before = np.minimum(depth, (1 - nearer_share) * still_depth)
    return CandidatePixels(
        instants=instants,
        instant=instants[closest],
        still=weight * stands * (1 + seeding.detail * _contrast(median)),
        moving=weight * passing * (1 + seeding.detail * _contrast(frames)),
        lasting=np.zeros_like(known),
        depth=np.where(known & stands[None], np.where(moving, before, still_depth), depth),
    )


def _contrast(pictures: Float[ndarray, "*b h w 3"]) -> Float[ndarray, "*b h w"]:
    """Return the mean difference of each pixel from its right and its lower neighbour."""
    gray = pictures.mean(-1)
    right = np.abs(np.diff(gray, axis=-1, append=gray[..., -1:]))
    down = np.abs(np.diff(gray, axis=-2, append=gray[..., -1:, :]))
    return (right + down) / 2


class SeedPixels(NamedTuple):
    """The pixels that become Gaussians.

    Attributes:
      view, time, y, x: where they are.
      is_moving: whether they are visible around their own instant only.
      spacing: distance to the next one, pixels.
    """

    view: Int[ndarray, "g"]
    time: Int[ndarray, "g"]
    y: Int[ndarray, "g"]
    x: Int[ndarray, "g"]
    is_moving: Bool[ndarray, "g"]
    spacing: Float[ndarray, "g"]


def _choose(candidates: Sequence[CandidatePixels], count: int, start: float) -> SeedPixels:
    """Choose `count` pixels evenly along a curve through all pictures, by their weights."""
    v = len(candidates)
    h, w = candidates[0].still.shape
    # The still picture of each view comes first, then those of its instants.
    still = np.stack([x.still for x in candidates])
    moving, lasting = (
        np.concatenate([getattr(x, name) for x in candidates]) for name in ("moving", "lasting")
    )
    views = np.repeat(np.arange(v), [len(x.instants) for x in candidates])
    times = np.concatenate([x.instants for x in candidates])
    order = morton_order(h, w)  # neighbours on the curve are neighbours in the picture
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
    return SeedPixels(view, time, y, x, is_moving, density[chosen] ** -0.5)


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
    places = morton_places(np.stack([x, y], 1), max(height, width).bit_length())
    return np.argsort(places, kind="stable")


def _at_pixels(
    pixels: SeedPixels,
    z: Float32[ndarray, "g"],
    colors: Float32[ndarray, "g 3"],
    lenses: Float32[ndarray, "g 3 3"],
    poses: Float32[ndarray, "g 4 4"],
    sh_degree: int,
) -> Gaussians:
    """Return a Gaussian at each of the pixels.

    It is computed on the host: there the device holds no whole film, and another number of pixels
    compiles no other program.
    """
    spread = 0.65  # standard deviation of a Gaussian, relative to the distance to the next one
    opacity = 0.9
    count = len(z)
    log_scales = np.log(spread * pixels.spacing * z / lenses[:, 0, 0])
    points = _unproject_pixels(z, pixels.x, pixels.y, np.linalg.inv(lenses), poses)
    return Gaussians(
        means=_on_device(points),
        quaternions=_on_device(np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))),
        log_scales=_on_device(repeat(log_scales, "g -> g c", c=3)),
        logit_opacities=_on_device(np.full(count, np.log(opacity / (1 - opacity)))),
        harmonics=_on_device(harmonics.from_rgb(colors, sh_degree)),
    )


def _on_device(values: Float[Array | ndarray, "..."]) -> Float32[Array, "..."]:
    """Return an array of single precision on the device."""
    if isinstance(values, jax.Array):
        return values.astype(np.float32)
    return jax.device_put(np.asarray(values, np.float32))  # JAX would compile a cast of each shape


def _unproject_pixels(
    z: Float32[ndarray, "g"],
    x: Int[ndarray, "g"],
    y: Int[ndarray, "g"],
    inverse_lenses: Float32[ndarray, "g 3 3"],
    poses: Float32[ndarray, "g 4 4"],
) -> Float32[ndarray, "g 3"]:
    """Return the world positions of pixel centres at these depths."""
    pixels = np.stack([x + 0.5, y + 0.5, np.ones_like(z)], -1).astype(np.float32)
    points = np.einsum("gij,gj->gi", inverse_lenses, pixels) * z[:, None]
    return np.einsum("gji,gj->gi", poses[:, :3, :3], points - poses[:, :3, 3])
