"""Depth whose edges lie where colours change, and that is smooth between them.

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

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@partial(jax.jit, static_argnames="scale")
def smooth_depth(
    depth: Float[Array, "t h w"], frames: Float[Array, "t h w 3"], scale: float
) -> Float[Array, "t h w"]:
    """Smooth depth between the edges of its frames, by the module's equations.

    Args:
      depth: depth of every pixel, all known, in any unit.
      frames: colours in [-1, 1].
      scale: how many pixels, along a side, stand for one that the network saw.
    """
    logs = -jnp.log(depth)
    return jnp.exp(-jax.lax.map(lambda x: _smooth(x[0], x[1], scale), (logs, frames)))


def _smooth(
    logs: Float[Array, "h w"], frame: Float[Array, "h w 3"], scale: float
) -> Float[Array, "h w"]:
    sweep_rounds = 5
    window_radius = 2.25  # of the window to each side, in pixels of the network's size
    smoothing_strength = 140.0  # lambda, for pixels of the network's own size
    bends = _bends(logs, max(1, round(window_radius * scale)))
    joined = [_joined(frame, bends), _joined(frame.swapaxes(0, 1), bends.T)]
    for number in range(1, sweep_rounds + 1):
        share = 1.5 * 4 ** (sweep_rounds - number) / (4**sweep_rounds - 1)
        strength = smoothing_strength * scale**2 * share
        logs = _along_rows(logs, strength * joined[0])
        logs = _along_rows(logs.T, strength * joined[1]).T
    return logs


def _bends(logs: Float[Array, "h w"], reach: int) -> Float[Array, "h w"]:
    """Return g: how far log disparity is from a plane, in a window of `reach` to each side."""
    log_jump = 0.1  # of log disparity, at which colours count fully
    side = 2 * reach + 1
    mean = jnp.pad(logs, reach, mode="reflect", reflect_type="odd") / side**2  # a slope goes on
    windows = (side, 1), (1, side)
    for window in windows:
        mean = jax.lax.reduce_window(mean, 0.0, jax.lax.add, window, (1, 1), "VALID")
    most = jnp.abs(logs - mean)
    for window in windows:
        most = jax.lax.reduce_window(most, 0.0, jax.lax.max, window, (1, 1), "SAME")
    return jnp.minimum(most / log_jump, 1.0)


def _joined(frame: Float[Array, "h w 3"], bends: Float[Array, "h w"]) -> Float[Array, "h w-1"]:
    """Return w, of each pixel and the next of its row."""
    colour_sigma = 0.1  # distance of colours in [-1, 1]
    difference = jnp.linalg.norm(frame[:, 1:] - frame[:, :-1], axis=-1)
    return jnp.exp(-jnp.maximum(bends[:, 1:], bends[:, :-1]) * difference / colour_sigma)


def _along_rows(values: Float[Array, "h w"], weights: Float[Array, "h w-1"]) -> Float[Array, "h w"]:
    """Return the x that minimises sum (x - values)^2 + sum weights (differences of x)^2."""
    none = jnp.zeros_like(values[:, :1])
    before = jnp.concatenate([none, weights], 1)
    after = jnp.concatenate([weights, none], 1)
    diagonal = 1 + before + after
    solved = jax.lax.linalg.tridiagonal_solve(-before, diagonal, -after, values[..., None])
    return solved[..., 0]
