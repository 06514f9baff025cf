"""Rotations as quaternions (w, x, y, z)."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Numbers = Float[Array, "..."]
Row = tuple[Numbers, Numbers, Numbers]


def rotation_rows(quaternion: Float[Array, "... 4"]) -> tuple[Row, Row, Row]:
    """Return the rotation of a quaternion of any length; zero length gives the identity.

    Each element is an array of its own: on CPUs that is far faster than many small matrices.
    """
    w, x, y, z = (quaternion[..., i] for i in range(4))
    # The floor makes the zero quaternion 0 / tiny = 0, whose matrix below is the identity.
    scale = lax.rsqrt(jnp.maximum(w * w + x * x + y * y + z * z, 1e-24))
    w = w * scale
    x = x * scale
    y = y * scale
    z = z * scale
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


def rotation_matrix(quaternion: Float[Array, "... 4"]) -> Float[Array, "... 3 3"]:
    """Return `rotation_rows` as matrices."""
    rows = rotation_rows(quaternion)
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)
