"""View-dependent colour as real spherical harmonics to degree 3, signed as in 3DGS files.

The 3DGS basis is the real orthonormal one with the Condon-Shortley phase kept:
Y_1 = sqrt(3 / 4 pi) (-y, z, -x), and so on; coefficient 0 is the mean colour minus one half.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from gaussians import precision, types

MEAN_HARMONIC = 0.28209479177387814  # Y_00 = 1 / sqrt(4 pi)


def basis(directions: Float[Array, "... 3"], degree: int) -> Float[Array, "... k"]:
    """Return the k = (degree + 1)^2 basis functions at unit `directions`; degree is 0 to 3."""
    x, y, z = (directions[..., i] for i in range(3))
    xx = x * x
    yy = y * y
    zz = z * z
    bands = [
        [jnp.full_like(x, MEAN_HARMONIC)],
        [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x],
        [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * zz - xx - yy),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
        ],
        [
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * zz - xx - yy),
            0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
            -0.4570457994644658 * x * (4 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ],
    ]
    return jnp.stack([value for band in bands[: degree + 1] for value in band], -1)


@precision.exact_products
def colors(
    harmonics: Float[Array, "g k 3"], directions: types.Vectors, degree: int
) -> types.Vectors:
    """Return the non-negative colour along `directions` (from camera to Gaussian, any length)."""
    squared_length = (directions**2).sum(-1, keepdims=True)
    unit = directions / jnp.sqrt(jnp.maximum(squared_length, 1e-24))
    weights = basis(unit, degree)
    mixed = (weights[..., None] * harmonics[:, : weights.shape[-1]]).sum(1)
    return jnp.maximum(mixed + 0.5, 0.0)


def from_rgb(
    rgb: Float[ndarray, "... 3"], degree: int = 0
) -> Float[ndarray, "... k 3"]:
    """Return the coefficients of the same colour in every direction."""
    mean = (rgb[..., None, :] - 0.5) / MEAN_HARMONIC
    rest = np.zeros((*rgb.shape[:-1], (degree + 1) ** 2 - 1, 3), mean.dtype)
    return np.concatenate([mean, rest], axis=-2)
