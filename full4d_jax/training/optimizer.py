"""The optimizer: Muon on the matrices of blocks and AdamW on the rest, or AdamW on all.

With g the clipped gradient of a parameter p, its running mean m and mean square s, and hats on what
is without the bias of their start at zero (and in Nesterov's form, m ahead by a step, where Muon is
used):

    AdamW   p -= rate (m^ / (sqrt(s^) + 1e-8) + decay p)
    Muon    p -= rate (sqrt(max(1, out / in)) orthogonalised(m^) + decay p)

XLA compiles an operation once for each shape, on CPUs in 10 to 30 milliseconds. So small arrays
that every device has whole are computed as one, in rows; arrays that are large or sharded are not.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from full4d_jax.config import OptimizerConfig
from full4d_jax.models.dit import sharding

ADAM_DECAYS = (0.9, 0.98)
MUON_DECAY = 0.95
MUON_WEIGHT_DECAY = 0.01
# Of the quintic whose iteration turns singular values into about 1 (Jordan, 2024).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
# Numbers of small arrays that are computed at once.
ROW = 2**12
MOST_NUMBERS = 2**16

Optimizer = optax.GradientTransformation


class Averages(NamedTuple):
    """The optimizer's state: steps done, and the means of gradients and of their squares.

    These are trees like the parameters; Muon's matrices have no square.
    """

    count: Int[Array, ""]
    mean: Any
    square: Any


def make_optimizer(config: OptimizerConfig, steps: int) -> Optimizer:
    """Return Muon or AdamW on clipped gradients, for a run of so many steps."""
    is_nesterov = config.kind == "muon"

    def init(params: optax.Params) -> Averages:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Averages(jnp.zeros((), jnp.int32), zeros, divide(zeros)[1])

    def divide(tree: Any) -> tuple[Any, Any]:
        """Return what Muon updates and what AdamW does, each with None for the others."""
        muons = jax.tree.map(lambda x: x if by_muon(x) else None, tree)
        return muons, jax.tree.map(lambda x: None if by_muon(x) else x, tree)

    def by_muon(x: Array) -> bool:
        return is_nesterov and is_matrix(x)

    def update(gradients: Any, state: Averages, params: Any) -> tuple[Any, Averages]:
        norm = global_norm(gradients)
        count = state.count + 1
        peaks = config.learning_rate, config.adam_learning_rate
        muon_rate, adam_rate = (
            learning_rate(config, steps, x)(state.count) for x in peaks
        )

        def averaged(g: Array, m: Array, decay: float) -> tuple[Array, Array, Array]:
            """Return the clipped gradient, the running mean, and that without its bias."""
            g = jnp.where(norm < config.clip, g, g / norm * config.clip)
            m = (1 - decay) * g + decay * m
            if not is_nesterov:
                return g, m, unbiased(m, decay, count)
            ahead = decay * unbiased(m, decay, count + 1)
            return g, m, ahead + (1 - decay) * unbiased(g, decay, count)

        def adam(g: Array, m: Array, s: Array, p: Array) -> tuple[Array, ...]:
            slow = ADAM_DECAYS[1]
            g, m, ahead = averaged(g, m, ADAM_DECAYS[0])
            s = (1 - slow) * g**2 + slow * s
            change = ahead / (jnp.sqrt(unbiased(s, slow, count)) + 1e-8)
            return -adam_rate * (change + config.adam_weight_decay * p), m, s

        trees = zip(*map(divide, (gradients, state.mean, params)), strict=True)
        (g, m, p), rest = trees
        changes, means, squares = elementwise(adam, *rest[:2], state.square, rest[2])
        if jax.tree.leaves(g):
            m, ahead = elementwise(lambda g, m: averaged(g, m, MUON_DECAY)[1:], g, m)
            (u,) = elementwise(
                lambda x, p: (-muon_rate * (x + MUON_WEIGHT_DECAY * p),),
                orthogonalised(ahead),
                p,
            )
            changes, means = merged(changes, u), merged(means, m)
        return changes, Averages(count, means, squares)

    return Optimizer(init, update)  # pyright: ignore


def merged(x: Any, y: Any) -> Any:
    """Return a tree with the leaves of two, each of which has None for those of the other."""
    return jax.tree.map(
        lambda a, b: b if a is None else a, x, y, is_leaf=lambda a: a is None
    )


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


def unbiased(mean: Array, decay: float, count: Array) -> Array:
    """Return a running mean without the zero that it began with."""
    return mean / (1 - decay**count)


def orthogonalised(matrices: Any) -> Any:
    """Return matrices (layer in out) with singular values of about sqrt(max(1, out / in))."""
    leaves = jax.tree.leaves(matrices)
    done = {}
    for places in groups(matrices, lambda x: x.shape):
        stack = jnp.concatenate([leaves[i] for i in places])
        parts = jnp.split(newton_schulz(stack), len(places))
        done.update(zip(places, parts, strict=True))
    ordered = [done[i] for i in range(len(leaves))]
    return jax.tree.unflatten(jax.tree.structure(matrices), ordered)


def newton_schulz(x: Float[Array, "n i o"]) -> Float[Array, "n i o"]:
    """Return matrices, orthogonalised by five steps."""
    rows, columns = x.shape[1:]
    if rows > columns:
        x = x.mT
    a, b, c = NEWTON_SCHULZ

    def step(_: Any, x: Array) -> Array:
        square = x @ x.mT
        return a * x + (b * square + c * square @ square) @ x

    x = x / (jnp.linalg.norm(x, axis=(1, 2), keepdims=True) + 1e-8)
    x = jax.lax.fori_loop(0, 5, step, x) * math.sqrt(max(1, columns / rows))
    return x.mT if rows > columns else x


def elementwise(function: Callable[..., tuple[Array, ...]], *trees: Any) -> list[Any]:
    """Return trees of what a function of arrays, one of each tree, returns of each number."""
    leaves = [jax.tree.leaves(tree) for tree in trees]
    done = {}
    for places in groups(trees[0], is_matrix):
        arrays = [[x[i] for i in places] for x in leaves]
        if len(places) == 1:
            done[places[0]] = function(*(x for (x,) in arrays))
            continue
        out = jax.lax.map(lambda x: function(*x), [in_rows(x) for x in arrays])
        ends = np.cumsum([x.size for x in arrays[0]])
        pieces = zip(*(jnp.split(x.reshape(-1), ends)[:-1] for x in out), strict=True)
        for i, x, piece in zip(places, arrays[0], pieces, strict=True):
            done[i] = [y.reshape(x.shape) for y in piece]
    ordered = [done[i] for i in range(len(leaves[0]))]
    structure = jax.tree.structure(trees[0])
    return [jax.tree.unflatten(structure, x) for x in zip(*ordered, strict=True)]


def groups(tree: Any, kind: Callable[[Array], Any]) -> list[list[int]]:
    """Return the places of the leaves that are computed as one: small ones of a kind."""
    found: dict[Any, list[int]] = {}
    for i, (path, x) in enumerate(jax.tree.leaves_with_path(tree)):
        # By any width, a matrix that may be sharded.
        axes = sharding.parameter_axes(sharding.dotted(path), x.shape, 1)
        is_whole = sharding.mesh_around() is None or not any(axes)
        key = (kind(x),) if is_whole and x.size <= MOST_NUMBERS else i
        found.setdefault(key, []).append(i)
    return list(found.values())


def in_rows(arrays: Sequence[Array]) -> Float[Array, "n r"]:
    """Return all numbers of arrays in rows, the last filled up with zeros."""
    flat = [x.reshape(-1) for x in arrays]
    idle = -sum(x.size for x in flat) % ROW
    rows = jnp.concatenate([*flat, jnp.zeros(idle, flat[0].dtype)]).reshape(-1, ROW)
    return sharding.constrain(rows, None, None)


def global_norm(tree: Any) -> Float[Array, ""]:
    """Return the length of the vector of all numbers of a tree."""
    leaves = jax.tree.leaves(tree)
    parts = [[leaves[i] for i in places] for places in groups(tree, is_matrix)]
    arrays = [x[0] if len(x) == 1 else in_rows(x) for x in parts]
    return jnp.sqrt(sum((x * x).sum() for x in arrays))
