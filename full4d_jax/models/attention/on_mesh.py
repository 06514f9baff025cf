"""Self-attention of tokens that are sharded over a mesh.

Between layers a device of P = view x time has n / P tokens with all their heads. Attention trades
(all-to-all, 4 X (P - 1) / P^2 bytes a device for q, k, v and the output of X bytes): a device gets
all n tokens of 1 / P of the heads, runs any implementation unchanged, and trades back. Where heads
run out, the axis `view` is not traded: its devices keep their queries, which are whole frames, and
gather keys and values (2 X (P - 1) / P bytes).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from full4d_jax.config.masks import PAPER, SOURCE, allowed_frames
from full4d_jax.models.attention.concatenated import attend_to_first, visible_lengths
from full4d_jax.models.attention.listed import attend_by_lists
from full4d_jax.models.attention.mask import Tokens
from full4d_jax.models.attention.pattern import Pattern
from full4d_jax.models.sharding import RULES, swap_axes
from full4d_jax.models.tokens import flatten

Flat = Float[Array, "b n k d"]
Attend = Callable[[Tokens, Tokens, Tokens, Any], Tokens]


def attention_on_mesh(
    attend: Attend, q: Flat, k: Flat, v: Flat, cameras: Any, pattern: Pattern
) -> Flat:
    """Attend in the mesh around; without one, call `attend` on the unflattened tokens.

    Args:
      attend: (q, k, v, cameras) -> output, of whole grids of (b v t s k d).
      q: queries.
      k: keys.
      v: values.
      cameras: a pytree of arrays with a leading axis of samples, handed to `attend`.
      pattern: which of the n tokens read which, as `attend` computes it.
    """
    grid = pattern.grid

    def whole(q: Flat, k: Flat, v: Flat, cameras: Any) -> Flat:
        return flatten(attend(grid.unflatten(q), grid.unflatten(k), grid.unflatten(v), cameras))

    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return whole(q, k, v, cameras)
    sizes = mesh.shape
    swap: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    if not pattern.is_cut:
        heads_here = q.shape[2] // sizes["tensor"]
        swap, rest = swap_axes(heads_here, sizes["view"], sizes["time"])

    def local(q: Flat, k: Flat, v: Flat, cameras: Any) -> Flat:
        trade = functools.partial(jax.lax.all_to_all, axis_name=swap, tiled=True)
        if swap:
            q, k, v = (trade(x, split_axis=2, concat_axis=1) for x in (q, k, v))
        if rest:
            k, v = (jax.lax.all_gather(x, rest, axis=1, tiled=True) for x in (k, v))
            out = attention_of_queries(q, grid.unflatten(k), grid.unflatten(v), pattern, rest)
        else:
            out = whole(q, k, v, cameras)
        return trade(out, split_axis=1, concat_axis=2) if swap else out

    samples = RULES["videos" if pattern.is_cut else "samples"]
    tokens = PartitionSpec(samples, None if pattern.is_cut else RULES["tokens"], RULES["heads"])
    # Splash attention needs check_vma=False.
    on_devices = jax.shard_map(
        local,
        in_specs=(tokens, tokens, tokens, PartitionSpec(samples)),
        out_specs=tokens,
        check_vma=False,
    )
    return on_devices(q, k, v, cameras)


def attention_of_queries(
    q: Flat, k: Tokens, v: Tokens, pattern: Pattern, axes: tuple[str, ...]
) -> Flat:
    """Attend from this device's queries, whole frames, a few frames after the other.

    Args:
      q: queries of whole frames in a row.
      k: keys of all frames.
      v: values of all frames.
      pattern: which tokens read which.
      axes: of the mesh, over which the queries are divided.
    """
    if pattern.mask is None:
        return attention_to_all(q, k, v)
    first_token = jax.lax.axis_index(axes) * q.shape[1]  # of q, in the row of all tokens
    views, frames, tokens = pattern.grid
    cross_half = pattern.cross_half
    if pattern.mask != PAPER:
        allowed = allowed_frames(views, frames, cross_half, pattern.mask)
        allowed = allowed.reshape(views * frames, -1)
        queries = rearrange(q, "b (f s) k d -> b f s k d", s=tokens)
        k, v = (rearrange(x, "b v t s k d -> b (v t) s k d") for x in (k, v))
        return attend_by_lists(queries, k, v, allowed, first_token // q.shape[1]).reshape(q.shape)
    other_views = np.array([[u for u in range(views) if u != view] for view in range(views)], int)
    other_views = jnp.asarray(other_views.reshape(views, views - 1))
    lengths = jnp.asarray(visible_lengths(views, frames, tokens, cross_half))

    @jax.checkpoint
    def frame(x):
        q, index = x
        view = index // frames
        t = index % frames

        def visible(x: Tokens) -> Float[Array, "b 1 n k d"]:
            """Return own row, other views at this instant, and last the source's projection."""
            parts = [
                rearrange(x[:, view], "b t s k d -> b (t s) k d"),
                rearrange(x[:, other_views[view], t], "b v s k d -> b (v s) k d"),
            ]
            if cross_half:
                parts.append(x[:, SOURCE, jnp.minimum(t + frames // 2, frames - 1)])
            return jnp.concatenate(parts, 1)[:, None]

        return attend_to_first(q[:, None], visible(k), visible(v), lengths[t, view][None])[:, 0]

    queries = rearrange(q, "b (f s) k d -> f b s k d", s=tokens)
    first = first_token // tokens
    out = jax.lax.map(frame, (queries, first + jnp.arange(len(queries))))
    return rearrange(out, "f b s k d -> b (f s) k d")


def attention_to_all(q: Flat, k: Tokens, v: Tokens) -> Flat:
    """Attend from some queries to every token."""
    flat = (rearrange(x, "b v t s k d -> b (v t s) k d") for x in (k, v))
    return jax.nn.dot_product_attention(q, *flat)
