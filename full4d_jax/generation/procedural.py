"""Procedural scenes as clips, rendered on the device."""

import jax
from jaxtyping import Array, Int

from full4d_jax.config import DataConfig
from full4d_jax.generation.batch import Batch
from input_pipeline.procedural.scene import procedural_scene


def procedural_batch(indices: Int[Array, "b"], config: DataConfig) -> Batch:
    """Render the procedural scenes with these indices, one after the other."""

    def one(index):
        size = config.size._asdict()
        clip = procedural_scene(index, **size, orbit=config.orbit, worlds=config.worlds)
        frames = clip.frames * 2 - 1
        return Batch(frames, clip.depth[0], clip.intrinsics, clip.world_to_camera)

    return jax.lax.map(one, indices)
