"""The inpainting network: a picture without its hole becomes a whole one.

It sees the picture F whose hole push-pull filled, and the hole m. Outside of it nothing changes:

    picture = F + m r

where r is what a U-Net says (`unet`). At 1/8 of the picture, taps of its convolutions lie ever
farther apart, so that it sees from any place beyond the other side of most holes (as in Iizuka et
al. 2017). Any sides that are multiples of 8 work.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx

from full4d_jax.models.functional import Params, bound
from full4d_jax.models.mobile_layers import Pictures, Plane
from full4d_jax.models.unet import UNet
from full4d_jax.session.fields import Count

# Of which the sides of a picture must be multiples.
SIDE_MULTIPLE = 8
# Colours and the hole.
INPUT_CHANNELS = 4


@dataclass(frozen=True)
class InpaintingNetConfig:
    """Sizes of the inpainting network."""

    widths: tuple[Count, Count, Count] = (48, 96, 128)
    """Channels at 1/2, 1/4 and 1/8 of the picture."""
    dilations: tuple[Count, ...] = (1, 2, 4, 8, 1, 2, 4, 8)
    """Cells between the taps of the blocks at 1/8."""


def added(
    config: InpaintingNetConfig, params: Params, filled: Pictures, hole: Plane
) -> Pictures:
    """Return r, what the network adds in the holes.

    Args:
      config: sizes of the network.
      params: its parameters.
      filled: pictures in [-1, 1] whose holes push-pull filled.
      hole: 1 there, else 0.
    """
    seen = jnp.concatenate([filled, hole[..., None]], -1)
    return bound(network, config, params)(seen)


def network(config: InpaintingNetConfig, rngs: nnx.Rngs) -> UNet:
    """Return the network, at first with r = 0."""
    steps = {f"coarse_{i}": step for i, step in enumerate(config.dilations)}
    return UNet(INPUT_CHANNELS, 3, config.widths, steps, rngs)
