"""The batches of a training on grids, of type `Batch`, and which of their clips are warps."""

from collections.abc import Iterator

import numpy as np
from jax.sharding import Mesh

from full4d_jax.config import Config
from full4d_jax.generation.batch import Batch
from full4d_jax.training.clips.batches import training_batches


def grid_batches(config: Config, start: int, mesh: Mesh | None = None) -> Iterator[Batch]:
    """Yield the batches of `training_batches`, where none holds stored projections."""
    for batch in training_batches(config, start, mesh):
        assert isinstance(batch, Batch)
        yield batch


def is_warp(batch: Batch) -> np.ndarray:
    """Return which clips (b) are warps, which say nothing of cameras."""
    return (np.asarray(batch.cameras.world_to_camera) == np.eye(4)).all((1, 2, 3, 4))
