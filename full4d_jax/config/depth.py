"""Configuration of the depth network and its training; imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from full4d_jax.config.experiment import ALL_SCENES, Scenes, Seed
from full4d_jax.config.training import OptimizerConfig, TrainingConfig
from full4d_jax.session.fields import Between, Count

Side = Annotated[int, Between(16, 4096, "pairs of sides (rendered, seen) of 16 to 4096 pixels")]
Sizes = tuple[tuple[Side, Side], ...]


@dataclass(frozen=True)
class DepthNetConfig:
    """Sizes of the depth network."""

    widths: tuple[Count, Count, Count] = (32, 64, 128)
    """Channels at 1/2, 1/4 and 1/8 of the frame."""
    attentions: Count = 4
    """Transformer blocks at 1/8."""
    heads: Count = 2
    """Attention heads; they divide the last of `widths`."""


@dataclass(frozen=True)
class DepthDataConfig:
    """Frames for training, rendered from new scenes for every step.

    Sizes are (pixels rendered, pixels seen) per side of successive steps, and take turns; frames
    that are seen at fewer pixels are antialiased.
    """

    early_sizes: Sizes = ((32, 32), (48, 48), (48, 48))
    """Sizes until the learning rate falls: small frames, so many scenes."""
    sizes: Sizes = ((64, 64), (96, 64), (64, 64), (64, 64), (96, 96))
    """Sizes while the learning rate falls."""
    scenes: Scenes = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""
    worlds: Literal["simple", "rich"] = "simple"
    """Content of the scenes, as in `config.DataConfig`; shipped weights saw simple ones."""


@dataclass(frozen=True)
class DepthConfig:
    """Everything that defines a training of the depth network."""

    name: str = "depth"
    """Name of the output folder."""
    seed: Seed = 0
    """Seed of initial parameters, scenes and their augmentation."""
    model: DepthNetConfig = DepthNetConfig()
    data: DepthDataConfig = DepthDataConfig()
    optimizer: OptimizerConfig = OptimizerConfig(decay_share=0.5, adam_weight_decay=0.0)
    training: TrainingConfig = TrainingConfig(batch=32, steps=4800, checkpoint_every=200)
    """`batch` counts frames of 64 pixels; the smaller the frames, the more of them."""
