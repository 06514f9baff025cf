"""Grids of frames by a trained prior: from a source with depth and cameras, or from real frames.

The prior of `generate_grid` makes other views of a video, which is projected into them. That of
`fill_grid` needs no poses: it makes the frames of a grid that are not real (4Real-Video).
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from full4d_jax import config
from full4d_jax.cameras import Cameras
from full4d_jax.flow import Latents
from full4d_jax.generation import batch, real_frames, sampling, static_points
from full4d_jax.generation.prior import Prior, check_grid
from full4d_jax.generation.projection_guidance import (
    Depths,
    Projection,
    Videos,
    fill_holes,
    project_several,
)
from full4d_jax.geometry.image_motion import carried_motion
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.codec import Weights
from full4d_jax.models.dit import dit, sharding
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.grid_mesh import around
from full4d_jax.session.errors import InputError
from full4d_jax.session.processes import on_mesh

Frames = Float[Array, "v t h w 3"]


def generate_grid(
    prior: Prior,
    frames: Videos,
    depth: Depths,
    cameras: Cameras,
    key: PRNGKeyArray,
    known: static_points.StaticPoints | None = None,
) -> tuple[Frames, Projection]:
    """Generate the views of a grid that are not real by the prior's sampler.

    Args:
      prior: a model with projection; see `prior.open_prior`.
      frames: videos of the real views in [-1, 1], the source first, and usually alone; sides
        divisible by the model's patch times codec stride.
      depth: their z-depth in world units, 0 where unknown.
      cameras: of all views, the real ones first.
      key: randomness of the initial noise.
      known: still points of the source, to be projected too; None where several views are real.

    Returns:
      Frames in [-1, 1], the real views as they are; and the projection into views 1 and following.

    Raises:
      InputError: the model cannot divide the video into tokens, or the mesh the tokens.
    """
    views = cameras.intrinsics.shape[0]
    check_grid(prior, config.Size(views, *frames.shape[1:4]))

    def generate(frames, depth, cameras, key_data, known):
        given = prior.for_codec, frames, depth, cameras, known
        guides, projection = guides_program(*given)
        key = jax.random.wrap_key_data(jnp.asarray(key_data))
        latents = flow_program(prior.for_network, guides, key)
        return views_program(prior.for_codec, latents, frames), projection

    data = jax.random.key_data(key)
    return on_mesh(prior.mesh, generate, frames, depth, cameras, data, known)


def program(make: Callable[..., Any]) -> Any:
    """Compile what a prior does, in its mesh; each program frees its temporaries.

    Parameters say which devices there are, even where they are not read.
    """

    @partial(jax.jit, keep_unused=True)
    @wraps(make)
    def on_its_mesh(prior, *arguments):
        with around(prior.mesh):
            return make(prior, *arguments)

    return on_its_mesh


@program
def guides_program(
    prior: Prior,
    frames: Videos,
    depth: Depths,
    cameras: Cameras,
    known: static_points.StaticPoints | None = None,
) -> tuple[sampling.Guides, Projection]:
    """Return the conditions of the sampler's guidance, and the projection."""
    condition = partial(make_conditions, prior.model)
    weights = prior.codec_weights
    seen, projection = condition(frames, depth, cameras, weights, known)
    with_text, *with_negative = text_guides(prior, _batch_of_one(prior.model, seen))
    without = []
    if prior.sampler.guidance != 1:
        unknown, _ = condition(frames[:1], jnp.zeros_like(depth[:1]), cameras, weights)
        blind = _batch_of_one(prior.model, unknown)
        without.append(blind._replace(text=with_text.text))
    return gathered((with_text, *without, *with_negative)), projection


def make_conditions(
    model: config.ModelConfig,
    frames: Videos,
    depth: Depths,
    cameras: Cameras,
    weights: Weights | None = None,
    known: static_points.StaticPoints | None = None,
) -> tuple[Conditions, Projection]:
    """Return the conditions of one grid, without batch axis, and the projection they come from.

    Where the codec has a temporal stride, the cameras of the last frame of each latent frame are
    kept.

    Args:
      model: says which codec encodes the projection.
      frames: videos of the real views, [-1, 1]; the source is the first.
      depth: their z-depth in world units, 0 where unknown.
      cameras: of all views, the real ones first.
      weights: weights of the codec.
      known: still points of the source, to be projected too; None where several views are real.

    Returns:
      The conditions; and the projection into the target views at full resolution.
    """
    if known is None:
        targets = project_several(frames, depth, cameras)
    else:
        targets = static_points.project_known(frames[0], depth[0], known, cameras)
    videos = [frames[:1], targets.frames]
    if model.reads_filled:
        videos.append(fill_holes(targets))
    latents = batch.encode_videos(model, weights, jnp.concatenate(videos)[None])[0]
    return batch.conditions_of(model, depth[0], cameras, targets, latents), targets


def text_guides(prior: Prior, seen: Conditions) -> sampling.Guides:
    """Return a batch of one with the prior's text and, if guided by text, with the negative one."""
    texts = (prior.text, prior.negative_text)[: 1 + (prior.sampler.text_guidance != 1)]
    batches = (None if x is None else jnp.asarray(x)[None] for x in texts)
    return tuple(seen._replace(text=x) for x in batches)


@program
def flow_program(prior: Prior, guides: sampling.Guides, key: PRNGKeyArray) -> Latents:
    """Return the generated latents, by all steps of the sampler."""
    base, real = guides[0].base, guides[0].real
    # The source is real, not generated.
    generated = base[:, prior.model.guide.clean_views :]
    start = prior.sampler.noise * jax.random.normal(key, generated.shape)
    # The network holds real frames at flow time 0: there the path stands still.
    if real is not None:
        start = jnp.where(real[..., None, None, None], base, start)
    bind = partial(bind_guided, prior)
    return gathered(sampling.sample_grid(prior.sampler, bind, guides, start))


@program
def views_program(
    prior: Prior, latents: Float[Array, "1 n f i j c"], frames: Videos
) -> Frames:
    """Return the real views, and the others decoded."""
    latents = latents[:, len(frames) - prior.model.guide.clean_views :]
    made = batch.decode_videos(prior.model, prior.codec_weights, latents)[0]
    return jnp.concatenate([frames, jnp.clip(made, -1, 1)])


def bind_guided(prior: Prior, guides: sampling.Guides) -> sampling.Velocity:
    """Return the velocity with the sampler's guidance.

    Args:
      prior: the network, and the scales of guidance in its sampler.
      guides: all conditions; then for each scale that is not 1 the same without what it guides to,
        the projection before the text.
    """
    network = dit.velocity(prior.model, prior.params, prior.attend)
    flow, *without = (lambda z, tau, x=x: network(z, tau, x) for x in guides)
    both = prior.sampler.guidance, prior.sampler.text_guidance
    scales = [scale for scale in both if scale != 1]
    return sampling.guided(flow, list(zip(without, scales, strict=True)))


def gathered(tree: Any) -> Any:
    """Gather arrays, so that where they lie between two programs is known before they run."""
    return jax.tree.map(lambda x: sharding.constrain(x, *[None] * x.ndim), tree)


def _batch_of_one(model: config.ModelConfig, conditions: Conditions) -> Conditions:
    """Add an axis of samples to the conditions, and what the model is always given."""
    one = jax.tree.map(lambda x: x[None], conditions)
    return batch.with_first_frame(model, one)


def fill_grid(
    prior: Prior,
    frames: Float[Array | np.ndarray, "v t h w 3"],
    real: Bool[np.ndarray, "v t"],
    key: PRNGKeyArray,
) -> Frames:
    """Generate the hidden frames of a grid by the prior's sampler.

    Args:
      prior: a model of real frames (`config.RealFrames`); see `prior.open_prior`.
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
    check_grid(prior, config.Size(*frames.shape[:4]))
    strides = model.strides
    # A latent frame is real where all of its frames are; the first stands for one frame.
    first = np.repeat(real[:, :1], strides.frames - 1, 1)
    groups = np.concatenate([first, real], 1)
    real = reduce(groups, "v (f a) -> v f", np.logical_and.reduce, a=strides.frames)
    if not real.any():
        found = "no whole latent frame"
        expected = f"the first of a view, or the {strides.frames} frames of a later one"
        raise InputError("grid", "real", found, expected, "give more frames")
    motion = None
    if model.parametrisation.moves_base:
        motion = carried_motion(to_uint8(to_unit(np.asarray(frames))))

    def fill(frames, real, key_data, motion):
        guides = conditions_program(prior.for_codec, frames, real, motion)
        key = jax.random.wrap_key_data(jnp.asarray(key_data))
        latents = flow_program(prior.for_network, guides, key)
        return filled_program(prior.for_codec, latents)

    return on_mesh(prior.mesh, fill, frames, real, jax.random.key_data(key), motion)


@program
def conditions_program(
    prior: Prior,
    frames: Frames,
    real: Bool[Array, "v f"],
    motion: Float[Array, "v t h w 5"] | None,
) -> sampling.Guides:
    """Return the conditions of the sampler's guidance."""
    latents = batch.encode_videos(prior.model, prior.codec_weights, frames[None])
    views, times = latents.shape[1:3]
    # Where cameras stand is not known: all of them look alike.
    lenses = jnp.broadcast_to(jnp.eye(3), (1, views, 3, 3))
    poses = jnp.broadcast_to(jnp.eye(4), (1, views, times, 4, 4))
    cameras = Cameras(lenses, poses, 1, 1)
    carried = None if motion is None else motion[None]
    marks = jnp.asarray(real)[None]
    conditions = real_frames.conditions_of_real(latents, marks, cameras, carried)
    return gathered(text_guides(prior, conditions))


@program
def filled_program(prior: Prior, latents: Float[Array, "1 v f i j c"]) -> Frames:
    """Return all frames, decoded."""
    made = batch.decode_videos(prior.model, prior.codec_weights, latents)[0]
    # For every process to read.
    return gathered(jnp.clip(made, -1, 1))
