"""Depth of a small frame at full size, its edges where colours change, and smooth between them.

A network estimates depth at the size that it was trained for. Between its pixels disparity is
smooth where depth is, and jumps where an object ends; where exactly it jumps, the colours of the
full frame tell. So with the disparities d_i of the 16 small pixels around a full pixel p, their
colours I_i, and weights

    w_i = exp(-|p - i|^2 / (2 s^2)) exp(-|I(p) - I_i|^2 / (2 c^2))

a pixel whose neighbours agree takes the cubic interpolation of d, whatever its colour, and one
whose neighbours differ by more than `edge_jump` takes the weighted mean of the near ones or of the
far ones, whichever have the larger weight. Texture alone never makes an edge.

A small network blurs the depth of what it finds: a person is a soft hill, a straight board ends in
a wave, and both tear as soon as the camera moves. With u0 its log disparity, and I
the colours, we take the u that minimises, over pixels p and neighbours q,

    sum_p (u_p - u0_p)^2 + lambda sum_pq w_pq (u_p - u_q)^2,   w_pq = exp(-g_pq |I_p - I_q| / sigma)

by exact solutions along rows and columns in turns, with a lambda that falls (Min et al. 2014, Fast
Global Image Smoothing Based on Weighted Least Squares). Texture is no edge: colours part neighbours
where depth bends or jumps alone, and g is 0 where u0 is flat or slanted,

    g = min(1, max |u0 - mean u0| / log_jump),   maximum and mean over a window

The price: differences cost, so slopes flatten at the borders of a frame and where a wall meets the
floor, over about a tenth of the short side.
"""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Map = Float[Array, "h w"]
Maps = Float[Array, "t h w"]
Frame = Float[Array, "h w 3"]
Film = Float[Array, "t h w 3"]
Joints = Float[Array, "h w-1"]


@jax.jit
def enlarge_disparity(
    disparity: Maps, small: Film, frames: Float[Array, "t H W 3"]
) -> Float[Array, "t H W"]:
    """Return disparity at the size of `frames`.

    Args:
      disparity: 1/z of the small frames, all known.
      small: the frames that it was estimated from, in [-1, 1].
      frames: the same at full size.
    """
    return jax.lax.map(lambda x: _enlarge(*x), (disparity, small, frames))


def _enlarge(
    disparity: Map, small: Frame, frame: Float[Array, "H W 3"]
) -> Float[Array, "H W"]:
    # Relative difference of neighbouring disparities at which an edge begins.
    edge_jump = 0.12
    # The module's c, a distance of colours in [-1, 1].
    colour_sigma = 0.12
    # The module's s, in small pixels.
    distance_sigma = 0.8
    h, w = disparity.shape
    height, width = frame.shape[:2]
    y = ((jnp.arange(height) + 0.5) * (h / height) - 0.5)[:, None]
    x = ((jnp.arange(width) + 0.5) * (w / width) - 0.5)[None]
    top = jnp.floor(y).astype(int)
    left = jnp.floor(x).astype(int)
    # Of the small pixels around a full one, four along each axis.
    values = []
    weights = []
    for i, j in product(range(-1, 3), repeat=2):
        row = jnp.clip(top + i, 0, h - 1)
        column = jnp.clip(left + j, 0, w - 1)
        distance = (y - top - i) ** 2 + (x - left - j) ** 2
        unlike = ((frame - small[row, column]) ** 2).sum(-1)
        exponent = -distance / (2 * distance_sigma**2) - unlike / (2 * colour_sigma**2)
        values.append(disparity[row, column])
        weights.append(jnp.exp(exponent) + 1e-12)
    around = jnp.stack(values)
    low = around.min(0)
    high = around.max(0)
    is_near = around > (low + high)[None] / 2
    sides = [jnp.stack(weights) * x for x in (is_near, ~is_near)]
    near_weight, far_weight = (x.sum(0) for x in sides)
    near, far = ((x * around).sum(0) / jnp.maximum(x.sum(0), 1e-30) for x in sides)
    sided = jnp.where(near_weight > far_weight, near, far)
    smooth = jnp.clip(jax.image.resize(disparity, (height, width), "cubic"), low, high)
    return jnp.where(high - low > edge_jump * high, sided, smooth)


@partial(jax.jit, static_argnames="scale")
def smooth_depth(depth: Maps, frames: Film, scale: float) -> Maps:
    """Smooth depth between the edges of its frames, by the module's equations.

    Args:
      depth: depth of every pixel, all known, in any unit.
      frames: colours in [-1, 1].
      scale: how many pixels, along a side, stand for one that the network saw.
    """
    logs = -jnp.log(depth)
    return jnp.exp(-jax.lax.map(lambda x: _smooth(x[0], x[1], scale), (logs, frames)))


def _smooth(logs: Map, frame: Frame, scale: float) -> Map:
    sweep_rounds = 5
    # Of the window to each side, in pixels of the network's size.
    window_radius = 2.25
    # The module's lambda, for pixels of the network's own size.
    smoothing_strength = 140.0
    bends = _bends(logs, max(1, round(window_radius * scale)))
    joined = [_joined(frame, bends), _joined(frame.swapaxes(0, 1), bends.T)]
    for number in range(1, sweep_rounds + 1):
        share = 1.5 * 4 ** (sweep_rounds - number) / (4**sweep_rounds - 1)
        strength = smoothing_strength * scale**2 * share
        logs = _along_rows(logs, strength * joined[0])
        logs = _along_rows(logs.T, strength * joined[1]).T
    return logs


def _bends(logs: Map, reach: int) -> Map:
    """Return g: how far log disparity is from a plane, in a window of `reach` to each side."""
    # Of log disparity, at which colours count fully.
    log_jump = 0.1
    side = 2 * reach + 1
    # Beyond the border a slope goes on.
    mean = jnp.pad(logs, reach, mode="reflect", reflect_type="odd") / side**2
    windows = (side, 1), (1, side)
    for window in windows:
        mean = jax.lax.reduce_window(mean, 0.0, jax.lax.add, window, (1, 1), "VALID")
    most = jnp.abs(logs - mean)
    for window in windows:
        most = jax.lax.reduce_window(most, 0.0, jax.lax.max, window, (1, 1), "SAME")
    return jnp.minimum(most / log_jump, 1.0)


def _joined(frame: Frame, bends: Map) -> Joints:
    """Return w, of each pixel and the next of its row."""
    # Distance of colours in [-1, 1].
    colour_sigma = 0.1
    difference = jnp.linalg.norm(frame[:, 1:] - frame[:, :-1], axis=-1)
    log_weight = -jnp.maximum(bends[:, 1:], bends[:, :-1]) * difference / colour_sigma
    return jnp.exp(log_weight)


def _along_rows(values: Map, weights: Joints) -> Map:
    """Return the x that minimises sum (x - values)^2 + sum weights (differences of x)^2."""
    none = jnp.zeros_like(values[:, :1])
    before = jnp.concatenate([none, weights], 1)
    after = jnp.concatenate([weights, none], 1)
    diagonal = 1 + before + after
    solved = jax.lax.linalg.tridiagonal_solve(
        -before, diagonal, -after, values[..., None]
    )
    return solved[..., 0]
