"""Low-rank adapters (LoRA, arXiv 2106.09685) of the blocks' linear layers: y = x W + x A B + b.

They exist while `optimizer.trainable=lora` trains; the weights that a run writes have them merged,
W + A B, so that nothing else knows of them.
"""

import dataclasses
import functools
from typing import cast

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PRNGKeyArray

from full4d_jax.config import ModelConfig
from full4d_jax.models.dit import Params, init_params


def without_adapters(model: ModelConfig) -> ModelConfig:
    """The model whose parameters `merge_adapters` returns."""
    return dataclasses.replace(model, lora_rank=0)


def add_adapters(model: ModelConfig, params: Params, key: PRNGKeyArray) -> Params:
    """Parameters of `without_adapters(model)` with fresh adapters, which change nothing yet."""
    flat = cast(Params, flatten_dict(params, sep="."))
    return cast(Params, unflatten_dict(flat | _fresh(model, key), sep="."))


def merge_adapters(params: Params) -> Params:
    """Add every A B to its W and leave the adapters out; without any, the parameters themselves."""
    flat = cast(Params, flatten_dict(params, sep="."))
    merged = {name: x for name, x in flat.items() if ".lora_" not in name}
    for name in flat:
        if name.endswith(".lora_in"):
            layer = name.removesuffix(".lora_in")
            product = flat[name] @ flat[f"{layer}.lora_out"]  # stacked over blocks
            merged[f"{layer}.kernel"] = merged[f"{layer}.kernel"] + product
    return cast(Params, unflatten_dict(merged, sep="."))


@functools.partial(jax.jit, static_argnums=0)
def _fresh(model: ModelConfig, key: PRNGKeyArray) -> Params:
    """Adapters only; compiled, so that the other parameters are never made."""
    flat = cast(Params, flatten_dict(init_params(model, key), sep="."))
    return {name: x for name, x in flat.items() if ".lora_" in name}
