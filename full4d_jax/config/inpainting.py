"""Configuration of the inpainting network and its training; imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Annotated

from full4d_jax.config.experiment import Seed
from full4d_jax.config.training import OptimizerConfig, TrainingConfig
from full4d_jax.session.fields import Between, Count, Share, Weight

Side = Annotated[int, Between(32, 4096, "32 to 4096 pixels, a multiple of 8")]


@dataclass(frozen=True)
class InpaintingNetConfig:
    """Sizes of the inpainting network."""

    widths: tuple[Count, Count, Count] = (48, 96, 128)
    """Channels at 1/2, 1/4 and 1/8 of the picture."""
    dilations: tuple[Count, ...] = (1, 2, 4, 8, 1, 2, 4, 8)
    """Cells between the taps of the blocks at 1/8."""


@dataclass(frozen=True)
class InpaintingDataConfig:
    """Real pictures, into which holes are drawn."""

    photos: str = ""
    """Folder of photographs; every fifth by name is left out."""
    videos: str = ""
    """Folder of videos whose frames join the photographs; every fifth by name is left out."""
    filmed: Share = 0.3
    """Share of the pictures that are frames of `videos`."""
    side: Side = 256
    """Rows and columns of the pictures."""


@dataclass(frozen=True)
class InpaintingConfig:
    """Everything that defines a training of the inpainting network."""

    name: str = "inpainting"
    """Name of the output folder."""
    seed: Seed = 0
    """Seed of initial parameters, crops and holes."""
    perceptual: Weight = 0.15
    """Weight of LPIPS (AlexNet) in the loss; above 0 needs the extra `metrics`."""
    perceptual_from: Share = 0.2
    """Share of the steps after which LPIPS counts."""
    model: InpaintingNetConfig = InpaintingNetConfig()
    data: InpaintingDataConfig = InpaintingDataConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        kind="adamw", adam_learning_rate=0.001, adam_weight_decay=0.01, decay_share=0.6
    )
    training: TrainingConfig = TrainingConfig(
        batch=32, steps=8_000, log_every=50, checkpoint_every=500
    )
