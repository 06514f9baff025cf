"""Attention under any mask between frames on a CPU: lists of `listed`, products of `merged`.

One head of one sample is taken after the other, so that a step's logits stay in the cache. With
every list computed whole there is a single part, whose sums `merged` would add to others; values,
forward mode and gradients follow from its formulas.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.models.attention.listed import QUERIES, plan
from full4d_jax.models.attention.mask import SAVED, Tokens
from full4d_jax.models.attention.merged import FORBIDDEN, derivative, sums

Head = Float[Array, "n s d"]


class MaskedGrid(NamedTuple):
    """What decides the lists of a grid."""

    views: int
    frames: int
    cross_half: bool
    mask: str


def listed_by_head(
    q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool, mask: str = PAPER
) -> Tokens:
    """Attend under the mask of this name (`masks.find_mask`), in forward or reverse mode."""
    grid = MaskedGrid(q.shape[1], q.shape[2], cross_half, mask)
    by_head = "b v t s k d -> (b k) (v t) s d"
    heads = tuple(rearrange(x, by_head) for x in (q * q.shape[-1] ** -0.5, k, v))
    out = jax.lax.map(lambda x: _attend(grid, *x), heads)
    out = rearrange(out, "(b k) (v t) s d -> b v t s k d", b=q.shape[0], v=q.shape[1])
    return checkpoint_name(out, SAVED)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attend(grid: MaskedGrid, q: Head, k: Head, v: Head) -> Head:
    return _forward(grid, q, k, v)[0]


@_attend.defjvp
def _attend_jvp(grid, primals, tangents):
    q, k, v = primals
    dq, dk, dv = tangents
    out, lse = _forward(grid, q, k, v)
    change, along = _over_lists(grid, derivative, (q, lse, dq), (k, v, dk, dv))
    return out, (change - along[..., None] * out).astype(out.dtype)


def _forward(grid: MaskedGrid, q: Head, k: Head, v: Head) -> tuple[Head, Float[Array, "n s"]]:
    """Return the output and the log-sum-exp."""
    weighted, total, peak = _over_lists(grid, sums, (q,), (k, v))
    return (weighted / total[..., None]).astype(v.dtype), peak + jnp.log(total)


def _over_lists(grid, part, queries, keys):
    """Compute a dense part for every frame of queries with the keys of its list."""
    tokens = queries[0].shape[1]
    allowed = allowed_frames(*grid).reshape(len(queries[0]), -1)
    loops, place = plan(allowed, 1, max(1, QUERIES // tokens))

    def steps(loop, queries, keys):
        taken, read, lengths = (x[0] for x in loop)
        is_whole = bool((lengths == read.shape[-1]).all())

        def step(x):
            queries, read, lengths = x
            seen = [rearrange(x[read], "g m s d -> g (m s) d") for x in keys]
            counts = jnp.arange(seen[0].shape[1])[None, None] < tokens * lengths[:, None, None]

            def mask(logits):
                return logits if is_whole else jnp.where(counts, logits, FORBIDDEN)

            return part(mask, *queries, *seen)

        xs = [x[taken] for x in queries], jnp.asarray(read), jnp.asarray(lengths)
        return jax.lax.map(jax.checkpoint(step, prevent_cse=False), xs)

    by_loop = [jax.checkpoint(functools.partial(steps, x))(queries, keys) for x in loops]
    joined = [
        jnp.concatenate([rearrange(x, "c g ... -> (c g) ...") for x in parts])
        for parts in zip(*by_loop, strict=True)
    ]
    return [x[place[0]] for x in joined]
