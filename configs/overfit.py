"""One procedural scene to near-zero loss: the shortest proof that model, loss and optimizer work.

full4d train --config overfit          2 CPU cores, about 5 minutes
"""

from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    OptimizerConfig,
    TrainingConfig,
)

config = Config(
    name="overfit",
    data=DataConfig(frames=2, corrupt_depth=0.0, drop_projection=0.0, scenes=1),
    flow=FlowConfig(mean_share=0.5),
    optimizer=OptimizerConfig(warmup=20, ema=0.98),
    training=TrainingConfig(batch=2, steps=600, log_every=20, checkpoint_every=200),
)
