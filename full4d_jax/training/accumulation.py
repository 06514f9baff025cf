"""Gradient accumulation: one part of a batch after the other, in the memory of one part.

Part j of a holds the clips j, j + a, j + 2 a, ... of the batch, so that each device keeps its own
clips where they are sharded over devices. The gradients equal those of the whole batch if the loss
adds up over parts: it divides by the clips of the whole batch, and draws the randomness of a clip
from its place there.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped

from full4d_jax.models.functional import Params

Metrics = dict[str, Array]
Gradient = Callable[[Params, Any, Int[Array, ""] | int], tuple[tuple[Array, Metrics], Params]]


class BatchPart(NamedTuple):
    """Which clips of a batch one of its parts holds.

    Attributes:
      all: places in the batch of the clips of each part, ascending.
      index: which row of them this part is.
    """

    all: Int[np.ndarray, "a p"]
    index: Int[Array, ""] | int

    @property
    def size(self) -> int:
        """Number of clips of the whole batch."""
        return self.all.size

    @property
    def places(self) -> Int[Array, "p"]:
        """Places of this part's clips in the batch."""
        return jnp.asarray(self.all)[self.index]

    def take(self, x: Shaped[Array, "b ..."]) -> Shaped[Array, "p ..."]:
        """Return the rows of this part from an array over the whole batch."""
        return x if len(self.all) == 1 else x[self.places]


def whole_batch(clips: int) -> BatchPart:
    """Return the only part of a batch that is not divided."""
    return BatchPart(places_of_parts(clips, 1), 0)


def places_of_parts(clips: int, parts: int) -> Int[np.ndarray, "a p"]:
    """Return the places in the batch of the clips of each part."""
    return np.arange(clips).reshape(-1, parts).T


def places_of_lines(places: Int[np.ndarray, "a p"], lines: int) -> Int[np.ndarray, "a q"]:
    """Return the places after each clip is cut into `lines` clips (`batch.lines`)."""
    return (places[..., None] * lines + np.arange(lines)).reshape(len(places), -1)


def accumulate(
    gradient: Gradient, params: Params, trained: Params, batch: Any, parts: int
) -> tuple[Metrics, Params]:
    """Return the metrics and the gradients, each summed over the parts of a batch.

    Args:
      gradient: (params, clips of a part, index of the part) -> ((loss, metrics), gradients).
      params: the parameters to differentiate for.
      trained: a tree of bools; gradients of the other leaves are zero and take no memory.
      batch: a tree of arrays whose first axis, a multiple of `parts`, counts clips.
      parts: number of parts.
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
