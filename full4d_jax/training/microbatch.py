"""Microbatches: parts of a batch that are computed in turn (`training.accumulate`)."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped


class Microbatch(NamedTuple):
    """Some of the clips of a batch, by their places.

    Losses of parts add up to that of the whole batch: they divide by the clips of the whole batch,
    and draw the randomness of a clip from its place there. Part j of a holds the clips j, j + a,
    j + 2 a, ... (`optax.microbatching`), so that each device keeps its own clips.

    Attributes:
      places: of this part's clips in the batch, ascending.
      size: clips of the whole batch.
      lines: how many clips in a row are rows, or columns, of one grid.
    """

    places: Int[Array, "p"]
    size: int
    lines: int = 1

    def take(self, x: Shaped[Array, "b ..."]) -> Shaped[Array, "p ..."]:
        """Return the rows of this part from an array over the whole batch."""
        return x if len(self.places) == self.size else x[self.places]

    def most_below(self, count: int) -> int:
        """Return how many of the first `count` clips of the batch any of its parts has at most."""
        grids_of_parts = self.size // len(self.places) * self.lines
        return min(-(-count // grids_of_parts) * self.lines, len(self.places))

    def of_lines(self, lines: int) -> "Microbatch":
        """Return the part after each clip is cut into `lines` clips (`batch.lines`)."""
        places = self.places[:, None] * lines + jnp.arange(lines)[None]
        return Microbatch(places.reshape(-1), self.size * lines, lines)
