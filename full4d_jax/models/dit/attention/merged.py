"""Fused time-view attention as dense products that share one softmax, in blocks of bounded size.

A query meets two disjoint sets of keys: its row (its own view at all times) and its column
(the other views at its instant and, where cross-half applies, the source's projected frame). With
logits l over both

    lse = log(sum_row exp l + sum_column exp l)        p_j = exp(l_j - lse)
    o   = sum_row p_j v_j + sum_column p_j v_j

and, whatever part a key belongs to, the derivative needs only the *global* lse and output:

    do  = sum_j p_j (dl_j - sum_i p_i dl_i) v_j + p_j dv_j
        = [sum_j (p_j dl_j) v_j + p_j dv_j] - (sum_j p_j dl_j) o

which again splits into the two parts. Written in forward mode it serves `jax.jvp`, and JAX
transposes it into the usual backward pass of flash attention (p is computed again, never stored).
Merging the parts' own softmaxes with weights exp(lse_part - lse) gives the same values,
but its gradient is wrong as soon as one part's kernel does not differentiate its lse.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.config.masks import SOURCE_VIEW, allowed_frames
from full4d_jax.models.dit.attention.mask import (
    FORBIDDEN_LOGIT,
    SAVED,
    Tokens,
    frames_of_a_block,
)

Head = Float[Array, "v t s d"]
PerQuery = Float[Array, "v t s"]
# All of them run inside loops.
_remat = functools.partial(jax.checkpoint, prevent_cse=False)


def merged_attention(q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool) -> Tokens:
    """Attend one head of one sample after the other, in forward or reverse mode.

    Memory holds the logits of at most 512 queries, or those of a frame. The backward pass keeps
    q, k, v, the output and one float32 per query and head.
    """
    by_head = "b v t s k d -> (b k) v t s d"
    heads = tuple(rearrange(x, by_head) for x in (q * q.shape[-1] ** -0.5, k, v))
    out = jax.lax.map(lambda x: _attend(cross_half, *x), heads)
    out = rearrange(out, "(b k) v t s d -> b v t s k d", b=q.shape[0])
    return checkpoint_name(out, SAVED)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attend(cross_half: bool, q: Head, k: Head, v: Head) -> Head:
    return _forward(q, k, v, cross_half)[0]


@_attend.defjvp
def _attend_jvp(cross_half, primals, tangents):
    q, k, v = primals
    dq, dk, dv = tangents
    out, lse = _forward(q, k, v, cross_half)
    queries = (q, lse, dq)
    keys = (k, v, dk, dv)
    both, along = _over_rows(_derivative, queries, keys)
    if _has_columns(q, cross_half):
        column, along_column = _over_columns(_derivative, queries, keys, cross_half)
        both = both + column
        along = along + along_column
    return out, (both - along[..., None] * out).astype(out.dtype)


def _forward(q: Head, k: Head, v: Head, cross_half: bool) -> tuple[Head, PerQuery]:
    """Return the output and the global log-sum-exp."""
    row, row_total, row_peak = _over_rows(_sums, (q,), (k, v))
    if not _has_columns(q, cross_half):
        out = row / row_total[..., None]
        return out.astype(v.dtype), row_peak + jnp.log(row_total)
    column, column_total, column_peak = _over_columns(_sums, (q,), (k, v), cross_half)
    peak = jnp.maximum(row_peak, column_peak)
    row_share = jnp.exp(row_peak - peak)
    column_share = jnp.exp(column_peak - peak)
    total = row_total * row_share + column_total * column_share
    out = row * row_share[..., None] + column * column_share[..., None]
    return (out / total[..., None]).astype(v.dtype), peak + jnp.log(total)


def _has_columns(q: Head, cross_half: bool) -> bool:
    """Return whether a query reads beyond its row, as in a single view without projection none."""
    return cross_half or len(q) > 1


def _sums(mask, q, k, v):
    """Return a dense part's sum of exp(l - peak) v, its sum of exp(l - peak), and the peak."""
    logits = mask(_logits(q, k))
    peak = logits.max(-1)
    weights = jnp.exp(logits - peak[..., None])
    return _weighted(weights, v), weights.sum(-1), peak


def _derivative(mask, q, lse, dq, k, v, dk, dv):
    """Return a dense part's sum of (p dl) v + p dv, and its sum of p dl."""
    p = jnp.exp(mask(_logits(q, k)) - lse[..., None])
    # The gradient of keys is twice as fast on CPU from a copy that lies transposed in memory.
    along_keys = jax.lax.platform_dependent(
        _logits(dk, q), cpu=jax.lax.optimization_barrier, default=lambda x: x
    )
    d = p * (_logits(dq, k) + along_keys.mT)
    return _weighted(d, v) + _weighted(p, dv), d.sum(-1)


def _over_rows(part, queries, keys):
    """Compute a dense part for every view: a block of its queries with all its keys."""
    _, frames, tokens = queries[0].shape[:3]
    size = frames_of_a_block(frames, tokens)

    @_remat
    def row(x):
        queries, keys = x
        keys = [rearrange(x, "t s d -> (t s) d") for x in keys]
        block = _remat(lambda queries: part(lambda logits: logits, *queries, *keys))
        blocks = [rearrange(x, "(c h) s ... -> c (h s) ...", h=size) for x in queries]
        out = jax.lax.map(block, blocks)
        return [rearrange(x, "c (h s) ... -> (c h) s ...", h=size) for x in out]

    return jax.lax.map(row, (queries, keys))


def _over_columns(part, queries, keys, cross_half):
    """Compute a dense part for every instant: the queries of all views with that instant's keys.

    The mask leaves out what the row has already (the query's own frame), and the source's later
    frame, which comes last among the keys, for queries that may not read it.
    """
    views, frames, tokens = queries[0].shape[:3]
    size = frames_of_a_block(frames, views * tokens)

    def block(x):
        queries, keys, allowed = x

        def mask(logits):
            pairs = logits.reshape(size, views, tokens, -1, tokens)
            pairs = jnp.where(allowed[:, :, None, :, None], pairs, FORBIDDEN_LOGIT)
            return pairs.reshape(logits.shape)

        return part(mask, *queries, *keys)

    @_remat
    def columns(queries, keys):
        keys = [_column_keys(x, cross_half) for x in keys]
        queries = [rearrange(x, "v t s ... -> t (v s) ...") for x in queries]
        xs = (queries, keys, jnp.asarray(_column_mask(views, frames, cross_half)))
        xs = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), xs)
        out = jax.lax.map(_remat(block), xs)
        return [rearrange(x, "c h (v s) ... -> v (c h) s ...", v=views) for x in out]

    return columns(queries, keys)


def _column_keys(x: Head, cross_half: bool) -> Float[Array, "t m d"]:
    """Return all views at each instant and, last, the source's frame half of the time later."""
    keys = rearrange(x, "v t s d -> t (v s) d")
    if not cross_half:
        return keys
    return jnp.concatenate([keys, x[SOURCE_VIEW, _half_later(x.shape[1])]], 1)


def _column_mask(
    views: int, frames: int, cross_half: bool
) -> Bool[np.ndarray, "t v u"]:
    """Return which of the column's frames each query frame reads beyond its own row."""
    allowed = allowed_frames(views, frames, cross_half)
    time = np.arange(frames)
    other_rows = allowed[:, time, :, time] & ~np.eye(views, dtype=bool)
    if not cross_half:
        return other_rows
    reads_later = allowed[:, time, SOURCE_VIEW, _half_later(frames)].T
    reads_later[frames // 2 :] = False
    # It stands in the source's row.
    reads_later[:, SOURCE_VIEW] = False
    return np.concatenate([other_rows, reads_later[..., None]], -1)


def _half_later(frames: int) -> Int[np.ndarray, "t"]:
    """Return the frame half of the time after each, or the last."""
    return np.minimum(np.arange(frames) + frames // 2, frames - 1)


def _logits(
    q: Float[Array, "*a n d"], k: Float[Array, "*a m d"]
) -> Float[Array, "*a n m"]:
    return jnp.einsum("...nd,...md->...nm", q, k, preferred_element_type=jnp.float32)


def _weighted(
    p: Float[Array, "*a n m"], v: Float[Array, "*a m d"]
) -> Float[Array, "*a n d"]:
    p = p.astype(v.dtype)
    return jnp.einsum("...nm,...md->...nd", p, v, preferred_element_type=jnp.float32)
