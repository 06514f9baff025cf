"""From a source video with depth and target cameras to a grid of frames, with a trained prior."""

import functools
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.config import Config, ModelConfig, SamplerConfig
from full4d_jax.config.check import check_heads
from full4d_jax.generation.batch import first_frame, make_conditions
from full4d_jax.generation.large_grids import Guides, sample_grid, velocity_of_groups
from full4d_jax.generation.projection_guidance import Projection
from full4d_jax.generation.sampling import euler, guided, leap
from full4d_jax.models.codecs.codec import codec_weights, make_codec
from full4d_jax.models.conditions import Conditions, Params, Velocity
from full4d_jax.models.dit import init_params, velocity
from full4d_jax.models.wan.text import load_negative_text, load_text
from full4d_jax.models.weights import load_metadata, load_params, require_model
from full4d_jax.session.errors import InputError

SHIPPED = "checkpoints/prior.safetensors"


def prior_path(checkpoint: Path | None = None) -> Path:
    """The given checkpoint, or the one shipped in the package."""
    return checkpoint or Path(str(files("full4d_jax") / SHIPPED))


def load_prior(config: Config, checkpoint: Path | None = None) -> Params:
    """Parameters (float32) of a checkpoint, or of the one shipped in the package.

    Raises:
      InputError: no such file, it was trained with another `config.model`, or the device has no
        kernel for its heads.
    """
    path = prior_path(checkpoint)
    check_heads(config.model, jax.default_backend())
    like = jax.eval_shape(functools.partial(init_params, config.model), jax.random.key(0))
    require_model(path, load_metadata(path), config.model)
    return load_params(path, like)[0]


def open_prior(config: Config, prior: Path) -> Params:
    """`load_prior`, with whatever else generating reads looked at too; raises InputError."""
    check_size(config.model, config.data.height, config.data.width)
    params = load_prior(config, prior)
    codec_weights(config)
    load_text(config)
    load_negative_text(config)
    return params


def prior_settings(config: Config, prior: Path) -> dict[str, Any]:
    """What a grid depends on beside what is given of it, for `stages.fingerprint`."""
    settings = {"model": config.model, "sampler": config.sampler, "seed": config.seed}
    files = {"text": config.text, "negative_text": config.negative_text}
    files |= {"codec": config.codec_weights}
    return settings | {name: Path(file) for name, file in files.items() if file} | {"prior": prior}


def trained_range(prior: Path) -> tuple[float, float]:
    """Largest azimuth and elevation in degrees that a prior was trained on, from its metadata.

    A checkpoint that does not say is taken to cover everything.
    """
    metadata = load_metadata(prior)
    names = ("max_azimuth_degrees", "max_elevation_degrees")
    azimuth, elevation = (float(metadata.get(name, 180)) for name in names)
    return azimuth, elevation


def generate_grid(
    config: Config,
    params: Params,
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    key: PRNGKeyArray,
) -> tuple[Float[Array, "v t h w 3"], Projection]:
    """Generate all views of a source video (view 0) by `config.sampler`.

    Args:
      config: the model's and sampler's configuration.
      params: parameters of the prior.
      frames: source video in [-1, 1]; sides divisible by the model's patch times codec stride.
      depth: its z-depth in world units, 0 where unknown.
      intrinsics: pixels, one per view.
      world_to_camera: world = source camera at t = 0, unit = median source depth at t = 0.
      key: randomness of the initial noise.

    Returns:
      Frames in [-1, 1], view 0 is the source itself; and the projection into the target views.

    Raises:
      InputError: a video that the model cannot divide into tokens, or `config.codec_weights` or
        `config.text` or `config.negative_text` is unusable.
    """
    check_size(config.model, *frames.shape[1:3])
    cameras, weights = (intrinsics, world_to_camera), codec_weights(config)
    texts = load_text(config), load_negative_text(config)
    return _generate(
        config.model, config.sampler, params, frames, depth, *cameras, weights, texts, key
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _generate(
    model, sampler, params, frames, depth, intrinsics, world_to_camera, weights, texts, key
):
    cameras = intrinsics, world_to_camera, weights
    given, projection = make_conditions(model, frames, depth, *cameras)
    guides = [given._replace(text=texts[0])]
    if sampler.guidance != 1:
        unknown, _ = make_conditions(model, frames, jnp.zeros_like(depth), *cameras)
        guides.append(unknown._replace(text=texts[0]))
    if sampler.text_guidance != 1:
        guides.append(given._replace(text=texts[1]))
    guides = tuple(_batch_of_one(model, conditions) for conditions in guides)

    shape = guides[0].projection.shape
    if model.projection == "channels":
        shape = (1, shape[1] - 1, *shape[2:])
    start = sampler.noise * jax.random.normal(key, shape)
    if guides[0].visible is not None:
        start = jnp.where(guides[0].visible[..., None, None, None], guides[0].base, start)
    bind = functools.partial(bind_guided, model, sampler, params)
    # From zero noise it is the velocity at tau = 1 that was trained, to be the mean.
    stepper = leap if model.mean_flow and sampler.noise else euler
    latents = sample_grid(sampler, bind, guides, start, stepper)
    grid = jnp.clip(make_codec(model, weights).decode(latents[0]), -1, 1)
    targets = len(intrinsics) - 1
    return jnp.concatenate([frames[None], grid[len(grid) - targets :]]), projection


def bind_guided(
    model: ModelConfig, sampler: SamplerConfig, params: Params, guides: Guides
) -> Velocity:
    """The velocity with the sampler's guidance.

    Args:
      model: the network.
      sampler: its scales of guidance.
      params: of the network.
      guides: all conditions; then for each scale that is not 1 the same without what it guides to,
        the projection before the text.
    """
    flow, *without = (bind_conditions(model, params, conditions) for conditions in guides)
    scales = [x for x in (sampler.guidance, sampler.text_guidance) if x != 1]
    return guided(flow, list(zip(without, scales, strict=True)))


def bind_conditions(model: ModelConfig, params: Params, conditions: Conditions) -> Velocity:
    """The velocity (latents, tau, rho=None) -> velocity of one set of conditions."""
    network = velocity(model, params)
    return lambda z, tau, rho=None: network(z, tau, conditions, rho)


def bind_velocity(
    config: Config,
    params: Params,
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
) -> Velocity:
    """The prior's velocity at given cameras, for distillation.

    Returns:
      (z, tau) -> velocity with z (v-1 t h w c) latents of the target views and tau () or (1,).
      With projection as frames the prior generates the source view too: it is given as the input
      video with one fixed sample of noise at tau. Views beyond `sampler.group_views` are asked
      about in groups, always the same.
    """
    conditions, _ = make_conditions(
        config.model, frames, depth, intrinsics, world_to_camera, codec_weights(config)
    )
    conditions = conditions._replace(text=load_text(config))
    guides = (_batch_of_one(config.model, conditions),)
    generated = len(intrinsics) - (config.model.projection == "channels")

    def bind(guides: Guides) -> Velocity:
        return bind_conditions(config.model, params, guides[0])

    flow = velocity_of_groups(config.sampler, bind, guides, generated)(jnp.int32(0))
    given = conditions.projection[:1] if config.model.projection == "frames" else None
    noise = None if given is None else jax.random.normal(jax.random.key(0), given.shape)

    def bound(z, tau):
        if given is not None:
            z = jnp.concatenate([(1 - tau) * given + tau * noise, z])
        return flow(z[None], jnp.reshape(tau, (1,)))[0, 0 if given is None else 1 :]

    return bound


def _batch_of_one(model: ModelConfig, conditions: Conditions) -> Conditions:
    """The conditions with an axis of samples; with what the model is always given."""
    conditions = jax.tree.map(lambda x: x[None], conditions)
    if model.first_frame:
        visible = first_frame(*conditions.base.shape[:3])
        conditions = conditions._replace(visible=visible)
    return conditions


def check_size(model: ModelConfig, height: int, width: int) -> None:
    """Frames must divide into tokens.

    Raises:
      InputError: they do not.
    """
    side = model.patch * model.codec_stride
    if height % side or width % side:
        expected = f"multiples of {side}"
        raise InputError("size", "height and width", f"{height}x{width}", expected, "resize")
