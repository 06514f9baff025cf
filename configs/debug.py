"""A model that compiles in seconds, for tests and for trying changes to the loop.

full4d train --config debug            2 CPU cores, about half a minute, loss falls a little
"""

from importlib.metadata import version

from full4d_jax.config import (
    Config,
    DataConfig,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    SamplerConfig,
    TrainingConfig,
)

# Most of what XLA does for a step of 30 ms is to optimise it, from jaxlib 0.11 on always.
QUICKLY = ("xla_backend_optimization_level=0",)
if version("jaxlib").startswith("0.10."):
    QUICKLY += ("xla_cpu_use_fusion_emitters=false",)

config = Config(
    name="debug",
    model=ModelConfig(width=48, layers=2, heads=2, ffn=96, refiner=4),
    data=DataConfig(views=3, frames=2, height=16, width=16),
    optimizer=OptimizerConfig(warmup=2, ema=0.9),
    training=TrainingConfig(
        batch=2, steps=20, log_every=5, checkpoint_every=5, xla=QUICKLY
    ),
    sampler=SamplerConfig(),
    mesh=MeshConfig(data=1),
)
