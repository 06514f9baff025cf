"""Motion in grids of a batch, by optical flow on the host."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.config import ModelConfig
from full4d_jax.generation.batch import Batch
from full4d_jax.geometry.carried_motion import carried_motion, motion_from_first
from full4d_jax.media.pictures import to_uint8, to_unit


def batches_with_motion(model: ModelConfig, batches: Iterator[Any]) -> Iterator[Any]:
    """Return the batches, for a model that moves its base with the motion in each clip."""
    return map(with_motion, batches) if model.moves_base else batches


def with_motion(batch: Batch) -> Batch:
    """Return a batch with the motion that its first rows carry over, and the true one."""
    frames = np.asarray(batch.frames)
    clips = frames if frames.dtype == np.uint8 else to_uint8(to_unit(frames))
    carried = np.stack([carried_motion(clip) for clip in clips])
    true = np.stack([_motion_and_trust(clip) for clip in clips])
    return batch._replace(motion=jnp.asarray(carried), true_motion=jnp.asarray(true))


def _motion_and_trust(clip: ndarray) -> Float[ndarray, "v t h w 3"]:
    motion, trusted = motion_from_first(clip)
    return np.concatenate([motion, trusted[..., None]], -1, dtype=np.float32)
