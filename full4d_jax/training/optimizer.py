"""The optimizer: optax's Muon on the matrices of blocks and AdamW on the rest, or AdamW on all.

XLA compiles an operation once for each shape, on CPUs in some 15 milliseconds. So these rules see
small arrays as one vector, and small matrices of one shape as one stack. Large arrays stay as they
are, sharded where they are.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from optax.contrib import MuonDimensionNumbers, muon

from full4d_jax.config import OptimizerConfig
from full4d_jax.models.dit import sharding

ADAM_B2 = 0.98
MUON_WEIGHT_DECAY = 0.01
# Of the quintic whose steps orthogonalise a matrix (Jordan, 2024): five equal ones are one loop.
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5
# Of an array that is seen with others as one.
MOST_NUMBERS = 2**16

Optimizer = optax.GradientTransformation


def make_optimizer(config: OptimizerConfig, steps: int) -> Optimizer:
    """Return Muon or AdamW on clipped gradients, for a run of so many steps."""
    adam_rate = learning_rate(config, steps, config.adam_learning_rate)
    if config.kind == "adamw":
        rule = optax.adamw(adam_rate, b2=ADAM_B2, weight_decay=config.adam_weight_decay)
    else:
        rule = muon(
            learning_rate(config, steps, config.learning_rate),
            ns_coeffs=NEWTON_SCHULZ,
            weight_decay=MUON_WEIGHT_DECAY,
            adam_learning_rate=adam_rate,
            adam_b2=ADAM_B2,
            adam_weight_decay=config.adam_weight_decay,
            muon_weight_dimension_numbers=block_matrices,
        )
    return gathered(optax.chain(optax.clip_by_global_norm(config.clip), rule))


def learning_rate(config: OptimizerConfig, steps: int, peak: float) -> optax.Schedule:
    """Return the schedule: linear warm-up, then constant, then linear to zero."""
    warmup = config.warmup
    decay = max(1, round(config.decay_share * steps))
    rise = optax.linear_schedule(0.0, peak, warmup)
    fall = optax.linear_schedule(peak, 0.0, decay)
    parts = [rise, optax.constant_schedule(peak), fall]
    return optax.join_schedules(parts, [warmup, steps - decay])


def is_matrix(x: Any) -> bool:
    """Return whether Muon updates an array: matrices of blocks are (layer, in, out)."""
    return x.ndim == 3 and min(x.shape[1:]) >= 32


def block_matrices(params: optax.Params) -> Any:
    """Return Muon's dimensions of matrices; None for AdamW."""
    matrix = MuonDimensionNumbers(reduction_axis=1, output_axis=2)
    return jax.tree.map(lambda x: matrix if is_matrix(x) else None, params)


def gathered(rule: Optimizer) -> Optimizer:
    """Return a rule that sees small arrays together; so does its state."""

    def init(params: optax.Params) -> optax.OptState:
        return rule.init(gather(params))

    def update(gradients: Any, state: Any, params: Any) -> tuple[Any, Any]:
        updates, state = rule.update(gather(gradients), state, gather(params))
        return scatter(cast(dict[str, Any], updates), params), state

    return Optimizer(init, update)  # pyright: ignore


def elementwise(function: Callable[..., tuple[Array, ...]], *trees: Any) -> list[Any]:
    """Return trees of what a function of arrays, one of each tree, returns of each number."""
    together = [gather(tree) for tree in trees]
    results = {name: function(*(x[name] for x in together)) for name in together[0]}
    outputs = zip(*results.values(), strict=True)
    return [scatter(dict(zip(results, x, strict=True)), trees[0]) for x in outputs]


def global_norm(tree: Any) -> Float[Array, ""]:
    """Return the length of the vector of all numbers of a tree."""
    return optax.tree.norm(gather(tree))


def gather(tree: Any) -> dict[str, Any]:
    """Return the arrays of a tree by name, small ones of a kind as one."""
    parts: dict[str, list[Any]] = {}
    for path, x in jax.tree.leaves_with_path(tree):
        parts.setdefault(_name(path, x), []).append(_as_part(x))
    return {name: x[0] if len(x) == 1 else _whole(x) for name, x in parts.items()}


def scatter(together: dict[str, Any], like: Any) -> Any:
    """Return the arrays of `gather` in a tree like another."""
    starts = dict.fromkeys(together, 0)

    def one(path: Any, x: Any) -> Array:
        name = _name(path, x)
        start = starts[name]
        starts[name] += _as_part(x).shape[0]
        return together[name][start : starts[name]].reshape(x.shape)

    return jax.tree.map_with_path(one, like)


def _name(path: Any, x: Any) -> str:
    """Return an array's own name if it is large, else that of its kind."""
    if x.size > MOST_NUMBERS:
        return sharding.dotted(path)
    return "matrices_{}x{}".format(*x.shape[1:]) if is_matrix(x) else "small"


def _as_part(x: Any) -> Any:
    """Return the array as it lies among others of its kind, along the first axis."""
    return x if is_matrix(x) or x.size > MOST_NUMBERS else x.reshape(-1)


def _whole(arrays: list[Any]) -> Array:
    """Return small arrays as one, which every device has."""
    joined = jnp.concatenate(arrays)
    return sharding.constrain(joined, *[None] * joined.ndim)
