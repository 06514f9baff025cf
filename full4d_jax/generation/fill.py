"""Frames of a grid from those that are real, with a prior that needs no poses (4Real-Video)."""

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from full4d_jax.cameras import Cameras
from full4d_jax.config.codecs import check_video
from full4d_jax.generation.coding import decode_videos, encode_videos
from full4d_jax.generation.generate import flow_program, gathered, program, text_guides
from full4d_jax.generation.prior import Prior, check_grid
from full4d_jax.generation.real_frames import conditions_of_real
from full4d_jax.generation.sampling import Guides
from full4d_jax.geometry.carried_motion import carried_motion
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.grid_mesh import around
from full4d_jax.session.errors import InputError
from full4d_jax.session.processes import on_mesh

Frames = Float[Array, "v t h w 3"]


def fill_grid(
    prior: Prior,
    frames: Float[Array | np.ndarray, "v t h w 3"],
    real: Bool[np.ndarray, "v t"],
    key: PRNGKeyArray,
) -> Frames:
    """Generate the hidden frames of a grid by the prior's sampler.

    Args:
      prior: a model with `projection="none"`; see `prior.open_prior`.
      frames: in [-1, 1]; hidden ones are not read, unless a causal codec looks back at them from a
        later frame that is real.
      real: which frames are. Those that a codec encodes together count as real where all of them
        are, in at least one place.
      key: randomness of the initial noise.

    Returns:
      All frames in [-1, 1]; real ones are as the codec gives them back.

    Raises:
      InputError: the model cannot divide the grid into tokens, or the mesh the tokens; or nothing
        of the grid is real.
    """
    model = prior.model
    check_grid(prior, *frames.shape[:4])
    strides = model.strides
    check_video(model.codec, strides, *frames.shape[1:4])
    real = whole_latents(real, strides.frames)
    if not real.any():
        expected = f"the first frame of a view, or the {strides.frames} of a later latent frame"
        raise InputError("grid", "real", "no whole latent frame", expected, "give more frames")
    motion = None
    if model.moves_base:
        motion = carried_motion(to_uint8(to_unit(np.asarray(frames))))

    def fill(frames, real, key_data, motion):
        guides = conditions_program(prior.for_codec, frames, real, motion)
        key = jax.random.wrap_key_data(jnp.asarray(key_data))
        latents = flow_program(prior.for_network, guides, key)
        return filled_program(prior.for_codec, latents)

    return on_mesh(prior.mesh, fill, frames, real, jax.random.key_data(key), motion)


def whole_latents(real: Bool[np.ndarray, "v t"], stride: int) -> Bool[np.ndarray, "v f"]:
    """Mark the latent frames all of whose frames are real; the first stands for one frame."""
    first = np.repeat(real[:, :1], stride - 1, 1)
    frames = np.concatenate([first, real], 1)
    return reduce(frames, "v (f a) -> v f", np.logical_and.reduce, a=stride)


@program
def conditions_program(
    prior: Prior,
    frames: Frames,
    real: Bool[Array, "v f"],
    motion: Float[Array, "v t h w 5"] | None,
) -> Guides:
    """Return the conditions that the sampler's guidance asks with."""
    with around(prior.mesh):
        latents = encode_videos(prior.model, prior.codec_weights, frames[None])
        views, times = latents.shape[1:3]
        # Where cameras stand is not known: all of them look alike.
        lenses = jnp.broadcast_to(jnp.eye(3), (1, views, 3, 3))
        poses = jnp.broadcast_to(jnp.eye(4), (1, views, times, 4, 4))
        cameras = Cameras(lenses, poses, 1, 1)
        carried = None if motion is None else motion[None]
        conditions = conditions_of_real(latents, jnp.asarray(real)[None], cameras, carried)
        return gathered(text_guides(prior, conditions))


@program
def filled_program(prior: Prior, latents: Float[Array, "1 v f i j c"]) -> Frames:
    """Return all frames, decoded."""
    with around(prior.mesh):
        made = decode_videos(prior.model, prior.codec_weights, latents)[0]
        # For every process to read.
        return gathered(jnp.clip(made, -1, 1))
