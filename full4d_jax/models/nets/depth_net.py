"""Two networks by others, joined by a head that was trained: log depth from one frame.

    frame -+- Tiefenrausch -> log disparity t, features, deepest features - share s, 1/32
           +- FastDepth ----> log disparity f

    rough = t + s (f - t)                        both less their means

    frame, t, f, features --2x2--> fine (h/2) --2x2--> coarse (h/4)
                                     |                   |
    log depth = - rough + <---2x2----+<-------2x2--------+

Tiefenrausch knows the world from photographs, FastDepth knows rooms; the share of the second is
decided from what Tiefenrausch sees in the whole frame. Both have soft outlines. The head sees the
frame again at two scales. Its last layer begins at zero, and the share at a half. Tiefenrausch is
trained with the head, FastDepth stays as it was published.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.models.dit.linear import linear
from full4d_jax.models.functional import Params, bound, draw_params
from full4d_jax.models.nets import published as published_networks
from full4d_jax.models.nets import tiefenrausch, unet
from full4d_jax.models.nets.mobile_layers import Maps, Pictures, Plane
from full4d_jax.session.fields import Count, CountOrZero

# Colours, features, log disparities.
INPUT_CHANNELS = 3 + tiefenrausch.FEATURE_CHANNELS + 2


@dataclass(frozen=True)
class DepthNetConfig:
    """Sizes of the head that joins and sharpens the depth of two networks."""

    fine: CountOrZero = 48
    """Channels at 1/2 of the frame; 0 is Tiefenrausch without a head."""
    coarse: Count = 64
    """Channels at 1/4 of the frame."""


def init_params(config: DepthNetConfig, trunk: Params, key: PRNGKeyArray) -> Params:
    """Return the parameters that are trained: those of Tiefenrausch and of a new head.

    With `config.fine` 0 there is no head.
    """
    head = {"head": draw_params(Head, config, key)} if config.fine else {}
    return {"trunk": trunk} | head


def log_depth(config: DepthNetConfig, params: Params, frames: Pictures) -> Plane:
    """Estimate the log depth of frames in [-1, 1], up to one constant for each frame.

    With a head, `params` are what is trained and, as `rooms`, FastDepth.
    """
    disparity, fine, deepest = tiefenrausch.log_disparity(params["trunk"], frames)
    if not config.fine:
        return -disparity
    head = bound(Head, config, params["head"])
    # The head must not depend on the constants that are free.
    world = _centred(disparity)
    room = _centred(published_networks.fast_log_disparity(params["rooms"], frames))
    return head(frames, world, room, fine, deepest)


def _centred(x: Plane) -> Plane:
    return x - x.mean((1, 2), keepdims=True)


class Head(nnx.Module):
    """The head of the module's docstring."""

    def __init__(self, config: DepthNetConfig, rngs: nnx.Rngs):
        fine = config.fine
        coarse = config.coarse
        self.share = linear(tiefenrausch.DEEPEST_CHANNELS, 1, rngs, zero=True)
        self.enter = linear(4 * INPUT_CHANNELS, fine, rngs)
        self.fine_to_coarse = linear(4 * fine, coarse, rngs)
        self.coarse_block = ConvBlock(coarse, rngs)
        self.coarse_to_fine = linear(coarse, 4 * fine, rngs)
        self.fine_block = ConvBlock(fine, rngs)
        self.norm = nnx.RMSNorm(fine, rngs=rngs)
        self.leave = nnx.Conv(fine, 4, (3, 3), kernel_init=unet.ZEROS, rngs=rngs)

    def __call__(
        self,
        frames: Pictures,
        world: Plane,
        room: Plane,
        features: Maps,
        deepest: Float[Array, "b h/32 w/32 d"],
    ) -> Plane:
        """Return log depth.

        Args:
          frames: colours in [-1, 1].
          world: log disparity by Tiefenrausch, of mean 0.
          room: log disparity by FastDepth, of mean 0.
          features: of Tiefenrausch, of each pixel.
          deepest: of Tiefenrausch, of every 32nd pixel.
        """
        share = jax.nn.sigmoid(self.share(deepest))[..., 0]
        share = jax.image.resize(share, world.shape, "linear")
        rough = world + share * (room - world)

        disparities = jnp.stack([world, room], -1)
        inputs = jnp.concatenate([frames, features, disparities], -1)
        fine = self.enter(unet.fold(inputs))
        coarse = self.coarse_block(self.fine_to_coarse(unet.fold(fine)))
        fine = self.fine_block(fine + unet.unfold(self.coarse_to_fine(coarse)))
        return unet.unfold(self.leave(nnx.relu(self.norm(fine))))[..., 0] - rough


class ConvBlock(nnx.Module):
    """A residual block, x + conv(relu(conv(norm(x)))), at first the identity."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.first = nnx.Conv(width, width, (3, 3), rngs=rngs)
        self.second = nnx.Conv(width, width, (3, 3), kernel_init=unet.ZEROS, rngs=rngs)

    def __call__(self, x: Maps) -> Maps:
        """Refine a feature map."""
        return x + self.second(nnx.relu(self.first(self.norm(x))))
