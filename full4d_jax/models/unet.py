"""The U-Net that mends pictures at three scales, and the inpainting network that is one.

picture --2x2--> fine --2x2--> middle --2x2--> coarse       1/2, 1/4, 1/8 of the sides
                  |              |              |
change  <--2x2----+<-----2x2-----+<----2x2------+

Pixels are folded into channels and back. Any sides that are multiples of 8 work.

The inpainting network sees the picture F whose hole push-pull filled, and the hole m. Outside of it
nothing changes:

    picture = F + m r

where r is what the U-Net says. At 1/8 of the picture, taps of its convolutions lie ever farther
apart, so that it sees from any place beyond the other side of most holes (as in Iizuka et al.
2017).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax.models.functional import Params, bound
from full4d_jax.models.linear import linear
from full4d_jax.models.mobile_layers import Maps, Pictures, Plane
from full4d_jax.session.fields import Count

# Of which the sides of a picture must be multiples.
SIDE_MULTIPLE = 8
HE = nnx.initializers.he_normal()
ZEROS = nnx.initializers.zeros


def fold(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 4*c"]:
    """Halve the resolution and quadruple the channels."""
    return rearrange(x, "b (h i) (w j) c -> b h w (i j c)", i=2, j=2)


def unfold(x: Float[Array, "b h w d"]) -> Float[Array, "b 2*h 2*w d//4"]:
    """Double the resolution, the inverse of `fold`."""
    return rearrange(x, "b h w (i j c) -> b (h i) (w j) c", i=2, j=2)


class ResidualBlock(nnx.Module):
    """x + conv(silu(conv(silu(x)))), at first the identity.

    Without a norm, so that what it adds may follow the contrast of the frame. Taps of the first
    convolution lie `step` pixels apart.
    """

    def __init__(self, width: int, rngs: nnx.Rngs, step: int = 1):
        conv = partial(nnx.Conv, width, width, (3, 3), rngs=rngs)
        self.first = conv(kernel_dilation=(step, step), kernel_init=HE)
        self.second = conv(kernel_init=ZEROS)

    def __call__(self, x: Maps) -> Maps:
        """Refine a feature map."""
        return x + self.second(nnx.silu(self.first(nnx.silu(x))))


class UNet(nnx.Module):
    """The network of the module's docstring, whose result is zeros at first.

    Args:
      inputs: channels.
      outputs: channels.
      widths: channels at the three scales.
      steps: names of the blocks at the coarse scale, and how far their taps lie apart.
      rngs: of the parameters.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: tuple[int, int, int],
        steps: Mapping[str, int],
        rngs: nnx.Rngs,
    ):
        fine, middle, coarse = widths
        self.enter = nnx.Conv(4 * inputs, fine, (3, 3), rngs=rngs)
        self.fine_down = ResidualBlock(fine, rngs)
        self.fine_to_middle = linear(4 * fine, middle, rngs)
        self.middle_down = ResidualBlock(middle, rngs)
        self.middle_to_coarse = linear(4 * middle, coarse, rngs)
        self.coarse_blocks = tuple(steps)
        for name, step in steps.items():
            setattr(self, name, ResidualBlock(coarse, rngs, step))
        self.coarse_to_middle = linear(coarse, 4 * middle, rngs)
        self.middle_up = ResidualBlock(middle, rngs)
        self.middle_to_fine = linear(middle, 4 * fine, rngs)
        self.fine_up = ResidualBlock(fine, rngs)
        self.leave = nnx.Conv(fine, 4 * outputs, (3, 3), kernel_init=ZEROS, rngs=rngs)

    def __call__(self, x: Maps) -> Maps:
        """Apply the network; sides are multiples of 8."""
        fine = self.fine_down(self.enter(fold(x)))
        middle = self.middle_down(self.fine_to_middle(fold(fine)))
        coarse = self.middle_to_coarse(fold(middle))
        for name in self.coarse_blocks:
            coarse = getattr(self, name)(coarse)
        middle = self.middle_up(middle + unfold(self.coarse_to_middle(coarse)))
        fine = self.fine_up(fine + unfold(self.middle_to_fine(middle)))
        return unfold(self.leave(nnx.silu(fine)))


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
    return bound(inpainting_net, config, params)(seen)


def inpainting_net(config: InpaintingNetConfig, rngs: nnx.Rngs) -> UNet:
    """Return the network, at first with r = 0."""
    # Colours and the hole.
    input_channels = 4
    steps = {f"coarse_{i}": step for i, step in enumerate(config.dilations)}
    return UNet(input_channels, 3, config.widths, steps, rngs)
