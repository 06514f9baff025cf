"""4Real-Video, small: a grid from its first row and first column, without poses.

    full4d sample configs/four_real.py --fixed-view A.mp4 --freeze-time B.mp4

Two streams with soft synchronization around a frozen base, as in the paper:

1. the base, on single rows and columns (configs/four_real_base.py):
   full4d train configs/four_real_base.py
2. the synchronization alone, on grids of which half are planar warps of one view:
   full4d train configs/four_real.py --init runs/four_real_base/prior.safetensors
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
    name="four_real",
    model=ModelConfig(
        width=160,
        heads=4,
        ffn=512,
        projection="none",
        attention="two_stream_soft",
        cameras=(),
        rope_folds_views=True,
    ),
    data=DataConfig(orbit=True, pseudo=0.25),
    flow=FlowConfig(mean_share=0.6),
    optimizer=OptimizerConfig(
        trainable="synchronization",
        learning_rate=0.012,
        adam_learning_rate=0.0012,
        decay_share=0.7,
    ),
    training=TrainingConfig(batch=4, steps=2600, log_every=25, checkpoint_every=200),
)
