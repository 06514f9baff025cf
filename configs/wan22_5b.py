"""The paper's backbone: Wan2.2-TI2V-5B with multi-view attention, cameras and projection.

Weights (Apache-2.0) from the repository Wan-AI/Wan2.2-TI2V-5B or its -Diffusers sister:
   full4d convert wan configs/wan22_5b.py --from Wan2.2-TI2V-5B --to wan22_5b.safetensors
   full4d train configs/wan22_5b.py --init wan22_5b.safetensors

4,999,787,712 parameters of Wan's and 284,780,544 of ours: 283,207,680 in the projectors,
1,566,720 in the linears of the cameras, 6,144 in the embedding of the mask.

Grid, steps and batch are the paper's (6 views of 81 frames at 384 x 672, 63,504 tokens). Nobody has
trained this preset with this program yet: the learning rates are a first guess.
"""

from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    ModelConfig,
    OptimizerConfig,
    SamplerConfig,
    TrainingConfig,
)

config = Config(
    name="wan22_5b",
    model=ModelConfig(
        codec="wan22",
        codec_stride=16,
        width=3072,
        layers=30,
        heads=24,
        ffn=14336,
        patch=2,
        text_width=4096,
        projection="frames",
        cameras=("linear",),
        camera_projector=True,
        rope_theta=10000.0,
        rope_folds_views=True,
        prediction="velocity",
        refiner=0,
    ),
    data=DataConfig(views=6, frames=81, height=384, width=672, drop_projection=0.1),
    flow=FlowConfig(shift=5.0, mean_share=0.0),
    optimizer=OptimizerConfig(
        trainable="attention", learning_rate=2e-4, adam_learning_rate=1e-5, warmup=200
    ),
    training=TrainingConfig(batch=8, steps=10_000),
    sampler=SamplerConfig(steps=50, noise=1.0, shift=5.0),
)
