"""Clips whose projection is encoded already, as `full4d data encode` stores them.

A clip comes with one draw of its source and of the source's depth. Whether its projection is
dropped is drawn in the training step, from the same key as where it projects (`batch.prepare`).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float16, Int, PRNGKeyArray, UInt8

from full4d_jax.config import DataConfig, ModelConfig
from full4d_jax.generation.batch import EncodedBatch, for_model
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.models.conditions import Conditions


class Shares(NamedTuple):
    """What decides how the projection of one clip is jittered.

    Attributes:
      key: of the errors of its depth.
      corrupt: its depth has errors where this is below `data.corrupt_depth`.
      drop: it has no projection where this is below `data.drop_projection`.
    """

    key: PRNGKeyArray
    corrupt: Float[Array, ""]
    drop: Float[Array, ""]


def draw_shares(key: PRNGKeyArray, index: Int[Array, ""] | int) -> Shares:
    """Draw for one clip of a batch, by its place there."""
    depth_key, share_key = jax.random.split(jax.random.fold_in(key, index))
    return Shares(depth_key, *jax.random.uniform(share_key, (2,)))


def draw_depth(
    shares: Shares, depth: Float[Array, "t h w"], data: DataConfig
) -> Float[Array, "t h w"]:
    """Return the depth of a clip, or such as a network might estimate it."""
    estimate = drop_depth_edges(corrupt_depth(shares.key, depth), EDGE)
    return jnp.where(shares.corrupt < data.corrupt_depth, estimate, depth)


def corrupt_depth(key: PRNGKeyArray, depth: Float[Array, "t h w"]) -> Float[Array, "t h w"]:
    """Make depth such as a network might estimate: wrong scale, smooth errors, blurred edges."""
    scale_key, noise_key, level_key, blur_key = jax.random.split(key, 4)
    log = jnp.log(jnp.maximum(depth, 1e-3))
    blurred = jax.lax.reduce_window(log, 0.0, jax.lax.add, (1, 3, 3), (1, 1, 1), "SAME") / 9
    # Keep the border: its windows reach outside.
    blurred = log.at[:, 1:-1, 1:-1].set(blurred[:, 1:-1, 1:-1])
    log = jnp.where(jax.random.bernoulli(blur_key, 0.6), blurred, log)
    level = jax.random.uniform(level_key, minval=0.05, maxval=0.2)
    coarse = jax.random.normal(noise_key, (depth.shape[0], 4, 4)) * 0.5
    coarse = coarse + jax.random.normal(jax.random.fold_in(noise_key, 1), (1, 4, 4))
    noise = level * jax.image.resize(coarse, depth.shape, "cubic")
    return jnp.exp(log + noise + 0.1 * jax.random.normal(scale_key))


class ProjectedBatch(NamedTuple):
    """Clips as latents and encoded projections, in numpy or jax arrays; view 0 is the source.

    Attributes:
      latents: of all views.
      projection: of the projected video; in view 0 of the source's.
      filled: of the same with holes filled; None for models that do not read it.
      mask: 1 where the projection has a point, else 0.
      disparity: as in `Conditions`.
      nothing: of a video that is one hole.
      world_to_camera: of the last frame of each latent frame's frames; see `Conditions`.
      intrinsics: in units of the picture's width and height.
      text: embedding of the clip's own text, if it is trained with that.
    """

    latents: Float16[Any, "*b v f i j c"]
    projection: Float16[Any, "*b v f i j c"]
    filled: Float16[Any, "*b v f i j c"] | None
    mask: UInt8[Any, "*b v f i j"]
    disparity: Float16[Any, "*b v f i j"]
    nothing: Float16[Any, "*b f i j c"]
    world_to_camera: Float[Any, "*b v f 4 4"]
    intrinsics: Float[Any, "*b v 3 3"]
    text: Float16[Any, "*b n e"] | None = None


def prepare_projected(
    batch: ProjectedBatch,
    key: PRNGKeyArray,
    model: ModelConfig,
    data: DataConfig,
    places: Int[Array, "b"],
) -> EncodedBatch:
    """Return the clips as the network sees them, with some projections dropped.

    Args:
      batch: the clips.
      key: randomness; clip i draws from fold_in(key, places[i]).
      model: the kind of conditions.
      data: how often projections are dropped.
      places: of the clips in the whole batch.
    """
    dropped = jax.vmap(lambda i: draw_shares(key, i).drop < data.drop_projection)(places)
    conditions = drop(batch, dropped)
    return for_model(model, batch.latents.astype(jnp.float32), conditions)


def drop(batch: ProjectedBatch, dropped: Bool[Array, "b"]) -> Conditions:
    """Return the conditions; those of `dropped` clips are what depth that is 0 everywhere gives."""
    is_target = jnp.arange(batch.projection.shape[1]) > 0
    is_hole = (dropped[:, None] & is_target[None])[..., None, None, None]
    nothing = batch.nothing[:, None]

    def latents(x: Float16[Array, "b v f i j c"]) -> Float[Array, "b v f i j c"]:
        return jnp.where(is_hole[..., None], nothing, x).astype(jnp.float32)

    projection = latents(batch.projection)
    disparity = jnp.where(dropped[:, None, None, None, None], 0, batch.disparity)
    return Conditions(
        projection=projection,
        # Else it is read in the source alone, where nothing is a hole.
        base=projection if batch.filled is None else latents(batch.filled),
        mask=jnp.where(is_hole, 0, batch.mask).astype(jnp.float32),
        disparity=disparity.astype(jnp.float32),
        world_to_camera=batch.world_to_camera,
        intrinsics=batch.intrinsics,
        text=None if batch.text is None else batch.text.astype(jnp.float32),
    )
