"""Contact sheets: what the prior makes of scenes that are never trained on.

All rows are latents decoded, the truth too, since records may have no pictures of their targets.
Each clip has one draw of its source and of the source's depth, the same in every sheet.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from full4d_jax.config import Config
from full4d_jax.config.codecs import strides_of
from full4d_jax.flow import Latents, bcast
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.coding import decode_videos
from full4d_jax.generation.generate import bind_guided
from full4d_jax.generation.large_grids import Guides, sample_grid, velocity_of_parts
from full4d_jax.generation.prior import Prior, prior_with
from full4d_jax.generation.real_frames import conditions_of_real, row_and_column
from full4d_jax.generation.sampling import integrate, schedule
from full4d_jax.media.pictures import contact_sheet, to_uint8
from full4d_jax.models.conditions import Conditions
from full4d_jax.models.functional import Params
from full4d_jax.models.wan.text import load_training_texts
from full4d_jax.training.batch_part import whole_batch
from full4d_jax.training.clips.batches import rendered_batches
from full4d_jax.training.clips.records import held_out_scenes_at, record_batches
from full4d_jax.training.loss import (
    Clips,
    Frozen,
    count_clips,
    draw_per_clip,
    encode_clips,
    split_keys,
)
from full4d_jax.training.placement import in_mesh
from full4d_jax.training.validation import VALIDATION_STREAM, without_drops
from input_pipeline.procedural.scene import HELD_OUT_START

Picture = UInt8[np.ndarray, "H W 3"]
# At most so many clips are drawn.
CLIPS_OF_SHEET = 3
ROWS = ("source", "projection", "prior", "truth")
ROWS_WITHOUT_PROJECTION = ("nearest real", "prior", "truth")


def draw_sheet(config: Config, params: Params, mesh: Mesh | None = None) -> Picture:
    """Draw the last frames of clips of scenes that `data.held_out` keeps from training.

    Without such, the scenes are rendered.

    Args:
      config: the experiment.
      params: of the network.
      mesh: of the training, on which all its processes draw; None for one device.
    """
    config = without_drops(config)
    if config.data.held_out:
        batch = next(iter(record_batches(config, 0, mesh, held_out=True)))
        scenes = held_out_scenes_at(config, 0)
    else:
        # A mesh can divide the clips of training.
        count = CLIPS_OF_SHEET if mesh is None else config.training.batch
        data = replace(config.data, corrupt_depth=0.0, estimated=0.0)
        config = replace(config, data=data)
        indices = HELD_OUT_START + np.arange(count, dtype=np.int32)
        batch = next(rendered_batches(config, iter([indices]), mesh))
        scenes = [f"scene {i}" for i in range(count)]
    key = jax.random.fold_in(jax.random.key(config.seed), VALIDATION_STREAM)
    prior = prior_with(config, params, mesh)
    rows = jax.device_get(_drawing(config, mesh)(prior, batch, key))
    clips, views = rows.shape[1:3]
    numbers = range(config.data.views - views, config.data.views)
    return contact_sheet(
        to_uint8(rearrange(rows / 2 + 0.5, "r n v h w c -> r (n v) h w c")),
        rows=ROWS if config.model.needs_cameras else ROWS_WITHOUT_PROJECTION,
        columns=[f"{scene}, view {number}" for scene in scenes[:clips] for number in numbers],
        title=f"{config.name}: held-out clips",
    )


# It compiles once for all sheets of a run.
@lru_cache(maxsize=1)
def _drawing(config: Config, mesh: Mesh | None) -> Callable[..., Array]:
    """Return the program that draws, whose results every process has whole."""
    everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    return jax.jit(in_mesh(mesh, partial(_draw_clips, config)), out_shardings=everywhere)


def _draw_clips(
    config: Config, prior: Prior, batch: Clips, key: PRNGKeyArray
) -> Float[Array, "r n v h w 3"]:
    """Return the last frames of the first clips of a batch, for each row of a sheet, in [-1, 1]."""
    encode_key, noise_key = jax.random.split(key)
    keys = split_keys(encode_key)
    text, _ = load_training_texts(config)
    frozen = Frozen(prior.codec_weights, text)
    part = whole_batch(count_clips(batch))

    encoded = encode_clips(config, batch, keys, frozen, part)
    latents = encoded.latents
    conditions = encoded.conditions
    noise = draw_per_clip(jax.random.normal, noise_key, part, *latents.shape[1:])

    def last_frames(videos: Latents) -> Float[Array, "n v H W 3"]:
        decoded = decode_videos(config.model, prior.codec_weights, videos[:CLIPS_OF_SHEET])
        return jnp.clip(decoded[:, :, -1], -1, 1)

    if not config.model.needs_cameras:
        assert isinstance(batch, Batch), "projections are encoded for models that read them"
        conditions = _of_row_and_column(config, batch, latents, conditions)
    guides = [conditions]
    if prior.sampler.guidance != 1:
        blind = replace(config, data=replace(config.data, drop_projection=1.0))
        guides.append(encode_clips(blind, batch, keys, frozen, part).conditions)
    if prior.sampler.text_guidance != 1:
        guides.append(_without_text(conditions, prior))
    generated = _sample(prior, tuple(guides), noise)
    if not config.model.needs_cameras:
        return jnp.stack([last_frames(x) for x in (conditions.base, generated, latents)])
    targets = config.data.views - 1
    source = jnp.repeat(conditions.projection[:, :1], targets, 1)
    rows = (source, conditions.projection, generated, latents)
    return jnp.stack([last_frames(x[:, -targets:]) for x in rows])


def _sample(prior: Prior, guides: Guides, noise: Latents) -> Latents:
    """Return the latents of the views to generate, or of whole grids, by all steps."""
    sampler = prior.sampler
    bind = partial(bind_guided, prior)
    start = sampler.noise * noise
    real = guides[0].real
    if real is not None:
        start = jnp.where(bcast(real, start), guides[0].base, start)
    if prior.model.needs_cameras:
        return sample_grid(sampler, bind, guides, start)
    flow = velocity_of_parts(sampler, bind, guides, *start.shape[1:3])
    return integrate(flow, start, schedule(sampler.steps, sampler.shift))


def _of_row_and_column(
    config: Config, batch: Batch, latents: Latents, conditions: Conditions
) -> Conditions:
    """Return the conditions of grids whose first view and first instant are real."""
    real = jnp.asarray(row_and_column(*latents.shape[1:3]))
    stride = strides_of(config.model.codec, config.model.codec_stride).frames
    cameras = batch.cameras.frames(slice(None, None, stride))
    shown = jnp.broadcast_to(real, latents.shape[:3])
    real_conditions = conditions_of_real(latents, shown, cameras, batch.motion)
    return real_conditions._replace(text=conditions.text)


def _without_text(conditions: Conditions, prior: Prior) -> Conditions:
    """Return the conditions with the text that guidance leads away from."""
    negative = prior.negative_text
    if negative is None:
        return conditions._replace(text=None)
    clips = len(conditions.base)
    return conditions._replace(text=jnp.broadcast_to(negative, (clips, *negative.shape)))
