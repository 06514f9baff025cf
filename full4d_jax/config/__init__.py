"""Configuration: the dataclasses of an experiment, their checks, and presets loaded by path."""

from full4d_jax.config.experiment import (
    DEFAULT,
    Config,
    DataConfig,
    FlowConfig,
    LiftConfig,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    SamplerConfig,
    Size,
    TrainingConfig,
    to_dict,
)
from full4d_jax.config.presets import load_config
from full4d_jax.config.rules import check_config
