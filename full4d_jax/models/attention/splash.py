"""Fused time-view attention by splash attention, JAX's block-sparse Pallas kernel for TPU.

The tokens of a head lie in (view, time, token) order, each frame padded to whole cells. For every
tile of queries the kernel walks the list of key tiles that some of them may read. The library makes
these lists by evaluating the mask on all tokens; here they follow in closed form from the mask
between frames (a tile is part of a frame, or a few frames of one view). Where a tile is not allowed
as a whole, or holds padding keys, a boolean block says what counts.

The library is imported when a kernel is built: it takes a third of a second, which only TPUs need.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.models.attention.mask import SAVED, Tokens

LANE_TOKENS = 128  # the kernel's tiles are multiples of it
TILE_TOKENS = 512  # longest side of a tile of whole frames, shortest side of a tile of a part


class Tiling(NamedTuple):
    """Sizes of the cells that frames are cut into, and of the tiles that cells make up."""

    cell: int  # tokens of a cell
    pieces: int  # cells of a frame; its last tokens are padding
    group: int  # cells of a tile


class TileLists(NamedTuple):
    """The tiles that a kernel walks, as the library's `MaskInfo` has them; heads share all.

    Attributes:
      data_next: for every tile of queries (or keys), the tiles that it walks.
      mask_next: the partial block of each of these.
      block_mask: whether each is skipped (0), partial (1) or whole (2).
      partial_mask_blocks: which pairs count in a partial tile; None where no tile is partial.
    """

    data_next: Int[np.ndarray | Array, "1 i j"]
    mask_next: Int[np.ndarray | Array, "1 i j"] | None
    block_mask: Int[np.ndarray | Array, "1 i j"]
    partial_mask_blocks: Bool[np.ndarray | Array, "p x y"] | None


def splash_attention(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    *,
    cross_half: bool,
    mask: str = PAPER,
    interpret: bool = False,
) -> Tokens:
    """Attend on one TPU device (shard heads or samples by `jax.shard_map`); reverse mode only.

    With `interpret` the kernels run, slowly, on any backend.
    """
    _, views, frames, tokens, _, _ = q.shape
    tiling = choose_tiling(frames, tokens)
    allowed = allowed_frames(views, frames, cross_half, mask).reshape(views * frames, -1)
    forward, backward = (
        tile_lists(allowed, tokens, tiling, by_keys=by_keys) for by_keys in (False, True)
    )
    kernel = _kernel(forward, backward, tiling, interpret)
    in_a_row = [rearrange(x, "b v t s k d -> b (v t) s k d") for x in (q, k, v)]
    return _attend(kernel, tiling, *in_a_row).reshape(q.shape)


def splash_from_frames(
    q: Float[Array, "b f s k d"],
    k: Float[Array, "b m s k d"],
    v: Float[Array, "b m s k d"],
    part: Int[Array, ""],
    *,
    allowed: Bool[np.ndarray, "n m"],
    interpret: bool = False,
) -> Float[Array, "b f s k d"]:
    """Attend from a part of the frames to those that they read, on one TPU device.

    Args:
      q: queries of as many whole frames in a row as each part has.
      k: keys of all m frames.
      v: values of all frames.
      part: which part of the n rows of `allowed` the queries are.
      allowed: which frame (rows) may read which.
      interpret: as in `splash_attention`.
    """
    _, frames, tokens, _, _ = q.shape
    tiling = choose_tiling(frames, tokens)
    parts = allowed.reshape(-1, frames, allowed.shape[1])
    forward, backward = (
        _of_part([tile_lists(x, tokens, tiling, by_keys=by_keys) for x in parts], part)
        for by_keys in (False, True)
    )
    return _attend(_kernel(forward, backward, tiling, interpret), tiling, q, k, v)


def _attend(
    kernel,
    tiling: Tiling,
    q: Float[Array, "b f s k d"],
    k: Float[Array, "b m s k d"],
    v: Float[Array, "b m s k d"],
) -> Float[Array, "b f s k d"]:
    """Hand all tokens of whole frames to a kernel, each frame padded to whole cells."""
    tokens = q.shape[2]
    padding = [(0, 0)] * 3 + [(0, tiling.cell * tiling.pieces - tokens), (0, 0)]

    def flatten(x: Float[Array, "b f s k d"]) -> Float[Array, "b k n d"]:
        x = jnp.pad(rearrange(x, "b f s k d -> b k f s d"), padding)
        return rearrange(x, "b k f s d -> b k (f s) d")

    out = jnp.asarray(jax.vmap(kernel)(flatten(q * q.shape[-1] ** -0.5), flatten(k), flatten(v)))
    return rearrange(out, "b k (f s) d -> b f s k d", f=q.shape[1])[:, :, :tokens]


def _of_part(lists: Sequence[TileLists], part: Int[Array, ""]) -> TileLists:
    """Choose the lists of a part when the program runs; shorter ones end with skipped tiles."""
    blocks = [x.partial_mask_blocks for x in lists]
    side = next((x.shape[1:] for x in blocks if x is not None), None)

    def chosen(arrays: Sequence[np.ndarray | Array]) -> Array:
        size = np.max([x.shape for x in arrays], axis=0)
        padded = [
            np.pad(x, [(0, n - m) for n, m in zip(size, x.shape, strict=True)]) for x in arrays
        ]
        return jnp.asarray(np.stack(padded))[part]

    data = chosen([x.data_next for x in lists])
    kinds = chosen([x.block_mask for x in lists])
    if side is None:
        return TileLists(data, None, kinds, None)
    none = np.zeros((1, *side), bool)
    index = [np.zeros_like(x.data_next) if x.mask_next is None else x.mask_next for x in lists]
    partial = chosen([none if x is None else x for x in blocks])
    return TileLists(data, chosen(index), kinds, partial)


def choose_tiling(frames: int, tokens: int) -> Tiling:
    """Choose large tiles with little padding: part of a frame, or several frames of a view.

    Larger tiles take fewer steps but compute more forbidden pairs at the mask's borders.
    """
    largest = 2 * TILE_TOKENS if tokens > TILE_TOKENS else TILE_TOKENS
    sides = range(
        min(largest // 2, -(-tokens // LANE_TOKENS) * LANE_TOKENS), largest + 1, LANE_TOKENS
    )
    cell = min(sides, key=lambda side: (-(-tokens // side) * side, -side))
    pieces = -(-tokens // cell)
    fits = range(1, max(1, TILE_TOKENS // cell) + 1 if pieces == 1 else 2)
    group = max(size for size in fits if frames % size == 0)
    return Tiling(cell, pieces, group)


def _kernel(forward: TileLists, backward: TileLists, tiling: Tiling, interpret: bool):
    """Return the library's attention over all heads of a sample, (k n d) each."""
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        splash_attention_kernel as splash,
    )
    from jax.experimental.pallas.ops.tpu.splash_attention.splash_attention_mask_info import (
        MaskInfo,
    )

    side = tiling.cell * tiling.group
    by_queries = MaskInfo(*forward, q_sequence=None)
    return splash.SplashAttentionKernel(
        by_queries,
        by_queries,
        MaskInfo(*backward, q_sequence=None),
        block_sizes=splash.BlockSizes(side, side, side, side, side, side, side, side),
        is_mqa=False,
        save_residuals=False,
        mask_value=splash.DEFAULT_MASK_VALUE,
        attn_logits_soft_cap=None,
        mask_function=None,
        residual_checkpoint_name=SAVED,
        interpret=interpret,
    )


def tile_lists(
    allowed: Bool[np.ndarray, "n m"], tokens: int, tiling: Tiling, *, by_keys: bool = False
) -> TileLists:
    """List the key tiles of every query tile.

    Args:
      allowed: which frame (rows) may read which.
      tokens: real tokens of a frame.
      tiling: how frames become tiles.
      by_keys: list the query tiles of every key tile instead, for the gradient of keys and values.
    """
    cell, pieces, group = tiling
    counts = _visible_keys(allowed, tokens, tiling)
    shape = {"a": group, "b": group}
    rows, columns = (n // group for n in counts.shape)
    cells = rearrange(counts, "(i a) (j b) -> (i j) (a b)", **shape)
    patterns, index = np.unique(cells, axis=0, return_inverse=True)
    blocks = rearrange(patterns, "n (a b) -> n a 1 b 1", **shape) > np.arange(cell)
    blocks = np.broadcast_to(blocks, (len(patterns), group, cell, group, cell))
    blocks = rearrange(blocks, "n a x b y -> n (a x) (b y)")
    kinds = np.where(blocks.all((1, 2)), 2, blocks.any((1, 2)))  # forbidden, partial, whole
    kind = kinds[index].reshape(rows, columns)
    block = index.reshape(rows, columns)
    if by_keys:
        kind = kind.T
        block = block.T
        blocks = blocks.swapaxes(1, 2)

    width = (kind > 0).sum(1).max()
    order = np.argsort(kind == 0, axis=1, kind="stable")[:, :width]  # active tiles first
    active = np.take_along_axis(kind, order, 1)
    block = np.where(active > 0, np.take_along_axis(block, order, 1), 0)
    small = np.int16 if max(rows, columns) < 2**15 else np.int32
    data, block, active = (
        (x.T if by_keys else x)[None].astype(kind)
        for x, kind in ((order * (active > 0), small), (block, small), (active, np.int8))
    )
    if not (kinds == 1).any():
        block = blocks = None
    return TileLists(data, block, active, blocks)


def _visible_keys(
    allowed: Bool[np.ndarray, "n m"], tokens: int, tiling: Tiling
) -> Int[np.ndarray, "i j"]:
    """Return how many keys of a cell (columns) the queries of a cell may read: its first ones."""
    real = np.clip(tokens - tiling.cell * np.arange(tiling.pieces), 0, tiling.cell)
    return np.kron(allowed.astype(np.int32), np.broadcast_to(real, (tiling.pieces,) * 2))
