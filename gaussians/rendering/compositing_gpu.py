"""Compositing on GPUs: Pallas kernels, a block for each tile, that end where the tile is finished.

The equations are those of `compositing`. The pixels of a tile stay in registers, eight in each
thread of one warp, while the splats of its list pass by; all threads read the same splat, so reads
come from the caches. A column of pixels belongs to one thread, which makes most sums over the tile
additions of its own.

Nothing is added atomically, so gradients are the same in each run: the gradient's kernel writes one
row for each slot of the lists, slots are sorted by Gaussian, and a second kernel adds the rows of
each Gaussian in that order.

The backend is Triton. Pallas' Mosaic GPU needs a Hopper or later, and its strength, asynchronous
copies of tiles into tensor cores, is of no use to scalars that all threads share; Triton compiles
for Ampere and Ada, too, and for ROCm. It leaves shared memory to its compiler.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from gaussians.rendering.binning import Bins, Tiles
from gaussians.rendering.compositing import (
    ALPHA_MAX,
    ALPHA_MIN,
    GEOMETRY_ROWS,
    LEAST_LIGHT,
    UNUSED_LOG_OPACITY,
    Features,
    Image,
)

# Rows of the gradient that are added, or cleared, at a time.
BLOCK_ROWS = 8
LOG2_E = 1 / math.log(2)


def forward(features: Features, bins: Bins, tiles: Tiles) -> Image:
    """Composite the payload, see `compositing.forward`."""
    channels = features.shape[1] - GEOMETRY_ROWS
    shape = (channels + 1, tiles.rows * tiles.side, tiles.columns * tiles.side)
    draw = _call(
        partial(_draw, tiles=tiles),
        tiles.count,
        jax.ShapeDtypeStruct(shape, features.dtype),
        _warps(tiles, channels),
    )
    image = draw(features, bins.ids, bins.first, bins.length)
    return jnp.moveaxis(image, 0, -1)


def backward(
    features: Features, bins: Bins, image: Image, cotangent: Image, tiles: Tiles
) -> Features:
    """Return the gradient in the features, equation 4."""
    g, width = features.shape
    slots = bins.ids.shape[0]
    pull_back = _call(
        partial(_pull_back, tiles=tiles),
        tiles.count,
        jax.ShapeDtypeStruct((slots, width), features.dtype),
        _warps(tiles, width - GEOMETRY_ROWS),
    )
    planes = [jnp.moveaxis(x, -1, 0) for x in (image, cotangent)]
    rows = pull_back(features, bins.ids, bins.first, bins.length, planes[0], planes[1])

    slot = jnp.arange(slots, dtype=jnp.int32)
    listed = slot < bins.first[-1] + bins.length[-1]
    owner = jnp.where(listed, bins.ids, g)
    count = jnp.zeros(g + 1, jnp.int32).at[owner].add(1)[:g]
    _, order = lax.sort((owner, slot), num_keys=1)
    add = _call(_add_rows, g, jax.ShapeDtypeStruct((g, width), features.dtype), 1)
    return add(rows, order, jnp.cumsum(count) - count, count)


def bytes_of_rows(slots: int, columns: int) -> int:
    """Return the bytes of features that a kernel reads along full lists, a row for each slot.

    It reads fewer where tiles are finished early. Ids, pictures and rows of gradients are read or
    written once; the features themselves are the operand that no counter of operands sees as often.
    """
    return 4 * slots * columns


def step_size(channels: int) -> int:
    """Return the number of splats whose reads are under way at a time."""
    # Splats times channels of a step, after which the light is looked at.
    step_payload = 16
    return max(1, step_payload // channels)


def _call(
    kernel: Callable, programs: int, result: jax.ShapeDtypeStruct, warps: int
) -> Callable[..., Array]:
    """Return a kernel as a function of its operands; each program sees all of them."""
    call = pl.pallas_call(
        kernel,
        grid=(programs,),
        out_shape=result,
        compiler_params=triton.CompilerParams(num_warps=warps),
    )
    # Under vmap, cameras are rendered one after another.
    return jax.custom_batching.sequential_vmap(call)


def _warps(tiles: Tiles, channels: int) -> int:
    """Return the number of warps of a tile, a power of two."""
    # Pixels times channels whose sums fit into the registers of a warp.
    warp_payload = 1024
    most_warps = 16
    needed = tiles.side**2 * channels / warp_payload
    warps = 1
    while warps < min(needed, most_warps):
        warps *= 2
    return warps


def _draw(features, ids, first, length, image, *, tiles: Tiles) -> None:
    """Write the picture of a tile."""
    here, x, y = _place(tiles, features.dtype)
    channels = image.shape[0] - 1
    size = step_size(channels)
    slot = first[pl.program_id(0)]
    end = slot + length[pl.program_id(0)]

    def step(nth, state):
        _, light, left, image = state
        for k in range(size):
            splat = _fetch(features, ids, slot + nth + k, end)
            alpha = _alpha(splat, x, y)[0]
            weight, drawn, after = _blend(alpha, light)
            payload = splat[GEOMETRY_ROWS:]
            image = tuple(image[c] + weight * payload[c] for c in range(channels))
            left = jnp.where(drawn, after, left)
            light = after
        return _is_lit(light), light, left, image

    one = jnp.ones((tiles.side, tiles.side), features.dtype)
    start = (slot < end, one, one, (jnp.zeros_like(one),) * channels)
    _, _, left, drawn = _walk(step, size, end - slot, start)
    for c in range(channels):
        image[c, here[0], here[1]] = drawn[c]
    image[channels, here[0], here[1]] = left


def _pull_back(
    features, ids, first, length, image, cotangent, rows, *, tiles: Tiles
) -> None:
    """Write the gradient of each slot of a tile's list, from its front to its back."""
    here, x, y = _place(tiles, features.dtype)
    channels = image.shape[0] - 1
    size = step_size(channels)
    slot = first[pl.program_id(0)]
    end = slot + length[pl.program_id(0)]
    towards = [cotangent[c, here[0], here[1]] for c in range(channels + 1)]
    behind = sum(towards[c] * image[c, here[0], here[1]] for c in range(channels + 1))

    def step(nth, state):
        _, light, behind, _ = state
        for k in range(size):
            splat = _fetch(features, ids, slot + nth + k, end)
            alpha, dx, dy = _alpha(splat, x, y)
            weight, drawn, after = _blend(alpha, light)
            payload = splat[GEOMETRY_ROWS:]
            gain = weight * sum(payload[c] * towards[c] for c in range(channels))
            behind = behind - gain
            log = gain - behind * alpha / (1 - alpha)
            log = jnp.where(drawn & (alpha < ALPHA_MAX), log, 0.0)
            row = _geometry_gradient(splat, log, dx, dy)
            row += [(weight * towards[c]).sum(0).sum() for c in range(channels)]
            _store_row(rows, slot + nth + k, end, row)
            light = after
        return _is_lit(light), light, behind, slot + nth + size

    one = jnp.ones((tiles.side, tiles.side), features.dtype)
    unreached = _walk(step, size, end - slot, (slot < end, one, behind, slot))[-1]

    def clear(nth, _):
        row, column, exists = _block(unreached + nth * BLOCK_ROWS, end, rows.shape[1])
        zeros = jnp.zeros(exists.shape, rows.dtype)
        triton.store(rows.at[row, column], zeros, mask=exists)

    lax.fori_loop(0, _parts(jnp.maximum(end - unreached, 0), BLOCK_ROWS), clear, None)


def _walk(step: Callable, size: int, length: Array, state: tuple) -> tuple:
    """Walk along a list in steps, as long as the first of the state says that there is light.

    Triton crashes at a loop of unknown length that uses arrays read before it. This one has the
    list's length, and passes the steps over that come too late.
    """

    def walk(i, state):
        return lax.cond(state[0], partial(step, i * size), lambda state: state, state)

    return lax.fori_loop(0, _parts(length, size), walk, state)


def _parts(length: Array, size: int) -> Array:
    """Return how many parts of that size cover a length."""
    return (length + size - 1) // size


def _add_rows(rows, order, first, count, total) -> None:
    """Write the sum of the rows of a Gaussian."""
    i = pl.program_id(0)
    width = rows.shape[1]
    end = first[i] + count[i]

    def add(nth, so_far):
        row, column, exists = _block(first[i] + nth * BLOCK_ROWS, end, width)
        slot = triton.load(order.at[row], mask=row < end, other=0)
        return so_far + triton.load(rows.at[slot, column], mask=exists, other=0.0)

    columns = pl.next_power_of_2(width)
    start = jnp.zeros((BLOCK_ROWS, columns), rows.dtype)
    row_sum = lax.fori_loop(0, _parts(count[i], BLOCK_ROWS), add, start).sum(0)
    column = lax.broadcasted_iota(jnp.int32, (columns,), 0)
    triton.store(total.at[i, column], row_sum, mask=column < width)


def _store_row(rows, slot: Array, end: Array, values: list[Array]) -> None:
    """Write scalars as the row of a slot before the end."""
    column = lax.broadcasted_iota(jnp.int32, (pl.next_power_of_2(len(values)),), 0)
    row = jnp.zeros(column.shape, values[0].dtype)
    for i, value in enumerate(values):
        row = jnp.where(column == i, value, row)
    triton.store(rows.at[slot, column], row, mask=(column < len(values)) & (slot < end))


def _block(row: Array, end: Array, width: int) -> tuple[Array, Array, Array]:
    """Return row and column of `BLOCK_ROWS` rows of at least `width` columns, and which exist."""
    shape = (BLOCK_ROWS, pl.next_power_of_2(width))
    rows = row + lax.broadcasted_iota(jnp.int32, shape, 0)
    columns = lax.broadcasted_iota(jnp.int32, shape, 1)
    return rows, columns, (rows < end) & (columns < width)


def _place(tiles: Tiles, dtype: DTypeLike) -> tuple[tuple[Array, Array], Array, Array]:
    """Return the row and the column of this program's pixels, and x and y of their centres."""
    tile = pl.program_id(0)
    side = tiles.side
    down = lax.broadcasted_iota(jnp.int32, (side, 1), 0)
    across = lax.broadcasted_iota(jnp.int32, (1, side), 1)
    x = (tile % tiles.columns * side + across).astype(dtype) + 0.5
    y = (tile // tiles.columns * side + down).astype(dtype) + 0.5
    # Triton cannot look through floats. It would give threads pixels of a row, to read at once.
    rows, columns = (
        jnp.broadcast_to(z.astype(jnp.int32), (side, side)) for z in (y, x)
    )
    return (rows, columns), x, y


def _fetch(features, ids, slot: Array, end: Array) -> list[Array]:
    """Return the features of a slot as scalars; behind the end of the list they are not seen."""
    i = ids[jnp.minimum(slot, end - 1)]
    splat = [features[i, column] for column in range(features.shape[1])]
    *_, log_opacity = splat[:GEOMETRY_ROWS]
    splat[GEOMETRY_ROWS - 1] = jnp.where(slot < end, log_opacity, UNUSED_LOG_OPACITY)
    return splat


def _alpha(splat: list[Array], x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return alpha at the pixels of a tile, equation 1, and their offsets from the centre."""
    # GPUs have an instruction for powers of two. What depends on the splat or the column alone is
    # computed once for all pixels of a thread.
    a, b, c, log_opacity = (LOG2_E * z for z in splat[2:GEOMETRY_ROWS])
    dx = x - splat[0]
    dy = y - splat[1]
    alpha = jnp.exp2((log_opacity + a * dx * dx) + dy * (b * dx + c * dy))
    return jnp.where(alpha >= ALPHA_MIN, jnp.minimum(alpha, ALPHA_MAX), 0.0), dx, dy


def _blend(alpha: Array, light: Array) -> tuple[Array, Array, Array]:
    """Return the weights, which pixels are drawn, and the light behind, equations 2 and 3."""
    stopped = alpha * light
    after = light - stopped
    drawn = after > LEAST_LIGHT
    return jnp.where(drawn, stopped, 0.0), drawn, after


def _geometry_gradient(
    splat: list[Array], log: Array, dx: Array, dy: Array
) -> list[Array]:
    """Return the gradient of the six geometry features; `log` is that of log alpha, equation 4."""
    a, b, c = splat[2:5]
    column = log.sum(0, keepdims=True)
    column_y = (log * dy).sum(0, keepdims=True)
    mx = (column * dx).sum()
    my = column_y.sum()
    return [
        -(2 * a * mx + b * my),
        -(b * mx + 2 * c * my),
        (column * dx * dx).sum(),
        (column_y * dx).sum(),
        (log * dy * dy).sum(0).sum(),
        column.sum(),
    ]


def _is_lit(light: Float[Array, "side side"]) -> Array:
    return light.max(0).max() > LEAST_LIGHT
