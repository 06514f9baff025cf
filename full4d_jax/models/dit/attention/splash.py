"""Fused time-view attention by splash attention, JAX's block-sparse Pallas kernel for TPU.

The tokens of a head lie in (view, time, token) order, each frame padded to whole cells. For every
tile of queries the kernel walks the list of key tiles that some of them may read. The library makes
these lists by evaluating the mask on all tokens; here they follow in closed form from the mask
between frames (a tile is part of a frame, or a few frames of one view). Where a tile is not allowed
as a whole, or holds padding keys, a boolean block says what counts.

The library is imported when a kernel is built: it takes a third of a second, which only TPUs need.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Int

from full4d_jax.models.dit.attention import mask

# The kernel's tiles are multiples of it.
LANE_TOKENS = 128
# Longest side of a tile of whole frames, shortest side of a tile of a part.
TILE_TOKENS = 512
TileNumbers = Int[np.ndarray | Array, "1 i j"]


class Tiling(NamedTuple):
    """Sizes of the cells that frames are cut into, and of the tiles that cells make up.

    Attributes:
      cell: tokens of a cell.
      pieces: cells of a frame; its last tokens are padding.
      group: cells of a tile.
    """

    cell: int
    pieces: int
    group: int


class TileLists(NamedTuple):
    """The tiles that a kernel walks, as the library's `MaskInfo` has them; heads share all.

    Attributes:
      data_next: for every tile of queries (or keys), the tiles that it walks.
      mask_next: the block of each of these that is partial.
      block_mask: whether each is skipped (0), partial (1) or whole (2).
      partial_mask_blocks: which pairs count in a partial tile.
    """

    data_next: TileNumbers
    mask_next: TileNumbers
    block_mask: TileNumbers
    partial_mask_blocks: Bool[np.ndarray | Array, "p x y"]


def splash_from_frames(
    q: mask.Queries,
    k: mask.Keys,
    v: mask.Keys,
    part: mask.Part = 0,
    *,
    allowed: mask.Allowed,
    interpret: bool = False,
) -> mask.Queries:
    """Attend from some frames of a grid to those that they read, on one TPU device; reverse mode.

    Heads or samples are sharded by `jax.shard_map`.

    Args:
      q: queries of m frames in a row.
      k: keys of all n frames.
      v: values of all n frames.
      part: which of the f / m parts of the frames q is.
      allowed: which frame of queries may read which frame of keys.
      interpret: run the kernels, slowly, on any backend.
    """
    _, frames, tokens, _, width = q.shape
    tiling = choose_tiling(frames, tokens)
    parts = allowed.reshape(-1, frames, allowed.shape[1])
    forward, backward = (
        _of_part([tile_lists(x, tokens, tiling, by_keys=by_keys) for x in parts], part)
        for by_keys in (False, True)
    )
    padding = [(0, 0)] * 3 + [(0, tiling.cell * tiling.pieces - tokens), (0, 0)]

    def flatten(x):
        x = jnp.pad(rearrange(x, "b f s k d -> b k f s d"), padding)
        return rearrange(x, "b k f s d -> b k (f s) d")

    kernel = jax.vmap(_kernel(forward, backward, tiling, interpret))
    out = jnp.asarray(kernel(flatten(q * width**-0.5), flatten(k), flatten(v)))
    return rearrange(out, "b k (f s) d -> b f s k d", f=frames)[:, :, :tokens]


splash_attention = functools.partial(mask.over_grid, splash_from_frames)


def _of_part(lists: Sequence[TileLists], part: mask.Part) -> TileLists:
    """Choose the lists of a part when the program runs; shorter ones end with skipped tiles."""

    def chosen(*arrays):
        size = np.max([x.shape for x in arrays], axis=0)
        padded = [np.pad(x, [(0, n) for n in size - x.shape]) for x in arrays]
        return jnp.asarray(np.stack(padded))[part]

    return TileLists(*map(chosen, *lists))


def choose_tiling(frames: int, tokens: int) -> Tiling:
    """Choose large tiles with little padding: part of a frame, or several frames of a view.

    Larger tiles take fewer steps but compute more forbidden pairs at the mask's borders.
    """
    largest = 2 * TILE_TOKENS if tokens > TILE_TOKENS else TILE_TOKENS
    smallest = min(largest // 2, -(-tokens // LANE_TOKENS) * LANE_TOKENS)
    sides = range(smallest, largest + 1, LANE_TOKENS)
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
        residual_checkpoint_name=mask.SAVED,
        interpret=interpret,
    )


def tile_lists(
    allowed: Bool[np.ndarray, "n m"],
    tokens: int,
    tiling: Tiling,
    *,
    by_keys: bool = False,
) -> TileLists:
    """List the key tiles of every query tile.

    Args:
      allowed: which frame (rows) may read which.
      tokens: real tokens of a frame.
      tiling: how frames become tiles.
      by_keys: list the query tiles of every key tile instead, for the gradient of keys and values.
    """
    cell, pieces, group = tiling
    # How many keys of a cell (columns) the queries of a cell may read: its first ones.
    real = np.clip(tokens - cell * np.arange(pieces), 0, cell)
    counts = np.kron(allowed.astype(np.int32), np.broadcast_to(real, (pieces, pieces)))
    shape = {"a": group, "b": group}
    rows, columns = (n // group for n in counts.shape)
    cells = rearrange(counts, "(i a) (j b) -> (i j) (a b)", **shape)
    patterns, index = np.unique(cells, axis=0, return_inverse=True)
    blocks = rearrange(patterns, "n (a b) -> n a 1 b 1", **shape) > np.arange(cell)
    blocks = np.broadcast_to(blocks, (len(patterns), group, cell, group, cell))
    blocks = rearrange(blocks, "n a x b y -> n (a x) (b y)")
    # Forbidden, partial, whole.
    kinds = np.where(blocks.all((1, 2)), 2, blocks.any((1, 2)))
    kind = kinds[index].reshape(rows, columns)
    block = index.reshape(rows, columns)
    if by_keys:
        kind = kind.T
        block = block.T
        blocks = blocks.swapaxes(1, 2)

    width = (kind > 0).sum(1).max()
    # Active tiles first.
    order = np.argsort(kind == 0, axis=1, kind="stable")[:, :width]
    active = np.take_along_axis(kind, order, 1)
    block = np.where(active == 1, np.take_along_axis(block, order, 1), 0)
    data, block, active = (
        (x.T if by_keys else x)[None].astype(kind)
        for x, kind in (
            (order * (active > 0), np.int16),
            (block, np.int16),
            (active, np.int8),
        )
    )
    return TileLists(data, block, active, blocks)
