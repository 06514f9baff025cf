"""The optimizer: Muon on matrices, AdamW on everything else; and which parameters it may change.

`OptimizerConfig.trainable` names a subset. All others are constants of the loss (no gradient is
computed), have no optimizer state, and leave a step as the same bits.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from full4d_jax.config import OptimizerConfig
from full4d_jax.models.conditions import Params
from full4d_jax.models.wan_names import ADDED, SYNCHRONIZATION

ATTENTION = "blocks.attention."


def learning_rate(config: OptimizerConfig, steps: int, peak: float) -> optax.Schedule:
    """Linear warm-up, constant, then linear to zero over the last `decay_share`."""
    decay = max(1, round(config.decay_share * steps))
    return optax.join_schedules(
        [
            optax.linear_schedule(0.0, peak, config.warmup),
            optax.constant_schedule(peak),
            optax.linear_schedule(peak, 0.0, decay),
        ],
        [config.warmup, steps - decay],
    )


def block_matrices(params: Params) -> Params:
    """Muon's dimensions: matrices of blocks are stacked, (layer, in, out); None elsewhere."""
    matrix = MuonDimensionNumbers(reduction_axis=1, output_axis=2)
    return jax.tree.map(
        lambda x: matrix if x.ndim == 3 and min(x.shape[1:]) >= 32 else None, params
    )


def trained_leaves(trainable: str, params: Params) -> Params:
    """A tree of bools like `params`: which leaves `OptimizerConfig.trainable` lets change."""

    def is_trained(path, _) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if trainable == "all":
            return True
        if trainable == "synchronization":
            return name.startswith(SYNCHRONIZATION)
        if trainable == "lora":
            return name.startswith(ADDED) or ".lora_" in name
        return name.startswith((*ADDED, ATTENTION))

    return jax.tree.map_with_path(is_trained, params)


def hold_constant(params: Params, trained: Params) -> Params:
    """The same parameters, of which those not trained pass no gradient."""
    return jax.tree.map(lambda x, t: x if t else jax.lax.stop_gradient(x), params, trained)


def make_optimizer(
    config: OptimizerConfig, steps: int, dimensions: Callable[[Any], Any]
) -> optax.GradientTransformation:
    """Clipped gradients, then Muon or AdamW, of the trained leaves.

    Args:
      config: rates, decays and limits.
      steps: length of the run.
      dimensions: parameters to a tree of `MuonDimensionNumbers`, None where AdamW is to be used.
    """
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.clip),
        muon(
            learning_rate(config, steps, config.learning_rate),
            weight_decay=config.weight_decay,
            adam_learning_rate=learning_rate(config, steps, config.adam_learning_rate),
            adam_b2=0.98,
            adam_weight_decay=config.adam_weight_decay,
            muon_weight_dimension_numbers=dimensions,
        ),
    )
    if config.trainable == "all":
        return optimizer
    return optax.masked(optimizer, functools.partial(trained_leaves, config.trainable))
