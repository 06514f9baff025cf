"""Configuration of the depth network and its training; imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from full4d_jax.config.experiment import ALL_SCENES, Scenes, Seed
from full4d_jax.config.training import OptimizerConfig, TrainingConfig
from full4d_jax.session.fields import Between, Count, CountOrZero, Share, Weight

Side = Annotated[int, Between(16, 4096, "sizes of 16 to 4096 pixels")]
Size = tuple[Side, Side, Side]
Sizes = tuple[Size, ...]
DepthWorlds = Literal["rich", "wide"]


@dataclass(frozen=True)
class DepthNetConfig:
    """Sizes of the head that joins and sharpens the depth of two networks."""

    fine: CountOrZero = 48
    """Channels at 1/2 of the frame; 0 is Tiefenrausch without a head."""
    coarse: Count = 64
    """Channels at 1/4 of the frame."""


@dataclass(frozen=True)
class DepthDataConfig:
    """Frames for training: new procedural scenes for every step, and real pictures.

    Sizes are (rows rendered, rows seen, columns seen), the last two multiples of 32; frames that
    are seen at fewer pixels are antialiased. The network is used at a long side of 384, and what it
    knows depends on the size at which it sees things, so these are not far below.
    """

    sizes: Sizes = ((288, 192, 320), (480, 320, 192), (384, 256, 256))
    """Sizes that take turns, each for 100 steps in a row."""
    scenes: Scenes = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""
    worlds: DepthWorlds = "wide"
    """Content of the scenes."""
    photos: str = ""
    """Folder of photographs: their crops cover half of the surfaces, and of all but every fifth by
    name the network must keep Tiefenrausch's depth."""
    videos: str = ""
    """Folder of clips: people cut out of them stand in wide worlds, and their frames join the
    photographs. Every fifth clip by name is left out."""
    filmed: Share = 0.3
    """Share of the real pictures that are frames of `videos`."""
    rooms: str = ""
    """File with the names of photographs and clips that show rooms, one a line: of them the network
    must keep FastDepth's depth."""
    roomy: Share = 0.35
    """Share of the real pictures that are of `rooms`, if there are any."""


@dataclass(frozen=True)
class DepthConfig:
    """Everything that defines a training of the depth network, which starts from two by others."""

    name: str = "depth"
    """Name of the output folder."""
    seed: Seed = 0
    """Seed of the head's initial parameters, scenes, crops and their augmentation."""
    anchor: Weight = 1.0
    """Weight of Tiefenrausch's and FastDepth's own depth of real pictures in the loss."""
    model: DepthNetConfig = DepthNetConfig()
    data: DepthDataConfig = DepthDataConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        kind="adamw", adam_learning_rate=1e-4, adam_weight_decay=0.0, warmup=60, decay_share=0.5
    )
    training: TrainingConfig = TrainingConfig(
        batch=1, steps=1200, log_every=20, checkpoint_every=50
    )
    """`batch` counts procedural frames; as many real pictures come to them."""
