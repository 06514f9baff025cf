"""Trainable parameters (`OptimizerConfig.trainable`), and adapters.

Adapters are low-rank (LoRA, arXiv 2106.09685) and belong to the blocks' linear layers:
y = x W + x A B + b. The weights that a run writes have them merged, W + A B, so that nothing else
knows of them.
"""

import dataclasses

import jax.numpy as jnp

from full4d_jax.config import ModelConfig
from full4d_jax.models.functional import Params, by_name, nested

# 4Real-Video's.
SYNCHRONIZATION = ("blocks.synchronization.", "synchronization_time.")
# Of freeze-time and fixed-view videos.
CONTEXT = "guide.freeze_or_fixed"
# What a video model has; parts of ours and of yours are added to it.
VIDEO_MODEL = (
    "guide.patch_embedding.",
    "parametrisation.head.",
    "head_modulation",
    "blocks.modulation",
    "blocks.attention.",
    *("blocks.text_", "blocks.ffn_", "time_", "text_"),
)


def is_added(name: str) -> bool:
    """Return whether a video model, such as Wan, lacks the parameter with this dotted name."""
    return not name.startswith(VIDEO_MODEL)


def is_trained(trainable: str, name: str) -> bool:
    """Return whether the parameter with this dotted name may change."""
    is_adapter = ".lora_" in name
    return {
        "all": True,
        "synchronization": name.startswith((*SYNCHRONIZATION, CONTEXT)),
        "adapters": is_adapter,
        "lora": is_adapter or is_added(name),
        "attention": is_added(name) or name.startswith("blocks.attention."),
    }[trainable]


def without_adapters(model: ModelConfig) -> ModelConfig:
    """Return the model whose parameters `merge_adapters` returns."""
    return dataclasses.replace(model, lora_rank=0)


def drop_adapters(params: Params) -> Params:
    """Return the parameters without adapters, those of the network that they adapt."""
    kept = {name: x for name, x in by_name(params).items() if ".lora_" not in name}
    return nested(kept)


def merge_adapters(params: Params) -> Params:
    """Add every A B to its W, and leave the adapters out; other parameters stay as they are."""
    flat = by_name(params)
    merged = by_name(drop_adapters(params))
    for name in flat:
        if name.endswith(".lora_in"):
            layer = name.removesuffix(".lora_in")
            # Stacked over blocks. By default a TPU would round what it multiplies.
            product = jnp.matmul(
                flat[name], flat[f"{layer}.lora_out"], precision="highest"
            )
            merged[f"{layer}.kernel"] = merged[f"{layer}.kernel"] + product
    return nested(merged)
