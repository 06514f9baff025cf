"""A small monocular depth network: log depth up to one additive constant from one frame.

    frame --2x2--> fine (h/2) --2x2--> middle (h/4) --2x2--> coarse (h/8): attention over all tokens
                      |                   |                    |
    log depth <--2x2--+<-------2x2--------+<--------2x2--------+

It is a U-Net whose coarsest level is a transformer: the place of floor, walls and horizon depends
on the whole frame, the edge of an object on what is around it. Resolution changes by folding 2x2
pixels into channels and back, from the first layer on, since layers with many pixels and few
channels are slow on every machine. Positions enter as coordinates of the frame in [-1, 1]: any
sides that are multiples of 8 work, and a frame seen at another resolution keeps its positions.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.config.depth import DepthNetConfig
from full4d_jax.models.folding import fold, unfold
from full4d_jax.models.linear import Linear, linear

MULTIPLE = 8  # of which the sides of a frame must be multiples
OCTAVES = 4  # of the position code
EDGE = 0.1  # relative bend of disparity above which an estimated depth counts as smeared
Params = dict[str, Any]


def init_params(config: DepthNetConfig, key: PRNGKeyArray) -> Params:
    """Draw parameters, float32; attention blocks are stacked on their first axis."""
    return nnx.to_pure_dict(nnx.state(DepthNet(config, nnx.Rngs(params=key)), nnx.Param))


def log_depth(
    config: DepthNetConfig, params: Params, frames: Float[Array, "b h w 3"]
) -> Float[Array, "b h w"]:
    """Estimate the log depth of frames in [-1, 1], up to one constant for each frame."""
    return nnx.merge(_graph(config), params)(frames)


@functools.cache
def _graph(config: DepthNetConfig) -> nnx.GraphDef:
    """Return the network's structure without allocating its parameters."""
    return nnx.split(nnx.eval_shape(lambda: DepthNet(config, nnx.Rngs(0))))[0]


class DepthNet(nnx.Module):
    """The network of the module's docstring."""

    def __init__(self, config: DepthNetConfig, rngs: nnx.Rngs):
        fine, middle, coarse = config.widths
        self.enter = nnx.Conv(4 * 3 + 2, fine, (3, 3), rngs=rngs)
        self.fine_to_middle = linear(4 * fine, middle, rngs)
        self.middle_down = ConvBlock(middle, rngs)
        self.middle_to_coarse = linear(4 * middle, coarse, rngs)
        self.place = linear(4 * OCTAVES, coarse, rngs)

        @nnx.split_rngs(splits=config.attentions)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def stack(rngs: nnx.Rngs) -> TransformerBlock:
            return TransformerBlock(coarse, config.heads, rngs)

        self.blocks = stack(rngs)
        self.coarse_to_middle = linear(coarse, 4 * middle, rngs)
        self.middle_up = ConvBlock(middle, rngs)
        self.middle_to_fine = linear(middle, 4 * fine, rngs)
        self.norm = nnx.RMSNorm(fine, rngs=rngs)
        self.leave = nnx.Conv(fine, 4, (3, 3), rngs=rngs)

    def __call__(self, frames: Float[Array, "b h w 3"]) -> Float[Array, "b h w"]:
        """Estimate the log depth up to a constant."""
        x = fold(frames)
        b, h, w, _ = x.shape
        x = jnp.concatenate([x, jnp.tile(coordinates(h, w)[None], (b, 1, 1, 1))], -1)
        fine = self.enter(x)
        middle = self.middle_down(self.fine_to_middle(fold(fine)))
        coarse = self.middle_to_coarse(fold(middle))
        coarse = coarse + self.place(waves(coordinates(h // 4, w // 4)))[None]
        coarse = self._attend(coarse)
        middle = self.middle_up(middle + unfold(self.coarse_to_middle(coarse)))
        fine = fine + unfold(self.middle_to_fine(middle))
        return unfold(self.leave(nnx.relu(self.norm(fine))))[..., 0]

    def _attend(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        """Send the coarse map through the transformer blocks."""
        graph, blocks = nnx.split(self.blocks)
        tokens = rearrange(x, "b h w d -> b (h w) d")
        tokens, _ = jax.lax.scan(lambda x, p: (nnx.merge(graph, p)(x), None), tokens, blocks)
        return tokens.reshape(x.shape)


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


class TransformerBlock(nnx.Module):
    """A pre-norm transformer block over all tokens of a frame, at first the identity."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs):
        self.heads = heads
        self.norm_mix = nnx.RMSNorm(width, rngs=rngs)
        self.norm_feed = nnx.RMSNorm(width, rngs=rngs)
        self.to_qkv = Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.to_out = linear(width, width, rngs, zero=True)
        self.widen = linear(width, 4 * width, rngs)
        self.narrow = linear(4 * width, width, rngs, zero=True)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Mix tokens, then channels."""
        heads = "b n (three k c) -> three b n k c"
        qkv = rearrange(self.to_qkv(self.norm_mix(x)), heads, three=3, k=self.heads)
        mixed = jax.nn.dot_product_attention(*qkv)
        x = x + self.to_out(rearrange(mixed, "b n k c -> b n (k c)"))
        return x + self.narrow(nnx.gelu(self.widen(self.norm_feed(x))))


def coordinates(h: int, w: int) -> Float[Array, "h w 2"]:
    """Return (y, x) of the cell centres of a frame whose edges are at -1 and 1."""
    y, x = ((jnp.arange(n) + 0.5) * (2 / n) - 1 for n in (h, w))
    return jnp.stack(jnp.meshgrid(y, x, indexing="ij"), -1)


def waves(position: Float[Array, "h w 2"]) -> Float[Array, "h w c"]:
    """Return sines and cosines of positions, by octaves from half a wave per frame on."""
    octaves = [position * (jnp.pi / 2 * 2**octave) for octave in range(OCTAVES)]
    angle = rearrange(jnp.stack(octaves), "octave h w yx -> h w (yx octave)")
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def drop_depth_edges(depth: Float[Array, "*b h w"], threshold: float) -> Float[Array, "*b h w"]:
    """Set depth to 0 (unknown) where an estimate smears a foreground edge into its background.

    Disparity is linear on planes of any slant, so its second difference, relative to the disparity,
    tells edges from slopes.
    """
    disparity = jnp.where(depth > 0, 1 / jnp.maximum(depth, 1e-6), 0.0)
    bend = jnp.zeros_like(disparity)
    for axis in (-2, -1):
        ends = [(0, 0)] * depth.ndim
        ends[axis] = (1, 1)
        padded = jnp.pad(jnp.diff(disparity, axis=axis), ends, mode="edge")
        bend = jnp.maximum(bend, jnp.abs(jnp.diff(padded, axis=axis)))
    return jnp.where(bend > threshold * disparity, 0.0, depth)
