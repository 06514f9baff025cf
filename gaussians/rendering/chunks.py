"""Lists of splats cut into chunks of one size, each within one tile: shapes for TPUs.

A picture of n tiles whose lists hold at most m slots has at most m / CHUNK_SPLATS + n chunks.
Chunks of a tile follow one another.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gaussians.rendering.binning import Bins, Tiles

CHUNK_SPLATS = 128  # the lanes of a TPU vector register
UNUSED_LOG_OPACITY = -1e4  # of a place that no splat fills


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
    count = -(-bins.length // CHUNK_SPLATS)
    end = jnp.cumsum(count)
    chunk = jnp.arange(-(-slots // CHUNK_SPLATS) + tiles.count, dtype=jnp.int32)
    tile = jnp.searchsorted(end, chunk, side="right").astype(jnp.int32)
    of_tile = jnp.minimum(tile, tiles.count - 1)
    nth = (chunk - (end - count)[of_tile])[:, None] * CHUNK_SPLATS + jnp.arange(CHUNK_SPLATS)[None]
    used = (nth < bins.length[of_tile][:, None]) & (tile < tiles.count)[:, None]
    ids = bins.ids[jnp.where(used, bins.first[of_tile][:, None] + nth, 0)]

    splats = jnp.concatenate([features, jnp.ones((g, 1))], 1)[ids]
    center = (jnp.stack([tile % tiles.columns, tile // tiles.columns], -1) + 0.5) * tiles.side
    splats = splats.at[..., :2].add(-center[:, None])
    splats = splats.at[..., 5].set(jnp.where(used, splats[..., 5], UNUSED_LOG_OPACITY))
    return Chunks(jnp.where(used, ids, g), splats, tile, end - count, count)
