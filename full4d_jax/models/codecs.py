"""Codecs between frames and latents: a pair of functions and their strides.

`pixels` is the embedded default: it folds stride x stride pixels into channels, invertibly.
"""

from collections.abc import Callable
from typing import NamedTuple

from einops import rearrange
from jaxtyping import Array, Float

from full4d_jax.config import ModelConfig
from full4d_jax.errors import InputError


class Codec(NamedTuple):
    """Frames in [-1, 1] to latents and back; leading axes are free."""

    encode: Callable[[Float[Array, "*b t H W 3"]], Float[Array, "*b f h w c"]]
    decode: Callable[[Float[Array, "*b f h w c"]], Float[Array, "*b t H W 3"]]
    stride: int  # pixels per latent pixel, each side
    frame_stride: int  # frames per latent frame
    channels: int


def latent_channels(config: ModelConfig) -> int:
    """Channels of the codec's latents, known without its weights."""
    return {"pixels": 3 * config.codec_stride**2, "wan21": 16, "wan22": 48}[config.codec]


def make_codec(config: ModelConfig) -> Codec:
    """The codec that a model was trained with.

    Raises:
      InputError: the codec of Wan, which is not here yet.
    """
    if config.codec != "pixels":
        do = "use another preset"
        raise InputError("config", "model.codec", config.codec, "pixels", do)
    n = config.codec_stride
    return Codec(
        encode=lambda x: rearrange(x, "... (h i) (w j) c -> ... h w (i j c)", i=n, j=n),
        decode=lambda z: rearrange(z, "... h w (i j c) -> ... (h i) (w j) c", i=n, j=n),
        stride=n,
        frame_stride=1,
        channels=latent_channels(config),
    )
