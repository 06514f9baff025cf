"""Checks of config fields: bounds, choices, types, and what the sampler's ask of each other."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from full4d_jax.config.bounds import BOUNDS
from full4d_jax.config.codecs import strides_of
from full4d_jax.session.errors import InputError


def check_fields(config: Any) -> None:
    """Hold every field of nested dataclasses against `BOUNDS`, its words or its type.

    Raises:
      InputError: naming the field.
    """
    for name, value, kind in _fields(config):
        values = _flat(value)
        if name in BOUNDS:
            fits = bool(values) and all(BOUNDS[name].holds(x) for x in values)
            require(name, value, fits, BOUNDS[name].words)
        elif choices := _choices(kind):
            require(name, value, all(x in choices for x in values), f"one of {', '.join(choices)}")
        else:
            plain = get_origin(kind) or kind
            require(name, value, isinstance(value, plain), f"a value of type {plain.__name__}")


def check_sampler(config: Any) -> None:
    """What the fields of the sampler ask of each other, in a `Config`.

    Raises:
      InputError: naming the field.
    """
    sampler, model = config.sampler, config.model
    fits = sampler.group_views != 1
    require("sampler.group_views", sampler.group_views, fits, "0, or the source and more views")
    overlap, size = sampler.window_overlap, sampler.window_frames
    fewer = f"fewer than sampler.window_frames, {size}" if size else "0 without window_frames"
    require("sampler.window_overlap", overlap, overlap < max(size, 1), fewer)
    guides = sampler.steps > 1 and sampler.noise > 0
    several = "0, or several sampler.steps and sampler.noise, through which an overlap guides"
    require("sampler.window_overlap", overlap, not overlap or guides, several)
    fits = sampler.text_guidance == 1 or (
        model.text_width > 0 and config.text != config.negative_text
    )
    texts = "1, or a model with text, and a text that is not also negative_text"
    require("sampler.text_guidance", sampler.text_guidance, fits, texts)


def check_prior(config: Any) -> None:
    """What must divide, and what a codec and adapters go with, in a `Config`.

    Raises:
      InputError: naming the field.
    """
    model, data = config.model, config.data
    even = f"a number whose double divides model.width, {model.width}"
    require("model.heads", model.heads, model.width % (2 * model.heads) == 0, even)
    strides = strides_of(model.codec, model.codec_stride)
    fits = model.codec_stride == strides.pixels
    expected = f"{strides.pixels} with {model.codec}"
    require("model.codec_stride", model.codec_stride, fits, expected)
    fits = (data.frames - 1) % strides.frames == 0
    expected = f"1 + a multiple of {strides.frames} with {model.codec}"
    require("data.frames", data.frames, fits, expected)
    fits = (config.optimizer.trainable == "lora") == (model.lora_rank > 0)
    both = "a rank above 0 with --optimizer.trainable lora, and 0 without"
    require("model.lora_rank", model.lora_rank, fits, both)
    if "prope" in model.cameras:
        eights = f"a divisor of model.width, {model.width}, into eights (cameras has prope)"
        fits = model.width % (8 * model.heads) == 0
        require("model.heads", model.heads, fits, eights)
    check_training(config.training)
    side = model.patch * model.codec_stride
    divides = f"a multiple of the {side} pixels of a token"
    for name, value in (("data.height", data.height), ("data.width", data.width)):
        require(name, value, value % side == 0, divides)
    fits = bool(data.records) or not data.buckets
    require("data.buckets", data.buckets, fits, "none without --data.records")
    for size in data.buckets:
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
        fits = found is not None and all(int(number) % side == 0 for number in found.groups())
        require("data.buckets", size, fits, f"HxW, each {divides}")


def check_modes(config: Any) -> None:
    """What goes together: projection, attention, what is trained, and on what.

    Raises:
      InputError: naming the field.
    """
    model, data, trainable = config.model, config.data, config.optimizer.trainable
    is_split = model.attention not in ("fused", "full")
    is_two_stream = model.attention.startswith("two_stream")
    first_frame = model.first_frame and model.projection != "frames"
    require("model.first_frame", True, not first_frame, "False without projection as frames")
    fits = is_two_stream or trainable != "synchronization"
    require("optimizer.trainable", trainable, fits, "what the model has: it has one stream")
    if model.projection != "none":
        for name, value in (("lines", data.lines), ("pseudo", data.pseudo)):
            require(f"data.{name}", value, not value, "none of it with a projection")
        require("model.attention", model.attention, not is_split, "fused or full with a projection")
    else:
        none = "none without a projection: frames are given, not cameras"
        require("model.cameras", model.cameras, not model.cameras, none)
        sampler = config.sampler
        several = "above 1: what else would a video be completed from"
        require("data.frames", data.frames, data.frames > 1 or not data.lines, several)
        for name, value, off in (
            ("guidance", sampler.guidance, 1),
            ("group_views", sampler.group_views, 0),
            ("window_frames", sampler.window_frames, 0),
        ):
            require(f"sampler.{name}", value, value == off, f"{off} without a projection")
        warped = round(data.pseudo * config.training.batch)
        at_least = f"0, or a share that is one of the {config.training.batch} clips of a batch"
        require("data.pseudo", data.pseudo, warped > 0 or data.pseudo == 0, at_least)
    fits = data.drop_text == 0 or (model.text_width > 0 and config.text != config.negative_text)
    texts = "0, or a model with text, and a text that is not also negative_text"
    require("data.drop_text", data.drop_text, fits, texts)
    fits = model.mean_flow or config.flow.interval_share == 0
    require("flow.interval_share", config.flow.interval_share, fits, "0 without model.mean_flow")
    batch, parts = config.training.batch, config.training.accumulate
    require("training.accumulate", parts, batch % parts == 0, f"a divisor of the batch, {batch}")
    none = "none of it with --data.records"
    require("data.pseudo", data.pseudo, not (data.pseudo and data.records), none)
    needs = "nothing without a share --data.pseudo"
    require("data.videos", data.videos, not data.videos or data.pseudo > 0, needs)


def check_heads(model: Any, platform: str) -> None:
    """Refuse heads of a width that the attention kernels of `platform` do not take.

    CPU and TPU take any width; cuDNN, which attends on a GPU, does not.

    Raises:
      InputError: naming the field.
    """
    width = model.width // model.heads
    fits = platform != "gpu" or (width % 8 == 0 and width <= 128)
    eights = f"heads of a multiple of 8 channels, 128 at most, on a GPU (these have {width})"
    require("model.heads", model.heads, fits, eights)


def check_depth_network(config: Any) -> None:
    """What must divide in a `DepthConfig`.

    Raises:
      InputError: naming the field.
    """
    model, data = config.model, config.data
    trainable = config.optimizer.trainable
    require("optimizer.trainable", trainable, trainable == "all", "all, for this network")
    for name, value in (
        ("optimizer.new_rate", config.optimizer.new_rate),
        ("training.accumulate", config.training.accumulate),
    ):
        require(name, value, value == 1, "1, for this network")
    require("model.widths", model.widths, len(model.widths) == 3, "three numbers")
    divides = f"a number that divides the last of model.widths, {model.widths[-1]}"
    require("model.heads", model.heads, model.widths[-1] % model.heads == 0, divides)
    for name, sizes in (("data.early_sizes", data.early_sizes), ("data.sizes", data.sizes)):
        fits = all(isinstance(x, tuple) and len(x) == 2 and x[1] % 8 == 0 for x in sizes)
        require(name, sizes, fits, "pairs of which the second is a multiple of 8")
    check_training(config.training)
    sheets = config.training.sheet_every
    require("training.sheet_every", sheets, sheets == 0, "0: this network has no sheets")


def check_training(training: Any) -> None:
    """What a factor over the mean can be, in a `TrainingConfig`.

    Raises:
      InputError: naming the field.
    """
    fits = training.spike == 0 or training.spike > 1
    require("training.spike", training.spike, fits, "0, or a factor above 1")


def require(name: str, value: Any, fits: bool, expected: str) -> None:
    """Refuse the value of a field by name unless it fits.

    Raises:
      InputError: naming the field.
    """
    if not fits:
        do = f"change it in CONFIG or with --{name}"
        raise InputError("config", name, repr(value), expected, do)


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
