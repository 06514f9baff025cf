"""Exposure of views: the effect of a camera's automatic gain and white balance.

Each view has six numbers, the logarithm of a gain and an offset for every channel. Pictures only
show differences between views, so the mean over views is subtracted: the scene keeps the average
exposure.

    (1)  seen = rgb * exp(log_gain) + offset
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def no_exposure(views: int) -> Float[Array, "v 2 3"]:
    """Return log-gains and offsets that change nothing."""
    return jnp.zeros((views, 2, 3))


def expose(
    rgb: Float[Array, "h w 3"], exposures: Float[Array, "v 2 3"], view: Int[Array, ""]
) -> Float[Array, "h w 3"]:
    """Return a picture as the camera of a view records it, equation 1."""
    log_gain, offset = (exposures - exposures.mean(0, keepdims=True))[view]
    return rgb * jnp.exp(log_gain)[None, None] + offset[None, None]
