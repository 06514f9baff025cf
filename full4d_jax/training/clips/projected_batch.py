"""Clips whose projection is encoded already, as `full4d data encode` stores them.

A clip comes with one draw of its source and of the source's depth. Whether its projection is
dropped is drawn in the training step, from the same key as where it projects (`batch.prepare`).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float16, Int, PRNGKeyArray, UInt8

from full4d_jax.config import DataConfig, ModelConfig
from full4d_jax.generation.batch import EncodedBatch, for_model, is_dropped
from full4d_jax.models.dit.conditions import Conditions


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
    dropped = jax.vmap(lambda i: is_dropped(key, i, data))(places)
    return for_model(model, batch.latents.astype(jnp.float32), drop(batch, dropped))


def drop(batch: ProjectedBatch, dropped: Bool[Array, "b"]) -> Conditions:
    """Return the conditions; those of `dropped` clips are what depth that is 0 everywhere gives."""
    is_target = jnp.arange(batch.projection.shape[1]) > 0
    is_hole = (dropped[:, None] & is_target[None])[..., None, None, None]
    nothing = batch.nothing[:, None]

    def latents(x):
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
