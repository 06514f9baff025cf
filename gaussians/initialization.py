"""A first scene from frames with depth: unprojected pixels, still where the picture is still.

A pixel that keeps its colour in half of its instants or more shows something still: it becomes one
Gaussian that is always there, whatever passes before it at other instants. A pixel that differs
from that becomes a Gaussian that is visible around its own instant and moves like its pixel
(`velocities`). Before a camera that moves, points are compared in place of pixels (`stillness`).
There are more pixels than Gaussians, so these are spread evenly over the pictures, closer where the
picture has detail.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat
from jaxtyping import Array, Bool, Float, Int
from numpy import ndarray

from gaussians import harmonics
from gaussians.motion import DynamicGaussians
from gaussians.stillness import moves, still_points
from gaussians.types import Gaussians
from gaussians.velocities import pixel_velocities

STILL = 0.08  # a pixel this close to its median colour over time shows what stands still there
DETAIL = 12.0  # weight of a difference of 1 between neighbouring pixels, relative to a flat pixel
OPACITY = 0.9  # of every Gaussian at first
GATE = 4.0  # logit of the gate of static Gaussians; moving ones have -4
SPREAD = 0.65  # standard deviation of a Gaussian, relative to the distance to the next one
PASSING = 0.8  # weight of a moving pixel, which is seen at one instant, relative to a still one
DURATION = 0.45  # frame steps that a moving Gaussian is visible at first: longer ones leave ghosts


class Candidates(NamedTuple):
    """Pixels that may become Gaussians.

    Attributes:
      instant: for each pixel the instant at which it is closest to its median colour.
      still: weights of the pixels that show something still, else 0.
      moving: weights of the others, by instant.
      lasting: which of these, of a camera that moves, show something still for the first time.
    """

    instant: Int[ndarray, "v h w"]
    still: Float[ndarray, "v h w"]
    moving: Float[ndarray, "v t h w"]
    lasting: Bool[ndarray, "v t h w"]


def initialize(
    frames: Float[Array, "v t h w 3"],
    depth: Float[Array, "v t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    capacity: int,
    key: Array,
    *,
    sh_degree: int = 0,
    weights: Float[Array, "v"] | None = None,
) -> DynamicGaussians:
    """Return at most `capacity` Gaussians at pixels of known depth.

    Args:
      frames: colours in [0, 1], at times spread evenly over the clip.
      depth: z in world units; 0 where unknown, for instance in views without depth.
      intrinsics: of each view, in pixels.
      world_to_camera: of each view and frame.
      capacity: largest number of Gaussians.
      key: decides the pixels.
      sh_degree: degree of the harmonics; all but the mean colour are 0.
      weights: how many Gaussians the pixels of a view get, relative to other views; None for 1.

    Raises:
      ValueError: No depth is known.
    """
    v, t, h, w = depth.shape
    pictures, known = np.asarray(frames), np.asarray(depth)
    importance = np.ones(v) if weights is None else np.asarray(weights)
    lenses, poses = np.asarray(intrinsics), np.asarray(world_to_camera, np.float64)
    candidates = _candidates(pictures, known, importance, lenses, poses)
    count = int(np.count_nonzero(candidates.still) + np.count_nonzero(candidates.moving))
    if count == 0:
        raise ValueError(f"no valid depth in {v}x{t} frames of {h}x{w}: expected some pixels > 0")
    pixels = _choose(candidates, min(capacity, count), float(jax.random.uniform(key)))
    scene = _at_pixels(pixels, frames, depth, intrinsics, world_to_camera, sh_degree)
    known = np.where(np.isfinite(known), known, 0)
    moving = (candidates.moving > 0) & ~candidates.lasting
    velocities = np.zeros((len(pixels.view), 3), np.float32)
    for view in np.unique(pixels.view[pixels.is_moving]):  # one by one: a film of all is large
        here = pixels.is_moving & (pixels.view == view)
        given = (x[view] for x in (pictures, known, lenses, poses, moving))
        places = pixels.time[here], pixels.y[here], pixels.x[here]
        velocities[here] = pixel_velocities(*given)[places]
    return scene._replace(velocities=jnp.asarray(velocities))


def _candidates(
    frames: Float[ndarray, "v t h w 3"],
    depth: Float[ndarray, "v t h w"],
    weights: Float[ndarray, "v"],
    lenses: Float[ndarray, "v 3 3"],
    poses: Float[ndarray, "v t 4 4"],
) -> Candidates:
    """Sort the pixels of known depth into still and moving ones, and weigh them."""
    known = (depth > 0) & np.isfinite(depth)
    median = np.median(frames, axis=1)
    away = np.abs(frames - median[:, None]).max(-1)
    away[~known] = np.inf
    still = away < STILL
    stands = (2 * still.sum(1) >= known.sum(1)) & known.any(1)
    moving = known & ~(still & stands[:, None])
    lasting, importance = np.zeros(known.shape, bool), PASSING * known.astype(np.float32)
    for view in np.flatnonzero([moves(path) for path in poses]):
        one = frames[view], np.where(known[view], depth[view], 0), lenses[view], poses[view]
        is_still, again = still_points(*one, STILL)
        stands[view], moving[view] = False, known[view]
        lasting[view] = is_still & ~again
        importance[view] = np.where(again, 0.0, np.where(lasting[view], 1.0, importance[view]))
    own = weights.astype(np.float32)[:, None, None]
    return Candidates(
        instant=away.argmin(1),
        still=stands * own * (1 + DETAIL * _contrast(median)),
        moving=moving * own[:, None] * importance * (1 + DETAIL * _contrast(frames)),
        lasting=lasting,
    )


def _contrast(pictures: Float[ndarray, "*b h w 3"]) -> Float[ndarray, "*b h w"]:
    """Return the mean difference of each pixel from its right and its lower neighbour."""
    gray = pictures.mean(-1)
    right = np.abs(np.diff(gray, axis=-1, append=gray[..., -1:]))
    down = np.abs(np.diff(gray, axis=-2, append=gray[..., -1:, :]))
    return (right + down) / 2


class Pixels(NamedTuple):
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


def _choose(candidates: Candidates, count: int, start: float) -> Pixels:
    """Choose `count` pixels evenly along a curve through all pictures, by their weights."""
    v, t, h, w = candidates.moving.shape
    order = morton_order(h, w)  # neighbours on the curve are neighbours in the picture
    still, moving = (x.reshape(-1, h * w)[:, order] for x in (candidates.still, candidates.moving))
    density = _densities(np.concatenate([still.ravel(), moving.ravel()]), count)
    places = np.cumsum(density, dtype=np.float64)
    picks = (np.arange(count) + start) * (places[-1] / count)
    chosen = np.searchsorted(places, picks, side="right")
    is_moving = chosen >= still.size
    picture, spot = np.divmod(chosen, h * w)
    y, x = np.divmod(order[spot], w)
    view, time = np.divmod(np.maximum(picture - v, 0), t)
    view = np.where(is_moving, view, picture % v)
    time = np.where(is_moving, time, candidates.instant[view, y, x])
    is_moving &= ~candidates.lasting[view, time, y, x]
    return Pixels(view, time, y, x, is_moving, density[chosen] ** -0.5)


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
    code = np.zeros(height * width, np.int64)
    for bit in range(max(height, width).bit_length()):
        code |= ((x >> bit & 1) << 2 * bit) | ((y >> bit & 1) << 2 * bit + 1)
    return np.argsort(code, kind="stable")


@partial(jax.jit, static_argnames="sh_degree")
def _at_pixels(
    pixels: Pixels,
    frames: Float[Array, "v t h w 3"],
    depth: Float[Array, "v t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    sh_degree: int,
) -> DynamicGaussians:
    """Return a Gaussian at each of the pixels."""
    view, time, y, x, is_moving, spacing = pixels
    z = depth[view, time, y, x]
    rays = jnp.linalg.inv(intrinsics)[view]
    points = _unproject_pixels(z, x, y, rays, world_to_camera[view, time])
    log_scales = jnp.log(SPREAD * spacing * z / intrinsics[view, 0, 0])
    count, step = len(z), 1 / max(frames.shape[1] - 1, 1)
    return DynamicGaussians(
        gaussians=Gaussians(
            means=points,
            quaternions=jnp.tile(jnp.array([[1.0, 0.0, 0.0, 0.0]]), (count, 1)),
            log_scales=repeat(log_scales, "g -> g c", c=3),
            logit_opacities=jnp.full(count, np.float32(np.log(OPACITY / (1 - OPACITY)))),
            harmonics=harmonics.from_rgb(frames[view, time, y, x], sh_degree),
        ),
        velocities=jnp.zeros((count, 3)),
        moments=jnp.where(is_moving, time * step, 0.5),
        log_durations=jnp.where(is_moving, jnp.log(DURATION * step), 0.0),
        logit_gates=jnp.where(is_moving, -GATE, GATE),
    )


def _unproject_pixels(
    z: Float[Array, "g"],
    x: Int[Array | ndarray, "g"],
    y: Int[Array | ndarray, "g"],
    inverse_lenses: Float[Array, "g 3 3"],
    poses: Float[Array, "g 4 4"],
) -> Float[Array, "g 3"]:
    """Return the world positions of pixel centres at these depths."""
    pixels = jnp.stack([x + 0.5, y + 0.5, jnp.ones_like(z)], -1)
    points = jnp.einsum("gij,gj->gi", inverse_lenses, pixels) * z[:, None]
    return jnp.einsum("gji,gj->gi", poses[:, :3, :3], points - poses[:, :3, 3])
