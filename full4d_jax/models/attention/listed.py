"""Attention under any mask between frames: each frame of queries with a list of frames it reads.

A step takes a few frames of queries, gathers the keys that each may read and makes one public
attention call. All lists of a loop are as long as its longest; frames are taken in the order of
their lengths, and very different lengths go to different loops. So the work is that of the allowed
pairs, and little more.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.models.attention.mask import SAVED

QUERIES = 512  # most queries of a step, unless a single frame has more
LEVELS = 6  # most loops

Frames = Float[Array, "b n s k d"]


class Loop(NamedTuple):
    """Steps whose lists are equally long, of each part p of the queries.

    Attributes:
      queries: frames of the part that a step takes.
      keys: frames of the grid that each of them reads, followed by any others.
      lengths: how many of these count.
    """

    queries: Int[np.ndarray, "p c g"]
    keys: Int[np.ndarray, "p c g m"]
    lengths: Int[np.ndarray, "p c g"]


def attend_by_lists(
    q: Float[Array, "b m s k d"],
    k: Frames,
    v: Frames,
    part: Int[Array, ""] | int = 0,
    *,
    allowed: Bool[np.ndarray, "n n"],
) -> Float[Array, "b m s k d"]:
    """Attend from some frames of a grid to those that they may read.

    Args:
      q: queries of m frames in a row.
      k: keys of all n frames.
      v: values of all n frames.
      part: which of the n / m parts of the frames q is.
      allowed: which frame may read which.
    """
    frames, tokens = q.shape[1:3]
    loops, place = plan(allowed, len(allowed) // frames, max(1, QUERIES // tokens))

    @jax.checkpoint
    def step(x):
        q, keys, lengths = x
        read_k, read_v = (rearrange(x[:, keys], "b g m s k d -> b g (m s) k d") for x in (k, v))
        return _attend_to_first(q, read_k, read_v, lengths * tokens)

    out = []
    for loop in loops:
        taken, keys, lengths = (jnp.asarray(x)[part] for x in loop)
        queries = jnp.moveaxis(q[:, taken], 1, 0)
        done = jax.lax.map(step, (queries, keys, lengths))
        out.append(rearrange(done, "c b g s k d -> b (c g) s k d"))
    return checkpoint_name(jnp.concatenate(out, 1)[:, jnp.asarray(place)[part]], SAVED)


def _attend_to_first(
    q: Float[Array, "b g s k d"],
    k: Float[Array, "b g n k d"],
    v: Float[Array, "b g n k d"],
    lengths: Int[Array, "g"],
) -> Float[Array, "b g s k d"]:
    """Attend for all frames of all samples at once, each to the first `lengths` of its keys."""
    flat = (rearrange(x, "b g n k d -> (b g) n k d") for x in (q, k, v))
    lengths = jnp.tile(lengths, q.shape[0])
    return jax.nn.dot_product_attention(*flat, key_value_seq_lengths=lengths).reshape(q.shape)


def plan(
    allowed: Bool[np.ndarray, "n n"], parts: int, size: int
) -> tuple[list[Loop], Int[np.ndarray, "p m"]]:
    """Divide the frames of each part into steps, the longest lists first.

    Args:
      allowed: which frame (rows) may read which.
      parts: into which the rows are divided, as over devices; they take equally many steps.
      size: most frames of a step.

    Returns:
      The loops, and where among all that they return each frame of a part stands. A frame may be
      taken again to fill a step.
    """
    rows = rearrange(allowed, "(p m) n -> p m n", p=parts)
    counts = rows.sum(-1)
    order = np.argsort(-counts, axis=1, kind="stable")
    longest = np.take_along_axis(counts, order, 1).max(0)  # of the parts
    levels = -(-LEVELS * longest // longest[0])
    loops = []
    place = np.zeros_like(order)
    before = 0  # frames of the loops so far
    for level in np.unique(levels)[::-1]:
        # Frames of one level share a loop; some are taken again to fill its last step.
        here = np.flatnonzero(levels == level)
        steps = -(-len(here) // size)
        filled = np.resize(here, steps * -(-len(here) // steps))
        taken = order[:, filled]
        lists = np.argsort(~np.take_along_axis(rows, taken[..., None], 1), axis=-1, kind="stable")
        keys = lists[..., : longest[here[0]]]
        lengths = np.take_along_axis(counts, taken, 1)
        cut = (rearrange(x, "p (c g) ... -> p c g ...", c=steps) for x in (taken, keys, lengths))
        loops.append(Loop(*(x.astype(np.int32) for x in cut)))
        np.put_along_axis(place, taken, before + np.arange(len(filled))[None], 1)
        before += len(filled)
    return loops, place.astype(np.int32)
