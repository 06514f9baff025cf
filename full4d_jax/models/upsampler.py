"""The upsampler: from the prior's small frame and the projection to the frame at full size.

It sees one target frame at a time, all of it at full size: the prior's frame G enlarged, the
projection P with its mask m (1 where a source point landed) and its disparity, and the projection F
with holes filled by push-pull. A U-Net gives a residual r and gates g and s for each pixel,

    (1)  B = F + sigmoid(s) (G - F)
    (2)  frame = B + sigmoid(g + 4 m - 2) m (P - B) + r

so that at first it pastes the projection over the mean of both fillings. What it learns is where
the prior knows more than the surroundings do, to close the cracks of the projection, to straighten
its edges, to doubt pixels of wrong depth, and to sharpen what only the prior knows. From
`DETAIL_DISTANCE` / 2 to 3 `DETAIL_DISTANCE` / 2 pixels into a hole the network's maps go over to
ones that vary slowly, since details are unknown there, and no pattern is drawn. Any sides that are
multiples of 8 work.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax.models.functional import Params, bound
from full4d_jax.models.mobile_layers import Pictures, Plane
from full4d_jax.models.unet import UNet
from full4d_jax.session.fields import Count

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


def upsample(config: UpsamplerNetConfig, params: Params, guidance: Guidance) -> Pictures:
    """Return frames at full size in about [-1, 1], equation 2."""
    mask = guidance.mask[..., None]
    disparity = jnp.clip(guidance.disparity, 0, NEAREST_DISPARITY)[..., None]
    closeness = disparity / NEAREST_DISPARITY
    shown = [guidance.coarse, guidance.projected * mask, mask, closeness, guidance.filled]
    out = bound(unet, config, params)(jnp.concatenate(shown, -1))
    known = smooth_near(guidance.mask)[..., None]
    out = known * out + (1 - known) * slow(out)
    residual = out[..., :3]
    gate = jax.nn.sigmoid(out[..., 3:4] + 4 * mask - 2) * mask
    trust = jax.nn.sigmoid(out[..., 4:])
    base = guidance.filled + trust * (guidance.coarse - guidance.filled)
    return base + gate * (guidance.projected - base) + residual


def unet(config: UpsamplerNetConfig, rngs: nnx.Rngs) -> UNet:
    """Return the network, at first with r = g = s = 0 in equations 1 and 2."""
    return UNet(GUIDANCE_CHANNELS, OUTPUT_CHANNELS, config.widths, {"coarse": 1}, rngs)


def near(mask: Plane) -> Plane:
    """Return 1 within `DETAIL_DISTANCE` rows and columns of where the mask is 1, else 0."""
    side = 2 * DETAIL_DISTANCE + 1
    return jax.lax.reduce_window(mask, 0.0, jax.lax.max, (1, side, side), (1, 1, 1), "SAME")


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
