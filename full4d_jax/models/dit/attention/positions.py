"""Rotary embeddings of the positions of tokens.

They turn with (time, row, column), split among the pairs of channels as in Wan.

A head of width d has d/2 pairs of neighbouring channels; d/2 - 2 (d/6) of them turn with time and
d/6 each with row and column (integer divisions). With `rope_folds_views`, view v at time t has the
position v * frames + t on the time axis (4Real-Video-V2).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from full4d_jax.config import ModelConfig
from full4d_jax.models.dit.attention.mask import Flat
from full4d_jax.models.dit.tokens import TokenGrid

Angles = Float[Array, "n p"]


def rotary_angles(
    tokens: Int[Array, "n"], grid: TokenGrid, columns: int, config: ModelConfig
) -> Angles:
    """Return the angles of all pairs p of a head, in radians; with prope 0 in its first half.

    Args:
      tokens: places in the row of all tokens, (view, time, row, column).
      grid: how many there are.
      columns: tokens of a row of a frame.
      config: the lowest frequency is about 1 / `rope_theta`.
    """
    has_prope = "prope" in config.cameras
    width = config.width // config.heads // (2 if has_prope else 1)
    space = width // 6
    time = width // 2 - 2 * space

    def turn(position, count: int, pairs: int):
        # A table in double precision, since large positions magnify errors.
        table = np.arange(count)[:, None] * config.rope_theta ** (
            -np.arange(pairs) / pairs
        )
        return jnp.asarray(table.astype(np.float32))[position]

    frame = tokens // grid.tokens
    rows = grid.tokens // columns
    instant = frame if config.rope_folds_views else frame % grid.frames
    row = tokens // columns % rows
    column = tokens % columns
    parts = (
        turn(instant, grid.frames * grid.views, time),
        turn(row, rows, space),
        turn(column, columns, space),
    )
    angles = jnp.concatenate(parts, -1)
    return (
        jnp.concatenate([jnp.zeros_like(angles), angles], -1) if has_prope else angles
    )


def rotate(x: Flat, angles: Angles) -> Flat:
    """Turn the pairs (x[2i], x[2i+1]) of queries or keys by their angles."""
    return jax.lax.platform_dependent(
        x, angles, tpu=turn_by_product, default=turn_in_pairs
    )


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
    swap = jnp.asarray(swap, x.dtype)
    swapped = jnp.einsum("bnkc,cd->bnkd", x, swap, precision=precision)
    cos = jnp.repeat(jnp.cos(angles), 2, -1)[None, :, None]
    sin = jnp.repeat(jnp.sin(angles), 2, -1)[None, :, None]
    return (x.astype(jnp.float32) * cos + swapped.astype(jnp.float32) * sin).astype(
        x.dtype
    )
