"""Picture losses for fitting: 0.8 L1 + 0.2 D-SSIM, as in 3DGS."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from scipy.linalg import convolution_matrix

from gaussians.types import Picture, Scalar

SSIM_WINDOW = 11  # pixels


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
    # SSIM's constants, for values in [0, 1].
    c1 = 0.01**2
    c2 = 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return luminance * structure


def picture_loss(rendered: Picture, target: Picture) -> Scalar:
    """Return 0.8 L1 + 0.2 (1 - SSIM)."""
    dssim = 0.2
    l1 = jnp.abs(rendered - target).mean()
    return (1 - dssim) * l1 + dssim * (1 - inner_ssim_map(rendered, target).mean())


def capped_psnr(
    rendered: Picture, target: Picture, known: Float[Array, "h w"] | None = None
) -> Scalar:
    """Return PSNR of the known pixels for values in [0, 1], at most 100 dB; NaN for no pixel."""
    share = 1.0 if known is None else (known > 0).mean()
    squares = (rendered - target) ** 2
    if known is not None:
        squares = jnp.where(known[..., None] > 0, squares, 0)
    error = squares.mean() / share
    return -10 * jnp.log10(jnp.where(error < 1e-10, 1e-10, error))


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
    # Standard deviation of the window, pixels.
    sigma = 1.5
    offset = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    window = np.exp(-(offset**2) / (2 * sigma**2))
    return convolution_matrix(window / window.sum(), size, "valid").astype(np.float32)
