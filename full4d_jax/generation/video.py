"""A video from words, or from words and its first picture: a grid of one view, made by Wan.

With one view and no projection the network is Wan's (`models.dit`), so any checkpoint of a preset
of Wan makes videos, converted or fine-tuned. Given a picture, the first latent frame is its
encoding, clean at flow time 0, as in Wan2.2-TI2V's own training.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from full4d_jax.config import ModelConfig
from full4d_jax.config.codecs import check_video
from full4d_jax.flow import Latents
from full4d_jax.generation.coding import encode_videos
from full4d_jax.generation.generate import (
    bind_guided,
    filled_program,
    gathered,
    program,
    text_guides,
)
from full4d_jax.generation.prior import Prior, check_grid
from full4d_jax.generation.sampling import Guides
from full4d_jax.generation.unipc import sample_unipc, wan_times
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.models.conditions import Conditions
from full4d_jax.models.grid_mesh import around
from full4d_jax.session.errors import InputError

Start = Float[Array, "1 1 1 i j c"]  # the first latent frame


def make_video(
    prior: Prior,
    frames: int,
    size: tuple[int, int],
    key: PRNGKeyArray,
    first: UInt8[np.ndarray, "h w 3"] | None = None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Return a video, sRGB, made by UniPC with the prior's steps, shift and guidance.

    Args:
      prior: a model with text and a projection as frames: a preset of Wan. Its `text` says what the
        video shows; `sampler.text_guidance` leads towards it.
      frames: how many; with a causal codec 1 + 4 n.
      size: rows and columns.
      key: randomness of the initial noise.
      first: the first frame, of that size, for a model with `first_frame`.

    Raises:
      InputError: the model takes no text, or no first frame; or it cannot divide the video into
        tokens, or the mesh the tokens.
    """
    model = prior.model
    check_model(model, has_first=first is not None)
    strides = model.strides
    height, width = size
    check_grid(prior, 1, frames, height, width)
    check_video(model.codec, strides, frames, height, width)
    shape = (strides.latent_frames(frames), height // strides.pixels, width // strides.pixels)
    start = None if first is None else _start_program(prior.for_codec, to_model(first[None]))
    noise = jax.random.normal(key, (1, 1, *shape, strides.channels))
    latents = _latents_program(prior.for_network, noise, start)
    (video,) = filled_program(prior.for_codec, latents)
    return np.asarray(to_uint8(to_unit(video)))


def check_model(model: ModelConfig, *, has_first: bool) -> None:
    """Refuse a model that makes no videos, or none that begin with a given picture.

    Raises:
      InputError: the message names the field of the config.
    """
    needed = {
        "text_width": (model.text_width > 0, "a model that reads text"),
        "projection": (model.projection == "frames", "frames"),
        "first_frame": (model.first_frame or not has_first, "true, to begin with a picture"),
    }
    for name, (fits, expected) in needed.items():
        if not fits:
            do = "take a preset of Wan, e.g. --config wan22_5b"
            raise InputError("config", f"model.{name}", getattr(model, name), expected, do)


@program
def _start_program(prior: Prior, first: Float[Array, "1 h w 3"]) -> Start:
    """Return the first picture's latents."""
    with around(prior.mesh):
        return gathered(encode_videos(prior.model, prior.codec_weights, first[None, None]))


@program
def _latents_program(prior: Prior, noise: Latents, start: Start | None) -> Latents:
    """Return the video's latents, by all steps of the sampler."""
    with around(prior.mesh):
        sampler = prior.sampler
        flow = bind_guided(prior, video_guides(prior, noise, start))
        if start is not None:
            noise = noise.at[:, :, :1].set(start)
        return gathered(sample_unipc(flow, noise, wan_times(sampler.steps, sampler.shift)))


def video_guides(prior: Prior, noise: Latents, start: Start | None) -> Guides:
    """Return the conditions of a grid of one view without a projection, with both texts."""
    frames = noise.shape[2]
    empty = noise[:, :, :0]
    real = None
    base = empty
    if start is not None:
        real = (jnp.arange(frames) == 0)[None, None]
        base = jnp.zeros_like(noise).at[:, :, :1].set(start)
    seen = Conditions(
        projection=empty,
        base=base,
        mask=empty[..., 0],
        disparity=empty[..., 0],
        world_to_camera=jnp.broadcast_to(jnp.eye(4), (1, 1, frames, 4, 4)),
        intrinsics=jnp.eye(3)[None, None],
        real=real,
    )
    return text_guides(prior, seen)
