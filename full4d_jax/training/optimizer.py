"""The optimizer: Muon on matrices and AdamW on the rest, or AdamW on all; and what it trains.

`OptimizerConfig.trainable` names the trained parameters. The others are constants of the loss (no
gradient is computed), have no optimizer state, and keep their bits.
"""

import functools
from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from full4d_jax.config import OptimizerConfig
from full4d_jax.models.functional import Params
from full4d_jax.models.sharding import dotted
from full4d_jax.models.trainable import is_trained

ADAM_B2 = 0.98


def learning_rate(config: OptimizerConfig, steps: int, peak: float) -> optax.Schedule:
    """Return the schedule: linear warm-up, then constant, then linear to zero."""
    warmup = optax.linear_schedule(0.0, peak, config.warmup)
    decay = max(1, round(config.decay_share * steps))
    return optax.join_schedules(
        [
            warmup,
            optax.constant_schedule(peak),
            optax.linear_schedule(peak, 0.0, decay),
        ],
        [config.warmup, steps - decay],
    )


def block_matrices(params: optax.Params) -> Any:
    """Return Muon's dimensions: matrices of blocks are (layer, in, out); None for AdamW."""
    matrix = MuonDimensionNumbers(reduction_axis=1, output_axis=2)
    return jax.tree.map(
        lambda x: matrix if x.ndim == 3 and min(x.shape[1:]) >= 32 else None, params
    )


def trained_leaves(trainable: str, params: Params) -> Params:
    """Return a tree of bools: the leaves that `OptimizerConfig.trainable` lets change."""
    return jax.tree.map_with_path(lambda path, _: is_trained(trainable, dotted(path)), params)


def hold_constant(params: Params, trained: Params) -> Params:
    """Return the parameters; those that are not trained pass no gradient."""
    return jax.tree.map(lambda x, t: x if t else jax.lax.stop_gradient(x), params, trained)


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Return Muon or AdamW on clipped gradients of the trained leaves.

    Args:
      config: rates, decays and limits.
      steps: length of the run.
    """
    adam_rate = learning_rate(config, steps, config.adam_learning_rate)
    if config.kind == "adamw":
        rule = optax.adamw(adam_rate, b2=ADAM_B2, weight_decay=config.adam_weight_decay)
    else:
        rule = muon(
            learning_rate(config, steps, config.learning_rate),
            weight_decay=0.01,
            adam_learning_rate=adam_rate,
            adam_b2=ADAM_B2,
            adam_weight_decay=config.adam_weight_decay,
            muon_weight_dimension_numbers=block_matrices,
        )
    optimizer = optax.chain(optax.clip_by_global_norm(config.clip), rule)
    if config.trainable == "all":
        return optimizer
    return optax.masked(optimizer, functools.partial(trained_leaves, config.trainable))
