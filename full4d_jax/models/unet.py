"""The U-Net that mends pictures at three scales; pixels are folded into channels and back.

picture --2x2--> fine --2x2--> middle --2x2--> coarse       1/2, 1/4, 1/8 of the sides
                  |              |              |
change  <--2x2----+<-----2x2-----+<----2x2------+
"""

from collections.abc import Mapping
from functools import partial

from einops import rearrange
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax.models.linear import linear
from full4d_jax.models.mobile_layers import Maps

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
