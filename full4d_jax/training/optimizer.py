"""The optimizer: Muon on matrices, AdamW on everything else."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from full4d_jax.config import OptimizerConfig
from full4d_jax.models.dit import Params


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


def make_optimizer(
    config: OptimizerConfig, steps: int, dimensions: Callable[[Any], Any]
) -> optax.GradientTransformation:
    """Clipped gradients, then Muon or AdamW.

    Args:
      config: rates, decays and limits.
      steps: length of the run.
      dimensions: parameters to a tree of `MuonDimensionNumbers`, None where AdamW is to be used.
    """
    return optax.chain(
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
