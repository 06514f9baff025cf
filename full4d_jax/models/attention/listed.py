"""Attention under any mask between frames: each frame of queries with a list of frames it reads.

A step takes a few frames of queries, gathers the keys that each may read and makes one public
attention call, so forward and reverse mode are JAX's own. All lists are as long as the longest, and
what fills a shorter one does not count.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.models.attention.mask import SAVED, Tokens, frame_lists, frames_of_a_block

Frames = Float[Array, "b n s k d"]


def listed_attention(
    q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool, mask: str = PAPER
) -> Tokens:
    """Attend under the mask of this name (`masks.find_mask`), in forward or reverse mode."""
    views, frames = q.shape[1:3]
    allowed = allowed_frames(views, frames, cross_half, mask).reshape(views * frames, -1)
    flat = (rearrange(x, "b v t s k d -> b (v t) s k d") for x in (q, k, v))
    return attend_by_lists(*flat, allowed=allowed).reshape(q.shape)


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
    lists, counts = (x[part] for x in frame_lists(rearrange(allowed, "(p m) n -> p m n", m=frames)))
    size = frames_of_a_block(frames, tokens)

    @jax.checkpoint
    def step(x):
        q, keys, lengths = x
        read_k, read_v = (rearrange(x[:, keys], "b g m s k d -> b g (m s) k d") for x in (k, v))
        return _attend_to_first(q, read_k, read_v, lengths * tokens)

    queries = rearrange(q, "b (c g) s k d -> c b g s k d", g=size)
    keys, lengths = (rearrange(x, "(c g) ... -> c g ...", g=size) for x in (lists, counts))
    done = jax.lax.map(step, (queries, keys, lengths))
    return checkpoint_name(rearrange(done, "c b g s k d -> b (c g) s k d"), SAVED)


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
