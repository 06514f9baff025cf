"""Videos of clips to latents and back; the devices that share a clip divide its videos."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from full4d_jax.config import ModelConfig
from full4d_jax.models.codecs.codec import Weights, make_codec
from full4d_jax.models.sharded_map import map_items


def encode_videos(
    model: ModelConfig, codec_weights: Weights | None, videos: Float[Array, "b n t h w 3"]
) -> Float[Array, "b n f i j c"]:
    """Encode the videos of each clip, each on one device of the mesh around.

    For gradients each video is encoded again, so that one at a time is in memory.
    """

    @jax.checkpoint
    def one(video, _, weights):
        return make_codec(model, weights).encode(video)

    return _of_each(one, codec_weights, videos)


def decode_videos(
    model: ModelConfig, codec_weights: Weights | None, latents: Float[Array, "b n f i j c"]
) -> Float[Array, "b n t h w 3"]:
    """Decode the videos of each clip, likewise; values may be beyond [-1, 1]."""

    def one(latents, _, weights):
        return make_codec(model, weights).decode(latents)

    return _of_each(one, codec_weights, latents)


def _of_each(one: Callable[..., Array], weights: Weights | None, videos: Array) -> Array:
    # Without weights a device works on all side by side, which costs little.
    at_once = 1 if weights else videos.shape[0] * videos.shape[1]
    return map_items(one, videos, None, weights, at_once)
