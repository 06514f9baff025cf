"""Motion beside the grids of a batch."""

import dataclasses

import numpy as np
from grid_batches import grid_batches

from full4d_jax.config import Config, DataConfig, ModelConfig, TrainingConfig
from full4d_jax.geometry.carried_motion import carried_motion
from full4d_jax.media.pictures import to_uint8, to_unit

MODEL = ModelConfig(patch=8, projection="none", cameras=(), moves_base=True)
CONFIG = Config(
    model=MODEL,
    data=DataConfig(views=2, frames=2, height=16, width=16, orbit=True),
    training=TrainingConfig(batch=2),
)


def test_rendered_grids_and_warps_come_with_their_motion():
    for pseudo in (0.0, 0.5):
        config = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, pseudo=pseudo))
        batch = next(grid_batches(config, 0))
        assert batch.motion is not None
        assert batch.true_motion is not None
        assert batch.motion.shape == (2, 2, 2, 16, 16, 5)
        assert batch.true_motion.shape == (2, 2, 2, 16, 16, 3)
        for clip, motion in zip(batch.frames, batch.motion, strict=True):
            np.testing.assert_array_equal(motion, carried_motion(to_uint8(to_unit(clip))))
    still = dataclasses.replace(CONFIG, model=dataclasses.replace(MODEL, moves_base=False))
    assert next(grid_batches(still, 0)).motion is None
