"""Validation on held-out scenes: losses and contact sheets.

Losses are those of the averaged parameters, by flow time. Flow times, noise and the corruption of
depth are drawn from keys that depend on the seed alone, and so are clips, views and instants. Two
numbers of one run, or of two runs on the same data, differ by their parameters only.

All rows of a sheet are latents decoded, the truth too, since records may have no pictures of their
targets. Each clip has one draw of its source and of the source's depth, the same in every sheet.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain, islice

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from full4d_jax import flow
from full4d_jax.config import Config
from full4d_jax.generation import generate, real_frames
from full4d_jax.generation.batch import Batch, decode_videos
from full4d_jax.generation.prior import Prior, prior_with
from full4d_jax.geometry.arrays import Picture
from full4d_jax.media.pictures import contact_sheet, to_uint8
from full4d_jax.models.codec import Weights
from full4d_jax.models.dit import dit, sharding
from full4d_jax.models.dit.attention.fused import Attend
from full4d_jax.models.functional import Params
from full4d_jax.models.wan.text import load_training_texts
from full4d_jax.training import microbatch, state
from full4d_jax.training.clips import mixing
from full4d_jax.training.clips.batches import rendered_batches
from full4d_jax.training.encoding import (
    Clips,
    Frozen,
    draw_per_clip,
    encode_clips,
    mean_over_lines,
    split_keys,
    whole_batch,
)
from full4d_jax.training.loss import Loss, flow_point, own_loss, predict, weigh
from input_pipeline.loader import Mixture
from input_pipeline.procedural.scene import HELD_OUT_START

# Equal parts of the flow times from 0 to 1.
TIME_BINS = 5
# Of random numbers; training steps use the lower ones.
VALIDATION_STREAM = 2**31 - 2
# At most so many clips are drawn.
CLIPS_OF_SHEET = 3
ROWS = ("source", "projection", "prior", "truth")
ROWS_WITHOUT_PROJECTION = ("nearest real", "prior", "truth")


def make_validation(
    config: Config,
    mesh: Mesh | None,
    codec_weights: Weights | None,
    own: Loss | None = None,
    attend: Attend | None = None,
) -> Callable[[Params], dict[str, float]]:
    """Return the function from parameters to the validation losses by name.

    Args:
      config: the experiment; `data.held_out` says how many scenes are validated on.
      mesh: of the training; None for one device.
      codec_weights: of a codec that has weights, where the training step encodes.
      own: the loss of the training, in place of flow matching.
      attend: its attention, in place of `fused_attention`.
    """
    config = without_drops(config)
    parts = parts_of(mixing.open_records(config, held_out=True), config.training.batch)
    weights = [share / batches for _, batches, share in parts for _ in range(batches)]
    text, _ = load_training_texts(config)
    frozen = Frozen(codec_weights, text)
    losses_of = partial(validation_losses, config, own=own, attend=attend)
    losses = state.in_mesh(mesh, losses_of)
    program = jax.jit(
        losses,
        out_shardings=sharding.sharding_on(mesh),
        compiler_options=config.training.compiler_options,
    )
    key = jax.random.fold_in(jax.random.key(config.seed), VALIDATION_STREAM)

    def validate(params: Params) -> dict[str, float]:
        batches = (
            islice(mixing.batches_of(config, x, 0, mesh), n) for x, n, _ in parts
        )
        measured = []
        for number, batch in enumerate(chain.from_iterable(batches)):
            batch_key = jax.random.fold_in(key, number)
            measured.append(jax.device_get(program(params, batch, batch_key, frozen)))
        return name_losses(config, np.average(measured, 0, weights))

    return validate


def parts_of(mixture: Mixture, size: int) -> list[tuple[Mixture, int, float]]:
    """Return the parts of a mixture that share no batch: with `data.buckets` each size of clips.

    Args:
      mixture: of the clips to validate on.
      size: clips of a batch.

    Returns:
      Clips; the number of batches that are measured, at least 1, so that no size of clips is left
      out; and their share of the mean.
    """
    # As much work as 4 steps of 32 clips.
    most_clips = 64
    mixtures = [mixture]
    if mixture.whole_batches:
        pairs = zip(mixture.sources, mixture.weights, strict=True)
        mixtures = [Mixture((source,), (weight,)) for source, weight in pairs]
    parts = []
    for part in mixtures:
        share = sum(part.weights) / sum(mixture.weights)
        clips = min(sum(map(len, part.sources)), most_clips * share)
        parts.append((part, math.ceil(clips / size), share))
    return parts


def without_drops(config: Config) -> Config:
    """Return the config with full guidance for every clip, in batches that need no accumulation."""
    training = config.training
    small = replace(training, batch=training.batch // training.accumulate, accumulate=1)
    data = replace(config.data, drop_projection=0.0, drop_text=0.0)
    return replace(config, data=data, training=small)


def validation_losses(
    config: Config,
    params: Params,
    batch: Clips,
    key: PRNGKeyArray,
    frozen: Frozen,
    *,
    own: Loss | None = None,
    attend: Attend | None = None,
) -> Float[Array, "n"]:
    """Return the mean losses of a batch; with `data.lines`, of its rows and columns.

    They are those of flow matching at flow times drawn from each of `TIME_BINS` parts, and last of
    the regression at tau = 1 from zero noise; of an own loss there is one.
    """
    part = whole_batch(batch)
    measure = partial(_losses_of, config, params, own=own, attend=attend)
    return mean_over_lines(config, batch, key, frozen, part, measure)


def _losses_of(
    config: Config,
    params: Params,
    batch: Clips,
    key: PRNGKeyArray,
    frozen: Frozen,
    part: microbatch.Microbatch,
    own: Loss | None,
    attend: Attend | None,
) -> Float[Array, "n"]:
    if own is not None:
        given = (config, params, batch, key, frozen, part)
        return own_loss(own, *given, attend=attend)[0][None]
    keys = split_keys(key)
    clips = encode_clips(config, batch, keys, frozen, part)
    network = dit.prediction(config.model, params, attend)
    noise = draw_per_clip(jax.random.normal, keys.noise, part, *clips.latents.shape[1:])
    place = draw_per_clip(jax.random.uniform, keys.times, part)

    def at(index: Int[Array, ""]) -> Float[Array, ""]:
        is_mean = jnp.broadcast_to(index == TIME_BINS, (part.size,))
        tau = jnp.where(is_mean, 1.0, (index + place) / TIME_BINS)
        drawn = jnp.where(index == TIME_BINS, 0.0, noise)
        point = flow_point(clips, drawn, tau, is_mean)
        return weigh(config, clips, point, predict(network, clips, point)).mean()

    # So there is one network to compile.
    return jax.lax.map(at, jnp.arange(TIME_BINS + 1))


def name_losses(config: Config, losses: Float[np.ndarray, "n"]) -> dict[str, float]:
    """Return the losses that training lowers, by name, and their mean in training's shares.

    `validation/loss` weighs all flow times alike, whatever `flow.shift`.
    """
    share = config.flow.mean_share
    *by_time, mean = losses
    if not by_time:
        return {"validation/loss": round(float(mean), 6)}
    named = {"validation/loss": share * mean + (1 - share) * np.mean(by_time)}
    if share < 1:
        for index, loss in enumerate(by_time):
            low = index / TIME_BINS
            named[f"validation/tau_{low:.1f}_{low + 1 / TIME_BINS:.1f}"] = loss
    if share > 0:
        named["validation/mean"] = mean
    return {name: round(float(value), 6) for name, value in named.items()}


def draw_sheet(
    config: Config, mesh: Mesh | None, params: Params, attend: Attend | None = None
) -> Picture:
    """Draw the last frames of clips of scenes that `data.held_out` keeps from training.

    Without such, the scenes are rendered.

    Args:
      config: the experiment.
      mesh: of the training, on which all its processes draw; None for one device.
      params: of the network.
      attend: attention of the training, in place of `fused_attention`.
    """
    config = without_drops(config)
    if config.data.held_out:
        mixture = mixing.open_records(config, held_out=True)
        batch = next(iter(mixing.batches_of(config, mixture, 0, mesh)))
        scenes = mixing.held_out_scenes_at(config, 0)
    else:
        # A mesh can divide the clips of training.
        count = CLIPS_OF_SHEET if mesh is None else config.training.batch
        data = replace(config.data, corrupt_depth=0.0, estimated=0.0)
        config = replace(config, data=data)
        indices = HELD_OUT_START + np.arange(count, dtype=np.int32)
        batch = next(rendered_batches(config, iter([indices]), mesh))
        scenes = [f"scene {i}" for i in range(count)]
    key = jax.random.fold_in(jax.random.key(config.seed), VALIDATION_STREAM)
    prior = replace(prior_with(config, params, mesh), attend=attend)
    rows = jax.device_get(_drawing(config, mesh)(prior, batch, key))
    clips, views = rows.shape[1:3]
    numbers = range(config.data.views - views, config.data.views)
    return contact_sheet(
        to_uint8(rearrange(rows / 2 + 0.5, "r n v h w c -> r (n v) h w c")),
        rows=ROWS if config.model.needs_cameras else ROWS_WITHOUT_PROJECTION,
        columns=[f"{scene}, view {i}" for scene in scenes[:clips] for i in numbers],
        title=f"{config.name}: held-out clips",
    )


# It compiles once for all sheets of a run.
@lru_cache(maxsize=1)
def _drawing(config: Config, mesh: Mesh | None) -> Callable[..., Array]:
    """Return the program that draws, whose results every process has whole."""
    draw = state.in_mesh(mesh, partial(_draw_clips, config))
    return jax.jit(
        draw,
        out_shardings=sharding.sharding_on(mesh),
        compiler_options=config.training.compiler_options,
    )


def _draw_clips(
    config: Config, prior: Prior, batch: Clips, key: PRNGKeyArray
) -> Float[Array, "r n v h w 3"]:
    """Return the last frames of the first clips of a batch, for each row of a sheet, in [-1, 1]."""
    encode_key, noise_key = jax.random.split(key)
    keys = split_keys(encode_key)
    text, _ = load_training_texts(config)
    frozen = Frozen(prior.codec_weights, text)
    part = whole_batch(batch)
    encoded = encode_clips(config, batch, keys, frozen, part)
    latents = encoded.latents
    conditions = encoded.conditions

    def last_frames(videos: flow.Latents) -> Float[Array, "n v H W 3"]:
        decoded = decode_videos(
            config.model, prior.codec_weights, videos[:CLIPS_OF_SHEET]
        )
        return jnp.clip(decoded[:, :, -1], -1, 1)

    if not config.model.needs_cameras:
        assert isinstance(batch, Batch), "for models that read projections"
        # Of grids whose first view and first instant are real.
        real = jnp.asarray(real_frames.row_and_column(*latents.shape[1:3]))
        shown = jnp.broadcast_to(real, latents.shape[:3])
        cameras = batch.cameras.frames(slice(None, None, config.model.strides.frames))
        of_real = real_frames.conditions_of_real(latents, shown, cameras, batch.motion)
        conditions = of_real._replace(text=conditions.text)
    guides = [conditions]
    if prior.sampler.guidance != 1:
        blind = replace(config, data=replace(config.data, drop_projection=1.0))
        guides.append(encode_clips(blind, batch, keys, frozen, part).conditions)
    if prior.sampler.text_guidance != 1:
        # The text that guidance leads away from.
        text = prior.negative_text
        if text is not None:
            text = jnp.broadcast_to(text, (len(latents), *text.shape))
        guides.append(conditions._replace(text=text))
    generated = generate.flow_program(prior.for_network, tuple(guides), noise_key)
    if not config.model.needs_cameras:
        return jnp.stack(
            [last_frames(x) for x in (conditions.base, generated, latents)]
        )
    targets = config.data.views - 1
    source = jnp.repeat(conditions.projection[:, :1], targets, 1)
    rows = (source, conditions.projection, generated, latents)
    return jnp.stack([last_frames(x[:, -targets:]) for x in rows])
