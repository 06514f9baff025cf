"""The U-Net that mends pictures at three scales, and two networks that are one.

picture --2x2--> fine --2x2--> middle --2x2--> coarse       1/2, 1/4, 1/8 of the sides
                  |              |              |
change  <--2x2----+<-----2x2-----+<----2x2------+

Pixels are folded into channels and back. Any sides that are multiples of 8 work.

The upsampler leads from the prior's small frame and the projection to the frame at full size. It
sees one target frame at a time, all of it at full size: the prior's frame G enlarged, the
projection P with its mask m (1 where a source point landed) and its disparity, and the projection F
with holes filled by push-pull. The U-Net gives a residual r and gates g and s for each pixel,

    (1)  B = F + sigmoid(s) (G - F)
    (2)  frame = B + sigmoid(g + 4 m - 2) m (P - B) + r

so that at first it pastes the projection over the mean of both fillings. What it learns is where
the prior knows more than the surroundings do, to close the cracks of the projection, to straighten
its edges, to doubt pixels of wrong depth, and to sharpen what only the prior knows. From
`DETAIL_DISTANCE` / 2 to 3 `DETAIL_DISTANCE` / 2 pixels into a hole the network's maps go over to
ones that vary slowly, since details are unknown there, and no pattern is drawn.

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
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax.models.dit.linear import linear
from full4d_jax.models.functional import Params, bound
from full4d_jax.models.nets.mobile_layers import Maps, Pictures, Plane
from full4d_jax.session.fields import Count

# Of which the sides of a picture must be multiples.
SIDE_MULTIPLE = 8
# Pixels from the projection, up to which details are known.
DETAIL_DISTANCE = 8
# Pixels, within which nothing varies elsewhere.
SLOW_CELL_PIXELS = 24
# Channels of `Guidance`.
GUIDANCE_CHANNELS = 11
# r, g and s of equations 1 and 2.
OUTPUT_CHANNELS = 5
# Disparity at which the input saturates.
NEAREST_DISPARITY = 4.0
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
class UpsamplerNetConfig:
    """Sizes of the upsampler."""

    widths: tuple[Count, Count, Count] = (48, 64, 96)
    """Channels at 1/2, 1/4 and 1/8 of the frame."""


class Guidance(NamedTuple):
    """Inputs of the upsampler for target frames, all at full size, colours in [-1, 1].

    Attributes:
      coarse: the prior's frames, enlarged.
      projected: the projection of the source, 0 in holes.
      mask: 1 where a source point landed.
      disparity: 1/z of the projection, 0 in holes.
      filled: the projection with holes filled by push-pull.
    """

    coarse: Pictures
    projected: Pictures
    mask: Plane
    disparity: Plane
    filled: Pictures


def upsample(
    config: UpsamplerNetConfig, params: Params, guidance: Guidance
) -> Pictures:
    """Return frames at full size in about [-1, 1], equation 2."""
    mask = guidance.mask[..., None]
    disparity = jnp.clip(guidance.disparity, 0, NEAREST_DISPARITY)[..., None]
    near = disparity / NEAREST_DISPARITY
    shown = [guidance.coarse, guidance.projected * mask, mask, near, guidance.filled]
    out = bound(upsampling_net, config, params)(jnp.concatenate(shown, -1))
    known = smooth_near(guidance.mask)[..., None]
    out = known * out + (1 - known) * slow(out)
    residual = out[..., :3]
    gate = jax.nn.sigmoid(out[..., 3:4] + 4 * mask - 2) * mask
    trust = jax.nn.sigmoid(out[..., 4:])
    base = guidance.filled + trust * (guidance.coarse - guidance.filled)
    return base + gate * (guidance.projected - base) + residual


def upsampling_net(config: UpsamplerNetConfig, rngs: nnx.Rngs) -> UNet:
    """Return the network, at first with r = g = s = 0 in equations 1 and 2."""
    return UNet(GUIDANCE_CHANNELS, OUTPUT_CHANNELS, config.widths, {"coarse": 1}, rngs)


def near(mask: Plane) -> Plane:
    """Return 1 within `DETAIL_DISTANCE` rows and columns of where the mask is 1, else 0."""
    side = 2 * DETAIL_DISTANCE + 1
    return jax.lax.reduce_window(
        mask, 0.0, jax.lax.max, (1, side, side), (1, 1, 1), "SAME"
    )


def smooth_near(mask: Plane) -> Plane:
    """Return `near`, which falls to 0 within as many pixels."""
    reach = DETAIL_DISTANCE // 2
    side = 2 * reach + 1
    x = jnp.pad(near(mask), ((0, 0), (reach, reach), (reach, reach)), "edge")
    window = (1, side, side)
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, (1, 1, 1), "VALID")
    return total / side**2


def slow(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Return maps without what varies within `SLOW_CELL_PIXELS`."""
    batch, height, width, channels = x.shape
    rows, columns = (max(1, round(size / SLOW_CELL_PIXELS)) for size in (height, width))
    cells = (batch, rows, columns, channels)
    return jax.image.resize(jax.image.resize(x, cells, "linear"), x.shape, "cubic")


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
