"""Picture losses for fitting: 0.8 L1 + 0.2 D-SSIM, as in 3DGS."""

from types import ModuleType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gaussians.fitting import ssim_cpu
from gaussians.fitting.ssim import inner_ssim_map
from gaussians.rendering import compositing_cpu
from gaussians.rendering.platforms import on_this_platform
from gaussians.types import Picture, Scalar


def mean_ssim(rendered: Picture, target: Picture) -> Scalar:
    """Return the mean of `inner_ssim_map`; on CPUs Numba makes it with its gradient."""
    # Half precision has none of its own.
    kind = jnp.promote_types(rendered.dtype, jnp.float32)
    return _mean_ssim(rendered.astype(kind), target.astype(kind))


@jax.custom_vjp
def _mean_ssim(a: Picture, b: Picture) -> Scalar:
    return _ssim_and_slope(a, b)[0]


@jax.jit
def _ssim_and_slope(a: Picture, b: Picture) -> tuple[Scalar, Picture]:
    """Return the mean SSIM, and its derivative by the first picture."""

    def work(kernels: ModuleType, a: Picture, b: Picture) -> tuple[Scalar, Picture]:
        if kernels is compositing_cpu:
            return ssim_cpu.ssim_and_slope(a, b)
        return jax.value_and_grad(lambda a: inner_ssim_map(a, b).mean())(a)

    return on_this_platform(work, a, b)


def _mean_ssim_forward(a: Picture, b: Picture) -> tuple[Scalar, tuple]:
    value, slope = _ssim_and_slope(a, b)
    return value, (a, b, slope)


def _mean_ssim_backward(residuals: tuple, cotangent: Scalar) -> tuple[Picture, Picture]:
    a, b, slope = residuals
    # SSIM is symmetric; nothing is computed where nobody reads it.
    return cotangent * slope, cotangent * _ssim_and_slope(b, a)[1]


_mean_ssim.defvjp(_mean_ssim_forward, _mean_ssim_backward)


def picture_loss(rendered: Picture, target: Picture) -> Scalar:
    """Return 0.8 L1 + 0.2 (1 - SSIM)."""
    dssim = 0.2
    l1 = jnp.abs(rendered - target).mean()
    return (1 - dssim) * l1 + dssim * (1 - mean_ssim(rendered, target))


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
