"""Checks between the fields of a config; bounds of one field stand beside it.

A rule names one field, the one that is refused.
"""

import re
from collections.abc import Iterator
from operator import attrgetter

from full4d_jax.config.experiment import Config
from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.session.fields import misfits, require

# A field, whether it may be what it is, and what it may be.
Rule = tuple[str, bool, str]
# A clip of so many takes 24 GiB in float32, more than a device samples at once.
MOST_PIXELS = 2**31
# A batch of so many takes 768 GiB in float32, over all devices.
MOST_IN_ALL = 2**36
MOST_CUDNN_CHANNELS = 128  # of a head, on any GPU


def check_config(config: Config) -> None:
    """Refuse values that nothing could use.

    Raises:
      InputError: naming the field.
    """
    for name, value, expected in misfits(config):
        require(name, value, False, expected)
    usual = Config()
    for name, fits, expected in _rules(config):
        require(name, attrgetter(name)(config), fits, expected)
    for names, has_effect, needed in _effects(config):
        for name in names.split():
            value = attrgetter(name)(config)
            default = attrgetter(name)(usual)
            fits = has_effect or value == default
            require(name, value, fits, f"{default!r}, or {needed}")
    model = config.model
    if model.mask != PAPER:
        # What is no mask of this grid is refused.
        cross_half = model.guide.projected_half
        frames = model.strides.latent_frames(config.data.frames) * (1 + cross_half)
        allowed_frames(config.data.views, frames, cross_half, model.mask)


def _rules(config: Config) -> Iterator[Rule]:
    model = config.model
    data = config.data
    training = config.training
    sampler = config.sampler
    trainable = config.optimizer.trainable
    # The model. Each half of a head rotates; by cameras, each eighth.
    parts = 8 if "prope" in model.cameras else 2
    fits = model.width % (parts * model.heads) == 0
    expected = (
        f"heads that divide model.width, {model.width}, into multiples of {parts}"
    )
    yield "model.heads", fits, expected
    pixels = model.strides.pixels
    yield (
        "model.codec_stride",
        model.codec_stride == pixels,
        f"{pixels} with {model.codec}",
    )
    fits = (trainable in ("lora", "adapters")) == (model.lora_rank > 0)
    expected = (
        "a rank above 0 with --optimizer.trainable lora or adapters, and 0 without"
    )
    yield "model.lora_rank", fits, expected
    fits = model.attention.streams > 1 or trainable != "synchronization"
    yield "optimizer.trainable", fits, "what the model has: it has one stream"
    fits = not model.needs_cameras or model.attention.is_whole
    yield "model.attention", fits, "one attention over the grid, with a projection"
    fits = model.needs_cameras or not model.cameras
    yield "model.cameras", fits, "none without a projection: no camera is given"
    can_move = not model.needs_cameras and model.refiner > 0
    can_move &= model.codec == "pixels" and model.codec_stride == 1
    yield (
        "model.parametrisation",
        can_move or not model.parametrisation.moves_base,
        "one that moves no base, or refined residuals of pixels without a projection",
    )
    width = model.width // model.heads
    fits = (
        width % 8 == 0 and width <= MOST_CUDNN_CHANNELS and model.precision != "float32"
    )
    expected = (
        f"flash in float32, and for heads of {width} channels, not 8, 16 ... or 128"
    )
    yield "model.gpu_attention", fits or model.gpu_attention == "flash", expected

    # Sizes, which memory, latents and tokens bound, and what clips are.
    pixels = data.views * data.frames * data.height * data.width
    clip = f"{data.views} views of {data.frames} frames of {data.height}x{data.width}"
    expected = f"clips of at most {MOST_PIXELS:,} pixels, not {clip}"
    yield "data.frames", pixels <= MOST_PIXELS, expected
    fits = training.batch * pixels <= MOST_IN_ALL
    yield "training.batch", fits, f"clips of at most {MOST_IN_ALL:,} pixels in all"
    stride = model.strides.frames
    for name, least in (("data.frames", 1), ("lift.distilled_frames", 0)):
        frames = attrgetter(name)(config)
        fits = frames == least or (frames - 1) % stride == 0
        yield name, fits, f"{least}, or 1 + a multiple of {stride} with {model.codec}"
    fits = data.frames > 1 or not data.lines
    yield "data.frames", fits, "above 1: a video of one frame has none to complete"
    side = model.patch * model.codec_stride
    divides = f"a multiple of the {side} pixels of a token"
    yield "data.height", data.height % side == 0, divides
    yield "data.width", data.width % side == 0, divides
    sizes = [re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size) for size in data.buckets]
    fits = all(size and not any(int(x) % side for x in size.groups()) for size in sizes)
    yield "data.buckets", fits, f"HxW, each {divides}"
    yield "data.held_out", data.held_out < 1, "below 1: the others are trained on"
    fits = not (model.needs_cameras and data.pseudo) or bool(data.videos)
    yield "data.pseudo", fits, "a folder --data.videos beside it, with a projection"
    yield (
        "data.pseudo",
        data.pseudo < 1 or not data.records,
        "below 1 with --data.records",
    )

    # Training and sampling in parts, and adapters that take few steps.
    fits = training.batch % training.accumulate == 0
    yield "training.accumulate", fits, f"a divisor of the batch, {training.batch}"
    spike = training.spike
    yield "training.spike", spike == 0 or spike > 1, "0, or a factor above 1"
    fits = all("=" in option for option in training.xla)
    yield "training.xla", fits, "NAME=VALUE for each option"
    yield (
        "sampler.group_views",
        sampler.group_views != 1,
        "0, or the source and more views",
    )
    fits = sampler.window_frames != 1 or model.needs_cameras
    yield "sampler.window_frames", fits, "0, or the first instant and more"
    fits = sampler.window_overlap < max(sampler.window_frames, 1)
    expected = f"fewer than sampler.window_frames, {sampler.window_frames}"
    yield "sampler.window_overlap", fits, expected
    segments = config.flow.segments
    fits = (trainable == "adapters") == (segments > 0)
    yield (
        "optimizer.trainable",
        fits,
        "adapters with --flow.segments, and others without",
    )
    needed = {"sampler.steps": segments, "sampler.noise": 1, "flow.mean_share": 0}
    needed |= {"flow.perceptual": 0, "data.drop_text": 0, "training.validate_every": 0}
    for name, value in needed.items():
        fits = not segments or attrgetter(name)(config) == value
        yield name, fits, f"{value} with --flow.segments {segments}"


def _effects(config: Config) -> Iterator[Rule]:
    """Yield fields that have an effect beside others alone, whether they have, and what needs be.

    Without an effect they have their default.
    """
    model = config.model
    data = config.data
    is_projected = model.needs_cameras
    moves = model.parametrisation.moves_base
    lift = config.lift
    queries_parts = lift.distillation == "gradient"
    overlaps = is_projected and config.sampler.steps > 1 and config.sampler.noise > 0
    differ = data.captions or config.text != config.negative_text
    has_texts = model.text_width > 0 and differ
    texts = "a model with text, and captions or a text that is not also negative_text"
    yield "flow.motion", moves, "a parametrisation that moves the base"
    yield "flow.teacher_guidance", config.flow.segments > 0, "--flow.segments"
    yield "flow.teacher_guidance data.drop_text sampler.text_guidance", has_texts, texts
    yield "data.buckets data.held_out", bool(data.records), "--data.records"
    yield "training.validate_every", data.held_out > 0, "scenes of --data.held_out"
    yield "data.lines", not is_projected, "a model without a projection"
    renders = is_projected and not data.records
    yield "data.estimated", renders, "rendered clips and a projection"
    yield "data.projections sampler.guidance", is_projected, "a projection"
    yield "data.projections", not data.pseudo, "clips of records, not --data.pseudo"
    yield "data.videos", data.pseudo > 0, "--data.pseudo"
    reprojects = is_projected and data.pseudo > 0
    yield "data.pseudo_views", reprojects, "--data.pseudo, a projection"
    yield "data.captions", model.text_width > 0, "a model with text (model.text_width)"
    yield "sampler.window_overlap", overlaps, "a projection, steps and noise"
    goes_by_quality = not (lift.steps and lift.capacity)
    yield "lift.quality", goes_by_quality, "lift.steps or lift.capacity 0"
    needed = "--lift.distillation gradient"
    yield "lift.distilled_views lift.distilled_frames", queries_parts, needed
