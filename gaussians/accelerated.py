"""`compositing.composite` away from the CPU: a Pallas kernel on TPU, XLA in chunks elsewhere."""

from functools import partial

import jax
from jaxtyping import Array, Float

from gaussians import compositing_chunks, compositing_tpu
from gaussians.binning import Bins, Tiles


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def composite(
    features: Float[Array, "g f"], bins: Bins, tiles: Tiles
) -> Float[Array, "h w payload+1"]:
    """Composited payload and what is left for the background, as in `compositing.composite`."""
    return _forward(features, bins, tiles)[0]


def _forward(features: Array, bins: Bins, tiles: Tiles) -> tuple[Array, tuple]:
    image = _kernels().forward(features, bins, tiles)
    return image, (features, bins, image)


def _backward(tiles: Tiles, residuals: tuple, cotangent: Array) -> tuple[Array, None]:
    features, bins, image = residuals
    return _kernels().backward(features, bins, image, cotangent, tiles), None


composite.defvjp(_forward, _backward)


def _kernels():
    return compositing_tpu if jax.default_backend() == "tpu" else compositing_chunks
