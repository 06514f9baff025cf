"""The base of configs/four_real.py: a small model of fixed-view and freeze-time videos.

full4d train configs/four_real_base.py
"""

from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)

config = Config(
    name="four_real_base",
    model=ModelConfig(
        width=160,
        heads=4,
        ffn=512,
        projection="none",
        cameras=(),
        rope_folds_views=True,
    ),
    data=DataConfig(orbit=True, lines=True, pseudo=0.5),
    flow=FlowConfig(mean_share=0.6),
    optimizer=OptimizerConfig(learning_rate=0.012, adam_learning_rate=0.0012, decay_share=0.5),
    training=TrainingConfig(batch=2, steps=2400, log_every=25, checkpoint_every=200),
)
