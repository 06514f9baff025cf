"""Batches for tests: of a training on grids, and of noise, which needs no rendered scene."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from full4d_jax.config import Config
from full4d_jax.generation.batch import Batch
from full4d_jax.training.clips.batches import training_batches


def grid_batches(
    config: Config, start: int, mesh: Mesh | None = None
) -> Iterator[Batch]:
    """Yield the batches of `training_batches`, where none holds stored projections."""
    for batch in training_batches(config, start, mesh):
        assert isinstance(batch, Batch)
        yield batch


def is_warp(batch: Batch) -> np.ndarray:
    """Return which clips (b) are warps, which say nothing of cameras."""
    return (np.asarray(batch.cameras.world_to_camera) == np.eye(4)).all((1, 2, 3, 4))


def random_batch(clips: int) -> Batch:
    """Return clips of the size of `configs/debug.py`, whose two targets stand beside the source."""
    rng = np.random.default_rng(0)
    poses = np.broadcast_to(np.eye(4, dtype=np.float32), (clips, 3, 2, 4, 4)).copy()
    poses[:, 1:, :, 0, 3] = rng.uniform(-0.2, 0.2, (clips, 2, 2))
    lens = jnp.array([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]])
    return Batch(
        frames=jnp.asarray(rng.uniform(-1, 1, (clips, 3, 2, 16, 16, 3)), jnp.float32),
        depth=jnp.asarray(rng.uniform(0.5, 2, (clips, 2, 16, 16)), jnp.float32),
        intrinsics=jnp.broadcast_to(lens, (clips, 3, 3, 3)),
        world_to_camera=jnp.asarray(poses),
    )
