"""Tiefenrausch with a head that sharpens its depth: log depth up to a constant from one frame.

    frame, log disparity, last features --2x2--> fine (h/2) --2x2--> coarse (h/4)
                                                   |                   |
    log depth = - log disparity + <------2x2-------+<-------2x2--------+

Tiefenrausch knows the world from photographs, but its outlines are soft: what it repeats from 1/2
to the whole frame has 8 features. The head sees the frame again at two scales. Its last layer
begins at zero, so that training starts at Tiefenrausch's depth. Its trunk is trained, too.
"""

import functools
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.config.depth import DepthNetConfig
from full4d_jax.models.folding import fold, unfold
from full4d_jax.models.linear import linear
from full4d_jax.models.tiefenrausch import FEATURES, last_features, read_out

INPUTS = 3 + 1 + FEATURES  # colours, log disparity, features
Params = dict[str, Any]


def init_params(config: DepthNetConfig, trunk: Params, key: PRNGKeyArray) -> Params:
    """Return parameters whose depth is that of the trunk, Tiefenrausch."""
    if not config.fine:
        return {"trunk": trunk}
    head = nnx.state(SharpHead(config, nnx.Rngs(params=key)), nnx.Param)
    return {"trunk": trunk, "head": nnx.to_pure_dict(head)}


def log_depth(
    config: DepthNetConfig, params: Params, frames: Float[Array, "b h w 3"]
) -> Float[Array, "b h w"]:
    """Estimate the log depth of frames in [-1, 1], up to one constant for each frame."""
    features = last_features(params["trunk"], frames)
    disparity = read_out(params["trunk"], features)
    if not config.fine:
        return -disparity
    # The head must not depend on the constant that is free.
    centred = disparity - disparity.mean((1, 2), keepdims=True)
    seen = jnp.concatenate([frames, centred[..., None], features], -1)
    return nnx.merge(_graph(config), params["head"])(seen) - disparity


@functools.cache
def _graph(config: DepthNetConfig) -> nnx.GraphDef:
    """Return the head's structure without allocating its parameters."""
    return nnx.split(nnx.eval_shape(lambda: SharpHead(config, nnx.Rngs(0))))[0]


class SharpHead(nnx.Module):
    """The head of the module's docstring."""

    def __init__(self, config: DepthNetConfig, rngs: nnx.Rngs):
        fine = config.fine
        coarse = config.coarse
        self.enter = linear(4 * INPUTS, fine, rngs)
        self.fine_to_coarse = linear(4 * fine, coarse, rngs)
        self.coarse_block = ConvBlock(coarse, rngs)
        self.coarse_to_fine = linear(coarse, 4 * fine, rngs)
        self.fine_block = ConvBlock(fine, rngs)
        self.norm = nnx.RMSNorm(fine, rngs=rngs)
        zeros = nnx.initializers.zeros
        self.leave = nnx.Conv(fine, 4, (3, 3), kernel_init=zeros, rngs=rngs)

    def __call__(self, seen: Float[Array, "b h w c"]) -> Float[Array, "b h w"]:
        """Return what is added to log depth."""
        fine = self.enter(fold(seen))
        coarse = self.coarse_block(self.fine_to_coarse(fold(fine)))
        fine = self.fine_block(fine + unfold(self.coarse_to_fine(coarse)))
        return unfold(self.leave(nnx.relu(self.norm(fine))))[..., 0]


class ConvBlock(nnx.Module):
    """A residual block, x + conv(relu(conv(norm(x)))), at first the identity."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.first = nnx.Conv(width, width, (3, 3), rngs=rngs)
        zeros = nnx.initializers.zeros
        self.second = nnx.Conv(width, width, (3, 3), kernel_init=zeros, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Refine a feature map."""
        return x + self.second(nnx.relu(self.first(self.norm(x))))
