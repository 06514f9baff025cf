"""The transformer block of Wan with Full-4D's fused attention and camera conditioning.

    h = norm(x) (1 + scale_1) + shift_1 + camera(c)          camera: zero-initialised
    x = x + gate_1 projector(out(attend(rope(norm q), rope(norm k), v)))   projector: identity
    x = x + cross_attention(norm(x), text)                   with text only
    x = x + gate_2 ffn(norm(x) (1 + scale_2) + shift_2)

The six modulation vectors are a shared projection of the flow time plus a table of the block.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax.config import ModelConfig
from full4d_jax.models.dit.attention import mask, positions
from full4d_jax.models.dit.attention.fused import (
    Attend,
    attention_on_mesh,
    cross_attention_on_mesh,
)
from full4d_jax.models.dit.camera_conditioning import CAMERA_CHANNELS, Transforms
from full4d_jax.models.dit.linear import PRODUCT, linear
from full4d_jax.models.dit.tokens import Modulation, Tokens

Heads = Float[Array, "*b k c"]


class BlockInputs(NamedTuple):
    """Everything that a block reads besides its tokens.

    Attributes:
      modulation: shared projection (6 d) of the flow time.
      angles: rotary angles.
      cameras: camera of each token, see `camera_conditioning.camera_vectors`.
      text: embedded text for the cross-attention; None without it.
      pattern: which tokens read which.
      transforms: cameras that act inside attention; None without prope.
      attend: attention between the tokens of a grid; None is `fused_attention`.
    """

    modulation: Modulation
    angles: Float[Array, "n p"]
    cameras: Float[Array, "b n 16"]
    text: Float[Array, "b m d"] | None
    pattern: mask.Pattern
    transforms: Transforms | None
    attend: Attend | None


def layer_norm(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """Normalise channels without parameters, in float32."""
    y = x.astype(jnp.float32)
    y = y - y.mean(-1, keepdims=True)
    return (y * jax.lax.rsqrt((y * y).mean(-1, keepdims=True) + 1e-6)).astype(x.dtype)


def norm_of_heads(norm: nnx.RMSNorm, x: Heads) -> Heads:
    """Normalise all channels of all heads together, in float32."""
    y = x.astype(jnp.float32)
    square = (y * y).mean((-2, -1), keepdims=True)
    assert norm.scale is not None, "every layer here has one"
    scale = norm.scale[...].reshape(*(1,) * (x.ndim - 2), *x.shape[-2:])
    return (y * (jax.lax.rsqrt(square + norm.epsilon) * scale)).astype(x.dtype)


def materialize_on_tpu(x: Float[Array, "*a"]) -> Float[Array, "*a"]:
    """Let XLA for TPUs write a value, and on the way back its gradient, to memory.

    Else it fuses the activation's derivative into the products that follow, which compute it anew
    for each of their tiles.
    """
    materialize = jax.lax.optimization_barrier
    return jax.lax.platform_dependent(x, tpu=materialize, default=lambda x: x)


def rematerialised(layer: Callable, remat: str) -> Callable:
    """Let the backward pass recompute what `ModelConfig.remat` says of a layer."""
    if remat == "none":
        return layer
    saved = {"block": (), "attention": (mask.SAVED,), "products": (mask.SAVED, PRODUCT)}
    policy = jax.checkpoint_policies.save_only_these_names(*saved[remat])
    return jax.checkpoint(layer, policy=policy)


class Projections(nnx.Module):
    """Multi-head projections with RMS norm of queries and keys over the full width."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        d = config.width
        rank = config.lora_rank
        self.heads = config.heads
        layers = (linear(d, d, rngs, lora_rank=rank) for _ in range(4))
        self.query, self.key, self.value, self.out = layers
        norms = (nnx.RMSNorm(d, epsilon=1e-6, rngs=rngs) for _ in range(2))
        self.query_norm, self.key_norm = norms

    def queries(self, x: Float[Array, "*b d"]) -> Heads:
        """Return normalised queries in heads."""
        return norm_of_heads(self.query_norm, self.query.in_heads(x, self.heads))

    def keys_values(self, x: Float[Array, "*b d"]) -> tuple[Heads, Heads]:
        """Return normalised keys, and values, in heads."""
        keys = norm_of_heads(self.key_norm, self.key.in_heads(x, self.heads))
        return keys, self.value.in_heads(x, self.heads)


class Block(nnx.Module):
    """One layer of the transformer, by the module's equations."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        d = config.width
        self.rows_by_cudnn = config.gpu_attention == "cudnn"
        self.modulation = nnx.Param(jnp.zeros((6, d)))
        self.attention = Projections(config, rngs)
        if "linear" in config.cameras:
            self.camera = linear(CAMERA_CHANNELS, d, rngs, zero=True, exact=True)
        if config.camera_projector:
            self.projector = linear(d, d, rngs)
            self.projector.kernel[...] = jnp.eye(d)
        if config.text_width:
            # The fast variance, E x^2 - (E x)^2, cancels where a token's mean is large.
            self.text_norm = nnx.LayerNorm(
                d, epsilon=1e-6, use_fast_variance=False, rngs=rngs
            )
            self.text_attention = Projections(config, rngs)
        self.ffn_in = linear(d, config.ffn, rngs, lora_rank=config.lora_rank)
        self.ffn_out = linear(config.ffn, d, rngs, lora_rank=config.lora_rank)

    def __call__(self, x: Tokens, inputs: BlockInputs) -> Tokens:
        """Apply the layer."""
        vectors = inputs.modulation.of_tokens(self.modulation[...], x)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = vectors
        h = layer_norm(x) * (1 + scale_1) + shift_1
        if hasattr(self, "camera"):
            h = h + self.camera(inputs.cameras).astype(x.dtype)
        x = x + gate_1 * self.self_attention(h, inputs)
        if inputs.text is not None:
            heads = self.text_attention
            q = heads.queries(self.text_norm(x))
            attended = cross_attention_on_mesh(q, *heads.keys_values(inputs.text))
            x = x + heads.out(attended.reshape(x.shape))
        h = layer_norm(x) * (1 + scale_2) + shift_2
        h = materialize_on_tpu(self.ffn_in(h))
        return x + gate_2 * self.ffn_out(jax.nn.gelu(h, approximate=True))

    def self_attention(self, h: Tokens, inputs: BlockInputs) -> Tokens:
        """Attend between the frames of the grid."""
        q = self.attention.queries(h)
        k, v = self.attention.keys_values(h)
        q = positions.rotate(q, inputs.angles)
        k = positions.rotate(k, inputs.angles)
        out = attention_on_mesh(
            inputs.attend,
            q,
            k,
            v,
            inputs.transforms,
            inputs.pattern,
            self.rows_by_cudnn,
        )
        out = self.attention.out(out.reshape(h.shape))
        return self.projector(out) if hasattr(self, "projector") else out
