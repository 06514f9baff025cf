"""Low-rank adapters (LoRA, arXiv 2106.09685) of the blocks' linear layers: y = x W + x A B + b.

They exist while `optimizer.trainable` lora or adapters trains; the weights that a run writes have
them merged, W + A B, so that nothing else knows of them.
"""

import dataclasses
from typing import cast

import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from full4d_jax.config import ModelConfig
from full4d_jax.models.functional import Params


def without_adapters(model: ModelConfig) -> ModelConfig:
    """Return the model whose parameters `merge_adapters` returns."""
    return dataclasses.replace(model, lora_rank=0)


def drop_adapters(params: Params) -> Params:
    """Return the parameters without adapters, those of the network that they adapt."""
    flat = cast(Params, flatten_dict(params, sep="."))
    return unflatten_dict({name: x for name, x in flat.items() if ".lora_" not in name}, sep=".")


def merge_adapters(params: Params) -> Params:
    """Add every A B to its W, and leave the adapters out; other parameters stay as they are."""
    flat = cast(Params, flatten_dict(params, sep="."))
    merged = cast(Params, flatten_dict(drop_adapters(params), sep="."))
    for name in flat:
        if name.endswith(".lora_in"):
            layer = name.removesuffix(".lora_in")
            # Stacked over blocks. By default a TPU would round what it multiplies.
            product = jnp.matmul(flat[name], flat[f"{layer}.lora_out"], precision="highest")
            merged[f"{layer}.kernel"] = merged[f"{layer}.kernel"] + product
    return cast(Params, unflatten_dict(merged, sep="."))
