"""Lists of splats cut into chunks of one size, each within one tile: shapes for accelerators.

A picture of n tiles whose lists hold at most m slots has at most m / CHUNK + n chunks. Chunks of a
tile follow one another, so a segmented scan (`exclusive_scan`) carries light from chunk to chunk.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from gaussians.rendering.binning import Bins, Tiles

CHUNK = 128  # splats of a chunk: the lanes of a TPU vector register
UNUSED = -1e4  # log opacity of a place that no splat fills


class Chunks(NamedTuple):
    """All chunks of a picture; the last ones belong to no tile and are empty.

    Attributes:
      ids: Gaussian in each place; g where there is none.
      splats: its features, with the centre relative to the centre of the tile; a last payload
        channel of ones makes the composite of the payload end with the coverage.
      tile: tile of each chunk; the number of tiles for empty chunks.
      first: first chunk of each tile.
      count: number of chunks of each tile.
    """

    ids: Int[Array, "chunks places"]
    splats: Float[Array, "chunks places f+1"]
    tile: Int[Array, "chunks"]
    first: Int[Array, "tiles"]
    count: Int[Array, "tiles"]


def cut_runs(features: Float[Array, "g f"], bins: Bins, tiles: Tiles) -> Chunks:
    """Cut the lists of all tiles into chunks."""
    slots = bins.ids.shape[0]
    g, _ = features.shape
    count = -(-bins.length // CHUNK)
    end = jnp.cumsum(count)
    chunk = jnp.arange(-(-slots // CHUNK) + tiles.count, dtype=jnp.int32)
    tile = jnp.searchsorted(end, chunk, side="right").astype(jnp.int32)
    of_tile = jnp.minimum(tile, tiles.count - 1)
    nth = (chunk - (end - count)[of_tile])[:, None] * CHUNK + jnp.arange(CHUNK)[None]
    used = (nth < bins.length[of_tile][:, None]) & (tile < tiles.count)[:, None]
    ids = bins.ids[jnp.where(used, bins.first[of_tile][:, None] + nth, 0)]

    splats = jnp.concatenate([features, jnp.ones((g, 1))], 1)[ids]
    center = (jnp.stack([tile % tiles.columns, tile // tiles.columns], -1) + 0.5) * tiles.side
    splats = splats.at[..., :2].add(-center[:, None])
    splats = splats.at[..., 5].set(jnp.where(used, splats[..., 5], UNUSED))
    return Chunks(jnp.where(used, ids, g), splats, tile, end - count, count)


def exclusive_scan(
    combine: Callable[[Array, Array], Array],
    values: Float[Array, "chunks pixels"],
    tile: Int[Array, "chunks"],
    start: float,
) -> Float[Array, "chunks pixels"]:
    """Combine the values of the chunks in front of each chunk in its tile, from `start` on."""
    begins = jnp.diff(tile, prepend=-1) != 0
    before = jnp.where(begins[:, None], start, jnp.roll(values, 1, axis=0))

    def segmented(
        a: tuple[Bool[Array, "chunks 1"], Array], b: tuple[Bool[Array, "chunks 1"], Array]
    ):
        return a[0] | b[0], jnp.where(b[0], b[1], combine(a[1], b[1]))

    return lax.associative_scan(segmented, (begins[:, None], before))[1]


def map_chunks(function: Callable, batch: int, *arrays: Array) -> Array:
    """Apply `function` to all chunks, `batch` of them at a time; chunks are the first axis."""
    count = arrays[0].shape[0]
    padding = -count % batch

    def cut(x: Array) -> Array:
        padded = jnp.pad(x, ((0, padding), *((0, 0),) * (x.ndim - 1)))
        return rearrange(padded, "(n b) ... -> n b ...", b=batch)

    done = lax.map(lambda xs: function(*xs), tuple(map(cut, arrays)))
    return jax.tree.map(lambda x: rearrange(x, "n b ... -> (n b) ...")[:count], done)
