"""Configuration: the dataclasses of an experiment, their checks, and presets loaded by path."""

from full4d_jax.config.experiment import (
    DEFAULT,
    SIZES,
    Config,
    DataConfig,
    FlowConfig,
    LiftConfig,
    MeshConfig,
    OptimizerConfig,
    SamplerConfig,
    Size,
    TrainingConfig,
    to_dict,
)
from full4d_jax.config.model import (
    Fused,
    ModelConfig,
    MovedBase,
    ProjectionAsChannels,
    ProjectionAsFrames,
    RealFrames,
    Residual,
    Sequential,
    TwoStreams,
    Velocity,
)
from full4d_jax.config.presets import load_config
from full4d_jax.config.rules import check_config
