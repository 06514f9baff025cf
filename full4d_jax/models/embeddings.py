"""Pictures, flow times and cameras as numbers that tokens are made from."""

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float

from full4d_jax.flow import Latents, Times
from full4d_jax.models.block import CAMERA_CHANNELS
from full4d_jax.models.tokens import TokenGrid
from gaussians.precision import exact_products

TIME_CHANNELS = 256


def to_patches(x: Latents, side: int) -> Float[Array, "b v t s p"]:
    """Cut latent pixels into squares, row after row."""
    return rearrange(x, "b v t (h i) (w j) c -> b v t (h w) (i j c)", i=side, j=side)


def from_patches(x: Float[Array, "b v t s p"], rows: int, side: int) -> Latents:
    """Put the squares of `to_patches` back together, in so many rows."""
    return rearrange(x, "b v t (h w) (i j c) -> b v t (h i) (w j) c", h=rows, i=side, j=side)


def flow_times(
    tau: Times, real: Bool[Array, "b v t"] | None, latents: Latents, grid: TokenGrid
) -> tuple[Float[Array, "b r"], Bool[Array, "b {grid.views} {grid.frames}"] | None]:
    """Return the flow times in a grid, and which of its frames have the second of them.

    Args:
      tau: of the frames to generate.
      real: which of them are, at flow time 0.
      latents: the frames to generate.
      grid: has clean views before them, or clean frames after.

    Returns:
      Times 0 and tau, and the frames that have tau; or, where frames differ, the times of all
      frames (r = v t), and None.
    """
    batch, views, frames = latents.shape[:3]
    clean = ((0, 0), (grid.views - views, 0), (0, grid.frames - frames))
    if tau.ndim == 1:
        noisy = jnp.ones((batch, views, frames), bool) if real is None else ~real
        return jnp.stack([jnp.zeros_like(tau), tau], 1), jnp.pad(noisy, clean)
    times = tau if real is None else jnp.where(real, 0.0, tau)
    return jnp.pad(times, clean).reshape(batch, -1), None


def sinusoids(tau: Float[Array, "..."]) -> Float[Array, "... k"]:
    """Embed flow times as Wan does: cosines, then sines, of 1000 tau."""
    half = TIME_CHANNELS // 2
    # In double precision, since 1000 tau magnifies their errors.
    frequencies = (10000.0 ** (-np.arange(half) / half)).astype(np.float32)
    angles = 1000.0 * tau[..., None] * frequencies.reshape((1,) * tau.ndim + (-1,))
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)


def camera_vectors(
    world_to_camera: Float[Array, "b v t 4 4"], intrinsics: Float[Array, "b v 3 3"]
) -> Float[Array, "b v t 16"]:
    """Return [R | t] row by row, then fx, fy, cx, cy in units of the image size."""
    pose = rearrange(world_to_camera[..., :3, :], "b v t i j -> b v t (i j)")
    lens = jnp.stack([intrinsics[..., i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))], -1)
    lens = jnp.broadcast_to(lens[:, :, None], (*pose.shape[:3], 4))
    vectors = jnp.concatenate([pose, lens], -1)
    assert vectors.shape[-1] == CAMERA_CHANNELS
    return vectors


@exact_products
def plucker_rays(
    world_to_camera: Float[Array, "b v t 4 4"],
    intrinsics: Float[Array, "b v 3 3"],
    rows: int,
    columns: int,
) -> Float[Array, "b v t s 6"]:
    """Return direction and moment of the ray through every token's centre, world frame."""
    y, x = np.meshgrid(
        (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij"
    )
    points = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3).astype(np.float32)
    rotation = world_to_camera[..., :3, :3]
    shift = world_to_camera[..., :3, 3]
    local = jnp.einsum("bvij,sj->bvsi", jnp.linalg.inv(intrinsics), points)
    rays = jnp.einsum("bvtij,bvsi->bvtsj", rotation, local)
    rays = rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)
    center = -jnp.einsum("bvtij,bvti->bvtj", rotation, shift)[:, :, :, None]
    return jnp.concatenate([rays, jnp.cross(jnp.broadcast_to(center, rays.shape), rays)], -1)
