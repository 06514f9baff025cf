"""Layers of Wan's causal video VAE, for videos (b t h w c) that arrive chunk by chunk.

Time enters only through `Stream.extend`: a layer that looks back asks for the frames before its
input and gets them from the chunk before. The first chunk is one frame, with nothing before it;
changes of the frame rate pass it through, so that 1 + n frames become 1 + n / 2 and back.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from flax import nnx
from jaxtyping import Array, Float

# Sizes with an underscore are not compared: layers change them.
Video = Float[Array, "b _t _h _w _c"]


class Stream:
    """The frames that layers keep from one chunk for the next, in the order of their use."""

    def __init__(self, past: Sequence[Video] | None):
        self.first = past is None
        self.carried: list[Video] = []
        self._past = iter(past or ())

    def extend(self, x: Video, frames: int) -> Video:
        """Put the frames before `x` in front of it, zeros at first, and keep its own last ones."""
        b, _, *rest = x.shape
        before = jnp.zeros((b, frames, *rest), x.dtype) if self.first else next(self._past)
        x = jnp.concatenate([before, x], 1)
        self.carried.append(x[:, -frames:])
        return x


class CausalConv(nnx.Conv):
    """A 3 x 3 x 3 convolution of a frame and the two before it."""

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs):
        pads = ((0, 0), (1, 1), (1, 1))
        super().__init__(inputs, outputs, (3, 3, 3), padding=pads, rngs=rngs)

    def __call__(self, x: Video, stream: Stream) -> Video:
        """Convolve; the result has as many frames as `x`."""
        return super().__call__(stream.extend(x, 2))


class Norm(nnx.Module):
    """RMS norm: channels scaled to unit root mean square, in float32."""

    def __init__(self, channels: int):
        self.scale = nnx.Param(jnp.ones(channels))

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """Normalise `x`, which keeps its type."""
        wide = x.astype(jnp.float32)
        # The floor keeps the gradient finite where all channels are zero.
        length = jnp.maximum(jnp.sum(wide**2, -1, keepdims=True), 1e-24)
        scale = self.scale[...].astype(jnp.float32).reshape((1,) * (x.ndim - 1) + (-1,))
        return (wide * jax.lax.rsqrt(length / x.shape[-1]) * scale).astype(x.dtype)


class Residual(nnx.Module):
    """A residual block, x + conv(silu(norm(conv(silu(norm(x))))))."""

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs):
        self.norm1 = Norm(inputs)
        self.conv1 = CausalConv(inputs, outputs, rngs)
        self.norm2 = Norm(outputs)
        self.conv2 = CausalConv(outputs, outputs, rngs)
        if inputs != outputs:
            self.shortcut = nnx.Conv(inputs, outputs, (1, 1, 1), rngs=rngs)

    def __call__(self, x: Video, stream: Stream) -> Video:
        """Change the channels of a video."""
        y = self.conv1(jax.nn.silu(self.norm1(x)), stream)
        y = self.conv2(jax.nn.silu(self.norm2(y)), stream)
        return y + (self.shortcut(x) if hasattr(self, "shortcut") else x)


class FrameAttention(nnx.Module):
    """A residual attention layer with one head, over the pixels of every frame on its own."""

    def __init__(self, channels: int, rngs: nnx.Rngs):
        self.norm = Norm(channels)
        self.to_qkv = nnx.Linear(channels, 3 * channels, rngs=rngs)
        self.to_out = nnx.Linear(channels, channels, rngs=rngs)

    def __call__(self, x: Video) -> Video:
        """Mix the pixels of a frame."""
        b, t, h, w, _ = x.shape
        tokens = rearrange(self.norm(x), "b t h w c -> (b t) (h w) 1 c")
        mixed = jax.nn.dot_product_attention(*jnp.split(self.to_qkv(tokens), 3, -1))
        return x + self.to_out(rearrange(mixed, "(b t) (h w) 1 c -> b t h w c", b=b, h=h))


class Downsample(nnx.Module):
    """Downsampling to half the sides and, where `temporal`, half the frames."""

    def __init__(self, channels: int, temporal: bool, rngs: nnx.Rngs):
        pads = ((0, 0), (0, 1), (0, 1))
        self.space = nnx.Conv(
            channels, channels, (1, 3, 3), strides=(1, 2, 2), padding=pads, rngs=rngs
        )
        if temporal:
            self.time = nnx.Conv(
                channels, channels, (3, 1, 1), strides=(2, 1, 1), padding="VALID", rngs=rngs
            )

    def __call__(self, x: Video, stream: Stream) -> Video:
        """Halve the resolution; the first frame is not mixed with others."""
        x = self.space(x)
        if not hasattr(self, "time"):
            return x
        extended = stream.extend(x, 1)
        return x if stream.first else self.time(extended)


class Upsample(nnx.Module):
    """Upsampling to twice the sides and, where `temporal`, twice the frames."""

    def __init__(self, inputs: int, outputs: int, temporal: bool, rngs: nnx.Rngs):
        if temporal:
            self.time = nnx.Conv(inputs, 2 * inputs, (3, 1, 1), padding="VALID", rngs=rngs)
        self.space = nnx.Conv(
            inputs, outputs, (1, 3, 3), padding=((0, 0), (1, 1), (1, 1)), rngs=rngs
        )

    def __call__(self, x: Video, stream: Stream) -> Video:
        """Double the resolution; the first frame is not doubled, nor seen by those after it."""
        if hasattr(self, "time"):
            extended = stream.extend(jnp.zeros_like(x) if stream.first else x, 2)
            if not stream.first:
                x = rearrange(self.time(extended), "b t h w (a c) -> b (t a) h w c", a=2)
        return self.space(jnp.repeat(jnp.repeat(x, 2, 2), 2, 3))


def average_down(x: Video, outputs: int, frames: int, sides: int) -> Video:
    """Fold pixels into channels and average neighbouring ones: a `Downsample`'s shortcut."""
    # The first frame.
    if x.shape[1] % frames:
        x = jnp.pad(x, ((0, 0), (frames - 1, 0), (0, 0), (0, 0), (0, 0)))
    folded = "b (t a) (h i) (w j) c -> b t h w (c a i j)"
    x = rearrange(x, folded, a=frames, i=sides, j=sides)
    return reduce(x, "b t h w (c g) -> b t h w c", "mean", c=outputs)


def repeat_up(x: Video, outputs: int, frames: int, sides: int, first: bool) -> Video:
    """Repeat channels and unfold them into pixels: an `Upsample`'s shortcut."""
    x = jnp.repeat(x, outputs * frames * sides**2 // x.shape[-1], -1)
    unfolded = "b t h w (c a i j) -> b (t a) (h i) (w j) c"
    x = rearrange(x, unfolded, a=frames, i=sides, j=sides)
    return x[:, frames - 1 :] if first else x
