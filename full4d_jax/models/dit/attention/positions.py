"""Where tokens are, for attention: rotary embeddings of positions, and cameras (PRoPE).

Rotary position embedding over (time, row, column), split among the pairs as in Wan.

A head of width d has d/2 pairs of neighbouring channels; d/2 - 2 (d/6) of them turn with time and
d/6 each with row and column (integer divisions). With `rope_folds_views`, view v at time t has the
position v * frames + t on the time axis (4Real-Video-V2).

Cameras as relative projective transforms inside attention (PRoPE, arXiv 2507.10496).

A frame's camera maps homogeneous world points to homogeneous image points with inverse depth,

    P = [K 0] [R t]        (4, 4), image in units of its width and height, origin at its centre
        [0 1] [0 1]

and acts on the first half of every head's channels, taken four at a time. With token i's camera P_i

    logit_ij = (P_i^T q_i) . (P_j^-1 k_j) = q_i^T (P_i P_j^-1) k_j
    o_i      = P_i sum_j a_ij P_j^-1 v_j

so attention sees cameras only through P_i P_j^-1: how camera i sees what camera j sees. A motion of
the whole world cancels, nothing is learned, and any exact attention fits in between. The second
half of the channels keeps the rotary embedding of (time, row, column), at half the width.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from full4d_jax.config import ModelConfig
from full4d_jax.models.dit.attention.mask import Flat, Tokens
from full4d_jax.models.dit.conditions import Lenses, Poses
from full4d_jax.models.dit.tokens import TokenGrid
from gaussians.precision import exact_products

Angles = Float[Array, "n p"]
# P, the camera of every frame, and its inverse, float32.
Transforms = tuple[Poses, Poses]


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


@exact_products
def projective_transforms(poses: Poses, lenses: Lenses) -> Transforms:
    """Return P and its inverse for every frame.

    Args:
      poses: world to camera, rigid motions, OpenCV axes, any world frame.
      lenses: in units of the image's width and height, origin at its corner: fx/w, cx/w, ...
    """
    centre = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]], np.float32)
    lens = jnp.einsum("ij,bvjk->bvik", centre, lenses)[:, :, None]
    rotation = poses[..., :3, :3]
    shift = poses[..., :3, 3:]
    back = jnp.swapaxes(rotation, -1, -2)
    inverse = jnp.linalg.inv(lens)
    to_image = _affine(lens @ rotation, lens @ shift)
    return to_image, _affine(back @ inverse, -(back @ shift))


def prope(
    attend: Callable[[Tokens, Tokens, Tokens], Tokens],
    q: Tokens,
    k: Tokens,
    v: Tokens,
    transforms: Transforms | None,
) -> Tokens:
    """Attend between tokens seen through their cameras; heads are a multiple of 8 wide."""
    if transforms is None:
        return attend(q, k, v)
    forward, back = transforms
    q = _apply(jnp.swapaxes(forward, -1, -2), q)
    return _apply(forward, attend(q, _apply(back, k), _apply(back, v)))


def _affine(a: Float[Array, "... 3 3"], b: Float[Array, "... 3 1"]) -> Poses:
    last = jnp.broadcast_to(jnp.array([0.0, 0, 0, 1]), (*b.shape[:-2], 1, 4))
    return jnp.concatenate([jnp.concatenate([a, b], -1), last], -2)


@exact_products
def _apply(matrices: Poses, x: Tokens) -> Tokens:
    """Multiply the first half of the channels, in fours, by the frame's matrix."""
    half = x.shape[-1] // 2
    fours = x[..., :half].reshape(*x.shape[:-1], -1, 4).astype(jnp.float32)
    turned = jnp.einsum("bvtij,bvtskgj->bvtskgi", matrices, fours)
    turned = turned.reshape(*x.shape[:-1], half).astype(x.dtype)
    return jnp.concatenate([turned, x[..., half:]], -1)
