"""Fused time-view attention: one softmax over everything that a token may see (Full-4D).

Frames are indexed by (view, t). With projection guidance as frames, t runs over two halves of f:
t < f are the frames to generate, t >= f the projected video. Token i may attend to token j if

    v_i = v_j                                   intra-view: all of its own view
    t_i = t_j                                   intra-time: all views at this instant
    t_i < f, t_j = t_i + f, v_j = source        cross-half: the input video at its time

and the allowed keys share one softmax. `allowed_frames` is the definition; `dense_attention` is the
oracle that applies it as a mask; `fused_attention` computes only what is allowed.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float

SOURCE = 0  # index of the source view
Tokens = Float[Array, "b v t s k d"]


def allowed_frames(views: int, frames: int, cross_half: bool) -> Bool[np.ndarray, "v t v t"]:
    """Which frame (last two axes) may be read by which frame (first two)."""
    view, time = np.indices((views, frames))
    vi, ti = view[:, :, None, None], time[:, :, None, None]
    allowed = (vi == view) | (ti == time)
    if cross_half:
        half = frames // 2
        allowed = allowed | ((ti < half) & (time == ti + half) & (view == SOURCE))
    return allowed


def dense_attention(q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool) -> Tokens:
    """The definition, with all pairs computed and the forbidden ones masked. Slow."""
    _, views, frames, tokens, _, width = q.shape
    mask = allowed_frames(views, frames, cross_half).reshape(views * frames, -1)
    mask = np.repeat(np.repeat(mask, tokens, 0), tokens, 1)
    flat = [rearrange(x, "b v t s k d -> b k (v t s) d") for x in (q, k, v)]
    logits = jnp.einsum("bknd,bkmd->bknm", *flat[:2], preferred_element_type=jnp.float32)
    logits = logits * width**-0.5
    weights = jax.nn.softmax(jnp.where(mask, logits, -jnp.inf), -1)
    out = jnp.einsum("bknm,bkmd->bknd", weights.astype(v.dtype), flat[2])
    return rearrange(out, "b k (v t s) d -> b v t s k d", v=views, t=frames)


def fused_attention(q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool) -> Tokens:
    """The same function from two blocks of dense products that share one softmax.

    Rows attend along their own view; columns attend to all views at their instant and, in the
    target half, to the source's projected frame. Nothing may count twice: a frame's own keys are
    left to its column, and the source's rows already hold their t + f.
    """
    _, views, frames, tokens, _, width = q.shape
    by_row, by_column = "b v t s k d -> b k v (t s) d", "b v t s k d -> b k t (v s) d"
    split = {"v": views, "t": frames}

    keys, values = rearrange(k, by_column), rearrange(v, by_column)
    if cross_half:
        guide = [rearrange(x[:, SOURCE, frames // 2 :], "b t s k d -> b k t s d") for x in (k, v)]
        guide = [jnp.tile(x, (1, 1, 2, 1, 1)) for x in guide]
        keys, values = (
            jnp.concatenate(pair, -2) for pair in zip((keys, values), guide, strict=True)
        )
    column = _logits(rearrange(q, by_column), keys)
    if cross_half:
        column = jnp.where(_column_mask(views, frames, tokens), column, -jnp.inf)
    column_max = rearrange(column.max(-1), "b k t (v s) -> b v t s k", v=views)
    if frames == 1:  # a row has nothing but its own frame
        row, peak = None, column_max
    else:
        row = _logits(rearrange(q, by_row), rearrange(k, by_row))
        own_frame = np.kron(np.eye(frames, dtype=bool), np.ones((tokens, tokens), bool))
        row = jnp.where(own_frame, -jnp.inf, row)
        row_max = rearrange(row.max(-1), "b k v (t s) -> b v t s k", t=frames)
        peak = jnp.maximum(row_max, column_max)
    peak = jax.lax.stop_gradient(peak)

    total, out = 0.0, 0.0
    for logits, block_values, order in (
        (column, values, "b k t (v s) d -> b v t s k d"),
        (row, rearrange(v, by_row), "b k v (t s) d -> b v t s k d"),
    ):
        if logits is None:
            continue
        source, target = order.split(" -> ")
        peak_here = rearrange(peak[..., None], f"{target} -> {source}")
        weights = jnp.exp(logits - peak_here)
        total = total + rearrange(weights.sum(-1, keepdims=True), order, **split)
        weighted = jnp.einsum(
            "...nm,...md->...nd",
            weights.astype(v.dtype),
            block_values,
            preferred_element_type=jnp.float32,
        )
        out = out + rearrange(weighted, order, **split)
    return (out / total).astype(v.dtype)


def _logits(q: Float[Array, "b k a n d"], k: Float[Array, "b k a m d"]):
    """Scaled products in float32."""
    q = q * q.shape[-1] ** -0.5
    return jnp.einsum("...nd,...md->...nm", q, k, preferred_element_type=jnp.float32)


def _column_mask(views: int, frames: int, tokens: int) -> Bool[np.ndarray, "1 1 t n m"]:
    """All views at an instant; the last keys, for other views than the source in its first half."""
    time, view = np.indices((frames, views))
    reads_guide = (time < frames // 2) & (view != SOURCE)
    mask = np.concatenate([np.ones((frames, views, views), bool), reads_guide[:, :, None]], -1)
    return np.repeat(np.repeat(mask, tokens, 1), tokens, 2)[None, None]
