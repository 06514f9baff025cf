"""Codecs between frames and latents: pairs of functions.

pixels  the embedded default, no weights: folds stride x stride pixels into channels, invertibly.
wan21   Wan 2.1's causal video VAE (`vae`), 4 frames x 8 x 8 pixels.
wan22   Wan 2.2's, 4 frames x 16 x 16 pixels.

Strides are known without weights (`config.codecs`). Weights are a pytree that `codec_files` reads
once and jitted functions take as an argument. In the causal codecs the first frame is a latent
frame of its own and each further one stands for 4 frames, so that videos have 1 + 4 n.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from jaxtyping import Array, Float

from full4d_jax.config import ModelConfig
from full4d_jax.config.codecs import KINDS, Strides, check_video
from full4d_jax.models.dit import linear
from full4d_jax.session.errors import InputError

Frames = Float[Array, "*b t H W 3"]
Latents = Float[Array, "*b f h w c"]
Weights = dict[str, Any]
# Of `pixels`.
FOLDED = "... (h i) (w j) c -> ... h w (i j c)"
UNFOLDED = "... h w (i j c) -> ... (h i) (w j) c"


class Codec(NamedTuple):
    """A pair of functions between frames in [-1, 1] and latents.

    Attributes:
      encode: maps frames to latents; leading axes are free.
      decode: maps latents to frames.
    """

    encode: Callable[[Frames], Latents]
    decode: Callable[[Latents], Frames]


def make_codec(config: ModelConfig, weights: Weights | None = None) -> Codec:
    """Return the codec that a model was trained with.

    Args:
      config: names the codec.
      weights: what `codec_weights` read; the strides are known without them. Products run in the
        type of `linear.product_type`.

    Returns:
      A codec whose functions raise an InputError where weights are missing, and where a video has
      frames or sides that do not divide.
    """
    if config.codec == "pixels":
        side = config.codec_stride
        fold = partial(rearrange, i=side, j=side)
        return Codec(partial(fold, pattern=FOLDED), partial(fold, pattern=UNFOLDED))
    if weights is None:
        missing = partial(refuse_missing, config.codec)
        return Codec(missing, missing)
    from full4d_jax.models.wan import vae

    product = linear.product_type(config)
    params: Any = jax.tree.map(lambda x: x.astype(product), weights)
    kind = vae.with_widths(KINDS[config.codec], params)

    def encode(frames):
        check_video(config.codec, kind.strides, *frames.shape[-4:-1])
        return _one_by_one(partial(vae.encode, kind, params), frames)

    decode = partial(vae.decode, kind, params)
    return Codec(encode, partial(_one_by_one, decode))


def pool_frames(
    x: Float[Array, "v t h w"], strides: Strides
) -> Float[Array, "v f i j"]:
    """Return the largest value in the pixels and frames that each latent stands for."""
    # As if the first frame had been shown before: it is a latent frame of its own.
    x = jnp.concatenate([jnp.repeat(x[:, :1], strides.frames - 1, 1), x], 1)
    pool = "v (t a) (h i) (w j) -> v t h w"
    return reduce(x, pool, "max", a=strides.frames, i=strides.pixels, j=strides.pixels)


def _one_by_one(
    convert: Callable[[Array], Array], x: Float[Array, "*b t h w c"]
) -> Float[Array, "*b f i j k"]:
    """Convert one video after the other, so that memory does not depend on their number."""
    videos = x.reshape(-1, 1, *x.shape[-4:])
    out = jax.lax.map(convert, videos)
    return out.reshape(*x.shape[:-4], *out.shape[-4:])


def refuse_missing(codec: str, *_: Any) -> Any:
    """Refuse a codec without weights."""
    expected = "a file of `full4d convert codec`"
    do = "give its path as --codec_weights"
    raise InputError("config", f"codec_weights for {codec}", "no weights", expected, do)
