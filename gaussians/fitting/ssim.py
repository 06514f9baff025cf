"""Structural similarity of two pictures (Wang et al. 2004)."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from scipy.linalg import convolution_matrix

SSIM_WINDOW = 11  # pixels
WINDOW_SIGMA_PIXELS = 1.5
WINDOW_OFFSETS = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
GAUSSIAN = np.exp(-(WINDOW_OFFSETS**2) / (2 * WINDOW_SIGMA_PIXELS**2))
# Weights of the window's pixels in a row; their sum is 1.
WINDOW = (GAUSSIAN / GAUSSIAN.sum()).astype(np.float32)
# What keeps the ratios of luminance and of structure finite, for values in [0, 1].
LUMINANCE_FLOOR = 0.01**2
STRUCTURE_FLOOR = 0.03**2


def inner_ssim_map(
    a: Float[Array, "h w c"], b: Float[Array, "h w c"]
) -> Float[Array, "h-10 w-10 c"]:
    """Return SSIM of every pixel whose window fits inside, equation 13 of Wang et al. 2004.

    Values are in [0, 1], pictures have at least 11 pixels each way. Equals scikit-image's with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
    """
    planes = jnp.stack([a, b, a * a, b * b, a * b], -1)
    mean_a, mean_b, square_a, square_b, product = jnp.unstack(_blur(planes), axis=-1)
    variance_a = square_a - mean_a**2
    variance_b = square_b - mean_b**2
    covariance = product - mean_a * mean_b
    luminance = 2 * mean_a * mean_b + LUMINANCE_FLOOR
    luminance /= mean_a**2 + mean_b**2 + LUMINANCE_FLOOR
    structure = 2 * covariance + STRUCTURE_FLOOR
    structure /= variance_a + variance_b + STRUCTURE_FLOOR
    return luminance * structure


def _blur(planes: Float[Array, "h w ..."]) -> Float[Array, "h-10 w-10 ..."]:
    """Blur rows and columns by a Gaussian window, without padding.

    Two products with band matrices are far faster on CPU than a convolution of one channel.
    """
    rows = _band(planes.shape[0])
    columns = _band(planes.shape[1])
    blurred = jnp.einsum(
        "yh,hw...->yw...", rows, planes, precision=lax.Precision.HIGHEST
    )
    return jnp.einsum(
        "xw,yw...->yx...", columns, blurred, precision=lax.Precision.HIGHEST
    )


def _band(size: int) -> np.ndarray:
    if size < SSIM_WINDOW:
        text = f"SSIM needs at least {SSIM_WINDOW} pixels each way, found {size}"
        raise ValueError(text)
    return convolution_matrix(WINDOW, size, "valid")
