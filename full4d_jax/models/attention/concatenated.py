"""Fused time-view attention as one public attention call per instant, over concatenated keys.

At instant t every view's s queries meet the same number of keys: its own row (t s), the other views
at t ((v - 1) s) and, last, the source's projected frame at t + f (s). The keys of a view that may
not read that frame, or has it in its own row (the source), end before it. The rows are copied for
every instant, which is about s times less work than the products.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, Int

from full4d_jax.config.masks import SOURCE, allowed_frames
from full4d_jax.models.attention.mask import Tokens


def concatenated_attention(q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool) -> Tokens:
    """Attend one instant after the other; the backward pass computes the weights again."""
    _, views, frames, tokens, _, _ = q.shape
    later = np.minimum(np.arange(frames) + frames // 2, frames - 1)

    @jax.checkpoint
    def instant(x):
        t, later, lengths = x
        keys, values = (_keys(x, t, later if cross_half else None) for x in (k, v))
        return attend_to_first(q[:, :, t], keys, values, lengths)

    xs = (np.arange(frames), later, visible_lengths(views, frames, tokens, cross_half))
    out = jax.lax.map(instant, tuple(map(jnp.asarray, xs)))
    return rearrange(out, "t b v s k d -> b v t s k d", v=views)


def _keys(x: Tokens, t, later) -> Float[Array, "b v n k d"]:
    """Return each view's keys at instant t: own row, other views, the source's frame `later`."""
    b, views, _, tokens, heads, width = x.shape
    other_views = np.array([[u for u in range(views) if u != view] for view in range(views)], int)
    parts = [
        rearrange(x, "b v t s k d -> b v (t s) k d"),
        x[:, :, t][:, other_views].reshape(b, views, (views - 1) * tokens, heads, width),
    ]
    if later is not None:
        guide = x[:, SOURCE, later][:, None]
        parts.append(jnp.broadcast_to(guide, (b, views, tokens, heads, width)))
    return jnp.concatenate(parts, 2)


def visible_lengths(
    views: int, frames: int, tokens: int, cross_half: bool
) -> Int[np.ndarray, "t v"]:
    """Return how many of the concatenated keys each query frame may read: its first ones."""
    return (tokens * allowed_frames(views, frames, cross_half).sum((2, 3)).T).astype(np.int32)


def attend_to_first(
    q: Float[Array, "b v s k d"],
    k: Float[Array, "b v n k d"],
    v: Float[Array, "b v n k d"],
    lengths: Int[Array, "v"],
) -> Float[Array, "b v s k d"]:
    """Attend for all views of all samples at once, each to the first `lengths` of its keys."""
    flat = (rearrange(x, "b v n k d -> (b v) n k d") for x in (q, k, v))
    flash = jax.default_backend() == "gpu" and q.dtype == jnp.bfloat16
    out = jax.nn.dot_product_attention(
        *flat,
        key_value_seq_lengths=jnp.tile(lengths, q.shape[0]),
        implementation="cudnn" if flash else "xla",
    )
    return out.reshape(q.shape)
