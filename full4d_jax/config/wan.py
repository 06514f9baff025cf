"""Settings that the presets of Wan in `configs/` share: all but the sizes of model and pictures."""

from full4d_jax import config

WAN = config.Config(
    model=config.ModelConfig(
        patch=2,
        text_width=4096,
        guide=config.ProjectionAsFrames(),
        cameras=("linear",),
        camera_projector=True,
        rope_theta=10000.0,
        rope_folds_views=True,
        parametrisation=config.Velocity(),
        refiner=0,
        remat="block",
    ),
    data=config.DataConfig(
        views=6, frames=81, fps=16.0, drop_projection=0.1, projections=4
    ),
    flow=config.FlowConfig(mean_share=0.0),
    # Muon gathers every trained matrix whole.
    optimizer=config.OptimizerConfig(
        kind="adamw", trainable="attention", adam_learning_rate=1e-5, warmup=200
    ),
    training=config.TrainingConfig(batch=8, steps=10_000),
    sampler=config.SamplerConfig(steps=50, noise=1.0),
    # The paper has at most 120,000 Gaussians; steps and harmonics are a first guess.
    lift=config.LiftConfig(capacity=120_000, steps=6000, harmonics=1),
)
