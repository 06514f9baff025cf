"""Configuration of the upsampler and its training; imports no jax (see `config`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from full4d_jax.config.experiment import ALL_SCENES, Scenes, Seed
from full4d_jax.config.training import OptimizerConfig, TrainingConfig
from full4d_jax.session.fields import Between, Count, Share, Weight

Rows = Annotated[int, Between(64, 4096, "64 to 4096 pixels, a multiple of 8")]


@dataclass(frozen=True)
class UpsamplerNetConfig:
    """Sizes of the upsampler."""

    widths: tuple[Count, Count, Count] = (48, 64, 96)
    """Channels at 1/2, 1/4 and 1/8 of the frame."""


@dataclass(frozen=True)
class UpsamplerDataConfig:
    """Pairs for training, rendered from new scenes while training goes on."""

    rows: Rows = 256
    """Rows and columns of the frames."""
    prior_rows: Rows = 64
    """Rows at which the prior generates."""
    crop: Rows = 96
    """Rows and columns of the crops that a step sees."""
    targets: Count = 2
    """Target views of a scene."""
    pool: Count = 96
    """Scenes that the crops of a step are drawn from."""
    steps_per_scene: Count = 4
    """Steps after which the oldest scene gives way to a new one."""
    scenes: Scenes = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""
    worlds: Literal["simple", "rich"] = "rich"
    """Content of the scenes, as in `config.DataConfig`."""
    smoothed: Share = 0.4
    """Share of the scenes with true depth as a small network would give it, enlarged."""
    estimated: Share = 0.2
    """Share of the scenes with the depth network's own estimate; the others have true depth."""
    photos: str = ""
    """Folder of photos for half of the surfaces of rich worlds."""
    videos: str = ""
    """Folder of videos whose frames join the scenes; every fifth by name is left out. People cut
    out of them stand in the scenes if there are `photos`."""
    filmed: Share = 0.5
    """Share of the scenes that are frames of `videos`."""


@dataclass(frozen=True)
class UpsamplerConfig:
    """Everything that defines a training of the upsampler."""

    name: str = "upsampler"
    """Name of the output folder."""
    seed: Seed = 0
    """Seed of initial parameters, scenes and crops."""
    prior: str = ""
    """Weights of the prior that the upsampler follows; left out, those in the package."""
    perceptual: Weight = 0.15
    """Weight of LPIPS (AlexNet) in the loss."""
    perceptual_from: Share = 0.3
    """Share of the steps after which LPIPS counts."""
    model: UpsamplerNetConfig = UpsamplerNetConfig()
    data: UpsamplerDataConfig = UpsamplerDataConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        kind="adamw", adam_learning_rate=0.002, adam_weight_decay=1e-4, decay_share=0.7
    )
    training: TrainingConfig = TrainingConfig(
        batch=8, steps=5_000, log_every=50, checkpoint_every=200
    )
