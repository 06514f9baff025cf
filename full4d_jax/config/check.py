"""What the fields of a config ask of each other; their own bounds stand on them.

Each rule is a line (field, value, whether it fits, what is expected), and later rules rely on
earlier ones. A rule that names several fields carries the name of the one that is refused.
"""

import re
from collections.abc import Iterator
from typing import Any

from full4d_jax.config.codecs import strides_of
from full4d_jax.config.depth import DepthConfig, SharpDepthConfig
from full4d_jax.config.experiment import Config, ModelConfig
from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.config.upsampler import UpsamplerConfig
from full4d_jax.session.fields import check_fields, require

Rule = tuple[str, Any, bool, str]


def check_config(config: Config | DepthConfig | SharpDepthConfig | UpsamplerConfig) -> None:
    """Refuse values that nothing could use.

    Raises:
      InputError: naming the field.
    """
    check_fields(config)
    rules = {
        Config: _experiment,
        DepthConfig: _depth,
        SharpDepthConfig: _sharp_depth,
        UpsamplerConfig: _upsampler,
    }
    for rule in rules[type(config)](config):
        require(*rule)


def check_heads(model: ModelConfig, platform: str) -> None:
    """Refuse heads of a width that the attention kernels of `platform` do not take.

    CPU and TPU take any width; cuDNN, which attends on a GPU, does not.

    Raises:
      InputError: naming the field.
    """
    width = model.width // model.heads
    fits = platform != "gpu" or (width % 8 == 0 and width <= 128)
    eights = f"heads of a multiple of 8 channels, 128 at most, on a GPU (these have {width})"
    require("model.heads", model.heads, fits, eights)


def _experiment(config: Config) -> Iterator[Rule]:
    for rules in (_model, _data, _training, _sampler, _lift):
        yield from rules(config)


def _model(config: Config) -> Iterator[Rule]:
    model, trainable = config.model, config.optimizer.trainable
    even = f"a number whose double divides model.width, {model.width}"
    yield "model.heads", model.heads, model.width % (2 * model.heads) == 0, even
    eights = f"a divisor of model.width, {model.width}, into eights (cameras has prope)"
    fits = "prope" not in model.cameras or model.width % (8 * model.heads) == 0
    yield "model.heads", model.heads, fits, eights
    pixels = strides_of(model.codec, model.codec_stride).pixels
    fits = model.codec_stride == pixels
    yield "model.codec_stride", model.codec_stride, fits, f"{pixels} with {model.codec}"
    fits = (trainable == "lora") == (model.lora_rank > 0)
    both = "a rank above 0 with --optimizer.trainable lora, and 0 without"
    yield "model.lora_rank", model.lora_rank, fits, both
    fits = model.attention.startswith("two_stream") or trainable != "synchronization"
    yield "optimizer.trainable", trainable, fits, "what the model has: it has one stream"
    fits = not model.first_frame or model.projection == "frames"
    yield "model.first_frame", model.first_frame, fits, "False without projection as frames"
    fits = model.mask == PAPER or model.attention == "fused"
    yield "model.mask", model.mask, fits, f"{PAPER} but with model.attention fused"
    if model.mask != PAPER:
        allowed_frames(*_grid(config), model.mask)  # refuses what is no mask of this grid
    fits = model.projection == "none" or model.attention in ("fused", "full")
    yield "model.attention", model.attention, fits, "fused or full with a projection"
    fits = model.projection != "none" or not model.cameras
    yield "model.cameras", model.cameras, fits, "none without a projection: no camera is given"


def _grid(config: Config) -> tuple[int, int, bool]:
    """Return views, latent frames of each with the projected half, and whether there is one."""
    model, data = config.model, config.data
    frames = strides_of(model.codec, model.codec_stride).latent_frames(data.frames)
    halves = model.projection == "frames"
    return data.views, frames * (1 + halves), halves


def _data(config: Config) -> Iterator[Rule]:
    model, data, guided = config.model, config.data, config.model.projection != "none"
    stride = strides_of(model.codec, model.codec_stride).frames
    fits = (data.frames - 1) % stride == 0
    yield "data.frames", data.frames, fits, f"1 + a multiple of {stride} with {model.codec}"
    fits = data.frames > 1 or not data.lines
    yield "data.frames", data.frames, fits, "above 1: a video of one frame has none to complete"
    side = model.patch * model.codec_stride
    divides = f"a multiple of the {side} pixels of a token"
    yield "data.height", data.height, data.height % side == 0, divides
    yield "data.width", data.width, data.width % side == 0, divides
    fits = bool(data.records or not data.buckets)
    yield "data.buckets", data.buckets, fits, "none without --data.records"
    for size in data.buckets:
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
        fits = found is not None and all(int(number) % side == 0 for number in found.groups())
        yield "data.buckets", size, fits, f"HxW, each {divides}"
    yield "data.lines", data.lines, not (guided and data.lines), "none of it with a projection"
    fits = not (guided and data.pseudo) or bool(data.videos)
    yield "data.pseudo", data.pseudo, fits, "a folder --data.videos beside it, with a projection"
    mixed, batch = bool(data.records and data.pseudo), config.training.batch
    fits, alone = not (mixed and guided), "none of it with --data.records and a projection"
    yield "data.pseudo", data.pseudo, fits, alone
    fits = not mixed or bool(data.videos)
    yield "data.videos", data.videos, fits, "a folder, with --data.records and --data.pseudo"
    for name in ("buckets", "captions"):
        value = getattr(data, name)
        yield f"data.{name}", value, not (mixed and value), "none with --data.pseudo"
    warped = round(data.pseudo * batch)
    fits = data.pseudo == 0 or guided or 0 < warped < batch + (not mixed)
    one = f"0, or a share that is one of the {batch} clips of a batch" + " but not all" * mixed
    yield "data.pseudo", data.pseudo, fits, one
    fits = bool(data.pseudo or data.photos or not data.videos)
    yield "data.videos", data.videos, fits, "nothing without --data.pseudo or --data.photos"
    fits = not data.photos or data.worlds == "rich"
    yield "data.photos", data.photos, fits, "none but with rich worlds"
    fits = not data.estimated or (guided and not data.records)
    yield "data.estimated", data.estimated, fits, "0 but for rendered clips and a projection"
    fits = guided or not data.projections
    yield "data.projections", data.projections, fits, "0 without a projection"
    fits = not data.captions or model.text_width > 0
    yield "data.captions", data.captions, fits, "False without text (model.text_width 0)"
    yield "data.drop_text", data.drop_text, data.drop_text == 0 or _two_texts(config), f"0, {TEXTS}"


def _training(config: Config) -> Iterator[Rule]:
    batch, parts = config.training.batch, config.training.accumulate
    yield "training.accumulate", parts, batch % parts == 0, f"a divisor of the batch, {batch}"
    yield _spike(config)


def _spike(config: Config | DepthConfig | SharpDepthConfig | UpsamplerConfig) -> Rule:
    spike = config.training.spike
    return "training.spike", spike, spike == 0 or spike > 1, "0, or a factor above 1"


TEXTS = "or a model with text, and captions or a text that is not also negative_text"


def _two_texts(config: Config) -> bool:
    """Return whether there are two different texts, and a model that reads them."""
    differ = config.data.captions or config.text != config.negative_text
    return config.model.text_width > 0 and differ


def _sampler(config: Config) -> Iterator[Rule]:
    sampler = config.sampler
    if config.model.projection == "none":
        for name, off in (("guidance", 1), ("window_overlap", 0)):
            value = getattr(sampler, name)
            yield f"sampler.{name}", value, value == off, f"{off} without a projection"
    fits, several = sampler.group_views != 1, "0, or the source and more views"
    yield "sampler.group_views", sampler.group_views, fits, several
    overlap, size = sampler.window_overlap, sampler.window_frames
    fits = size != 1 or config.model.projection != "none"
    yield "sampler.window_frames", size, fits, "0, or the first instant and more"
    fewer = f"fewer than sampler.window_frames, {size}" if size else "0 without window_frames"
    yield "sampler.window_overlap", overlap, overlap < max(size, 1), fewer
    fits = overlap == 0 or (sampler.steps > 1 and sampler.noise > 0)
    several = "0, or several sampler.steps and sampler.noise, through which an overlap guides"
    yield "sampler.window_overlap", overlap, fits, several
    fits = sampler.text_guidance == 1 or _two_texts(config)
    yield "sampler.text_guidance", sampler.text_guidance, fits, f"1, {TEXTS}"


def _lift(config: Config) -> Iterator[Rule]:
    lift, model = config.lift, config.model
    for name in ("distilled_views", "distilled_frames"):
        value, fits = getattr(lift, name), lift.distillation == "gradient"
        yield f"lift.{name}", value, fits or value == 0, "0, or lift.distillation gradient"
    frames, stride = lift.distilled_frames, strides_of(model.codec, model.codec_stride).frames
    fits = frames == 0 or (frames - 1) % stride == 0
    expected = f"0, or 1 + a multiple of {stride} with {model.codec}"
    yield "lift.distilled_frames", frames, fits, expected


def _depth(config: DepthConfig) -> Iterator[Rule]:
    model, data = config.model, config.data
    yield from _small_network(config)
    divides = f"a number that divides the last of model.widths, {model.widths[-1]}"
    yield "model.heads", model.heads, model.widths[-1] % model.heads == 0, divides
    for name, sizes in (("data.early_sizes", data.early_sizes), ("data.sizes", data.sizes)):
        fits = all(side % 8 == 0 for _, *seen in sizes for side in seen)
        yield name, sizes, fits, "triples of which the last two are multiples of 8"
    fits = not data.photos or data.worlds != "simple"
    yield "data.photos", data.photos, fits, "none with simple worlds, which have no textures"
    fits = not data.videos or data.worlds == "wide"
    yield "data.videos", data.videos, fits, "none but with wide worlds"


def _sharp_depth(config: SharpDepthConfig) -> Iterator[Rule]:
    data = config.data
    yield from _small_network(config)
    fits = all(side % 32 == 0 for _, *seen in data.sizes for side in seen)
    yield "data.sizes", data.sizes, fits, "triples of which the last two are multiples of 32"
    yield "data.worlds", data.worlds, data.worlds != "simple", "rich or wide, which have textures"


def _upsampler(config: UpsamplerConfig) -> Iterator[Rule]:
    data = config.data
    yield from _small_network(config)
    for name in ("rows", "prior_rows", "crop"):
        value = getattr(data, name)
        yield f"data.{name}", value, value % 8 == 0, "a multiple of 8"
    yield "data.crop", data.crop, data.crop <= data.rows, f"at most data.rows, {data.rows}"
    fits = not data.photos or data.worlds == "rich"
    yield "data.photos", data.photos, fits, "none but with rich worlds"
    together = data.smoothed + data.estimated
    yield "data.estimated", data.estimated, together <= 1, "at most 1 with data.smoothed"


def _small_network(config: DepthConfig | SharpDepthConfig | UpsamplerConfig) -> Iterator[Rule]:
    """Yield the rules of fields that only the training of a prior uses."""
    training = config.training
    for name, value, only in (
        ("optimizer.trainable", config.optimizer.trainable, "all"),
        ("optimizer.new_rate", config.optimizer.new_rate, 1),
        ("training.accumulate", training.accumulate, 1),
        ("training.sheet_every", training.sheet_every, 0),
    ):
        yield name, value, value == only, f"{only}, for this network"
    yield _spike(config)
