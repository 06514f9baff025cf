"""Floating-point operations of the network by formula, two for a multiplication and its addition.

Counted are matrix products: the linear layers (embeddings, adapters, synchronization and head
included), the convolutions of the refiner, and attention over the pairs of tokens that its mask
allows. A training step is the forward pass, the gradients of what the products take in wherever
something trained lies before them, and the gradients of the kernels that are trained. Not counted
are the codec, depth, projection, the renderer of procedural scenes, LPIPS, the optimizer, what acts
on single numbers (norms, softmax, rotations of queries and keys), and anything computed twice to
save memory. XLA's own count cannot serve: it takes the body of a loop once, whatever a kernel does
for nothing, and all that is recomputed.

Nothing here imports jax before it is called.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from full4d_jax.config import Config, ModelConfig
from full4d_jax.config.codecs import strides_of
from full4d_jax.config.masks import allowed_frames
from full4d_jax.models.trainable import is_trained
from full4d_jax.models.wan.text import TOKENS

TIME_CHANNELS = 256  # of the sinusoids of a flow time
MOTION_CHANNELS = 5  # of what moves the nearest real frame and the first row's
CAMERA_CHANNELS = 16  # of a camera vector
RAY_CHANNELS = 6  # of a Plücker ray
KERNEL_AREA = 9  # pixels that a convolution of the refiner reads
FLOW_TIMES = 2  # that tokens of a sample have: clean, and noisy

# Dense bf16 operations a second of one device, by the beginning of JAX's `device_kind`; from the
# vendors' data sheets.
PEAKS = {
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989e12,
    "NVIDIA H200 NVL": 835e12,
    "NVIDIA GH200": 989e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA GB200": 2500e12,
    "NVIDIA GeForce RTX 4090": 165e12,
    "TPU v4": 275e12,
    "TPU v4 lite": 137e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
}


class Product(NamedTuple):
    """A product of two matrices, or as much work.

    Attributes:
      multiplications: in the forward pass.
      gradients: number of its two factors whose gradients are needed; each is as much work.
    """

    multiplications: int
    gradients: int


class Sample(NamedTuple):
    """Sizes of one sample as the network sees it.

    Attributes:
      views: all that the network sees.
      frames: latent ones, the projection's included.
      tokens: of a frame.
      generated: frames of all views that leave the network.
    """

    views: int
    frames: int
    tokens: int
    generated: int

    @property
    def all_tokens(self) -> int:
        """Return the tokens of all frames."""
        return self.views * self.frames * self.tokens


def peak_flops(device_kind: str) -> float | None:
    """Return a device's dense bf16 operations a second by JAX's name; None if unknown (CPU)."""
    fits = (x for x in PEAKS if device_kind == x or device_kind.startswith((f"{x} ", f"{x}-")))
    best = max(fits, key=len, default=None)
    return None if best is None else PEAKS[best]


def step_flops(config: Config, text_tokens: int | None = None) -> float:
    """Count one training step of the whole batch, forward and backward.

    Args:
      config: model, data, batch and what is trained.
      text_tokens: rows of the text embedding; None for those of the file that the config names.
    """
    data = config.data
    batch = config.training.batch
    text = _text_tokens(config, training=True) if text_tokens is None else text_tokens

    # A teacher, twice where it is guided, and the student without its gradient.
    forward_passes = 2 + (config.flow.teacher_guidance != 1) if config.flow.segments else 0
    # All steps of the sampler but the last.
    forward_passes += (config.flow.path_share > 0) * (config.sampler.steps - 1)

    def work(views: int, frames: int) -> float:
        answers = forward_passes * _work(config, views, frames, text, training=False)
        answers += _mean_work(config, views, frames, text)
        return _work(config, views, frames, text, training=True) + answers

    if not data.lines:
        return batch * work(data.views, data.frames)
    rows = data.views * work(1, data.frames)
    columns = data.frames * work(data.views, 1)
    return batch * (rows + columns)


def forward_flops(config: Config, views: int, frames: int) -> float:
    """Count one call of the network while sampling, without the mean that it flows around.

    Args:
      config: the model, size of the pictures, and whether there is a prompt.
      views: that the network sees at once, the source included.
      frames: pictures of each, not latent frames.
    """
    return _work(config, views, frames, _text_tokens(config, training=False), training=False)


def mean_flops(config: Config, views: int, frames: int) -> float:
    """Count the mean that a flow goes around, as `forward_flops` counts a call; 0 without one."""
    return _mean_work(config, views, frames, _text_tokens(config, training=False))


def _text_tokens(config: Config, *, training: bool) -> int:
    """Return the number of rows of text: those of an embedding, or one of zeros."""
    data = config.data
    reads_negative = data.drop_text or config.flow.teacher_guidance != 1
    trained = data.captions or (reads_negative and config.negative_text)
    return TOKENS if config.text or (training and trained) else 1


def _work(config: Config, views: int, frames: int, text: int, *, training: bool) -> float:
    """Count the operations on one sample."""
    sample = _sample(config, views, frames)
    layers = config.model.layers
    products = [(1, x) for x in _outside_blocks(config, sample, text)]
    products += [(layers, x) for x in _block(config, sample, text)]
    return float(sum(n * 2 * x * (1 + g * training) for n, (x, g) in products))


def _mean_work(config: Config, views: int, frames: int, text: int) -> float:
    """Count the mean of one sample, where the network flows around one."""
    if not config.model.around_mean:
        return 0.0
    mean = replace(config, model=config.model.mean_network)
    return _work(mean, views, frames, text, training=False)


def _sample(config: Config, views: int, frames: int) -> Sample:
    """Return the sizes of a sample of so many views and pictures of each."""
    model = config.model
    data = config.data
    strides = strides_of(model.codec, model.codec_stride)
    side = model.patch * strides.pixels
    tokens = (data.height // side) * (data.width // side)
    latent = 1 + (frames - 1) // strides.frames
    halves = 2 if model.projection == "frames" else 1
    generated = views - 1 if model.projection == "channels" else views
    return Sample(views, halves * latent, tokens, generated * latent)


def _outside_blocks(config: Config, sample: Sample, text: int) -> Iterator[Product]:
    """Yield the products outside the blocks."""
    model = config.model
    linear = partial(_linear, config.optimizer.trainable)
    trained = partial(is_trained, config.optimizer.trainable)
    d = model.width
    area = model.patch**2
    channels = strides_of(model.codec, model.codec_stride).channels
    guided = 2 * channels + 1 if model.prediction == "residual" else channels
    inputs = {"channels": 3 * channels + 2, "frames": channels, "none": guided}[model.projection]
    source = sample.frames * sample.tokens if model.projection == "channels" else 0
    yield linear("patch_embedding", sample.all_tokens - source, inputs * area, d, False)
    yield linear("source_embedding", source, channels * area, d, False)
    if model.projection == "frames":
        yield linear("mask_embedding", sample.all_tokens, 1, d, False)
    if "plucker" in model.cameras:
        yield linear("plucker_embedding", sample.all_tokens, RAY_CHANNELS, d, False)
    if model.text_width:
        yield linear("text_in", text, model.text_width, d, False)
        yield linear("text_out", text, d, d, trained("text_in."))

    time = trained("time_in.")
    contexts = time or (not model.needs_cameras and trained("context"))
    yield linear("time_in", FLOW_TIMES, TIME_CHANNELS, d, False)
    yield linear("time_out", FLOW_TIMES, d, d, time)
    yield linear("time_projection", _passes(model) * FLOW_TIMES, d, 6 * d, contexts)
    streams = 2 if model.attention.startswith("two_stream") else 1
    if streams == 2:
        yield linear("synchronization_time", FLOW_TIMES, d, 2 * d, time)

    heads = [("head", "refiner", inputs, channels, True)]
    if model.moves_base:
        moving = MOTION_CHANNELS + channels
        yield linear("motion_embedding", sample.all_tokens, moving * area, d, False)
        # Nothing that is trained lies before the pictures that the mover sees.
        heads = [("head", "refiner", inputs + channels + 1, channels, True)]
        heads.append(("mover_head", "mover", inputs + moving, MOTION_CHANNELS, False))
    for head, refiner, seen, leaving, follows_trained in heads:
        yield linear(head, streams * sample.all_tokens, d, (model.refiner or channels) * area)
        if model.refiner:
            pixels = sample.generated * sample.tokens * area
            width = model.refiner
            yield linear(f"{refiner}.enter", pixels, KERNEL_AREA * width, width)
            yield linear(f"{refiner}.enter", pixels, KERNEL_AREA * seen, width, follows_trained)
            yield linear(f"{refiner}.middle", pixels, KERNEL_AREA * width, width)
            yield linear(f"{refiner}.leave", pixels, KERNEL_AREA * width, leaving)


def _block(config: Config, sample: Sample, text: int) -> Iterator[Product]:
    """Yield a block's products; gradients cross all blocks, since they are one compiled loop."""
    model = config.model
    trainable = config.optimizer.trainable
    linear = partial(_linear, trainable)
    trained = partial(is_trained, trainable)
    adapted = partial(_adapted, trainable, model.lora_rank)
    d = model.width
    passes = _passes(model)
    n = passes * sample.all_tokens
    for part in ("query", "key", "value", "out"):
        yield from adapted(f"blocks.attention.{part}", n, d, d)
    yield from [Product(_allowed_pairs(model, sample) * d, 2)] * 2  # logits, weighted values
    if "linear" in model.cameras:
        yield linear("blocks.camera", n, CAMERA_CHANNELS, d, False)
    if model.camera_projector:
        yield linear("blocks.projector", n, d, d)
    if model.text_width:
        name = "blocks.text_attention"
        words = passes * text
        varies = trained("text_out.")
        keys_vary = varies or trained(f"{name}.key.kernel") or model.lora_rank > 0
        for part, rows, vary in (
            ("query", n, True),
            ("key", words, varies),
            ("value", words, varies),
            ("out", n, True),
        ):
            yield from adapted(f"{name}.{part}", rows, d, d, vary)
        yield from [Product(n * text * d, 1 + keys_vary)] * 2
    yield from adapted("blocks.ffn_in", n, d, model.ffn)
    yield from adapted("blocks.ffn_out", n, model.ffn, d)
    if model.attention.startswith("two_stream"):
        outputs = 1 if model.attention == "two_stream_hard" else 2
        yield linear("blocks.synchronization.mix", sample.all_tokens, 2 * d, outputs * d)


def _linear(
    trainable: str, name: str, rows: int, inputs: int, outputs: int, vary: bool = True
) -> Product:
    """Return a layer's product; `vary` says whether something trained lies before it."""
    return Product(rows * inputs * outputs, vary + is_trained(trainable, f"{name}.kernel"))


def _adapted(
    trainable: str, rank: int, name: str, rows: int, inputs: int, outputs: int, vary: bool = True
) -> Iterator[Product]:
    """Yield the products of a layer and, with a rank, of its adapter."""
    yield _linear(trainable, name, rows, inputs, outputs, vary)
    if rank:
        adapts = is_trained(trainable, f"{name}.lora_in")
        yield Product(rows * inputs * rank, vary + adapts)
        yield Product(rows * rank * outputs, (vary or adapts) + adapts)


def _passes(model: ModelConfig) -> int:
    """Return how often a block sees every token."""
    return 1 if model.attention in ("fused", "full") else 2


def _allowed_pairs(model: ModelConfig, sample: Sample) -> int:
    """Count the pairs of tokens that a block's self-attention may relate."""
    views = sample.views
    frames = sample.frames
    if model.attention == "full":
        pairs = (views * frames) ** 2
    elif model.attention == "fused":
        half = model.projection == "frames"
        pairs = int(allowed_frames(views, frames, half, model.mask).sum())
    else:  # along views at each instant, and along times in each view
        pairs = frames * views**2 + views * frames**2
    return pairs * sample.tokens**2
