"""Rotary position embedding over (time, row, column), split among the pairs as in Wan.

A head of width d has d/2 pairs of neighbouring channels; d/2 - 2 (d/6) of them turn with time and
d/6 each with row and column (integer divisions). With `fold_views`, view v at time t has the
position v * frames + t on the time axis (4Real-Video-V2).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def rotary_angles(
    views: int,
    frames: int,
    rows: int,
    columns: int,
    head_width: int,
    *,
    theta: float,
    fold_views: bool,
) -> Float[np.ndarray, "v t s p"]:
    """Angles of all pairs p = head_width / 2 for every token, in radians."""
    space = head_width // 6
    time = head_width // 2 - 2 * space
    position = np.arange(frames) + (frames * np.arange(views)[:, None] if fold_views else 0)
    position = np.broadcast_to(position, (views, frames)).reshape(views, frames, 1, 1, 1)

    def frequencies(pairs: int) -> np.ndarray:
        return theta ** (-np.arange(pairs) / pairs)

    shape = (views, frames, rows, columns)
    parts = (
        np.broadcast_to(position * frequencies(time), (*shape, time)),
        np.broadcast_to(np.arange(rows)[:, None, None] * frequencies(space), (*shape, space)),
        np.broadcast_to(np.arange(columns)[:, None] * frequencies(space), (*shape, space)),
    )
    angles = np.concatenate(parts, -1).astype(np.float32)
    return angles.reshape(views, frames, rows * columns, -1)


def rotate(
    x: Float[Array, "b v t s k d"], angles: Float[np.ndarray, "v t s p"]
) -> Float[Array, "b v t s k d"]:
    """Turn the pairs (x[2i], x[2i+1]) of queries or keys by their angles."""
    cos = jnp.cos(angles)[None, :, :, :, None]
    sin = jnp.sin(angles)[None, :, :, :, None]
    even, odd = x[..., ::2].astype(jnp.float32), x[..., 1::2].astype(jnp.float32)
    turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
    return turned.reshape(x.shape).astype(x.dtype)
