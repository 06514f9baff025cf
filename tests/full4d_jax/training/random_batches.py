"""Batches of noise, for tests that need no rendered scene, whose program compiles for seconds."""

import jax.numpy as jnp
import numpy as np

from full4d_jax.generation.batch import Batch


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
