"""What the fields of a config ask of each other; their own bounds stand on them.

A rule names one field, the one that is refused, and later rules rely on earlier ones.
"""

import re
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from full4d_jax.config.codecs import strides_of
from full4d_jax.config.experiment import Config
from full4d_jax.config.masks import PAPER, allowed_frames, beyond_own_view
from full4d_jax.session.fields import check_fields, require


class Rule(NamedTuple):
    """What one field must be.

    Attributes:
      field: its dotted name.
      fits: whether it may be what it is.
      expected: what it may be, in words.
    """

    field: str
    fits: bool
    expected: str


def check_config(config: Config) -> None:
    """Refuse values that nothing could use.

    Raises:
      InputError: naming the field.
    """
    check_fields(config)
    for rules in (_memory, _model, _size, _without_effect, _pseudo_clips, _few_steps, _others):
        for rule in rules(config):
            require(rule.field, attrgetter(rule.field)(config), rule.fits, rule.expected)


def _memory(config: Config) -> Iterator[Rule]:
    """Yield the rules that clips fit memory; others count its frames and tokens."""
    data = config.data
    most_pixels = 2**31  # 24 GiB in float32, more than a device samples at once
    most_in_all = 2**36  # 768 GiB in float32, over all devices
    pixels = data.views * data.frames * data.height * data.width
    clip = f"{data.views} views of {data.frames} frames of {data.height}x{data.width}"
    expected = f"clips of at most {most_pixels:,} pixels, not {clip}"
    yield Rule("data.frames", pixels <= most_pixels, expected)
    fits = config.training.batch * pixels <= most_in_all
    yield Rule("training.batch", fits, f"clips of at most {most_in_all:,} pixels in all")


def _model(config: Config) -> Iterator[Rule]:
    model = config.model
    trainable = config.optimizer.trainable
    # Heads divide the width, into eights where each rotates by a camera.
    fits = model.width % (2 * model.heads) == 0
    expected = f"a number whose double divides model.width, {model.width}"
    yield Rule("model.heads", fits, expected)
    fits = "prope" not in model.cameras or model.width % (8 * model.heads) == 0
    expected = f"a divisor of model.width, {model.width}, into eights (cameras has prope)"
    yield Rule("model.heads", fits, expected)
    pixels = strides_of(model.codec, model.codec_stride).pixels
    yield Rule("model.codec_stride", model.codec_stride == pixels, f"{pixels} with {model.codec}")
    # What is trained is there.
    fits = (trainable in ("lora", "adapters")) == (model.lora_rank > 0)
    expected = "a rank above 0 with --optimizer.trainable lora or adapters, and 0 without"
    yield Rule("model.lora_rank", fits, expected)
    fits = model.attention.startswith("two_stream") or trainable != "synchronization"
    yield Rule("optimizer.trainable", fits, "what the model has: it has one stream")
    # A projection, or frames that are real.
    fits = not model.needs_cameras or model.attention in ("fused", "full")
    yield Rule("model.attention", fits, "fused or full with a projection")
    fits = model.needs_cameras or not model.cameras
    yield Rule("model.cameras", fits, "none without a projection: no camera is given")
    yield from _masks(config)


def _masks(config: Config) -> Iterator[Rule]:
    """Yield the rules of masks, and of what attends on GPUs."""
    model = config.model
    fits = model.mask == PAPER or model.attention == "fused"
    yield Rule("model.mask", fits, f"{PAPER} but with model.attention fused")
    is_cudnn = model.gpu_attention == "cudnn"
    if model.mask != PAPER:
        strides = strides_of(model.codec, model.codec_stride)
        has_projected_half = model.projection == "frames"
        frames = strides.latent_frames(config.data.frames) * (1 + has_projected_half)
        # Refuses what is no mask of this grid.
        allowed = allowed_frames(config.data.views, frames, has_projected_half, model.mask)
        if is_cudnn:
            beyond_own_view(allowed, model.mask)
    most_channels = 128  # of a head, on any GPU
    width = model.width // model.heads
    fits = not is_cudnn or (width % 8 == 0 and width <= most_channels)
    expected = f"flash, or heads of a multiple of 8 channels, {most_channels} at most"
    yield Rule("model.gpu_attention", fits, f"{expected} (these have {width})")
    fits = not is_cudnn or model.precision != "float32"
    yield Rule("model.gpu_attention", fits, "flash in float32 (model.precision)")


def _size(config: Config) -> Iterator[Rule]:
    """Yield the rules of frames, rows and columns, which latents and tokens divide."""
    model = config.model
    data = config.data
    stride = strides_of(model.codec, model.codec_stride).frames
    for name, least in (("data.frames", 1), ("lift.distilled_frames", 0)):
        frames = attrgetter(name)(config)
        fits = frames == least or (frames - 1) % stride == 0
        yield Rule(name, fits, f"{least}, or 1 + a multiple of {stride} with {model.codec}")
    fits = data.frames > 1 or not data.lines
    yield Rule("data.frames", fits, "above 1: a video of one frame has none to complete")
    side = model.patch * model.codec_stride
    divides = f"a multiple of the {side} pixels of a token"
    yield Rule("data.height", data.height % side == 0, divides)
    yield Rule("data.width", data.width % side == 0, divides)
    for size in data.buckets:
        sides = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
        fits = sides is not None and all(int(number) % side == 0 for number in sides.groups())
        require("data.buckets", size, fits, f"HxW, each {divides}")  # it names the one


def _without_effect(config: Config) -> Iterator[Rule]:
    """Yield the rules of fields that only others give an effect: without, they have the default."""
    model = config.model
    data = config.data
    is_projected = model.needs_cameras
    can_move = not is_projected and model.codec == "pixels" and model.codec_stride == 1
    can_move &= model.prediction == "residual" and model.refiner > 0
    asks_in_parts = config.lift.distillation == "gradient"
    overlaps = config.sampler.steps > 1 and config.sampler.noise > 0
    usual = Config()
    for name, has_effect, needed in (
        ("model.first_frame", model.projection == "frames", "model.projection frames"),
        ("model.moves_base", can_move, "refined residuals of pixels without a projection"),
        ("flow.motion", model.moves_base, "model.moves_base"),
        ("data.buckets", bool(data.records), "--data.records"),
        ("data.held_out", bool(data.records), "--data.records"),
        ("training.validate_every", data.held_out > 0, "--data.held_out, scenes to validate on"),
        ("data.lines", not is_projected, "a model without a projection"),
        ("data.estimated", is_projected and not data.records, "rendered clips and a projection"),
        ("data.projections", is_projected, "a projection"),
        ("data.projections", not data.pseudo, "clips of records, not --data.pseudo"),
        ("data.videos", data.pseudo > 0, "--data.pseudo"),
        ("data.pseudo_views", is_projected and data.pseudo > 0, "--data.pseudo, a projection"),
        ("data.captions", model.text_width > 0, "a model with text (model.text_width)"),
        ("sampler.guidance", is_projected, "a projection"),
        ("sampler.window_overlap", is_projected and overlaps, "a projection, steps and noise"),
        ("lift.distilled_views", asks_in_parts, "--lift.distillation gradient"),
        ("lift.distilled_frames", asks_in_parts, "--lift.distillation gradient"),
    ):
        default = attrgetter(name)(usual)
        fits = has_effect or attrgetter(name)(config) == default
        yield Rule(name, fits, f"{default!r}, or {needed}")
    differ = data.captions or config.text != config.negative_text
    has_two_texts = model.text_width > 0 and differ
    for name, off in (
        ("data.drop_text", 0),
        ("sampler.text_guidance", 1),
        ("flow.teacher_guidance", 1),
    ):
        fits = has_two_texts or attrgetter(name)(config) == off
        expected = "a model with text, and captions or a text that is not also negative_text"
        yield Rule(name, fits, f"{off}, or {expected}")


def _pseudo_clips(config: Config) -> Iterator[Rule]:
    """Yield the rules of batches that are made of videos."""
    data = config.data
    fits = not (config.model.needs_cameras and data.pseudo) or bool(data.videos)
    yield Rule("data.pseudo", fits, "a folder --data.videos beside it, with a projection")
    fits = data.pseudo < 1 or not data.records
    yield Rule("data.pseudo", fits, "below 1 with --data.records")


def _few_steps(config: Config) -> Iterator[Rule]:
    """Yield the rules of adapters that learn to take few steps."""
    segments = config.flow.segments
    fits = (config.optimizer.trainable == "adapters") == (segments > 0)
    yield Rule("optimizer.trainable", fits, "adapters with --flow.segments, and others without")
    if not segments:
        yield Rule(
            "flow.teacher_guidance", config.flow.teacher_guidance == 1, "1 without --flow.segments"
        )
        return
    for name, needed in (
        ("sampler.steps", segments),
        ("sampler.noise", 1),
        ("flow.mean_share", 0),
        ("flow.perceptual", 0),
        ("data.drop_text", 0),
        ("training.validate_every", 0),
    ):
        fits = attrgetter(name)(config) == needed
        yield Rule(name, fits, f"{needed} with --flow.segments {segments}")


def _others(config: Config) -> Iterator[Rule]:
    """Yield the rules of training and sampling in parts."""
    training = config.training
    sampler = config.sampler
    fits = training.batch % training.accumulate == 0
    yield Rule("training.accumulate", fits, f"a divisor of the batch, {training.batch}")
    fits = training.spike == 0 or training.spike > 1
    yield Rule("training.spike", fits, "0, or a factor above 1")
    yield Rule("data.held_out", config.data.held_out < 1, "below 1: the others are trained on")
    yield Rule("sampler.group_views", sampler.group_views != 1, "0, or the source and more views")
    fits = sampler.window_frames != 1 or config.model.needs_cameras
    yield Rule("sampler.window_frames", fits, "0, or the first instant and more")
    fits = sampler.window_overlap < max(sampler.window_frames, 1)
    expected = f"fewer than sampler.window_frames, {sampler.window_frames}"
    yield Rule("sampler.window_overlap", fits, expected)
