"""One record with encoded projections to one clip: a draw of them, and targets for its source."""

import jax
import numpy as np

from full4d_jax.config import Config
from full4d_jax.config.codecs import strides_of
from full4d_jax.generation.projected import ProjectedBatch
from full4d_jax.models.conditions import reads_filled
from full4d_jax.models.wan.text import padded
from full4d_jax.training.clips.record_clips import Sized
from input_pipeline.cameras import centers
from input_pipeline.projections import projection_from_bytes
from input_pipeline.selection import choose_views


def choose_projected(
    sized: Sized, generator: np.random.Generator, config: Config
) -> ProjectedBatch:
    """Return a clip in the host's memory, without batch axis.

    Raises:
      ValueError: the file of the projection is damaged; the message names the scene.
    """
    example = sized.example
    strides = strides_of(config.model.codec, config.model.codec_stride)
    file = example.projections[generator.integers(len(example.projections))]
    try:
        drawn = projection_from_bytes(file)
    except ValueError as error:
        raise ValueError(f"scene {example.scene_id}: {error}") from None
    views = choose_views(
        generator,
        centers(drawn.world_to_camera[:, 0]),
        config.data.views,
        sources=[drawn.source],
        spread=config.data.targets == "spread",
    )
    filled = drawn.filled if reads_filled(config.model) else None
    to_unit = np.array([1 / sized.width, 1 / sized.height, 1], np.float32)[:, None]
    return ProjectedBatch(
        latents=example.latents[views],
        projection=drawn.projection[views],
        filled=None if filled is None else filled[views],
        mask=drawn.mask[views],
        disparity=drawn.disparity[views],
        nothing=drawn.nothing,
        world_to_camera=drawn.world_to_camera[views, :: strides.frames],
        intrinsics=example.intrinsics[views] * to_unit,
        text=padded(example.text) if config.data.captions else None,
    )


def allocate_like(clip: ProjectedBatch, clips: int) -> ProjectedBatch:
    """Allocate memory for clips like this one."""
    return jax.tree.map(lambda x: np.empty((clips, *x.shape), x.dtype), clip)


def copy(clip: ProjectedBatch, clips: ProjectedBatch, place: int) -> None:
    """Write a clip into its place."""
    for x, batch in zip(jax.tree.leaves(clip), jax.tree.leaves(clips), strict=True):
        batch[place] = x
