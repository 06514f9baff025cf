"""First stage of configs/demo.py: clips of one frame show four times the scenes for the time.

full4d train --config demo_pretrain
"""

import dataclasses

from full4d_jax.config import DEFAULT, OptimizerConfig, TrainingConfig

config = dataclasses.replace(
    DEFAULT,
    name="demo_pretrain",
    data=dataclasses.replace(DEFAULT.data, frames=1),
    optimizer=OptimizerConfig(decay_share=0.0),
    training=TrainingConfig(batch=8, steps=5000),
)
