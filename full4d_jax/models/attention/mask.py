"""Parts that all implementations of attention under a mask between frames share."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.models.tokens import Axis, TokenGrid

FORBIDDEN_LOGIT = -1e30  # finite: without a single allowed key there is weight 0, and no NaN
SAVED = "attention"  # the name of what a layer may keep for its backward pass

Tokens = Float[Array, "b v t s k d"]
Flat = Float[Array, "b n k d"]
Text = Float[Array, "b m k d"]


def frames_of_a_block(frames: int, queries: int, most_queries: int = 512) -> int:
    """Return the largest divisor of `frames` whose frames have at most so many queries, or 1."""
    fits = max(1, most_queries // queries)
    return max(size for size in range(1, frames + 1) if frames % size == 0 and size <= fits)


def frame_lists(
    allowed: Bool[np.ndarray, "p m n"],
) -> tuple[Int[Array, "p m i"], Int[Array, "p m"]]:
    """Return the frames that each frame reads, followed by any others, and how many count.

    All lists are as long as the longest.
    """
    counts = allowed.sum(-1)
    order = np.argsort(~allowed, axis=-1, kind="stable")[..., : max(1, counts.max())]
    return jnp.asarray(order.astype(np.int32)), jnp.asarray(counts.astype(np.int32))


@dataclass(frozen=True)
class Pattern:
    """The pattern of attention within each sample.

    Attributes:
      grid: how the tokens of a sample are laid out.
      axis: along which grids were cut into the samples; "all" where a sample is a whole grid.
      mask: between frames, a name for `masks.find_mask`; None where every token reads every token.
      cross_half: whether the later half of the frames is the projection.
    """

    grid: TokenGrid
    axis: Axis
    mask: str | None
    cross_half: bool

    @property
    def is_cut(self) -> bool:
        """Whether samples are rows or columns of grids, whole on their devices."""
        return self.axis != "all"
