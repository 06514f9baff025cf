"""Validation: the averaged parameters' loss on scenes that are never trained on, by flow time.

Flow times, noise and the corruption of depth are drawn from keys that depend on the seed alone, and
so are clips, views and instants. Two numbers of one run, or of two runs on the same data, differ by
their parameters only.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray

from full4d_jax.config import Config
from full4d_jax.models.codecs.codec import Weights
from full4d_jax.models.dit import prediction
from full4d_jax.models.functional import Params
from full4d_jax.models.wan.text import load_training_texts
from full4d_jax.training.batch_part import BatchPart, whole_batch
from full4d_jax.training.clips.records import batches_of, open_records
from full4d_jax.training.loss import (
    Clips,
    Frozen,
    count_clips,
    draw_per_clip,
    encode_clips,
    flow_point,
    mean_over_lines,
    predict,
    split_keys,
    weigh,
)
from full4d_jax.training.placement import in_mesh
from full4d_jax.training.state import TrainState
from input_pipeline.loader import Mixture

# Equal parts of the flow times from 0 to 1.
TIME_BINS = 5
# Of random numbers; training steps use the lower ones.
VALIDATION_STREAM = 2**31 - 2


class Losses(NamedTuple):
    """Mean losses of some clips.

    Attributes:
      by_time: of flow matching, at flow times drawn from each of `TIME_BINS` parts.
      mean: of the regression at tau = 1 from zero noise.
    """

    by_time: Float[Array, "n"]
    mean: Float[Array, ""]


def make_validation(
    config: Config, mesh: Mesh | None, codec_weights: Weights | None
) -> Callable[[TrainState], dict[str, float]]:
    """Return the function from a state to the validation losses by name.

    Args:
      config: the experiment; `data.held_out` says how many scenes are validated on.
      mesh: of the training; None for one device.
      codec_weights: of a codec that has weights, where the training step encodes.
    """
    config = without_drops(config)
    parts = parts_of(open_records(config, held_out=True), config.training.batch)
    weights = [share / batches for _, batches, share in parts for _ in range(batches)]
    text, _ = load_training_texts(config)
    frozen = Frozen(codec_weights, text)
    whole = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    program = jax.jit(in_mesh(mesh, partial(validation_losses, config)), out_shardings=whole)
    key = jax.random.fold_in(jax.random.key(config.seed), VALIDATION_STREAM)

    def validate(state: TrainState) -> dict[str, float]:
        batches = (islice(batches_of(config, part, 0, mesh), count) for part, count, _ in parts)
        measured = []
        for number, batch in enumerate(chain.from_iterable(batches)):
            batch_key = jax.random.fold_in(key, number)
            measured.append(jax.device_get(program(state.ema, batch, batch_key, frozen)))
        mean = jax.tree.map(lambda *x: np.average(x, 0, weights), *measured)
        return name_losses(config, mean)

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
    config: Config, params: Params, batch: Clips, key: PRNGKeyArray, frozen: Frozen
) -> Losses:
    """Return the mean losses of a batch; with `data.lines`, of its rows and columns."""
    part = whole_batch(count_clips(batch))
    measure = partial(_losses_of, config, params, frozen)
    return mean_over_lines(config, batch, key, part, measure)


def _losses_of(
    config: Config,
    params: Params,
    frozen: Frozen,
    batch: Clips,
    key: PRNGKeyArray,
    part: BatchPart,
) -> Losses:
    keys = split_keys(key)
    clips = encode_clips(config, batch, keys, frozen, part)
    network = prediction(config.model, params)
    noise = draw_per_clip(jax.random.normal, keys.noise, part, *clips.latents.shape[1:])
    place = draw_per_clip(jax.random.uniform, keys.times, part)

    def at(index: Int[Array, ""]) -> Float[Array, ""]:
        is_mean = jnp.broadcast_to(index == TIME_BINS, (part.size,))
        tau = jnp.where(is_mean, 1.0, (index + place) / TIME_BINS)
        drawn = jnp.where(index == TIME_BINS, 0.0, noise)
        point = flow_point(clips, drawn, tau, is_mean)
        return weigh(config, clips, point, predict(network, clips, point)).mean()

    # So there is one network to compile.
    *by_time, mean = jax.lax.map(at, jnp.arange(TIME_BINS + 1))
    return Losses(jnp.stack(by_time), mean)


def name_losses(config: Config, losses: Losses) -> dict[str, float]:
    """Return the losses that training lowers, by name, and their mean in training's shares.

    `validation/loss` weighs all flow times alike, whatever `flow.shift`.
    """
    share = config.flow.mean_share
    total = share * losses.mean + (1 - share) * losses.by_time.mean()
    named = {"validation/loss": total}
    if share < 1:
        for index, loss in enumerate(losses.by_time):
            low = index / TIME_BINS
            named[f"validation/tau_{low:.1f}_{low + 1 / TIME_BINS:.1f}"] = loss
    if share > 0:
        named["validation/mean"] = losses.mean
    return {name: round(float(value), 6) for name, value in named.items()}
