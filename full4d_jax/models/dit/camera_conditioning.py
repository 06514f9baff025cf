"""Camera conditioning, in the three ways that `ModelConfig.cameras` names.

linear   a linear layer in every block adds a token's camera, [R | t] and fx, fy, cx, cy
plucker  a linear layer adds direction and moment of the ray through a token's centre, once
prope    attention sees what camera i sees of what camera j sees

The last, prope, are relative projective transforms inside attention (PRoPE, arXiv 2507.10496).

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
from einops import rearrange
from jaxtyping import Array, Float

from full4d_jax.cameras import inverse_lens
from full4d_jax.models.dit.attention.mask import Tokens
from full4d_jax.models.dit.conditions import Lenses, Poses
from gaussians.precision import exact_products

# R and t relative to the source camera, fx fy cx cy.
CAMERA_CHANNELS = 16
# P, the camera of every frame, and its inverse, float32.
Transforms = tuple[Poses, Poses]


def camera_vectors(poses: Poses, lenses: Lenses) -> Float[Array, "b v t 16"]:
    """Return [R | t] row by row, then fx, fy, cx, cy in units of the image size."""
    pose = rearrange(poses[..., :3, :], "b v t i j -> b v t (i j)")
    places = ((0, 0), (1, 1), (0, 2), (1, 2))
    lens = jnp.stack([lenses[..., i, j] for i, j in places], -1)
    lens = jnp.broadcast_to(lens[:, :, None], (*pose.shape[:3], 4))
    return jnp.concatenate([pose, lens], -1)


@exact_products
def plucker_rays(
    poses: Poses, lenses: Lenses, rows: int, columns: int
) -> Float[Array, "b v t s 6"]:
    """Return direction and moment of the ray through every token's centre, world frame."""
    centres = [(np.arange(n) + 0.5) / n for n in (rows, columns)]
    y, x = np.meshgrid(*centres, indexing="ij")
    points = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3).astype(np.float32)
    rotation = poses[..., :3, :3]
    shift = poses[..., :3, 3]
    local = jnp.einsum("bvij,sj->bvsi", inverse_lens(lenses), points)
    rays = jnp.einsum("bvtij,bvsi->bvtsj", rotation, local)
    rays = rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)
    center = -jnp.einsum("bvtij,bvti->bvtj", rotation, shift)[:, :, :, None]
    moments = jnp.cross(jnp.broadcast_to(center, rays.shape), rays)
    return jnp.concatenate([rays, moments], -1)


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
    to_image = _affine(lens @ rotation, lens @ shift)
    return to_image, _affine(back @ inverse_lens(lens), -(back @ shift))


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
