"""The clean plate of a resting camera: what is behind the subjects, in colour and depth.

Where a subject stands at all instants, pictures from before and after may show what it hides. With
E the disparity that the network gives the backdrop as a picture, and D* that of what rests at the
instants (`moving.resting_disparity`), the plate has

    D = E exp(f),   f = log(D* / E) where D* is known, from around by push-pull elsewhere

so that it goes on where the rest of the scene ends, however far off the network is.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32, UInt8
from numpy import ndarray

from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.grid import CleanPlate
from full4d_jax.source.backdrop import Backdrop
from full4d_jax.source.depth.moving import resting_disparity

Estimate = Callable[[UInt8[ndarray, "h w 3"]], Float[ndarray, "h w"]]
LEAST = 1e-3  # share of the picture that must be hidden at all instants, or there is no plate


def clean_plate(
    depth: Float[ndarray, "t h w"],
    frames: UInt8[ndarray, "t h w 3"],
    labels: Int32[ndarray, "t h w"],
    backdrop: Backdrop,
    estimate: Estimate,
) -> CleanPlate | None:
    """Return what other pictures show where subjects never move away; None for nothing.

    Args:
      depth: of a camera at rest, world units, 0 where unknown.
      frames: sRGB.
      labels: number of the subject at each pixel, 0 for what rests.
      backdrop: what other pictures show, too.
      estimate: returns the depth of a picture, of any scale.
    """
    rests = labels == 0
    hidden = backdrop.added & ~rests.any(0)
    if hidden.mean() < LEAST:
        return None
    shown = np.where(backdrop.known[..., None], backdrop.frame, frames[0]).astype(np.uint8)
    estimated = 1 / np.maximum(estimate(shown), 1e-6)
    resting = resting_disparity(np.where(depth > 0, 1 / np.maximum(depth, 1e-6), 0.0), rests)
    known = resting > 0
    factor = np.where(known, np.log(np.maximum(resting, 1e-6) / estimated), 0.0)
    weights = known.astype(np.float32)[..., None]
    filled = jax.jit(push_pull)(jnp.asarray(factor, jnp.float32)[..., None], jnp.asarray(weights))
    disparity = estimated * np.exp(np.asarray(filled)[..., 0])
    return CleanPlate(shown, np.where(hidden, 1 / disparity, 0).astype(np.float32))


def describe_plate(plate: CleanPlate) -> str:
    """Return a line for the user about the share of the picture whose background others show."""
    share = (plate.depth > 0).mean()
    return (
        f"depth: of {share:.1%} of the picture, which someone hides for the whole part, the film "
        "shows the background before or after"
    )
