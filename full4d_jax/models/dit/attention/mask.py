"""Patterns of attention between frames, and attention under any of them by public calls.

`listed_attention` takes a few frames of queries at a time, gathers the keys that each may read and
makes one public attention call, so forward and reverse mode are JAX's own. All lists are as long as
the longest, and what fills a shorter one does not count.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.config import masks
from full4d_jax.models.dit.tokens import TokenGrid

# Finite: without a single allowed key there is weight 0, and no NaN.
FORBIDDEN_LOGIT = -1e30
# The name of what a layer may keep for its backward pass.
SAVED = "attention"

Tokens = Float[Array, "b v t s k d"]
Flat = Float[Array, "b n k d"]
Text = Float[Array, "b m k d"]
Queries = Float[Array, "b m s k d"]
Keys = Float[Array, "b n c k d"]
# Which of the f / m parts of the frames queries are of.
Part = Int[Array, ""] | int
# Which frame of queries may read which frame of keys.
Allowed = Bool[np.ndarray, "f n"]


def over_grid(
    attend: Callable[..., Queries],
    q: Tokens,
    k: Tokens,
    v: Tokens,
    *,
    cross_half: bool,
    mask: str = masks.PAPER,
    rows_by_cudnn: bool = False,
    **options: Any,
) -> Tokens:
    """Attend in a whole grid by a function of frames in a row.

    Args:
      attend: (q, k, v, allowed=) -> output, of frames (b n s k d).
      q: queries.
      k: keys.
      v: values.
      cross_half: whether the later half of the frames is the projection.
      mask: a name for `masks.find_mask`.
      rows_by_cudnn: let cuDNN attend within views, in half precision alone; `attend` is told how
        many `rows` frames fall into.
      options: handed to `attend`.

    Raises:
      InputError: cuDNN should attend within views that the mask cuts.
    """
    views, frames = q.shape[1:3]
    allowed = masks.allowed_frames(views, frames, cross_half, mask)
    if rows_by_cudnn:
        allowed = masks.beyond_own_view(allowed, mask)
        options["rows"] = views
    allowed = allowed.reshape(views * frames, -1)
    flat = (rearrange(x, "b v t s k d -> b (v t) s k d") for x in (q, k, v))
    return attend(*flat, allowed=allowed, **options).reshape(q.shape)


def frames_of_a_block(frames: int, queries: int) -> int:
    """Return the largest divisor of `frames` whose frames have at most 512 queries, or 1."""
    most_queries = 512
    fits = max(1, most_queries // queries)
    return max(
        size for size in range(1, frames + 1) if frames % size == 0 and size <= fits
    )


def frame_lists(
    allowed: Bool[np.ndarray, "p m n"],
) -> tuple[Int[Array, "p m i"], Int[Array, "p m"]]:
    """Return the frames that each frame reads, followed by any others, and how many count.

    All lists are as long as the longest.
    """
    counts = allowed.sum(-1)
    order = np.argsort(~allowed, axis=-1, kind="stable")[..., : max(1, counts.max())]
    return jnp.asarray(order.astype(np.int32)), jnp.asarray(counts.astype(np.int32))


def attend_by_lists(
    q: Queries, k: Keys, v: Keys, part: Part = 0, *, allowed: Allowed
) -> Queries:
    """Attend from some frames of a grid to those that they may read, in either mode.

    Args:
      q: queries of m frames in a row.
      k: keys of all n frames.
      v: values of all n frames.
      part: which of the f / m parts of the frames q is.
      allowed: which frame of queries may read which frame of keys.
    """
    frames, tokens = q.shape[1:3]
    parts = rearrange(allowed, "(p m) n -> p m n", m=frames)
    lists, counts = (x[part] for x in frame_lists(parts))
    size = frames_of_a_block(frames, tokens)

    @jax.checkpoint
    def step(x):
        q, keys, lengths = x
        read = (rearrange(x[:, keys], "b g m s k d -> b g (m s) k d") for x in (k, v))
        # All frames of all samples at once.
        flat = (rearrange(x, "b g n k d -> (b g) n k d") for x in (q, *read))
        counted = jnp.tile(lengths * tokens, q.shape[0])
        out = jax.nn.dot_product_attention(*flat, key_value_seq_lengths=counted)
        return out.reshape(q.shape)

    queries = rearrange(q, "b (c g) s k d -> c b g s k d", g=size)
    keys, lengths = (
        rearrange(x, "(c g) ... -> c g ...", g=size) for x in (lists, counts)
    )
    done = jax.lax.map(step, (queries, keys, lengths))
    return checkpoint_name(rearrange(done, "c b g s k d -> b (c g) s k d"), SAVED)


listed_attention = functools.partial(over_grid, attend_by_lists)


@dataclass(frozen=True)
class Pattern:
    """The pattern of attention within each sample.

    Attributes:
      grid: how the tokens of a sample are laid out.
      is_cut: whether samples are rows or columns of grids, whole on their devices.
      mask: between frames, a name for `masks.find_mask`.
      cross_half: whether the later half of the frames is the projection.
    """

    grid: TokenGrid
    is_cut: bool
    mask: str
    cross_half: bool
