"""Rotations as quaternions (w, x, y, z)."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def rotation_matrix(quaternion: Float[Array, "... 4"]) -> Float[Array, "... 3 3"]:
    """Return the rotation of a quaternion of any length; zero length gives the identity."""
    squared_length = (quaternion**2).sum(-1, keepdims=True)
    # The floor makes the zero quaternion 0 / tiny = 0, whose matrix below is the identity.
    unit = quaternion * lax.rsqrt(jnp.maximum(squared_length, 1e-24))
    w, x, y, z = (unit[..., i] for i in range(4))
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)
