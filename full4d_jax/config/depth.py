"""Configuration of the depth network and its training; imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Literal

from full4d_jax.config import OptimizerConfig, TrainingConfig
from full4d_jax.config.bounds import ALL_SCENES


@dataclass(frozen=True)
class DepthNetConfig:
    """Sizes of the depth network."""

    widths: tuple[int, int, int] = (32, 64, 128)
    """Channels at 1/2, 1/4 and 1/8 of the frame."""
    attentions: int = 4
    """Transformer blocks at 1/8."""
    heads: int = 2
    """Attention heads; they divide the last of `widths`."""


@dataclass(frozen=True)
class DepthDataConfig:
    """Frames for training, rendered from new scenes for every step.

    Sizes are (pixels rendered, pixels seen) per side of successive steps, and take turns; frames
    that are seen at fewer pixels are antialiased.
    """

    early_sizes: tuple[tuple[int, int], ...] = ((32, 32), (48, 48), (48, 48))
    """Until the learning rate falls: small frames, so many scenes."""
    sizes: tuple[tuple[int, int], ...] = ((64, 64), (96, 64), (64, 64), (64, 64), (96, 96))
    """While the learning rate falls."""
    scenes: int = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""
    worlds: Literal["simple", "rich"] = "simple"
    """What is in them, as in `config.DataConfig`; the shipped weights saw simple ones."""


@dataclass(frozen=True)
class DepthConfig:
    """Everything that defines a training of the depth network."""

    name: str = "depth"
    """Names the output folders."""
    seed: int = 0
    """Decides initial parameters, scenes and their augmentation."""
    model: DepthNetConfig = DepthNetConfig()
    data: DepthDataConfig = DepthDataConfig()
    optimizer: OptimizerConfig = OptimizerConfig(decay_share=0.5, adam_weight_decay=0.0)
    training: TrainingConfig = TrainingConfig(batch=32, steps=4800, checkpoint_every=200)
    """`batch` counts frames of 64 pixels; the smaller the frames, the more of them."""
