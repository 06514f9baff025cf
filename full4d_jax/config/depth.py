"""Configuration of the depth network and its training; imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from full4d_jax.config.experiment import ALL_SCENES, Scenes, Seed
from full4d_jax.config.training import OptimizerConfig, TrainingConfig
from full4d_jax.session.fields import Between, Count, CountOrZero, Share, Weight

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
class SharpNetConfig:
    """Sizes of the head that sharpens Tiefenrausch's depth."""

    fine: CountOrZero = 48
    """Channels at 1/2 of the frame; 0 is Tiefenrausch without a head."""
    coarse: Count = 64
    """Channels at 1/4 of the frame."""


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


@dataclass(frozen=True)
class SharpDataConfig:
    """Frames for training from Tiefenrausch: new procedural scenes, and real pictures.

    Sizes are as in `DepthDataConfig`, multiples of 32. The network is used at a long side of 384,
    and what it knows depends on the size at which it sees things, so these are not far below.
    """

    sizes: Sizes = ((288, 192, 320), (480, 320, 192), (384, 256, 256))
    """Sizes that take turns, each for 100 steps in a row."""
    scenes: Scenes = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""
    worlds: DepthWorlds = "wide"
    """Content of the scenes."""
    photos: str = ""
    """Folder of photographs: their crops cover half of the surfaces, and the network must keep
    Tiefenrausch's depth of all but every fifth by name."""
    videos: str = ""
    """Folder of clips: people cut out of them stand in wide worlds, and their frames join the
    photographs. Every fifth clip by name is left out."""
    filmed: Share = 0.3
    """Share of the real pictures that are frames of `videos`."""


@dataclass(frozen=True)
class SharpDepthConfig:
    """Everything that defines a training that starts from Tiefenrausch."""

    name: str = "sharp_depth"
    """Name of the output folder."""
    seed: Seed = 0
    """Seed of the head's initial parameters, scenes, crops and their augmentation."""
    anchor: Weight = 1.0
    """Weight of Tiefenrausch's own depth of real pictures in the loss."""
    model: SharpNetConfig = SharpNetConfig()
    data: SharpDataConfig = SharpDataConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        kind="adamw", adam_learning_rate=1e-4, adam_weight_decay=0.0, warmup=200, decay_share=0.5
    )
    training: TrainingConfig = TrainingConfig(
        batch=1, steps=40_000, log_every=20, checkpoint_every=50
    )
    """`batch` counts procedural frames; as many real pictures come to them."""
