"""Configuration: frozen dataclasses, the embedded default, and presets loaded by path.

A preset is a Python file (see `configs/`) whose module-level `config` is a `Config` and whose
docstring is the lab notebook. Nothing here imports jax, so that `--help` is quick.
"""

import dataclasses
import runpy
from pathlib import Path
from typing import Any, Literal, cast

from full4d_jax.config.bounds import ALL_SCENES
from full4d_jax.config.check import (
    check_depth_network,
    check_fields,
    check_modes,
    check_prior,
    check_sampler,
)
from full4d_jax.config.training import FlowConfig, OptimizerConfig, TrainingConfig
from full4d_jax.session.errors import InputError, require_file


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The multi-view diffusion transformer (Wan's parametrisation) and its codec."""

    codec: Literal["pixels", "taesd", "wan21", "wan22"] = "pixels"
    """Maps frames to latents; all but `pixels` need `codec_weights`."""
    codec_stride: int = 1
    """Pixels per latent pixel, each side: any with `pixels`, 8 with `taesd` and `wan21`, 16 with
    `wan22`."""
    width: int = 192
    """Channels of a token."""
    layers: int = 4
    """Transformer blocks."""
    heads: int = 3
    """Attention heads; `width / heads` is even."""
    ffn: int = 576
    """Hidden channels of the feed-forward network."""
    patch: int = 8
    """Side of a token in latent pixels."""
    text_width: int = 0
    """Width of the text embedding that the blocks attend to; 0 builds no cross-attention."""
    projection: Literal["frames", "channels", "none"] = "channels"
    """Where projection guidance enters: as further frames (the paper), as input channels, or not at
    all: then some frames of the grid are given instead (`visible_frames`)."""
    attention: Literal["fused", "full", "sequential", "two_stream_hard", "two_stream_soft"] = (
        "fused"
    )
    """Who sees whom: one softmax over own view and own instant, everything, or the same layer along
    each axis, in turn or in two streams (docs/attention.md)."""
    first_frame: bool = False
    """The source's first latent frame is given clean at flow time 0 (Wan2.2-TI2V)."""
    cameras: tuple[Literal["linear", "plucker", "prope"], ...] = ("linear", "plucker")
    """Any of: a zero-initialised linear per block, Plucker rays per token, and relative projective
    transforms inside attention (`models/prope.py`: no parameters, half of every head)."""
    camera_projector: bool = False
    """Identity-initialised linear after attention (fine-tuning of pretrained backbones)."""
    rope_theta: float = 100.0
    rope_folds_views: bool = False
    """Give view v at time t the rotary position v * frames + t, else t (views are a set)."""
    prediction: Literal["velocity", "residual"] = "residual"
    """Network output: the velocity, or a residual of the filled projection (see `flow`)."""
    mean_flow: bool = False
    """The network is also asked where its velocity leads by an earlier flow time, so that few calls
    do (MeanFlow); what it says of one instant does not change by that."""
    sigma_seen: float = 0.13
    """`residual`: expected deviation from the filled projection where the source sees."""
    sigma_hole: float = 0.30
    """`residual`: the same where it does not."""
    refiner: int = 12
    """Channels of the convolutional head at latent resolution; 0 leaves a linear head."""
    lora_rank: int = 0
    """Rank of the adapters that `optimizer.trainable=lora` trains; 0 builds none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products on tokens; auto is bfloat16 except on CPU."""
    remat: Literal["none", "block", "attention"] = "none"
    """What training computes twice to save memory: nothing, all of each block, or all but its
    attention."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Clips for training."""

    views: int = 4
    """Views of a clip, the source included."""
    frames: int = 4
    """Instants of a clip, the same for all views."""
    height: int = 64
    """Pixels, a multiple of `model.patch * model.codec_stride`."""
    width: int = 64
    """Pixels, a multiple of the same."""
    corrupt_depth: float = 0.5
    """Share of the clips whose source depth is corrupted like a depth network's."""
    drop_projection: float = 0.05
    """Share of the clips that train without projection guidance."""
    drop_text: float = 0.0
    """Share of the clips that train with `negative_text` (zeros without one) in place of `text`,
    for guidance by text."""
    buckets: tuple[str, ...] = ()
    """With `records`, several sizes HxW in place of `height` and `width`: each clip is cut to that
    whose shape is nearest, and each batch has one of them."""
    records: tuple[str, ...] = ()
    """Datasets to train on instead of procedural scenes, their split `train`; of several, each
    may say its share of the clips, `A=3 B=1` (docs/data.md)."""
    targets: Literal["random", "spread"] = "random"
    """Which views of a record stand beside the source: any, or such that are far apart."""
    strides: tuple[int, ...] = (1,)
    """Steps from one instant of a record to the next, drawn from those that fit its length."""
    scenes: int = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""
    worlds: Literal["simple", "rich"] = "simple"
    """What procedural scenes show: primitives in rooms, which the shipped weights know, or people,
    furniture, thin poles, soft shadows and noise textures (docs/data.md)."""
    orbit: bool = False
    """Cameras stand still, in equal steps along one arc that starts at the source."""
    lines: bool = False
    """Train on the rows and the columns of the grids as single videos (`projection=none`)."""
    pseudo: float = 0.0
    """Share of the clips that are planar warps of one moving view (`projection=none`)."""
    videos: str = ""
    """Folder of ordinary videos to warp; left out, procedural views are."""


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
    """Integration of the flow from tau = 1 to 0."""

    steps: int = 1
    """Calls of the network."""
    noise: float = 0.0
    """Scale of the initial noise; 0 with one step gives the conditional mean."""
    shift: float = 1.0
    """Shift of the schedule, as in training."""
    guidance: float = 1.0
    """Classifier-free guidance towards the projection; 1 is off, others cost a call a step."""
    text_guidance: float = 1.0
    """The same towards `text` and away from `negative_text`."""
    group_views: int = 0
    """Views that the network sees at once, the source included; 0 is all (docs/attention.md)."""
    window_frames: int = 0
    """Latent frames that it sees at once; 0 is all."""
    window_overlap: int = 0
    """Of them, those that a window shares with the one before."""


@dataclasses.dataclass(frozen=True)
class LiftConfig:
    """Fitting 4D Gaussians to a grid of views."""

    steps: int = 1500
    """Optimiser steps, one picture each; learning rates adapt to it."""
    capacity: int = 12_000
    """Gaussians."""
    motion: Literal["freetime", "deformation"] = "freetime"
    """Gaussians that come, move and go, or one set of them bent by a field (docs/fitting.md)."""
    source_weight: float = 3.0
    """How often the real source view is drawn, relative to a generated one."""
    perceptual: float = 0.0
    """Weight of LPIPS (AlexNet) beside L1 and D-SSIM; above 0 needs the extra `metrics`."""
    distillation: Literal["cached", "gradient", "none"] = "cached"
    """How the prior is asked about cameras between the generated ones too (docs/fitting.md)."""
    anchor: float = 1.0
    """Share of the generated views' weight that is left at the end of distillation."""


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """How many parts the devices are divided into, for what (docs/pods.md)."""

    data: int = 0
    """Groups that each take a share of the samples, with all parameters; 0 is as many as there
    are devices for."""
    fsdp: int = 1
    """Parts of parameters and optimizer, gathered when used; each takes a share of the samples."""
    view: int = 1
    """Parts of a sample's tokens, over views first."""
    time: int = 1
    """Parts of each of these, over time."""
    tensor: int = 1
    """Parts of heads and hidden channels."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines an experiment."""

    name: str = "demo"
    """Names the output folders."""
    seed: int = 0
    """Decides initial parameters, the order of the data and all noise."""
    codec_weights: str = ""
    """Weights of `model.codec`, a file of `full4d convert codec`; `pixels` has none."""
    text: str = ""
    """Embedding of a prompt, a file of `full4d embed_text`, for training and sampling; without
    one, models with text attend to zeros, Wan's padding (not to its empty prompt, which has one
    token)."""
    negative_text: str = ""
    """Another embedding, that `sampler.text_guidance` leads away from; without one, zeros."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    flow: FlowConfig = FlowConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    sampler: SamplerConfig = SamplerConfig()
    lift: LiftConfig = LiftConfig()
    mesh: MeshConfig = MeshConfig()


DEFAULT = Config(  # configs/demo.py tells how it was trained
    optimizer=OptimizerConfig(learning_rate=0.012, adam_learning_rate=0.0012, decay_share=0.7),
    training=TrainingConfig(batch=4, steps=3000, log_every=25, checkpoint_every=250),
)


def load_config(path: str | Path | None = None) -> Config:
    """Read `config` from a preset file; None gives the embedded default.

    Raises:
      InputError: there is no such file, it does not run, or it defines no `config`.
    """
    if path is None:
        return DEFAULT
    path, advice = Path(path), "see configs/ or leave CONFIG out"
    require_file("config", path, "a Python preset", advice)
    try:
        config = runpy.run_path(str(path)).get("config")
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {error}"
        raise InputError("config", path, found, "a Python preset that runs", advice) from error
    # A DepthConfig passes too; `full4d train` tells them apart.
    if not (dataclasses.is_dataclass(config) and hasattr(config, "training")):
        found, expected = type(config).__name__, "a module-level `config = Config(...)`"
        raise InputError("config", path, found, expected, advice)
    return cast(Config, config)


def check_config(config: Any) -> None:
    """Refuse values that nothing could use, in a `Config` or a `DepthConfig`.

    Raises:
      InputError: naming the field.
    """
    check_fields(config)
    if isinstance(config, Config):
        check_prior(config)
        check_modes(config)
        check_sampler(config)
    else:
        check_depth_network(config)


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values, ready for JSON."""
    return dataclasses.asdict(config)
