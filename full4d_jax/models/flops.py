"""Floating-point operations of the network by formula, two for a multiplication and its addition.

Counted are matrix products: every kernel of the parameters, times the rows that it multiplies, and
attention over the pairs of tokens that its mask allows. A training step is the forward pass, the
gradients of what the products take in wherever something trained lies before them, and the
gradients of the kernels that are trained. Not counted are the codec, depth, projection, the
renderer of procedural scenes, LPIPS, the optimizer, what acts on single numbers (norms, softmax,
rotations of queries and keys), and anything computed twice to save memory. XLA's own count cannot
serve: it takes the body of a loop once, whatever a kernel does for nothing, and all that is
recomputed.
"""

import math

from full4d_jax.config import Config, ModelConfig, masks
from full4d_jax.models import trainable
from full4d_jax.models.dit import sharding
from full4d_jax.models.dit.tokens import TokenGrid
from full4d_jax.models.wan.layouts import abstract_leaves
from full4d_jax.models.wan.text import TEXT_TOKENS

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

# What lies before layers, by the beginning of their names: nothing trained, or these parameters.
# Before all others lies a layer that is trained, or a block, of which all are one compiled loop.
FIRST_LAYERS = (
    *("guide.patch_embedding", "guide.source_embedding", "guide.mask_embedding"),
    *(
        "parametrisation.motion_embedding",
        "plucker_embedding",
        "text_in",
        "time_in",
        "blocks.camera",
    ),
)
BEFORE_LAYERS: dict[str, tuple[str, ...]] = dict.fromkeys(FIRST_LAYERS, ()) | {
    "text_out": ("text_in.",),
    "time_out": ("time_in.",),
    "time_projection": ("time_in.", trainable.CONTEXT),
    "synchronization_time": ("time_in.",),
    "blocks.text_attention.key": ("text_out.",),
    "blocks.text_attention.value": ("text_out.",),
}


def peak_flops(device_kind: str) -> float | None:
    """Return a device's dense bf16 operations a second by JAX's name; None if unknown (CPU)."""
    fits = [x for x in PEAKS if f"{device_kind} ".startswith((f"{x} ", f"{x}-"))]
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
    forward_passes = (
        2 + (config.flow.teacher_guidance != 1) if config.flow.segments else 0
    )

    def work(views, frames):
        answers = forward_passes * _work(config, views, frames, text, training=False)
        return _work(config, views, frames, text, training=True) + answers

    if not data.lines:
        return batch * work(data.views, data.frames)
    rows = data.views * work(1, data.frames)
    columns = data.frames * work(data.views, 1)
    return batch * (rows + columns)


def forward_flops(config: Config, views: int, frames: int) -> float:
    """Count one call of the network while sampling.

    Args:
      config: the model, size of the pictures, and whether there is a prompt.
      views: that the network sees at once, the source included.
      frames: pictures of each, not latent frames.
    """
    text = _text_tokens(config, training=False)
    return _work(config, views, frames, text, training=False)


def _text_tokens(config: Config, *, training: bool) -> int:
    """Return the number of rows of text: those of an embedding, or one of zeros."""
    data = config.data
    reads_negative = data.drop_text or config.flow.teacher_guidance != 1
    trained = data.captions or (reads_negative and config.negative_text)
    return TEXT_TOKENS if config.text or (training and trained) else 1


def _work(
    config: Config, views: int, frames: int, text: int, *, training: bool
) -> float:
    """Count the operations on one sample: each gradient is as much work as the product itself.

    Args:
      config: the model, size of the pictures, and what is trained.
      views: all that the network sees.
      frames: pictures of each.
      text: rows of the text's embedding.
      training: whether there is a backward pass.
    """
    model = config.model
    grid = TokenGrid(views, *sharding.frames_and_tokens(config, frames))
    rows = _rows(model, grid, text)
    parameters = abstract_leaves(model)
    named = config.optimizer.trainable
    trained = {name for name in parameters if trainable.is_trained(named, name)}
    total = 0
    for name, leaf in parameters.items():
        if name.endswith((".kernel", ".lora_in", ".lora_out")):
            gradients = _gradients(name, trained) if training else 0
            layer = max((x for x in rows if name.startswith(x)), key=len)
            total += math.prod(leaf.shape) * rows[layer] * (1 + gradients)

    # Attention: the logits and the weighted values, each a product of two factors.
    of_pair = 2 * model.layers * model.width
    total += of_pair * _allowed_pairs(model, grid) * (1 + 2 * training)
    if model.text_width:
        key = "blocks.text_attention.key.kernel"
        keys_vary = training and (model.lora_rank > 0 or _gradients(key, trained) > 0)
        pairs = rows["blocks."] * text
        total += of_pair * pairs * (1 + training + keys_vary)
    return float(2 * total)


def _rows(model: ModelConfig, grid: TokenGrid, text: int) -> dict[str, int]:
    """Return how many rows, or pixels, of one sample kernels multiply, by how names begin."""
    clean = model.guide.clean_views
    tokens = math.prod(grid)
    source = tokens // grid.views * clean
    generated = (grid.views - clean) * grid.frames * grid.tokens * model.patch**2
    if model.guide.projected_half:
        generated //= 2
    streams = model.attention.streams
    # How often a block sees every token.
    passes = 1 if model.attention.is_whole else 2
    # That tokens of a sample have: clean, and noisy.
    flow_times = 2
    return {
        "": tokens,
        "guide.patch_embedding.": tokens - source,
        "guide.source_embedding.": source,
        "text_": text,
        "time_": flow_times,
        "time_projection.": passes * flow_times,
        "synchronization_time.": flow_times,
        "parametrisation.head.": streams * tokens,
        "parametrisation.mover_head.": streams * tokens,
        "parametrisation.refiner.": generated,
        "parametrisation.mover.": generated,
        "blocks.": passes * tokens,
        "blocks.text_attention.key.": passes * text,
        "blocks.text_attention.value.": passes * text,
        "blocks.synchronization.": tokens,
    }


def _gradients(name: str, trained: set[str]) -> int:
    """Return of how many of a product's two factors gradients are needed."""
    layer, _, leaf = name.rpartition(".")
    before = BEFORE_LAYERS.get(layer)
    varies = before is None or any(x.startswith(before) for x in trained)
    if leaf == "lora_out":
        varies = varies or f"{layer}.lora_in" in trained
    return varies + (name in trained)


def _allowed_pairs(model: ModelConfig, grid: TokenGrid) -> int:
    """Count the pairs of tokens that a block's self-attention may relate."""
    views, frames, tokens = grid
    if model.attention.is_whole:
        half = model.guide.projected_half
        pairs = int(masks.allowed_frames(views, frames, half, model.mask).sum())
    else:
        # Along views at each instant, and along times in each view.
        pairs = frames * views**2 + views * frames**2
    return pairs * tokens**2
