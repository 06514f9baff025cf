"""The inpainting network: a picture without its hole becomes a whole one.

It sees the picture F whose hole push-pull filled, and the hole m. Outside of it nothing changes:

    picture = F + m r

where r is what a U-Net says. At 1/8 of the picture, taps of its convolutions lie ever farther
apart, so that it sees from any place beyond the other side of most holes (as in Iizuka et al.
2017). Resolution changes by folding 2x2 pixels into channels, as in `upsampler`. Any sides that
are multiples of 8 work.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.models.folding import fold, unfold
from full4d_jax.models.functional import Params, bound, draw_params
from full4d_jax.models.linear import linear
from full4d_jax.models.upsampler import ResidualBlock
from full4d_jax.session.fields import Count

SIDE_MULTIPLE = 8  # of which the sides of a picture must be multiples
INPUT_CHANNELS = 4  # channels: colours and the hole
ZEROS = nnx.initializers.zeros


@dataclass(frozen=True)
class InpaintingNetConfig:
    """Sizes of the inpainting network."""

    widths: tuple[Count, Count, Count] = (48, 96, 128)
    """Channels at 1/2, 1/4 and 1/8 of the picture."""
    dilations: tuple[Count, ...] = (1, 2, 4, 8, 1, 2, 4, 8)
    """Cells between the taps of the blocks at 1/8."""


def init_params(config: InpaintingNetConfig, key: PRNGKeyArray) -> Params:
    """Return random parameters, float32, with r = 0."""
    return draw_params(InpaintingNet, config, key)


def added(
    config: InpaintingNetConfig,
    params: Params,
    filled: Float[Array, "b h w 3"],
    hole: Float[Array, "b h w"],
) -> Float[Array, "b h w 3"]:
    """Return r, what the network adds in the holes.

    Args:
      config: sizes of the network.
      params: its parameters.
      filled: pictures in [-1, 1] whose holes push-pull filled.
      hole: 1 there, else 0.
    """
    return bound(InpaintingNet, config, params)(filled, hole)


def inpaint(
    config: InpaintingNetConfig,
    params: Params,
    filled: Float[Array, "b h w 3"],
    hole: Float[Array, "b h w"],
) -> Float[Array, "b h w 3"]:
    """Return whole pictures in [-1, 1]; arguments as those of `added`."""
    return jnp.clip(filled + hole[..., None] * added(config, params, filled, hole), -1, 1)


class InpaintingNet(nnx.Module):
    """The network of the module's docstring."""

    def __init__(self, config: InpaintingNetConfig, rngs: nnx.Rngs):
        fine, middle, coarse = config.widths
        self.enter = nnx.Conv(4 * INPUT_CHANNELS, fine, (3, 3), rngs=rngs)
        self.fine_down = ResidualBlock(fine, rngs)
        self.fine_to_middle = linear(4 * fine, middle, rngs)
        self.middle_down = ResidualBlock(middle, rngs)
        self.middle_to_coarse = linear(4 * middle, coarse, rngs)
        self.dilations = config.dilations
        for i, step in enumerate(config.dilations):
            setattr(self, f"coarse_{i}", ResidualBlock(coarse, rngs, step))
        self.coarse_to_middle = linear(coarse, 4 * middle, rngs)
        self.middle_up = ResidualBlock(middle, rngs)
        self.middle_to_fine = linear(middle, 4 * fine, rngs)
        self.fine_up = ResidualBlock(fine, rngs)
        self.leave = nnx.Conv(fine, 4 * 3, (3, 3), kernel_init=ZEROS, rngs=rngs)

    def __call__(
        self, filled: Float[Array, "b h w 3"], hole: Float[Array, "b h w"]
    ) -> Float[Array, "b h w 3"]:
        """Return what is added in the hole."""
        fine = self.fine_down(self.enter(fold(jnp.concatenate([filled, hole[..., None]], -1))))
        middle = self.middle_down(self.fine_to_middle(fold(fine)))
        coarse = self.middle_to_coarse(fold(middle))
        for i in range(len(self.dilations)):
            coarse = getattr(self, f"coarse_{i}")(coarse)
        middle = self.middle_up(middle + unfold(self.coarse_to_middle(coarse)))
        fine = self.fine_up(fine + unfold(self.middle_to_fine(middle)))
        return unfold(self.leave(nnx.silu(fine)))
