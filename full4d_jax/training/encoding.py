"""Clips on their way into the loss: latents, conditions, text, and the keys of their draws."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from full4d_jax.config import Config
from full4d_jax.generation.batch import Batch, EncodedBatch, lines, prepare
from full4d_jax.media.metrics import Distance
from full4d_jax.models.codec import Weights
from full4d_jax.training.clips.projected_batch import ProjectedBatch, prepare_projected
from full4d_jax.training.microbatch import Microbatch

Text = Float[np.ndarray, "n e"] | None
Clips = Batch | ProjectedBatch | EncodedBatch


class Frozen(NamedTuple):
    """Inputs of the loss that training does not change.

    Attributes:
      codec_weights: None for codecs without weights.
      text: the embedding of the prompt that clips without a text of their own get.
      negative: the embedding that a share `data.drop_text` of the clips gets instead, and from
        which the guidance of a teacher leads away.
      distance: LPIPS, added to the regression with the weight `flow.perceptual`.
    """

    codec_weights: Weights | None = None
    text: Text = None
    negative: Text = None
    distance: Distance | None = None


NOTHING_FROZEN = Frozen()


class Keys(NamedTuple):
    """Random keys of one loss, in the order in which its key is split."""

    encode: PRNGKeyArray
    times: PRNGKeyArray
    noise: PRNGKeyArray
    text: PRNGKeyArray


def split_keys(key: PRNGKeyArray) -> Keys:
    """Split the key of one loss."""
    return Keys(*jax.random.split(key, len(Keys._fields)))


def mean_over_lines(
    config: Config,
    batch: Clips,
    key: PRNGKeyArray,
    frozen: Frozen,
    part: Microbatch,
    measure: Callable[[Clips, PRNGKeyArray, Frozen, Microbatch], Any],
) -> Any:
    """Return `measure` of the clips, or with `data.lines` its mean over their rows and columns."""
    if not isinstance(batch, Batch) or not config.data.lines:
        return measure(batch, key, frozen, part)
    # A grid has as many rows as views, and as many columns as frames.
    sides = batch.world_to_camera.shape[1:3]
    shares = [
        measure(clips, jax.random.fold_in(key, i), frozen, part.of_lines(sides[i]))
        for i, clips in enumerate(lines(batch))
    ]
    return jax.tree.map(lambda *x: sum(x) / len(x), *shares)


def count_clips(batch: Clips) -> int:
    """Return the number of clips in a batch."""
    return len(jax.tree.leaves(batch)[0])


def whole_batch(batch: Clips) -> Microbatch:
    """Return the only part of a batch that is not divided."""
    clips = count_clips(batch)
    return Microbatch(jnp.arange(clips), clips)


def encode_clips(
    config: Config, batch: Clips, keys: Keys, frozen: Frozen, part: Microbatch
) -> EncodedBatch:
    """Return the latents to generate and the conditions, with the text that each clip gets."""
    model = config.model
    data = config.data
    if isinstance(batch, Batch):
        weights = frozen.codec_weights
        batch = prepare(batch, keys.encode, model, data, weights, part.places)
    elif isinstance(batch, ProjectedBatch):
        batch = prepare_projected(batch, keys.encode, model, data, part.places)
    texts = batch.conditions.text
    if texts is None:
        if frozen.text is None:
            return batch
        texts = jnp.broadcast_to(frozen.text, (len(batch.latents), *frozen.text.shape))
    if frozen.negative is not None:
        chance = draw_per_clip(jax.random.uniform, keys.text, part, 1, 1)
        drops = chance < config.data.drop_text
        texts = jnp.where(drops, frozen.negative[None], texts)
    return batch._replace(conditions=batch.conditions._replace(text=texts))


def draw_per_clip(
    sampler: Callable[..., Array], key: PRNGKeyArray, part: Microbatch, *shape: int
) -> Shaped[Array, "b ..."]:
    """Draw independently for each clip, by its place in the whole batch."""
    # In a row: LLVM would unroll loops over many short axes.
    keys = jax.vmap(partial(jax.random.fold_in, key))(part.places)
    drawn = jax.vmap(lambda key: sampler(key, (math.prod(shape),)))(keys)
    return drawn.reshape(-1, *shape)
