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
from einops import rearrange
from jax.sharding import PartitionSpec

from full4d_jax.config.masks import allowed_frames
from full4d_jax.models.attention.flash import attend_by_frames, attend_to_all
from full4d_jax.models.attention.fused import SPLASH_TOKENS, cross_attention
from full4d_jax.models.attention.listed import attend_by_lists
from full4d_jax.models.attention.mask import Flat, Pattern, Text, Tokens
from full4d_jax.models.attention.splash import splash_from_frames
from full4d_jax.models.sharding import RULES, swap_axes
from full4d_jax.models.tokens import flatten
from gaussians.rendering.platforms import runs_triton

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
    # The kernels of GPUs and TPUs need check_vma=False.
    on_devices = jax.shard_map(
        local,
        in_specs=(tokens, tokens, tokens, PartitionSpec(samples)),
        out_specs=tokens,
        check_vma=False,
    )
    return on_devices(q, k, v, cameras)


def cross_attention_on_mesh(q: Flat, k: Text, v: Text) -> Flat:
    """Attend from every query to every key, of which every device has all, in the mesh around."""
    if jax.sharding.get_abstract_mesh().empty:
        return cross_attention(q, k, v)
    queries = PartitionSpec(RULES["samples"], RULES["tokens"], RULES["heads"])
    keys = PartitionSpec(RULES["samples"], None, RULES["heads"])
    dense = jax.nn.dot_product_attention  # which XLA divides itself
    gpu = dense
    if runs_triton():
        gpu = jax.shard_map(
            attend_to_all, in_specs=(queries, keys, keys), out_specs=queries, check_vma=False
        )
    return jax.lax.platform_dependent(q, k, v, cpu=dense, tpu=dense, default=gpu)


def attention_of_queries(
    q: Flat, k: Tokens, v: Tokens, pattern: Pattern, axes: tuple[str, ...]
) -> Flat:
    """Attend from this device's queries, whole frames, to those that they read.

    Args:
      q: queries of whole frames in a row.
      k: keys of all frames.
      v: values of all frames.
      pattern: which tokens read which.
      axes: of the mesh, over which the queries are divided.
    """
    if pattern.mask is None:
        return cross_attention(q, flatten(k), flatten(v))
    views, frames, tokens = pattern.grid
    allowed = allowed_frames(views, frames, pattern.cross_half, pattern.mask)
    allowed = allowed.reshape(views * frames, -1)
    queries = rearrange(q, "b (f s) k d -> b f s k d", s=tokens)
    keys = rearrange(k, "b v t s k d -> b (v t) s k d")
    values = rearrange(v, "b v t s k d -> b (v t) s k d")
    lists = functools.partial(attend_by_lists, allowed=allowed)
    flash = functools.partial(attend_by_frames, allowed=allowed) if runs_triton() else lists
    large = tokens >= SPLASH_TOKENS
    splash = functools.partial(splash_from_frames, allowed=allowed) if large else lists
    part = jax.lax.axis_index(axes)
    out = jax.lax.platform_dependent(
        queries, keys, values, part, cpu=lists, tpu=splash, default=flash
    )
    return out.reshape(q.shape)
