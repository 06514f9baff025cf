"""Configuration of an experiment: frozen dataclasses, and the embedded default.

Bounds stand on the fields (`session.fields`); `rules` holds the checks between fields. Nothing
here imports jax, so that `--help` is quick.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from full4d_jax.config.model import ModelConfig, Part
from full4d_jax.session.fields import (
    LARGEST_INT,
    Between,
    Count,
    CountOrZero,
    Positive,
    Share,
    Streamed,
    Weight,
)

# Procedural scenes to train on; `input_pipeline` holds out those beyond.
ALL_SCENES = 2**30
Scenes = Annotated[
    int, Between(1, ALL_SCENES, f"1 to {ALL_SCENES} (others are held out)")
]
Seed = Annotated[
    int, Between(0, LARGEST_INT, f"a whole number from 0 to {LARGEST_INT}")
]
Quality = Literal["draft", "normal", "high"]
Rate = Annotated[float, Between(1e-3, 1000)]
ViewCount = Annotated[
    int, Between(2, LARGEST_INT, "at least 2, the source included, and below 2^31")
]


class Size(NamedTuple):
    """Views, instants, and rows and columns in pixels."""

    views: int
    frames: int
    height: int
    width: int


# The fields of a config that say the size.
SIZES = tuple(f"data.{name}" for name in Size._fields)


@dataclass(frozen=True)
class DataConfig:
    """Clips for training."""

    views: ViewCount = 4
    """Views of a clip, the source included."""
    frames: Count = 4
    """Instants of a clip, the same for all views."""
    fps: Rate = 8.0
    """Frames a second to take of videos; the default of `--fps`."""
    height: Count = 64
    """Rows in pixels, a multiple of `model.patch * model.codec_stride`."""
    width: Count = 64
    """Columns in pixels, a multiple of the same."""
    corrupt_depth: Share = 0.5
    """Share of clips whose depth is corrupted like a depth network's."""
    drop_projection: Share = 0.05
    """Share of clips that train without projection guidance."""
    projections: CountOrZero = 0
    """Encoded projections of each clip that `data encode` stores and training draws from, each of
    a random source and depth; with 0 every step projects and encodes."""
    captions: bool = False
    """Train each clip with its own text, which `data encode --text_encoder` embedded, in place of
    `text`."""
    drop_text: Share = 0.0
    """Share of clips that train with `negative_text` in place of their text."""
    buckets: tuple[str, ...] = ()
    """With `records`: sizes HxW; each clip is cut to the nearest shape."""
    records: Annotated[tuple[str, ...], Streamed()] = ()
    """Data sets to train on, with shares as in `A=3 B=1` (docs/data.md)."""
    held_out: Share = 0.0
    """Share of the scenes of `records`, drawn by their names, that are never trained on: the loss
    is measured on them (`training.validate_every`), and contact sheets show them."""
    targets: Literal["random", "spread"] = "random"
    """Choice of the views of a record that join the source: any, or views far apart."""
    strides: tuple[Count, ...] = (1,)
    """Steps between instants of a record, drawn from those that fit."""
    scenes: Scenes = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""
    worlds: Literal["simple", "rich"] = "simple"
    """Kind of procedural scenes (docs/data.md); shipped weights know simple."""
    estimated: Share = 0.0
    """Share of rendered clips whose depth the shipped network estimates."""
    orbit: bool = False
    """Place still cameras in equal steps along one arc from the source."""
    lines: bool = False
    """Train on rows and columns of grids as single videos (`RealFrames`)."""
    pseudo: Share = 0.0
    """Share of the batches that are made of single videos: planar warps (`RealFrames`), or
    double reprojections (docs/cascade.md)."""
    pseudo_views: ViewCount = 2
    """Views of a clip of double reprojection; those beyond 2 turn and zoom at the video's place."""
    videos: str = ""
    """Folder of videos, without those in its subfolders; every fifth by name is held out. Without
    it, procedural views are warped."""

    @property
    def size(self) -> Size:
        """The size of a clip."""
        return Size(self.views, self.frames, self.height, self.width)


@dataclass(frozen=True)
class FlowConfig:
    """Rectified flow: flow time tau in [0, 1], 0 = data, 1 = noise."""

    shift: Positive = 1.5
    """sigma in tau' = sigma tau / (1 + (sigma - 1) tau), in training."""
    mean_share: Share = 0.4
    """Share of clips trained at tau = 1 from zero noise: regression of the mean."""
    perceptual: Weight = 0.0
    """Weight of LPIPS (AlexNet) in the regression; above 0 needs the extra `metrics`."""
    moving: Weight = 0.0
    """Additional weight in the regression for pixels that differ from instant 0 of their view."""
    motion: Weight = 0.0
    """Weight of the motion's error in models that move their base, in units of 4 pixels."""
    segments: Annotated[int, Between(0, 64)] = 0
    """Student steps of few-step distillation; the teacher takes 16 times as many. 0: off."""
    teacher_guidance: Weight = 1.0
    """Text guidance of the teacher; the student then needs none."""


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer and trainable parameters."""

    kind: Literal["muon", "adamw"] = "muon"
    """Muon on the blocks' matrices and Nesterov's AdamW elsewhere, or plain AdamW."""
    trainable: Literal["all", "attention", "lora", "adapters", "synchronization"] = (
        "all"
    )
    """Parameters that change: all; self-attention, or adapters (`model.lora_rank`), with our
    additions to a video model (cameras, projectors, mask); adapters alone (`flow.segments`); or the
    synchronization of two streams and their context embeddings."""
    learning_rate: Positive = 0.015
    """Highest learning rate of Muon."""
    adam_learning_rate: Positive = 0.0015
    """Highest learning rate of AdamW."""
    warmup: CountOrZero = 100
    """Steps of linear warm-up."""
    decay_share: Share = 0.3
    """Last share of the steps, where the rate falls linearly to zero."""
    adam_weight_decay: Weight = 0.01
    """AdamW's weight decay, per step and unit of the learning rate; Muon's is .01."""
    clip: Positive = 1.0
    """Largest global norm of the gradient."""
    ema: Share = 0.999
    """Decay of the averaged parameters, warmed up as (1 + step) / (10 + step)."""


@dataclass(frozen=True)
class TrainingConfig:
    """Length and bookkeeping of a training run."""

    batch: Count = 8
    """Clips in a step."""
    accumulate: Count = 1
    """Parts of a batch that run one after another, to save memory; the result is the same."""
    steps: Count = 20_000
    """Length of the whole run and of the learning rate's schedule."""
    log_every: Count = 50
    """Steps between lines of `metrics.jsonl`, which hold their means."""
    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    keep: Count = 2
    """Newest checkpoints to keep."""
    keep_best: CountOrZero = 1
    """Checkpoints of the lowest mean loss to keep in addition."""
    checkpoints: Annotated[str, Streamed()] = ""
    """Folder or URL (gs://bucket/run) of checkpoints; by default in the output."""
    validate_every: CountOrZero = 0
    """Steps between measurements of the loss on `data.held_out`; 0 is off."""
    sheet_every: CountOrZero = 0
    """Steps between contact sheets; 0 draws one at the end only."""
    on_bad_loss: Literal["stop", "skip"] = "stop"
    """On a loss that is NaN, infinite or a spike; the state stays as it was."""
    spike: Weight = 0.0
    """A loss this many times its running mean is a spike; 0 is off."""
    xla: tuple[str, ...] = ()
    """Options of XLA, NAME=VALUE, for the programs of a training."""

    @property
    def compiler_options(self) -> dict[str, str]:
        """The options of XLA as `jax.jit` takes them."""
        pairs = (option.split("=", 1) for option in self.xla)
        words = {"true": "True", "false": "False"}
        return {name: words.get(value, value) for name, value in pairs}


@dataclass(frozen=True)
class SamplerConfig:
    """Integration of the flow from tau = 1 to 0."""

    steps: Count = 1
    """Calls of the network."""
    noise: Weight = 0.0
    """Scale of the initial noise; 0 with one step gives the mean."""
    shift: Positive = 1.0
    """Shift of the schedule towards noise."""
    guidance: Weight = 1.0
    """Guidance towards the projection; 1 is off, others cost a call a step."""
    text_guidance: Weight = 1.0
    """Guidance towards `text`, away from `negative_text`."""
    group_views: CountOrZero = 0
    """Views that the network sees at once, with the source; 0 is all."""
    window_frames: CountOrZero = 0
    """Latent frames that the network sees at once; 0 is all."""
    window_overlap: CountOrZero = 0
    """Frames that a window shares with the one before."""
    offload: bool = False
    """Keep weights in the host's memory while sampling; the device has the network's or the codec's
    while in use. Distillation takes all of them to the device."""


@dataclass(frozen=True)
class LiftConfig:
    """Fitting 4D Gaussians to a grid of views."""

    quality: Annotated[Quality, tyro.conf.arg(aliases=("--quality",))] = "normal"
    """Steps and Gaussians of the fit, where those fields are 0 (docs/fitting.md)."""
    steps: CountOrZero = 0
    """Optimiser steps, one picture each; 0 goes by the quality."""
    capacity: CountOrZero = 0
    """Number of Gaussians; 0 goes by the quality and the size of the pictures."""
    motion: Literal["freetime", "deformation"] = "freetime"
    """Gaussians with lifetimes and velocities, or one set deformed by a network."""
    harmonics: Annotated[int, Between(0, 3)] = 0
    """Degree of the harmonics, for colours that depend on the direction; raised in steps."""
    background: Literal["auto", "black", "white", "random", "unknown"] = "auto"
    """Behind a capture's subject: the plain colour around it, the one named, a random one each
    step, or nothing; the last two need masks or a plain colour."""
    perceptual: Weight = 0.0
    """Weight of LPIPS (AlexNet); above 0 needs the extra `metrics`."""
    distillation: Literal["auto", "cached", "gradient", "none"] = "auto"
    """Distillation at cameras between the generated ones (docs/distillation.md); auto: cached on
    grids no larger than the prior's own, else none."""
    distilled_views: CountOrZero = 0
    """Cameras that a step of gradient distillation queries, drawn anew; 0 is all."""
    distilled_frames: CountOrZero = 0
    """Instants that it queries, a window of whole latent frames; 0 is all."""


@dataclass(frozen=True)
class MeshConfig:
    """Numbers of devices along the axes of the mesh (docs/pods.md)."""

    data: CountOrZero = 0
    """Groups that share the samples, each with all parameters; 0 is as many as fit."""
    fsdp: Count = 1
    """Parts of parameters and optimizer, gathered when used; they share the samples."""
    view: Count = 1
    """Parts of a sample's tokens, over views first."""
    time: Count = 1
    """Parts of each of these, over time."""
    tensor: Count = 1
    """Parts of heads and hidden channels."""


@dataclass(frozen=True)
class Config:
    """Everything that defines an experiment."""

    name: str = "demo"
    """Name of the output folder."""
    seed: Seed = 0
    """Seed of initial parameters, the order of the data and all noise."""
    codec_weights: str = ""
    """Weights of `model.codec`, a file of `full4d convert codec`."""
    text: str = ""
    """Embedding of a prompt, a file of `full4d embed-text`; by default zeros (docs/wan.md)."""
    negative_text: str = ""
    """Embedding that `sampler.text_guidance` leads away from; by default zeros."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    flow: FlowConfig = FlowConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    sampler: SamplerConfig = SamplerConfig()
    lift: LiftConfig = LiftConfig()
    mesh: MeshConfig = MeshConfig()

    @property
    def runs_codec(self) -> bool:
        """Whether a training step encodes or decodes, which needs the codec's weights."""
        return self.data.projections == 0 or self.flow.perceptual > 0


# `configs/demo.py` states how its weights were trained.
DEFAULT = Config(
    optimizer=OptimizerConfig(
        learning_rate=0.012, adam_learning_rate=0.0012, decay_share=0.7
    ),
    training=TrainingConfig(batch=4, steps=3000, log_every=25, checkpoint_every=250),
)


def to_dict(config: Any) -> dict[str, Any]:
    """Return nested plain values, ready for JSON; parts of the network have their class as kind."""
    plain: dict[str, Any] = {}
    if isinstance(config, Part):
        plain["kind"] = type(config).__name__
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        is_nested = dataclasses.is_dataclass(value)
        plain[field.name] = to_dict(value) if is_nested else value
    return plain
