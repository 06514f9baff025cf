"""Configuration of the depth network and its training; imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from full4d_jax.config.experiment import ALL_SCENES, Scenes, Seed
from full4d_jax.config.training import OptimizerConfig, TrainingConfig
from full4d_jax.session.fields import Between, Count

Side = Annotated[int, Between(16, 4096, "sizes of 16 to 4096 pixels")]
Size = tuple[Side, Side, Side]
Sizes = tuple[Size, ...]
DepthWorlds = Literal["simple", "rich", "wide"]


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

    Sizes are (rows rendered, rows seen, columns seen) of successive steps, and take turns; frames
    that are seen at fewer pixels are antialiased.
    """

    early_sizes: Sizes = ((64, 64, 64), (96, 64, 112), (64, 64, 88), (168, 112, 64))
    """Sizes until the learning rate falls: small frames, so many scenes."""
    sizes: Sizes = (
        (144, 96, 168),
        (144, 96, 128),
        (96, 96, 96),
        (252, 168, 96),
        (144, 96, 96),
        (96, 96, 128),
    )
    """Sizes while the learning rate falls: what the network sees of real videos."""
    scenes: Scenes = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""
    worlds: DepthWorlds = "wide"
    """Content of the scenes: as in `config.DataConfig`, or rich ones that any camera sees."""
    photos: str = ""
    """Folder of photos whose crops cover half of the surfaces of rich and wide worlds."""
    videos: str = ""
    """Folder of clips from cameras at rest: people cut out of them stand in wide worlds. Every
    fifth clip by name is left out."""


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
    """`batch` counts frames of 64 x 64 pixels; of larger ones, as many as have those pixels."""
