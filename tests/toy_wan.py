"""Weights as Wan publishes them, random, of as small a model as a test asks for."""

import numpy as np
from numpy.typing import DTypeLike

from full4d_jax.config import ModelConfig
from full4d_jax.models.wan.layouts import abstract_leaves, to_wan, wan_names

# Sizes for a preset of Wan, whose other fields stay.
SMALL = {"width": 48, "heads": 4, "ffn": 64, "layers": 2, "text_width": 6}


def random_wan(
    model: ModelConfig, layout, dtype: DTypeLike = np.float32, scale=1.0
) -> dict[str, np.ndarray]:
    """Weights of Wan by name; both layouts have the same values."""
    leaves, rng = abstract_leaves(model), np.random.default_rng(0)
    stacks = {
        leaf: rng.normal(scale=scale, size=x.shape).astype(dtype)
        for leaf, x in leaves.items()
    }
    weights = {}
    for name, (leaf, layer, _) in wan_names(model, layout).items():
        array = stacks[leaf] if layer is None else stacks[leaf][layer]
        weights[name] = np.ascontiguousarray(to_wan(leaf, array, model.patch))
    return weights
