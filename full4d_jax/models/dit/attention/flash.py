"""Attention on GPUs under any mask between frames: Pallas kernels that walk lists of frames.

A program takes a tile of queries of one frame and one head, and walks the frames that this frame
reads, a tile of keys at a time, with the running softmax of flash attention (arXiv 2307.08691).
Keys and values are read where they are: nothing is copied for a frame of queries, and no logits
are written. With l the logits, lse their log-sum-exp and P = exp(l - lse) the weights,

    dP = do v^T        D = sum_d do o        dl = P (dP - D)
    dq = dl k          dk = dl^T q           dv = P^T do

where a second kernel walks the same lists for dq, and a third, for tiles of keys, the frames that
read them. Nothing is added atomically, so gradients are the same in each run.

Where each frame reads all of its own view, cuDNN can attend within views (`rows`). The first kernel
then goes on from that output and log-sum-exp, and the others add to those gradients.

The backend is Triton: Pallas' Mosaic GPU compiles for Hopper and later alone.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Int

from full4d_jax.models.dit.attention import mask
from full4d_jax.models.dit.attention.rows import row_backward, row_forward

# Numbers of a tile of keys, or of queries where gradients are made.
KEY_TILE_NUMBERS = 64 * 128
# Numbers of a tile of queries in the forward kernel, which holds fewer sums.
QUERY_TILE_NUMBERS = 128 * 128
WARPS = {KEY_TILE_NUMBERS: 4, QUERY_TILE_NUMBERS: 8}
# Side of the smallest product that tensor cores take.
SMALLEST_PRODUCT_SIDE = 16
LOG2_E = 1 / math.log(2)

PerQuery = Float[Array, "b k m s"]


# The frames that each of m frames of queries reads, followed by any others, and how many count;
# and likewise the frames of queries that read each of n frames of keys.
FrameLists = tuple[
    Int[Array, "m i"], Int[Array, "m"], Int[Array, "n j"], Int[Array, "n"]
]


def attend_by_frames(
    q: mask.Queries,
    k: mask.Keys,
    v: mask.Keys,
    part: mask.Part = 0,
    *,
    allowed: mask.Allowed,
    rows: int = 0,
    interpret: bool = False,
) -> mask.Queries:
    """Attend from some frames of a grid to those that they may read, on one GPU; reverse mode only.

    Args:
      q: queries of m frames in a row.
      k: keys of all n frames.
      v: values of all n frames.
      part: which of the f / m parts of the frames q is.
      allowed: which frame of queries may read which frame of keys.
      rows: into which frames fall that read each other whole besides, by cuDNN; 0 without.
      interpret: run the kernels, slowly, on any backend.
    """
    parts = rearrange(allowed, "(p m) n -> p m n", m=q.shape[1])
    lists = (*mask.frame_lists(parts), *mask.frame_lists(parts.swapaxes(1, 2)))
    most_pairs = int(parts.sum((1, 2)).max())
    of_part = tuple(x[part] for x in lists)
    return _attend(_Static(most_pairs, rows, interpret), q, k, v, of_part)


def attend_to_all(
    q: mask.Flat, k: mask.Text, v: mask.Text, *, interpret: bool = False
) -> mask.Flat:
    """Attend from every query to every key, as if both were one frame."""
    allowed = np.ones((1, 1), bool)
    frames = (x[:, None] for x in (q, k, v))
    return attend_by_frames(*frames, allowed=allowed, interpret=interpret)[:, 0]


flash_attention = partial(mask.over_grid, attend_by_frames)


class _Static(NamedTuple):
    """Settings that are known when a program is traced.

    Attributes:
      pairs: of frames, in the lists.
      rows: into which frames fall that read each other whole, besides their lists; 0 without.
      interpret: run the kernels, slowly, on any backend.
    """

    pairs: int
    rows: int
    interpret: bool


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(
    static: _Static, q: mask.Queries, k: mask.Keys, v: mask.Keys, lists: FrameLists
) -> mask.Queries:
    return _forward(static, q, k, v, lists)[0]


def _forward(
    static: _Static, q: mask.Queries, k: mask.Keys, v: mask.Keys, lists: FrameLists
) -> tuple[mask.Queries, PerQuery]:
    """Return the output and the log-sum-exp, in units of log 2."""
    before: Any = (None, None)
    if static.rows:
        out, lse = row_forward(*(_in_rows(x, static.rows) for x in (q, k, v)))
        lse = rearrange(
            lse, "(b r) k (t s) -> b k (r t) s", r=static.rows, s=q.shape[2]
        )
        before = (out.reshape(q.shape), lse * LOG2_E)
        if not static.pairs:
            return before
    samples, frames, tokens, heads, _ = q.shape
    result = (
        jax.ShapeDtypeStruct(q.shape, q.dtype),
        jax.ShapeDtypeStruct((samples, heads, frames, tokens), jnp.float32),
    )
    return _call(_draw, q, result, static, q, k, v, *lists[:2], *before)


def _in_rows(x: mask.Queries, rows: int) -> Float[Array, "r n k d"]:
    return rearrange(x, "b (r t) s k d -> (b r) (t s) k d", r=rows)


def _attend_forward(
    static: _Static, q: mask.Queries, k: mask.Keys, v: mask.Keys, lists: FrameLists
) -> tuple:
    out, lse = _forward(static, q, k, v, lists)
    # Where a layer keeps the output of its attention, the backward pass need not attend again.
    out = checkpoint_name(out, mask.SAVED)
    lse = checkpoint_name(lse, mask.SAVED)
    return out, (q, k, v, out, lse, lists)


def _attend_backward(static: _Static, saved: tuple, cotangent: mask.Queries) -> tuple:
    q, k, v, out, lse, lists = saved
    before: Any = (None, None, None)
    if static.rows:
        rows = (_in_rows(x, static.rows) for x in (q, k, v, out, cotangent))
        queries, keys, values, o, do = rows
        total = rearrange(lse, "b k (r t) s -> (b r) k (t s)", r=static.rows) / LOG2_E
        parts = row_backward(queries, keys, values, total, o, do)
        before = [
            part.reshape(x.shape) for part, x in zip(parts, (q, k, v), strict=True)
        ]
        if not static.pairs:
            return *before, None
    along = (cotangent.astype(jnp.float32) * out.astype(jnp.float32)).sum(-1)
    along = rearrange(along, "b m s k -> b k m s")
    query, key, value = (jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (q, k, v))
    seen = (q, k, v, cotangent, lse, along)
    dq = _call(_pull_queries, q, query, static, *seen, *lists[:2], before[0])
    dk, dv = _call(_pull_keys, k, (key, value), static, *seen, *lists[2:], *before[1:])
    return dq, dk, dv, None


_attend.defvjp(_attend_forward, _attend_backward)


def tile_size(tokens: int, width: int, numbers: int) -> int:
    """Return the tokens of a tile of so many numbers, a power of two."""
    most = numbers // _columns(width)
    return max(SMALLEST_PRODUCT_SIDE, min(most, pl.next_power_of_2(tokens)))


def _columns(width: int) -> int:
    return max(SMALLEST_PRODUCT_SIDE, pl.next_power_of_2(width))


def _call(
    kernel: Callable, tokens: mask.Keys, result: Any, static: _Static, *arguments: Any
) -> Any:
    """Run a kernel on queries, keys and more: a program for each tile of a frame, head and sample.

    Args:
      kernel: one of `KERNELS`.
      tokens: which tiles are of.
      result: shapes of what it returns.
      static: settings.
      arguments: of the kernel.
    """
    numbers, products, rate = KERNELS[kernel]
    q, k, *_ = arguments
    samples, frames, length, heads, width = tokens.shape
    size = tile_size(length, width, numbers)
    pairs = samples * heads * static.pairs * q.shape[2] * k.shape[2]
    call = pl.pallas_call(
        partial(kernel, size=size),
        grid=(frames * pl.cdiv(length, size), heads, samples),
        out_shape=result,
        compiler_params=triton.CompilerParams(num_warps=WARPS[numbers], num_stages=2),
        interpret=static.interpret,
        metadata={"rate": rate, "flops": str(2 * products * pairs * width)},
    )
    return jax.custom_batching.sequential_vmap(call)(*arguments)


class Tile(NamedTuple):
    """Some tokens of a frame, for one head and sample.

    Attributes:
      sample: of the batch.
      head: of the sample.
      frame: of the grid.
      first: the first of the tokens.
      size: how many there are.
    """

    sample: Array
    head: Array
    frame: Array
    first: Array
    size: int


def _draw(q, k, v, reads, counts, before, lse_before, out, lse, *, size: int) -> None:
    """Write the output of a tile of queries, where there is one going on from a part before."""
    _, _, length, _, width = k.shape
    here = _tile_here(q.shape[2], size)
    queries = _load(q, here)

    def step(there, state):
        peak, total, weighted = state
        logits = _existing(_logits(queries, _load(k, there), width), there, length)
        highest = jnp.maximum(peak, logits.max(1))
        weights = jnp.exp2(logits - highest[:, None])
        share = jnp.exp2(peak - highest)
        total = total * share + weights.sum(1)
        change = triton.dot(weights.astype(v.dtype), _load(v, there))
        return highest, total, weighted * share[:, None] + change

    peak = jnp.full(size, mask.FORBIDDEN_LOGIT, jnp.float32)
    total = jnp.zeros_like(peak)
    weighted = jnp.zeros(queries.shape, jnp.float32)
    if before is not None:
        peak = _load(lse_before, here)
        total = jnp.ones_like(peak)
        weighted = _load(before, here).astype(jnp.float32)
    peak, total, weighted = _walk(here, reads, counts, k, step, (peak, total, weighted))
    _store(out, here, weighted / total[:, None])
    _store(lse, here, peak + jnp.log2(total))


def _pull_queries(
    q, k, v, do, lse, along, reads, counts, before, dq, *, size: int
) -> None:
    """Write the gradient in a tile of queries, with what it is before."""
    _, _, length, _, width = k.shape
    here = _tile_here(q.shape[2], size)
    queries = _load(q, here)
    towards = _load(do, here)
    total = _load(lse, here)
    mean = _load(along, here)

    def step(there, change):
        keys = _load(k, there)
        logits = _existing(_logits(queries, keys, width), there, length)
        weights = jnp.exp2(logits - total[:, None])
        d_weights = triton.dot(towards, _load(v, there), trans_b=True)
        d_logits = weights * (d_weights - mean[:, None])
        return change + triton.dot(d_logits.astype(k.dtype), keys)

    change = _walk(here, reads, counts, k, step, jnp.zeros(queries.shape, jnp.float32))
    _store(dq, here, change * width**-0.5, before)


def _pull_keys(
    q, k, v, do, lse, along, readers, counts, before_k, before_v, dk, dv, *, size: int
) -> None:
    """Write the gradients in a tile of keys and their values, with what they are before."""
    width = q.shape[-1]
    here = _tile_here(k.shape[2], size)
    keys = _load(k, here)
    values = _load(v, here)

    def step(there, state):
        d_keys, d_values = state
        # Queries behind the end of a frame are zeros, and so is all that they add.
        queries = _load(q, there)
        towards = _load(do, there)
        total = _load(lse, there)
        mean = _load(along, there)
        weights = jnp.exp2(_logits(keys, queries, width) - total[None])
        d_values += triton.dot(weights.astype(v.dtype), towards)
        d_weights = triton.dot(values, towards, trans_b=True)
        d_logits = weights * (d_weights - mean[None])
        d_keys += triton.dot(d_logits.astype(k.dtype), queries)
        return d_keys, d_values

    start = jnp.zeros(keys.shape, jnp.float32)
    d_keys, d_values = _walk(here, readers, counts, q, step, (start, start))
    _store(dk, here, d_keys * width**-0.5, before_k)
    _store(dv, here, d_values, before_v)


def _tile_here(length: int, size: int) -> Tile:
    """Return the tile of this program, of a frame of so many tokens."""
    nth = pl.program_id(0)
    tiles = pl.cdiv(length, size)
    return Tile(
        pl.program_id(2), pl.program_id(1), nth // tiles, nth % tiles * size, size
    )


def _walk(here: Tile, frames, counts, x, step: Callable, state: Any) -> Any:
    """Take a step for each tile of x in the frames that are listed for the frame of a tile."""
    _, _, length, _, width = x.shape
    size = tile_size(length, width, KEY_TILE_NUMBERS)

    def take(nth, state):
        tiles = jnp.int32(pl.cdiv(length, size))
        frame = frames[here.frame, jax.lax.div(nth, tiles)]
        first = jax.lax.rem(nth, tiles) * size
        return step(here._replace(frame=frame, first=first, size=size), state)

    steps = counts[here.frame] * pl.cdiv(length, size)
    return jax.lax.fori_loop(0, steps, take, state)


def _block(x, tile: Tile) -> tuple[Any, Array]:
    """Return the place of a tile's queries, keys, values or numbers, and which of them exist."""
    if x.ndim == 4:
        row = tile.first + jax.lax.broadcasted_iota(jnp.int32, (tile.size,), 0)
        return x.at[tile.sample, tile.head, tile.frame, row], row < x.shape[3]
    _, _, length, _, width = x.shape
    shape = (tile.size, _columns(width))
    row = tile.first + jax.lax.broadcasted_iota(jnp.int32, shape, 0)
    column = jax.lax.broadcasted_iota(jnp.int32, shape, 1)
    exists = (row < length) & (column < width)
    return x.at[tile.sample, tile.frame, row, tile.head, column], exists


def _load(x, tile: Tile) -> Array:
    """Return what `_block` places, with zeros where there is nothing."""
    place, exists = _block(x, tile)
    return triton.load(place, mask=exists, other=0.0)


def _store(x, tile: Tile, values: Array, before=None) -> None:
    place, exists = _block(x, tile)
    if before is not None:
        values += _load(before, tile)
    triton.store(place, values.astype(x.dtype), mask=exists)


def _logits(left: Array, right: Array, width: int) -> Array:
    """Return logits over log 2, for powers of two: GPUs have an instruction for these."""
    return triton.dot(left, right, trans_b=True) * (LOG2_E * width**-0.5)


def _existing(logits: Array, keys: Tile, length: int) -> Array:
    """Forbid keys behind the end of their frame."""
    key = keys.first + jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)
    return jnp.where(key < length, logits, mask.FORBIDDEN_LOGIT)


# Numbers of a kernel's tiles, its products between all queries and their keys, and the name that
# its rate has in `inspection.compiling.MEASURED`.
KERNELS = {
    _draw: (QUERY_TILE_NUMBERS, 2, "flash_forward"),
    _pull_queries: (KEY_TILE_NUMBERS, 3, "flash_gradient"),
    _pull_keys: (KEY_TILE_NUMBERS, 4, "flash_gradient"),
}
