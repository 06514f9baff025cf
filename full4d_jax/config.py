"""Configuration: frozen dataclasses, the embedded default, and presets loaded by path.

A preset is a Python file (see `configs/`) whose module-level `config` is a `Config` and whose
docstring is the lab notebook. Nothing here imports jax, so that `--help` is quick.
"""

import dataclasses
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args

from full4d_jax.bounds import ALL_SCENES, BOUNDS
from full4d_jax.codec_config import strides_of
from full4d_jax.errors import InputError


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
    projection: Literal["frames", "channels"] = "channels"
    """Where projection guidance enters: as further frames (the paper) or as input channels."""
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
    sigma_seen: float = 0.13
    """`residual`: expected deviation from the filled projection where the source sees."""
    sigma_hole: float = 0.30
    """`residual`: the same where it does not."""
    refiner: int = 12
    """Channels of the convolutional head at latent resolution; 0 leaves a linear head."""
    lora_rank: int = 0
    """Rank of the adapters that `optimizer.trainable=lora` trains; 0 builds none."""


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
    scenes: int = ALL_SCENES
    """Procedural scenes to draw from, indices 0 .. scenes - 1."""


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """Rectified flow: flow time tau in [0, 1], 0 = data, 1 = noise."""

    shift: float = 1.5
    """sigma in tau' = sigma tau / (1 + (sigma - 1) tau), in training."""
    mean_share: float = 0.4
    """Share of the clips trained at tau = 1 from zero noise, to regress the mean in one call."""
    perceptual: float = 0.0
    """Weight of LPIPS (AlexNet) in that regression; above 0 needs the extra `metrics`."""
    weight_limit: float = 50.0
    """Upper limit of the loss weight 1 + (sigma (1 - tau) / tau)^2 on predicted latents."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Muon on the blocks' matrices, AdamW on everything else."""

    trainable: Literal["all", "attention", "lora"] = "all"
    """All parameters; the self-attention, cameras, projectors and the embedding of the mask; or,
    instead of the attention, adapters of rank `model.lora_rank` in all linears of the blocks."""
    learning_rate: float = 0.015
    """Muon's, at its highest."""
    adam_learning_rate: float = 0.0015
    """AdamW's, at its highest."""
    warmup: int = 100
    """Steps of linear warm-up."""
    decay_share: float = 0.3
    """Last share of the steps, in which the learning rate falls linearly to zero."""
    weight_decay: float = 0.01
    """Of what Muon updates, a share of the parameters per step and unit of the learning rate."""
    adam_weight_decay: float = 0.01
    """The same of what AdamW updates."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    ema: float = 0.999
    """Decay of the averaged parameters, warmed up as (1 + step) / (10 + step)."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Length and bookkeeping of a training run."""

    batch: int = 8
    """Clips in a step."""
    steps: int = 20_000
    """Length of the whole run, and so of the learning rate's schedule."""
    log_every: int = 50
    """Steps from one line of `metrics.jsonl`, which holds their means, to the next."""
    checkpoint_every: int = 500
    """Steps."""
    keep: int = 2
    """Checkpoints to keep."""


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
    """Classifier-free guidance towards the projection; 1 is off and costs one call a step."""


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
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    flow: FlowConfig = FlowConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    sampler: SamplerConfig = SamplerConfig()
    lift: LiftConfig = LiftConfig()


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
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError("config", path, found, "a Python preset", advice)
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
    for name, value, kind in _fields(config):
        values = _flat(value)
        if name in BOUNDS:
            fits = bool(values) and all(BOUNDS[name].holds(x) for x in values)
            _require(name, value, fits, BOUNDS[name].words)
        elif choices := _choices(kind):
            _require(name, value, all(x in choices for x in values), f"one of {', '.join(choices)}")
        else:
            _require(name, value, isinstance(value, kind), f"a value of type {kind.__name__}")
    model, data = config.model, config.data
    if isinstance(config, Config):
        even = f"a number whose double divides model.width, {model.width}"
        _require("model.heads", model.heads, model.width % (2 * model.heads) == 0, even)
        strides = strides_of(model.codec, model.codec_stride)
        fits = model.codec_stride == strides.pixels
        expected = f"{strides.pixels} with {model.codec}"
        _require("model.codec_stride", model.codec_stride, fits, expected)
        fits = (data.frames - 1) % strides.frames == 0
        expected = f"1 + a multiple of {strides.frames} with {model.codec}"
        _require("data.frames", data.frames, fits, expected)
        fits = (config.optimizer.trainable == "lora") == (model.lora_rank > 0)
        both = "a rank above 0 with --optimizer.trainable lora, and 0 without"
        _require("model.lora_rank", model.lora_rank, fits, both)
        if "prope" in model.cameras:
            eights = f"a divisor of model.width, {model.width}, into eights (cameras has prope)"
            fits = model.width % (8 * model.heads) == 0
            _require("model.heads", model.heads, fits, eights)
        side = model.patch * model.codec_stride
        for name, value in (("data.height", data.height), ("data.width", data.width)):
            _require(name, value, value % side == 0, f"a multiple of the {side} pixels of a token")
    else:
        trainable = config.optimizer.trainable
        _require("optimizer.trainable", trainable, trainable == "all", "all, for this network")
        _require("model.widths", model.widths, len(model.widths) == 3, "three numbers")
        divides = f"a number that divides the last of model.widths, {model.widths[-1]}"
        _require("model.heads", model.heads, model.widths[-1] % model.heads == 0, divides)
        for name, sizes in (("data.early_sizes", data.early_sizes), ("data.sizes", data.sizes)):
            fits = all(isinstance(x, tuple) and len(x) == 2 and x[1] % 8 == 0 for x in sizes)
            _require(name, sizes, fits, "pairs of which the second is a multiple of 8")


def _fields(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, value and type of everything in nested dataclasses."""
    for field in dataclasses.fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value, f"{name}.")
        else:
            yield name, value, field.type


def _flat(value: Any) -> list[Any]:
    return [x for item in value for x in _flat(item)] if isinstance(value, tuple) else [value]


def _choices(kind: Any) -> tuple[str, ...]:
    """The words of a Literal or of a tuple of Literals; of other types none."""
    words = tuple(word for part in get_args(kind) for word in (get_args(part) or (part,)))
    return tuple(word for word in words if isinstance(word, str))


def _require(name: str, value: Any, fits: bool, expected: str) -> None:
    if not fits:
        do = f"change it in CONFIG or with --{name}"
        raise InputError("config", name, repr(value), expected, do)


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values, ready for JSON."""
    return dataclasses.asdict(config)
