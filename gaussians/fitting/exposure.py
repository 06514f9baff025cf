"""Exposure of views: the effect of a camera's automatic gain and white balance.

Each view has six numbers, the logarithm of a gain and an offset for every channel. Pictures only
show differences between views, so the mean over views is subtracted: the scene keeps the average
exposure. Where each view has peers, views that stand beside it, their mean is: then what changes
slowly around the scene, as light does from its bright to its dark side, stays in the scene.

    (1)  seen = rgb * exp(log_gain) + offset
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def exposure_change(
    exposures: Float[Array, "v 2 3"],
    view: Int[Array, ""],
    peers: Float[Array, "v"] | None = None,
) -> Float[Array, "2 3"]:
    """Return by how much a view differs from the weighted mean of its peers, or else of all."""
    if peers is None:
        return (exposures - exposures.mean(0, keepdims=True))[view]
    return exposures[view] - jnp.tensordot(peers, exposures, 1)


def expose(
    rgb: Float[Array, "h w 3"],
    exposures: Float[Array, "v 2 3"],
    view: Int[Array, ""],
    peers: Float[Array, "v"] | None = None,
) -> Float[Array, "h w 3"]:
    """Return a picture as the camera of a view records it, equation 1."""
    log_gain, offset = exposure_change(exposures, view, peers)
    return rgb * jnp.exp(log_gain)[None, None] + offset[None, None]
