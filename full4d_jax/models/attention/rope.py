"""Rotary position embedding over (time, row, column), split among the pairs as in Wan.

A head of width d has d/2 pairs of neighbouring channels; d/2 - 2 (d/6) of them turn with time and
d/6 each with row and column (integer divisions). With `fold_views`, view v at time t has the
position v * frames + t on the time axis (4Real-Video-V2).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from full4d_jax.models.attention.mask import Flat

Angles = Float[Array, "n p"]


def rotary_angles(
    tokens: Int[Array, "n"],
    frames: int,
    rows: int,
    columns: int,
    head_width: int,
    *,
    theta: float,
    fold_views: bool,
    half: bool = False,
) -> Angles:
    """Return the angles of all pairs p = head_width / 2, in radians.

    Args:
      tokens: places in the row of all tokens, (view, time, row, column).
      frames: of a view.
      rows: of tokens; and columns.
      head_width: channels, even.
      theta: the lowest frequency is about 1 / theta.
      fold_views: see the module.
      half: turn the second half of the channels alone, as a head of that width.
    """
    width = head_width // 2 if half else head_width
    space = width // 6
    time = width // 2 - 2 * space

    def turn(position: Int[Array, "n"], count: int, pairs: int) -> Float[Array, "n q"]:
        # A table in double precision, since large positions magnify errors.
        table = np.arange(count)[:, None] * theta ** (-np.arange(pairs) / pairs)
        return jnp.asarray(table.astype(np.float32))[position]

    frame = tokens // (rows * columns)
    views = -(-tokens.size // (frames * rows * columns))
    instant = frame if fold_views else frame % frames
    row = tokens // columns % rows
    column = tokens % columns
    parts = (
        turn(instant, frames * views, time),
        turn(row, rows, space),
        turn(column, columns, space),
    )
    angles = jnp.concatenate(parts, -1)
    return jnp.concatenate([jnp.zeros_like(angles), angles], -1) if half else angles


def rotate(x: Flat, angles: Angles) -> Flat:
    """Turn the pairs (x[2i], x[2i+1]) of queries or keys by their angles."""
    return jax.lax.platform_dependent(x, angles, tpu=turn_by_product, default=turn_in_pairs)


def turn_in_pairs(x: Flat, angles: Angles) -> Flat:
    """Turn pairs that are cut apart and stacked again."""
    cos = jnp.cos(angles)[None, :, None]
    sin = jnp.sin(angles)[None, :, None]
    even = x[..., ::2].astype(jnp.float32)
    odd = x[..., 1::2].astype(jnp.float32)
    turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
    return turned.reshape(x.shape).astype(x.dtype)


def turn_by_product(x: Flat, angles: Angles) -> Flat:
    """Turn pairs by a product with a matrix that makes (-x[2i+1], x[2i]) of them.

    TPUs would turn channels and tokens around in memory to cut pairs apart. Each sum has a single
    term, so values are those of `turn_in_pairs`.
    """
    width = x.shape[-1]
    swap = np.kron(np.eye(width // 2), [[0, 1], [-1, 0]])
    precision = jax.lax.Precision.HIGHEST if x.dtype == jnp.float32 else None
    swapped = jnp.einsum("bnkc,cd->bnkd", x, jnp.asarray(swap, x.dtype), precision=precision)
    cos = jnp.repeat(jnp.cos(angles), 2, -1)[None, :, None]
    sin = jnp.repeat(jnp.sin(angles), 2, -1)[None, :, None]
    return (x.astype(jnp.float32) * cos + swapped.astype(jnp.float32) * sin).astype(x.dtype)
