"""Gradients of a batch in parts, one after the other, so that only one part's memory is needed.

Part j of a holds the clips j, j + a, j + 2 a, ... of the batch: where clips are sharded over
devices every device keeps its own. A loss that adds up over parts (it divides by the clips of the
whole batch and draws the randomness of a clip from its place there) has the gradients of the whole.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from full4d_jax.models.conditions import Params

Metrics = dict[str, Array]
Gradient = Callable[[Params, Any, Int[Array, ""] | int], tuple[tuple[Array, Metrics], Params]]


def places_of_parts(clips: int, parts: int) -> Int[np.ndarray, "a n"]:
    """The clips of every part, by their places in the batch."""
    return np.arange(clips).reshape(-1, parts).T


def places_of_lines(places: Int[np.ndarray, "a n"], lines: int) -> Int[np.ndarray, "a m"]:
    """The same where every clip was cut into so many (`batch.lines`)."""
    return (places[..., None] * lines + np.arange(lines)).reshape(len(places), -1)


def accumulate(
    gradient: Gradient, params: Params, trained: Params, batch: Any, parts: int
) -> tuple[Metrics, Params]:
    """Sums of the metrics and of the gradients over the parts of a batch.

    Args:
      gradient: (params, clips of a part, which part) -> ((loss, metrics), gradients).
      params: what to differentiate for.
      trained: a tree of bools; of other leaves no gradient is kept between parts, it is zero.
      batch: a tree of arrays whose first axis, a multiple of `parts`, counts clips.
      parts: their number.
    """
    if parts == 1:
        (_, metrics), gradients = gradient(params, batch, 0)
        return metrics, gradients

    def one(clips: Any, part: Int[Array, ""]) -> tuple[Metrics, Params]:
        (_, metrics), gradients = gradient(params, clips, part)
        return metrics, jax.tree.map(lambda t, g: g if t else None, trained, gradients)

    def add(total, x):
        return jax.tree.map(jnp.add, total, one(*x)), None

    xs = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
    xs = xs, jnp.arange(parts)
    like = jax.eval_shape(one, *jax.tree.map(lambda x: x[0], xs))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    metrics, gradients = jax.lax.scan(add, zeros, xs)[0]
    return metrics, jax.tree.map(
        lambda p, g: jnp.zeros_like(p) if g is None else g, params, gradients
    )
