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

MAX_BATCH_PIXELS = 2**36  # 768 GiB in float32, over all devices
MOST_CUDNN_WIDTH = 128  # channels of a head, on any GPU
MAX_CLIP_PIXELS = 2**31  # 24 GiB in float32, more than a device samples at once
TEXTS = "or a model with text, and captions or a text that is not also negative_text"


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
    for rules in (_memory, _model, _data, _training, _sampler, _lift):
        for rule in rules(config):
            require(rule.field, attrgetter(rule.field)(config), rule.fits, rule.expected)


def _memory(config: Config) -> Iterator[Rule]:
    """Yield the rules that clips fit memory; others count its frames and tokens."""
    data = config.data
    pixels = data.views * data.frames * data.height * data.width
    clip = f"{data.views} views of {data.frames} frames of {data.height}x{data.width}"
    yield Rule(
        "data.frames",
        pixels <= MAX_CLIP_PIXELS,
        f"clips of at most {MAX_CLIP_PIXELS:,} pixels, not {clip}",
    )
    yield Rule(
        "training.batch",
        config.training.batch * pixels <= MAX_BATCH_PIXELS,
        f"clips of at most {MAX_BATCH_PIXELS:,} pixels in all",
    )


def _model(config: Config) -> Iterator[Rule]:
    model = config.model
    trainable = config.optimizer.trainable
    yield Rule(
        "model.heads",
        model.width % (2 * model.heads) == 0,
        f"a number whose double divides model.width, {model.width}",
    )
    yield Rule(
        "model.heads",
        "prope" not in model.cameras or model.width % (8 * model.heads) == 0,
        f"a divisor of model.width, {model.width}, into eights (cameras has prope)",
    )
    pixels = strides_of(model.codec, model.codec_stride).pixels
    yield Rule("model.codec_stride", model.codec_stride == pixels, f"{pixels} with {model.codec}")
    yield Rule(
        "model.lora_rank",
        (trainable in ("lora", "adapters")) == (model.lora_rank > 0),
        "a rank above 0 with --optimizer.trainable lora or adapters, and 0 without",
    )
    yield Rule(
        "optimizer.trainable",
        model.attention.startswith("two_stream") or trainable != "synchronization",
        "what the model has: it has one stream",
    )
    yield Rule(
        "model.first_frame",
        not model.first_frame or model.projection == "frames",
        "False without projection as frames",
    )
    can_move = not model.needs_cameras and model.codec == "pixels" and model.codec_stride == 1
    can_move &= model.prediction == "residual" and model.refiner > 0
    yield Rule(
        "model.moves_base",
        not model.moves_base or can_move,
        "False but for residuals of pixels (model.codec_stride 1) without a projection, refined",
    )
    yield Rule(
        "model.mask",
        model.mask == PAPER or model.attention == "fused",
        f"{PAPER} but with model.attention fused",
    )
    if model.mask != PAPER:
        allowed = allowed_frames(*_grid(config), model.mask)  # refuses what is no mask of this grid
        if model.gpu_attention == "cudnn":
            beyond_own_view(allowed, model.mask)
    width = model.width // model.heads
    yield Rule(
        "model.gpu_attention",
        model.gpu_attention == "flash" or (width % 8 == 0 and width <= MOST_CUDNN_WIDTH),
        f"flash, or heads of a multiple of 8 channels, {MOST_CUDNN_WIDTH} at most (these have "
        f"{width})",
    )
    yield Rule(
        "model.gpu_attention",
        model.gpu_attention == "flash" or model.precision != "float32",
        "flash in float32 (model.precision)",
    )
    yield Rule(
        "model.attention",
        not model.needs_cameras or model.attention in ("fused", "full"),
        "fused or full with a projection",
    )
    yield Rule(
        "model.cameras",
        model.needs_cameras or not model.cameras,
        "none without a projection: no camera is given",
    )


def _grid(config: Config) -> tuple[int, int, bool]:
    """Return views, latent frames of each with the projected half, and whether there is one."""
    model = config.model
    strides = strides_of(model.codec, model.codec_stride)
    frames = strides.latent_frames(config.data.frames)
    has_projected_half = model.projection == "frames"
    return config.data.views, frames * (1 + has_projected_half), has_projected_half


def _data(config: Config) -> Iterator[Rule]:
    yield from _size(config)
    yield from _held_out(config)
    yield from _completed_lines(config)
    yield from _pseudo_clips(config)
    yield from _footage(config)
    data = config.data
    yield Rule(
        "data.captions",
        not data.captions or config.model.text_width > 0,
        "False without text (model.text_width 0)",
    )
    yield Rule("data.drop_text", data.drop_text == 0 or _has_two_texts(config), f"0, {TEXTS}")


def _size(config: Config) -> Iterator[Rule]:
    """Yield the rules of frames, rows and columns, which tokens divide."""
    model = config.model
    data = config.data
    stride = strides_of(model.codec, model.codec_stride).frames
    yield Rule(
        "data.frames",
        (data.frames - 1) % stride == 0,
        f"1 + a multiple of {stride} with {model.codec}",
    )
    yield Rule(
        "data.frames",
        data.frames > 1 or not data.lines,
        "above 1: a video of one frame has none to complete",
    )
    side = model.patch * model.codec_stride
    divides = f"a multiple of the {side} pixels of a token"
    yield Rule("data.height", data.height % side == 0, divides)
    yield Rule("data.width", data.width % side == 0, divides)
    yield Rule(
        "data.buckets", bool(data.records or not data.buckets), "none without --data.records"
    )
    for size in data.buckets:
        sides = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
        fits = sides is not None and all(int(number) % side == 0 for number in sides.groups())
        require("data.buckets", size, fits, f"HxW, each {divides}")  # it names the one


def _held_out(config: Config) -> Iterator[Rule]:
    """Yield the rules of scenes that are kept for validation."""
    data = config.data
    share = data.held_out
    yield Rule("data.held_out", share < 1, "below 1: the others are trained on")
    yield Rule("data.held_out", bool(data.records or not share), "0 without --data.records")
    yield Rule(
        "training.validate_every",
        bool(share or not config.training.validate_every),
        "0 without --data.held_out, the share of the scenes to validate on",
    )


def _completed_lines(config: Config) -> Iterator[Rule]:
    """Yield the rules of lines of a grid that are real, and of what a projection needs."""
    data = config.data
    is_projected = config.model.needs_cameras
    yield Rule("data.lines", not (is_projected and data.lines), "none of it with a projection")
    yield Rule(
        "data.estimated",
        not data.estimated or (is_projected and not data.records),
        "0 but for rendered clips and a projection",
    )
    yield Rule("data.projections", is_projected or not data.projections, "0 without a projection")


def _pseudo_clips(config: Config) -> Iterator[Rule]:
    """Yield the rules of clips that are made of videos, alone or beside those of records."""
    data = config.data
    batch = config.training.batch
    is_projected = config.model.needs_cameras
    is_mixed = bool(data.records and data.pseudo)
    yield Rule(
        "data.pseudo",
        not (is_projected and data.pseudo) or bool(data.videos),
        "a folder --data.videos beside it, with a projection",
    )
    yield Rule(
        "data.projections",
        not (data.pseudo and data.projections),
        "0 with --data.pseudo, whose clips are projected in each step",
    )
    yield Rule(
        "flow.motion",
        config.model.moves_base or config.flow.motion == 0,
        "0 without model.moves_base",
    )
    yield Rule(
        "data.pseudo_views",
        data.pseudo_views == 2 or (is_projected and data.pseudo > 0),
        "2 without --data.pseudo and a projection",
    )
    yield Rule(
        "data.videos",
        not is_mixed or bool(data.videos),
        "a folder, with --data.records and --data.pseudo",
    )
    yield Rule("data.buckets", not (is_mixed and data.buckets), "none with --data.pseudo")
    yield Rule("data.captions", not (is_mixed and data.captions), "none with --data.pseudo")
    pseudo_clips = round(data.pseudo * batch)
    most = batch if is_mixed else batch + 1
    yield Rule(
        "data.pseudo",
        data.pseudo == 0 or is_projected or 0 < pseudo_clips < most,
        f"0, or a share that is one of the {batch} clips of a batch" + " but not all" * is_mixed,
    )


def _footage(config: Config) -> Iterator[Rule]:
    """Yield the rule of the folder with videos."""
    data = config.data
    yield Rule(
        "data.videos",
        bool(data.pseudo or not data.videos),
        "nothing without --data.pseudo",
    )


def _training(config: Config) -> Iterator[Rule]:
    batch = config.training.batch
    parts = config.training.accumulate
    yield Rule("training.accumulate", batch % parts == 0, f"a divisor of the batch, {batch}")
    yield _spike(config)
    yield from _few_steps(config)


def _few_steps(config: Config) -> Iterator[Rule]:
    """Yield the rules of adapters that learn to take few steps."""
    flow = config.flow
    is_on = flow.segments > 0
    yield Rule(
        "optimizer.trainable",
        (config.optimizer.trainable == "adapters") == is_on,
        "adapters with --flow.segments, and others without",
    )
    yield Rule(
        "flow.segments",
        not is_on or flow.segments == config.sampler.steps,
        f"0 or sampler.steps, {config.sampler.steps}: it learns these steps",
    )
    yield Rule(
        "flow.teacher_guidance",
        flow.teacher_guidance == 1 or (is_on and _has_two_texts(config)),
        f"1 without --flow.segments; with it 1, {TEXTS}",
    )
    for name, off in (
        ("sampler.noise", 1),
        ("flow.mean_share", 0),
        ("flow.perceptual", 0),
        ("data.drop_text", 0),
        ("training.validate_every", 0),
    ):
        fits = not is_on or attrgetter(name)(config) == off
        yield Rule(name, fits, f"{off} with --flow.segments")


def _spike(config: Config) -> Rule:
    spike = config.training.spike
    return Rule("training.spike", spike == 0 or spike > 1, "0, or a factor above 1")


def _has_two_texts(config: Config) -> bool:
    """Return whether there are two different texts, and a model that reads them."""
    differ = config.data.captions or config.text != config.negative_text
    return config.model.text_width > 0 and differ


def _sampler(config: Config) -> Iterator[Rule]:
    sampler = config.sampler
    is_projected = config.model.needs_cameras
    if not is_projected:
        for name, off in (("guidance", 1), ("window_overlap", 0)):
            value = getattr(sampler, name)
            yield Rule(f"sampler.{name}", value == off, f"{off} without a projection")
    yield Rule("sampler.group_views", sampler.group_views != 1, "0, or the source and more views")
    size = sampler.window_frames
    yield Rule(
        "sampler.window_frames", size != 1 or is_projected, "0, or the first instant and more"
    )
    overlap = sampler.window_overlap
    yield Rule(
        "sampler.window_overlap",
        overlap < max(size, 1),
        f"fewer than sampler.window_frames, {size}" if size else "0 without window_frames",
    )
    yield Rule(
        "sampler.window_overlap",
        overlap == 0 or (sampler.steps > 1 and sampler.noise > 0),
        "0, or several sampler.steps and sampler.noise, through which an overlap guides",
    )
    yield Rule(
        "sampler.text_guidance", sampler.text_guidance == 1 or _has_two_texts(config), f"1, {TEXTS}"
    )


def _lift(config: Config) -> Iterator[Rule]:
    lift = config.lift
    model = config.model
    for name in ("distilled_views", "distilled_frames"):
        value = getattr(lift, name)
        yield Rule(
            f"lift.{name}",
            lift.distillation == "gradient" or value == 0,
            "0, or lift.distillation gradient",
        )
    frames = lift.distilled_frames
    stride = strides_of(model.codec, model.codec_stride).frames
    yield Rule(
        "lift.distilled_frames",
        frames == 0 or (frames - 1) % stride == 0,
        f"0, or 1 + a multiple of {stride} with {model.codec}",
    )
