"""Cameras as relative projective transforms inside attention (PRoPE, arXiv 2507.10496).

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

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.models.attention.mask import Tokens
from full4d_jax.models.conditions import Lenses, Poses
from gaussians.precision import exact_products

# P, the camera of every frame, and its inverse, float32.
Transforms = tuple[Poses, Poses]


@exact_products
def projective_transforms(world_to_camera: Poses, intrinsics: Lenses) -> Transforms:
    """Return P and its inverse for every frame.

    Args:
      world_to_camera: rigid motions, OpenCV axes, any world frame.
      intrinsics: in units of the image's width and height, origin at its corner: fx/w, cx/w, ...
    """
    centre = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]], np.float32)
    lens = jnp.einsum("ij,bvjk->bvik", centre, intrinsics)[:, :, None]
    rotation = world_to_camera[..., :3, :3]
    shift = world_to_camera[..., :3, 3:]
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


def _affine(a: Float[Array, "... 3 3"], b: Float[Array, "... 3 1"]) -> Float[Array, "... 4 4"]:
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
