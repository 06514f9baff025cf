"""Wan's causal video VAEs: videos (b t h w 3) in [-1, 1] to normalised latents and back.

They are Wan 2.1's (4 x 8 x 8, 16 channels) and, with parameter-free shortcuts around every change
of resolution and 2 x 2 pixels folded into channels, Wan 2.2's (4 x 16 x 16, 48 channels).

Both directions go through the video one latent frame at a time, in a scan that carries the frames
that causal layers look back to, so memory does not depend on the number of frames. The first frame
is a latent frame of its own; each further latent frame stands for `frames` of the strides. What a
frame becomes depends only on it and those before it.

Time enters layers only through `Stream.extend`: one that looks back asks for the frames before its
input and gets them from the chunk before. The first chunk is one frame, with nothing before it;
changes of the frame rate pass it through, so that 1 + n frames become 1 + n / 2 and back.
"""

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax.config.codecs import WanVaeConfig
from full4d_jax.models.functional import Params, bound, structure

# Sizes with an underscore are not compared: layers change them.
Video = Float[Array, "b _t _h _w _c"]
Frames = Float[Array, "b t H W 3"]
Latents = Float[Array, "b f h w c"]
Past = list[Video]


def abstract_params(config: WanVaeConfig) -> Params:
    """Return names and shapes of the parameters, which published weights fill; none is trained."""
    return structure(WanVae, config)[1]


def with_widths(kind: WanVaeConfig, params: Params) -> WanVaeConfig:
    """Return `kind` with the numbers of channels and blocks that these parameters have."""
    encoder = params["encoder"]
    decoder = params["decoder"]
    return dataclasses.replace(
        kind,
        base=len(encoder["enter"]["bias"]),
        decoder_base=len(decoder["norm"]["scale"]),
        blocks=len(encoder["stages"]["0"]["blocks"]),
    )


def encode(config: WanVaeConfig, params: Params, frames: Frames) -> Latents:
    """Encode videos as the means of their latents' distribution, normalised, float32.

    The number of frames is t = 1 + n times the stride in frames.
    """
    return _over_time(WanVae.encode, config, params, frames, config.strides.frames)


def decode(config: WanVaeConfig, params: Params, latents: Latents) -> Frames:
    """Decode normalised latents to frames, float32, which are not clipped to [-1, 1]."""
    return _over_time(WanVae.decode, config, params, latents, 1)


def _over_time(
    code: Callable, config: WanVaeConfig, params: Params, video: Video, size: int
) -> Video:
    """Encode or decode the first frame, then `size` frames at a time."""

    def step(past, chunk):
        out, past = code(bound(WanVae, config, params), chunk, past)
        return past, out

    past, out = step(None, video[:, :1])
    if video.shape[1] == 1:
        return out
    chunks = rearrange(video[:, 1:], "b (n a) h w c -> n b a h w c", a=size)
    # Gradients keep the carried frames of every step and compute the rest of it again.
    _, later = jax.lax.scan(jax.checkpoint(step, prevent_cse=False), past, chunks)
    later = rearrange(later, "n b a h w c -> b (n a) h w c")
    return jnp.concatenate([out, later], 1)


class Stream:
    """The frames that layers keep from one chunk for the next, in the order of their use."""

    def __init__(self, past: Past | None):
        self.first = past is None
        self.carried: list[Video] = []
        self._past = iter(past or ())

    def extend(self, x: Video, frames: int) -> Video:
        """Put the frames before `x` in front of it, zeros at first, and keep its own last ones."""
        b, _, *rest = x.shape
        before = (
            jnp.zeros((b, frames, *rest), x.dtype) if self.first else next(self._past)
        )
        x = jnp.concatenate([before, x], 1)
        self.carried.append(x[:, -frames:])
        return x


class WanVae(nnx.Module):
    """The encoder and the decoder, which compute in the type of their parameters."""

    def __init__(self, config: WanVaeConfig, rngs: nnx.Rngs):
        self.config = config
        channels = len(config.mean)
        self.encoder = Half(config, False, rngs)
        self.decoder = Half(config, True, rngs)
        self.to_moments = nnx.Linear(2 * channels, 2 * channels, rngs=rngs)
        self.from_latents = nnx.Linear(channels, channels, rngs=rngs)

    def encode(self, frames: Video, past: Past | None) -> tuple[Video, Past]:
        """Encode the first frame (no past), or any multiple of the stride in frames after it.

        The past is what the chunk before returned beside its latents.
        """
        stream = Stream(past)
        side = self.config.patch
        x = rearrange(frames, "b t (h i) (w j) c -> b t h w (c j i)", i=side, j=side)
        x = x.astype(self.to_moments.kernel[...].dtype)
        mean = jnp.split(self.to_moments(self.encoder(x, stream)), 2, -1)[0]
        shift, scale = self._moments()
        return (mean.astype(jnp.float32) - shift) / scale, stream.carried

    def decode(self, latents: Video, past: Past | None) -> tuple[Video, Past]:
        """Decode the first latent frame (no past), or any number of those after it."""
        stream = Stream(past)
        side = self.config.patch
        shift, scale = self._moments()
        x = (latents * scale + shift).astype(self.from_latents.kernel[...].dtype)
        x = self.decoder(self.from_latents(x), stream).astype(jnp.float32)
        x = rearrange(x, "b t h w (c j i) -> b t (h i) (w j) c", i=side, j=side)
        return x, stream.carried

    def _moments(self) -> tuple[Float[Array, "1 1 1 1 c"], Float[Array, "1 1 1 1 c"]]:
        """Return mean and deviation of the latents."""
        mean, std = (
            jnp.array(x, jnp.float32) for x in (self.config.mean, self.config.std)
        )
        return mean.reshape(1, 1, 1, 1, -1), std.reshape(1, 1, 1, 1, -1)


class Half(nnx.Module):
    """The encoder, from folded frames to the moments of latents, or the decoder, back (`up`)."""

    def __init__(self, config: WanVaeConfig, up: bool, rngs: nnx.Rngs):
        self.up = up
        inputs = 3 * config.patch**2
        outputs = 2 * len(config.mean)
        widths = [config.base * m for m in (1, *config.multipliers)]
        if up:
            inputs, outputs = len(config.mean), inputs
            widths = [config.decoder_base * m for m in reversed(config.multipliers)]
            widths = widths[:1] + widths
        self.enter = CausalConv(inputs, widths[0], rngs)
        stages = enumerate(pairwise(widths))
        in_order = [Stage(config, i, o, n, up, rngs) for n, (i, o) in stages]
        self.stages = _numbered(in_order)
        self.middle = Middle(widths[0] if up else widths[-1], rngs)
        self.norm = Norm(widths[-1])
        self.leave = CausalConv(widths[-1], outputs, rngs)

    def __call__(self, x: Video, stream: Stream) -> Video:
        """Encode or decode one chunk; the middle has the lowest resolution."""
        x = self.enter(x, stream)
        stages = list(self.stages.values())
        for layer in [self.middle, *stages] if self.up else [*stages, self.middle]:
            x = layer(x, stream)
        return self.leave(jax.nn.silu(self.norm(x)), stream)


class Middle(nnx.Module):
    """Attention between two residual blocks, at the lowest resolution."""

    def __init__(self, channels: int, rngs: nnx.Rngs):
        self.before, self.after = (Residual(channels, channels, rngs) for _ in range(2))
        self.attention = FrameAttention(channels, rngs)

    def __call__(self, x: Video, stream: Stream) -> Video:
        """Apply to one chunk."""
        return self.after(self.attention(self.before(x, stream)), stream)


class Stage(nnx.Module):
    """Residual blocks and, except in the last stage, half or twice the resolution after them."""

    def __init__(
        self,
        config: WanVaeConfig,
        inputs: int,
        outputs: int,
        index: int,
        up: bool,
        rngs: nnx.Rngs,
    ):
        self.up = up
        self.outputs = outputs
        self.residual = config.residual
        if up and index and not config.residual:
            # The stage before halved its channels.
            inputs //= 2
        # The first block changes the channels.
        widths = [inputs] + [outputs] * (config.blocks + up)
        self.blocks = _numbered([Residual(i, o, rngs) for i, o in pairwise(widths)])
        temporal = config.temporal[::-1] if up else config.temporal
        self.sides = 2 if index < len(temporal) else 1
        self.frames = 2 if self.sides == 2 and temporal[index] else 1
        if self.sides == 2 and up:
            leaving = outputs if config.residual else outputs // 2
            self.resample = Upsample(outputs, leaving, self.frames == 2, rngs)
        elif self.sides == 2:
            self.resample = Downsample(outputs, self.frames == 2, rngs)

    def __call__(self, x: Video, stream: Stream) -> Video:
        """Apply to one chunk."""
        start = x
        for block in self.blocks.values():
            x = block(x, stream)
        if self.sides == 2:
            x = self.resample(x, stream)
        sizes = (self.outputs, self.frames, self.sides)
        if not self.residual or (self.up and self.sides == 1):
            return x
        if self.up:
            return x + repeat_up(start, *sizes, stream.first)
        return x + average_down(start, *sizes)


def _numbered(modules: list[Any]) -> nnx.Dict:
    """Name submodules by their numbers, so that parameters have dotted names."""
    return nnx.Dict({str(i): module for i, module in enumerate(modules)})


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
        mixed = rearrange(mixed, "(b t) (h w) 1 c -> b t h w c", b=b, h=h)
        return x + self.to_out(mixed)


class Downsample(nnx.Module):
    """Downsampling to half the sides and, where `temporal`, half the frames."""

    def __init__(self, channels: int, temporal: bool, rngs: nnx.Rngs):
        pads = ((0, 0), (0, 1), (0, 1))
        both = (channels, channels)
        self.space = nnx.Conv(*both, (1, 3, 3), (1, 2, 2), padding=pads, rngs=rngs)
        if temporal:
            self.time = nnx.Conv(
                *both, (3, 1, 1), (2, 1, 1), padding="VALID", rngs=rngs
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
        pads = ((0, 0), (1, 1), (1, 1))
        if temporal:
            self.time = nnx.Conv(
                inputs, 2 * inputs, (3, 1, 1), padding="VALID", rngs=rngs
            )
        self.space = nnx.Conv(inputs, outputs, (1, 3, 3), padding=pads, rngs=rngs)

    def __call__(self, x: Video, stream: Stream) -> Video:
        """Double the resolution; the first frame is not doubled, nor seen by those after it."""
        if hasattr(self, "time"):
            extended = stream.extend(jnp.zeros_like(x) if stream.first else x, 2)
            if not stream.first:
                doubled = self.time(extended)
                x = rearrange(doubled, "b t h w (a c) -> b (t a) h w c", a=2)
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
