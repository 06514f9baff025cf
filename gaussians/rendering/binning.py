"""Lists of the Gaussians that touch each tile of the picture, front to back.

One sort of 32-bit keys `tile << bits | depth rank` makes the lists. Keys without payload sort many
times faster than pairs on CPU. There the sorted lists of large tiles are then split among their
quarters, which is cheaper than sorting for small tiles, and compositing evaluates fewer pixels.
The number of Gaussian-tile intersections depends on the scene, but shapes under jit are static: the
caller gives a budget of slots, and `Bins.overflow` counts the intersections that do not fit.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from gaussians.rendering.projection import NEAREST_DRAWN, Splats
from gaussians.types import Number

# Side of a tile whose list is sorted; CPUs composite its quarters.
TILE_PIXELS = 16
# Intersections that 32 bits can count.
MOST_INTERSECTIONS = 2**30


@dataclass(frozen=True)
class Tiles:
    """A picture cut into square tiles; the last row and column may extend beyond the picture.

    Attributes:
      width: pixels from left to right.
      height: pixels from top to bottom.
      side: pixels along an edge of a tile, even.
    """

    width: int
    height: int
    side: int

    @property
    def columns(self) -> int:
        """Return the number of tiles from left to right."""
        return -(-self.width // self.side)

    @property
    def rows(self) -> int:
        """Return the number of tiles from top to bottom."""
        return -(-self.height // self.side)

    @property
    def count(self) -> int:
        """Return the number of all tiles."""
        return self.rows * self.columns

    @property
    def quarters(self) -> "Tiles":
        """Return the same picture in tiles of half the side."""
        return Tiles(self.width, self.height, self.side // 2)

    def centers(self, tile: Int[Array, "n"]) -> Float[Array, "n 2"]:
        """Return x and y of the centres of tiles, pixels."""
        places = jnp.stack([tile % self.columns, tile // self.columns], -1)
        return (places + 0.5) * self.side


class Bins(NamedTuple):
    """The Gaussians of every tile as runs in one list.

    Attributes:
      ids: Gaussian in each slot; slots are sorted by tile, then by depth.
      first: first slot of each tile.
      length: number of slots of each tile.
      overflow: intersections beyond the budget; the farthest Gaussians are the ones missing.
    """

    ids: Int[Array, "slots"]
    first: Int[Array, "tiles"]
    length: Int[Array, "tiles"]
    overflow: Number


def choose_tiles(width: int, height: int, gaussians: int) -> Tiles:
    """Return the tiles to sort by: larger ones where the keys would not fit 32 bits."""
    side = TILE_PIXELS
    while (Tiles(width, height, side).count + 1) << rank_bits(gaussians) > 2**32:
        side *= 2
        if side > 64:
            raise ValueError(
                f"{gaussians} Gaussians on {width}x{height} pixels need sort keys of more than 32 "
                "bits: render fewer Gaussians or a smaller picture"
            )
    return Tiles(width, height, side)


def rank_bits(gaussians: int) -> int:
    """Return the number of bits that hold a depth rank."""
    return max(1, (gaussians - 1).bit_length())


def tile_boxes(
    splats: Splats, tiles: Tiles
) -> tuple[Int[Array, "g 2"], Int[Array, "g 2"]]:
    """Return the first tile (column, row) of each bounding box, and its columns and rows."""
    limit = jnp.array([[tiles.columns, tiles.rows]], jnp.float32)
    first_tile = jnp.floor((splats.centers - splats.half_sizes) / tiles.side)
    low = jnp.clip(first_tile, 0.0, limit)
    end_tile = jnp.ceil((splats.centers + splats.half_sizes) / tiles.side)
    high = jnp.clip(end_tile, 0.0, limit)
    extent = jnp.where(splats.sigmas[:, None] > 0, high - low, 0.0)
    return low.astype(jnp.int32), extent.astype(jnp.int32)


def count_slots(splats: Splats, tiles: Tiles) -> Number:
    """Return the budget of slots that these splats need; at most 2^30."""
    return _slots_up_to(splats, tiles)[1]


def depth_order(splats: Splats) -> Int[Array, "g"]:
    """Return the indices of the splats, nearest first, ties by index, invisible ones last.

    This is a radix sort in two or three rounds of keys without payload, which beats one argsort.
    """
    # These tell all floats between NEAREST_DRAWN and 1e15 apart.
    depth_bits = 29
    g = splats.depths.shape[0]
    bits = rank_bits(g)
    # Positive floats are ordered as their bits are.
    bias = np.float32(NEAREST_DRAWN).view(np.uint32)
    depths = (
        lax.bitcast_convert_type(splats.depths.astype(jnp.float32), jnp.uint32) - bias
    )
    depths = jnp.where(splats.sigmas > 0, depths, jnp.uint32((1 << depth_bits) - 1))
    position = jnp.arange(g, dtype=jnp.uint32)
    order = position
    for shift in range(0, depth_bits, 32 - bits):
        keys = ((depths[order] >> shift) << bits) | position
        order = order[lax.sort(keys, is_stable=False) & jnp.uint32((1 << bits) - 1)]
    return order.astype(jnp.int32)


def bin_splats(splats: Splats, tiles: Tiles, slots: int) -> Bins:
    """List the Gaussians of every tile, nearest first, in `slots` slots."""
    order = depth_order(splats)
    near_first = Splats(*(x[order] for x in splats))
    rank, _, first, overflow = _sorted_slots(near_first, tiles, slots)
    return Bins(order[rank], first[:-1], jnp.diff(first), overflow)


def bin_quarters(splats: Splats, tiles: Tiles, slots: int) -> Bins:
    """List the Gaussians of every tile of `tiles.quarters`, nearest first, in `2 * slots` slots.

    Upper left quarters of all tiles come first, then upper right, lower left, lower right ones.
    """
    order = depth_order(splats)
    near_first = Splats(*(x[order] for x in splats))
    rank, tile, tile_first, overflow = _sorted_slots(near_first, tiles, slots)

    small = tiles.quarters
    row = 2 * (tile // tiles.columns)[:, None] + np.array([[0, 0, 1, 1]], np.int32)
    column = 2 * (tile % tiles.columns)[:, None] + np.array([[0, 1, 0, 1]], np.int32)
    meets = (row < small.rows) & (column < small.columns)
    meets &= _ellipse_meets_tile(near_first, rank[:, None], column, row, small.side)

    until = jnp.cumsum(meets, axis=0, dtype=jnp.int32)
    total = until[-1]
    start = jnp.cumsum(total) - total
    slot = jnp.where(meets, until - 1 + start[None], 2 * slots)
    ids = jnp.broadcast_to(order[rank][:, None], slot.shape)
    empty = jnp.zeros(2 * slots, jnp.int32)
    ids = empty.at[slot].set(ids, mode="drop", unique_indices=True)

    before = jnp.concatenate([jnp.zeros((1, 4), jnp.int32), until]) + start[None]
    bounds = before[tile_first]

    def by_row(runs):
        shape = "(rows cols) (y x) -> (rows y) (cols x)"
        quarters = rearrange(runs, shape, rows=tiles.rows, y=2)
        return quarters[: small.rows, : small.columns].reshape(-1)

    first = by_row(bounds[:-1])
    length = by_row(jnp.diff(bounds, axis=0))
    missing = jnp.maximum(overflow, (total.sum() + 1) // 2 - slots)
    return Bins(ids, first, length, missing)


def _slots_up_to(splats: Splats, tiles: Tiles) -> tuple[Int[Array, "g"], Number]:
    """Return the slots that all splats up to each one need, and those for all of them.

    The second number is 2^30 where there are too many to count.

    A slot holds one intersection with a tile and two with quarters.
    """
    large = tile_boxes(splats, tiles)[1].prod(-1)
    small = tile_boxes(splats, tiles.quarters)[1].prod(-1)
    up_to = jnp.maximum(jnp.cumsum(large), (jnp.cumsum(small) + 1) // 2)
    countable = small.astype(jnp.float32).sum() < MOST_INTERSECTIONS
    return up_to, jnp.where(countable, up_to[-1], MOST_INTERSECTIONS)


def _sorted_slots(
    near_first: Splats, tiles: Tiles, slots: int
) -> tuple[
    Int[Array, "{slots}"], Int[Array, "{slots}"], Int[Array, "{tiles.count}+1"], Number
]:
    """Return depth rank and tile of each slot, the borders between tiles, and the overflow.

    Slots are sorted by tile, then by depth; unused ones come last, with the tile `tiles.count`.
    """
    g = near_first.depths.shape[0]
    bits = rank_bits(g)
    low, extent = tile_boxes(near_first, tiles)
    up_to, needed = _slots_up_to(near_first, tiles)
    # Left out of all tiles if too many.
    count = jnp.where(up_to <= slots, extent.prod(-1), 0)
    end = jnp.cumsum(count)
    # Slot i belongs to the first Gaussian whose `end` exceeds i.
    ends = jnp.zeros(slots + 1, jnp.int32).at[jnp.minimum(end, slots)].add(1)
    rank = jnp.cumsum(ends[:slots])
    used = rank < g
    rank = jnp.minimum(rank, g - 1)
    nth = jnp.arange(slots, dtype=jnp.int32) - (end - count)[rank]
    columns = jnp.maximum(extent[rank, 0], 1)
    column = low[rank, 0] + nth % columns
    row = low[rank, 1] + nth // columns
    used &= _ellipse_meets_tile(near_first, rank, column, row, tiles.side)

    tile = jnp.where(used, row * tiles.columns + column, tiles.count).astype(jnp.uint32)
    keys = lax.sort((tile << bits) | rank.astype(jnp.uint32), is_stable=False)
    boundaries = jnp.arange(tiles.count + 1, dtype=jnp.uint32) << bits
    first = jnp.searchsorted(keys, boundaries, method="scan_unrolled").astype(jnp.int32)
    rank = (keys & jnp.uint32((1 << bits) - 1)).astype(jnp.int32)
    tile = (keys >> bits).astype(jnp.int32)
    return rank, tile, first, jnp.maximum(needed - slots, 0)


def _ellipse_meets_tile(
    splats: Splats,
    index: Int[Array, "*#m"],
    column: Int[Array, "*#m"],
    row: Int[Array, "*#m"],
    side: int,
) -> Bool[Array, "..."]:
    """Return whether any pixel centre of the tile lies in the visible ellipse.

    The quadratic form is convex, so its minimum over the tile lies on one of the two edges that
    face the centre (or at the centre itself).
    """
    # Half of the way between the outermost pixel centres.
    half = (side - 1) / 2
    x = (column + 0.5) * side - splats.centers[index, 0]
    y = (row + 0.5) * side - splats.centers[index, 1]
    a, b, c = (splats.conics[index, i] for i in range(3))

    def form(x, y):
        return a * x * x + 2 * b * x * y + c * y * y

    edge_x = jnp.clip(0.0, x - half, x + half)
    edge_y = jnp.clip(0.0, y - half, y + half)
    on_vertical = form(edge_x, jnp.clip(-b * edge_x / c, y - half, y + half))
    on_horizontal = form(jnp.clip(-b * edge_y / a, x - half, x + half), edge_y)
    # Rounding must never drop a visible pixel.
    reach = splats.sigmas[index] ** 2 * 1.001 + 1e-3
    return jnp.minimum(on_vertical, on_horizontal) <= reach
