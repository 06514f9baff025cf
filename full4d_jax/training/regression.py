"""The terms beside flow matching: regression of the mean, error of the motion, and LPIPS."""

import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from full4d_jax import flow
from full4d_jax.flow import Latents, PerFrame
from full4d_jax.media.metrics import Distance
from full4d_jax.models.codec import Codec
from full4d_jax.models.dit.moved_base import MOTION_UNIT_PIXELS
from full4d_jax.training.microbatch import Microbatch

Weight = Float[Array, "b v t h w 1"]
# Of a latent from instant 0, in pictures a tenth of the range.
LEAST_CHANGE = 0.2
# Below this length, in units of motion, an error counts as its square.
ROUNDED_OFF_LENGTH = 0.02


def regression(
    predicted: Latents, data: Latents, moving: float
) -> tuple[Weight, PerFrame]:
    """Return weights of latent pixels, and the error of the mean of the data, `flow.mean_loss`.

    Args:
      predicted: latents at tau = 0.
      data: latents that they should be.
      moving: additional weight of what differs from instant 0 of its view.
    """
    change = jnp.abs(data - data[:, :, :1]).max(-1, keepdims=True)
    weight = 1 + moving * (change > LEAST_CHANGE)
    return weight, flow.mean_loss(predicted, data, weight)


def motion_error(
    motion: Float[Array, "b v t h w 2"],
    truth: Float[Array, "b v t h w 3"],
    weight: Weight,
) -> PerFrame:
    """Return how far motion is from a trusted truth, in units of `MOTION_UNIT_PIXELS`.

    Args:
      motion: pixels, x and y.
      truth: the same, and 1 where it can be trusted, else 0.
      weight: of each pixel.
    """
    missed = (motion - truth[..., :2]) / MOTION_UNIT_PIXELS
    square = (missed**2).sum(-1, keepdims=True)
    length = jnp.sqrt(square + ROUNDED_OFF_LENGTH**2)
    return (weight * truth[..., 2:] * length).mean((3, 4, 5))


def perceptual(
    codec: Codec,
    distance: Distance,
    pair: tuple[Latents, Latents],
    means: int,
    part: Microbatch,
) -> Float[Array, ""]:
    """Return the mean LPIPS of the `means` clips that train the mean, which come first.

    Args:
      codec: decodes latents.
      distance: LPIPS of two pictures in [0, 1].
      pair: predicted and true latents.
      means: clips of the whole batch that train the mean.
      part: which clips of the batch these are.
    """
    # No others are decoded.
    most = part.most_below(means)
    pictures = [codec.decode(x[:most]) / 2 + 0.5 for x in pair]
    a, b = (rearrange(x, "b v t h w c -> (b v t) h w c") for x in pictures)
    distances = distance(a, b).reshape(most, -1).mean(1)
    return (distances * (part.places[:most] < means)).sum() / max(means, 1)
