"""Fused time-view attention as one public attention call per instant, over concatenated keys.

At instant t every view's s queries meet the same number of keys: its own row (t s), the other views
at t ((v - 1) s) and, last, the source's projected frame at t + f (s). Who may not read that one, or
has it in its own row already (the source), has its keys end before it. The rows are copied for
every instant, about s times less work than the products.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, Int

from full4d_jax.models.attention.fused import SOURCE, Tokens


def concatenated_attention(q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool) -> Tokens:
    """Fused time-view attention, one instant after the other, its weights never kept."""
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
    """Of all views at the instant t: own row, other views, the source's frame `later`."""
    b, views, _, tokens, heads, width = x.shape
    others = np.array([[u for u in range(views) if u != view] for view in range(views)], int)
    parts = [
        rearrange(x, "b v t s k d -> b v (t s) k d"),
        x[:, :, t][:, others].reshape(b, views, (views - 1) * tokens, heads, width),
    ]
    if later is not None:
        guide = x[:, SOURCE, later][:, None]
        parts.append(jnp.broadcast_to(guide, (b, views, tokens, heads, width)))
    return jnp.concatenate(parts, 2)


def visible_lengths(
    views: int, frames: int, tokens: int, cross_half: bool
) -> Int[np.ndarray, "t v"]:
    """How many of the concatenated keys count, for every query frame."""
    time, view = np.indices((frames, views))
    reads_later = cross_half & (time < frames // 2) & (view != SOURCE)
    return (tokens * (frames + views - 1 + reads_later)).astype(np.int32)


def attend_to_first(q: Float[Array, "b v s k d"], k, v, lengths: Int[Array, "v"]):
    """One call for all views of all samples, of whose keys the first `lengths` count."""
    flat = (rearrange(x, "b v n k d -> (b v) n k d") for x in (q, k, v))
    flash = jax.default_backend() == "gpu" and q.dtype == jnp.bfloat16
    out = jax.nn.dot_product_attention(
        *flat,
        key_value_seq_lengths=jnp.tile(lengths, q.shape[0]),
        implementation="cudnn" if flash else "xla",
    )
    return out.reshape(q.shape)
