"""The demo's prior taught to leap: 1, 2, 4, 8 or 50 calls from noise with one checkpoint.

full4d train --config demo_few_step --init full4d_jax/checkpoints/prior.safetensors

49 minutes on half of a busy core (2,800 clips). 4 calls then lose nothing to 50 (19.27 against
18.92 dB, LPIPS .280 both), but all are behind inpainting (.132) and behind the shipped prior's one
call without noise (22.21 dB, .114): docs/speed.md has the table and what was tried. Not shipped.
"""

import dataclasses

from full4d_jax.config import DEFAULT, OptimizerConfig, TrainingConfig

config = dataclasses.replace(
    DEFAULT,
    name="demo_few_step",
    seed=4,
    model=dataclasses.replace(DEFAULT.model, mean_flow=True),
    flow=dataclasses.replace(DEFAULT.flow, mean_share=0.0, interval_share=0.5),
    optimizer=OptimizerConfig(
        learning_rate=0.006, adam_learning_rate=0.0006, warmup=30, decay_share=0.8
    ),
    training=TrainingConfig(batch=4, steps=700, log_every=25, checkpoint_every=100),
    sampler=dataclasses.replace(DEFAULT.sampler, steps=4, noise=1.0),
)
