"""A model that compiles in seconds, for tests and for trying changes to the loop.

full4d train --config debug            2 CPU cores, about half a minute, loss falls a little
"""

from full4d_jax.config import (
    Config,
    DataConfig,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    SamplerConfig,
    TrainingConfig,
)

config = Config(
    name="debug",
    model=ModelConfig(width=48, layers=2, heads=2, ffn=96, refiner=4),
    data=DataConfig(views=3, frames=2, height=16, width=16),
    optimizer=OptimizerConfig(warmup=2, ema=0.9),
    training=TrainingConfig(batch=2, steps=20, log_every=5, checkpoint_every=5),
    sampler=SamplerConfig(),
    mesh=MeshConfig(data=1),
)
