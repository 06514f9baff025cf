"""Compositing on TPU: a Pallas kernel whose program i composites chunk i.

The equations are those of `compositing`. The chunks of a tile are neighbours in the grid, which
TPUs walk in order, so that transmittance stays in VMEM from chunk to chunk, and the tile's picture
until it is complete. A chunk that no light reaches any more is skipped. Pixels lie along sublanes,
splats along lanes; sums over the splats in front are products with a triangular matrix:

    log T_k = log T_0 + sum_(j <= k) log(1 - alpha_j)         S_k = S_0 - sum_(j <= k) gain_j
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Bool, Float, Int

from gaussians.rendering.binning import Bins, Tiles
from gaussians.rendering.compositing import (
    ALPHA_MAX,
    ALPHA_MIN,
    GEOMETRY_ROWS,
    LEAST_LIGHT,
    UNUSED_LOG_OPACITY,
    Features,
    Image,
    cut_tiles,
    geometry_gradient,
    join_tiles,
)

# Rows of a TPU vector register.
REGISTER_ROWS = 8
CHUNK_SPLATS = 128  # the lanes of one


class Chunks(NamedTuple):
    """All chunks of a picture; the last ones belong to no tile and are empty.

    Attributes:
      ids: Gaussian in each place; g where there is none.
      splats: its features, with the centre relative to the centre of the tile; a last payload
        channel of ones makes the composite of the payload end with the coverage.
      tile: tile of each chunk; the number of tiles for empty chunks.
      count: number of chunks of each tile.
    """

    ids: Int[Array, "chunks places"]
    splats: Float[Array, "chunks places f+1"]
    tile: Int[Array, "chunks"]
    count: Int[Array, "tiles"]


def forward(features: Features, bins: Bins, tiles: Tiles) -> Image:
    """Composite the payload, see `compositing.forward`."""
    chunks = _cut_runs(features, bins, tiles)
    channels = features.shape[1] - GEOMETRY_ROWS + 1
    pixels = tiles.side**2
    image = _call(
        partial(_draw, side=tiles.side),
        chunks.tile,
        _rows(chunks.splats),
        [],
        (tiles.count + 1, _padded(channels), pixels),
        [pltpu.VMEM((pixels, 1), jnp.float32)],
    )
    # No program wrote the pictures of tiles without splats.
    image = jnp.where((chunks.count > 0)[:, None, None], image[:-1, :channels], 0.0)
    return join_tiles(image.at[:, -1].set(1 - image[:, -1]), tiles)


def backward(
    features: Features, bins: Bins, image: Image, cotangent: Image, tiles: Tiles
) -> Features:
    """Return the gradient in the features, equation 4."""
    chunks = _cut_runs(features, bins, tiles)
    # The last channel is the light that the splats leave, 1 minus their coverage.
    cotangent = cotangent.at[..., -1].multiply(-1)
    covered = image.at[..., -1].set(1 - image[..., -1])
    pixels = tiles.side**2
    channels = _padded(image.shape[-1])
    padding = ((0, 0), (0, channels - image.shape[-1]), (0, 0))
    splats = _rows(chunks.splats)
    rows = _call(
        partial(_pull_back, side=tiles.side),
        chunks.tile,
        splats,
        [jnp.pad(cut_tiles(x, tiles), padding) for x in (cotangent, covered)],
        splats.shape,
        [pltpu.VMEM((pixels, n), jnp.float32) for n in (1, 1, channels)],
    )
    geometry = rows[:, :GEOMETRY_ROWS]
    payload = rows[:, REGISTER_ROWS:]
    payload = payload[:, : features.shape[1] - GEOMETRY_ROWS]
    rows = rearrange(jnp.concatenate([geometry, payload], 1), "i f k -> (i k) f")
    return jnp.zeros_like(features).at[chunks.ids.reshape(-1)].add(rows, mode="drop")


def _cut_runs(features: Features, bins: Bins, tiles: Tiles) -> Chunks:
    """Cut the lists of all tiles into chunks.

    Lists of n tiles with at most m slots have at most m / CHUNK_SPLATS + n chunks; those of a tile
    follow one another.
    """
    slots = bins.ids.shape[0]
    g, _ = features.shape
    count = -(-bins.length // CHUNK_SPLATS)
    end = jnp.cumsum(count)
    chunk = jnp.arange(-(-slots // CHUNK_SPLATS) + tiles.count, dtype=jnp.int32)
    tile = jnp.searchsorted(end, chunk, side="right").astype(jnp.int32)
    of_tile = jnp.minimum(tile, tiles.count - 1)
    before = (chunk - (end - count)[of_tile]) * CHUNK_SPLATS
    nth = before[:, None] + jnp.arange(CHUNK_SPLATS)[None]
    used = (nth < bins.length[of_tile][:, None]) & (tile < tiles.count)[:, None]
    ids = bins.ids[jnp.where(used, bins.first[of_tile][:, None] + nth, 0)]

    splats = jnp.concatenate([features, jnp.ones((g, 1))], 1)[ids]
    splats = splats.at[..., :2].add(-tiles.centers(tile)[:, None])
    splats = splats.at[..., 5].set(jnp.where(used, splats[..., 5], UNUSED_LOG_OPACITY))
    return Chunks(jnp.where(used, ids, g), splats, tile, count)


def _call(
    kernel: Callable,
    tile: Int[Array, "chunks"],
    splats: Float[Array, "chunks features places"],
    by_tile: list[Float[Array, "tiles channels pixels"]],
    result: tuple[int, ...],
    scratch: list,
) -> Array:
    """Run a kernel over all chunks; the result has one block for each chunk, or for each tile."""

    def chunk_block(rows):
        return pl.BlockSpec((1, rows, CHUNK_SPLATS), lambda i, _: (i, 0, 0))

    def tile_block(rows, pixels):
        return pl.BlockSpec((1, rows, pixels), lambda i, tile: (tile[i], 0, 0))

    is_by_chunk = result == splats.shape
    specification = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=tile.shape,
        in_specs=[
            chunk_block(splats.shape[1]),
            *(tile_block(*x.shape[1:]) for x in by_tile),
        ],
        out_specs=chunk_block(result[1]) if is_by_chunk else tile_block(*result[1:]),
        scratch_shapes=scratch,
    )
    call = pl.pallas_call(
        kernel,
        grid_spec=specification,
        out_shape=jax.ShapeDtypeStruct(result, jnp.float32),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("arbitrary",)),
    )
    # Under vmap, cameras are rendered one after another.
    return jax.custom_batching.sequential_vmap(call)(tile, splats, *by_tile)


def _draw(tile, splats, image, reaching, *, side: int) -> None:
    """Add a chunk to the picture of its tile."""

    @pl.when(_begins(tile))
    def _():
        image[0] = jnp.zeros(image.shape[1:])
        reaching[...] = jnp.ones(reaching.shape)

    @pl.when(_is_lit(reaching))
    def _():
        weights, _, _, left = _weights(splats[0], reaching[...], side)
        payload = _payload(splats[0], image.shape[1])
        image[0] += _dot(payload, weights, (1, 1))
        reaching[...] = left


def _pull_back(
    tile, splats, towards, covered, rows, reaching, behind, towards_t, *, side: int
):
    """Write the gradient of the splats of a chunk, from the front of the tile to its back."""

    @pl.when(_begins(tile))
    def _():
        reaching[...] = jnp.ones(reaching.shape)
        towards_t[...] = towards[0].T
        behind[...] = (towards[0] * covered[0]).T.sum(1, keepdims=True)

    @pl.when(jnp.logical_not(_is_lit(reaching)))
    def _():
        rows[0] = jnp.zeros(rows.shape[1:])

    @pl.when(_is_lit(reaching))
    def _():
        splat = splats[0]
        weights, alphas, drawn, left = _weights(splat, reaching[...], side)
        gain = weights * _dot(towards_t[...], _payload(splat, towards.shape[1]))
        after = behind[...] - _dot(gain, _triangle())
        log = gain - after * alphas / (1 - alphas)
        log = jnp.where(drawn & (alphas < ALPHA_MAX), log, 0.0)
        moments = _dot(_monomials(side), log)
        geometry = geometry_gradient(
            [splat[i : i + 1] for i in range(GEOMETRY_ROWS - 1)],
            [moments[i : i + 1] for i in range(GEOMETRY_ROWS)],
        )
        zero = jnp.zeros_like(geometry[0])
        padding = [zero] * (REGISTER_ROWS - GEOMETRY_ROWS)
        payload = _dot(towards[0], weights)
        rows[0] = jnp.concatenate([*geometry, *padding, payload], 0)
        behind[...] = after[:, -1:]
        reaching[...] = left


def _begins(tile) -> Bool[Array, ""]:
    """Return whether this chunk is the first of its tile."""
    i = pl.program_id(0)
    return (i == 0) | (tile[i] != tile[jnp.maximum(i - 1, 0)])


def _is_lit(reaching) -> Bool[Array, ""]:
    return reaching[...].max() > LEAST_LIGHT


def _weights(
    splats: Float[Array, "f places"], reaching: Float[Array, "pixels 1"], side: int
) -> tuple[Array, ...]:
    """Return weights, alphas and which are drawn (pixels places), and the light behind the chunk.

    Equations 1 to 3.
    """
    x, y, a, b, c, log_opacity = (splats[i : i + 1] for i in range(GEOMETRY_ROWS))
    column, row = _offsets(side, (side * side, 1), 0)
    dx = column - x
    dy = row - y
    alphas = jnp.exp(log_opacity + (a * dx + b * dy) * dx + c * dy * dy)
    alphas = jnp.minimum(alphas, ALPHA_MAX)
    alphas = jnp.where(alphas >= ALPHA_MIN, alphas, 0.0)
    log = jnp.log(1 - alphas)
    after = reaching * jnp.exp(_dot(log, _triangle()))
    drawn = after > LEAST_LIGHT
    weights = jnp.where(drawn, alphas * after / (1 - alphas), 0.0)
    return weights, alphas, drawn, after[:, -1:]


def _triangle() -> Float[Array, "places places"]:
    """Return the matrix that, multiplied from the right, makes cumulative sums along lanes."""
    shape = (CHUNK_SPLATS, CHUNK_SPLATS)
    row, column = (lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
    return (row <= column).astype(jnp.float32)


def _offsets(side: int, shape: tuple[int, int], axis: int) -> tuple[Array, Array]:
    """Return x and y of the pixel centres relative to the tile's; the side is a power of two."""
    pixel = lax.broadcasted_iota(jnp.int32, shape, axis)
    x = pixel & (side - 1)
    y = pixel >> (side.bit_length() - 1)
    middle = 0.5 - side / 2
    return x.astype(jnp.float32) + middle, y.astype(jnp.float32) + middle


def _monomials(side: int) -> Float[Array, "8 pixels"]:
    """Return 1, x, y, x^2, xy, y^2 of every pixel of a tile, and two rows of zeros."""
    x, y = _offsets(side, (1, side * side), 1)
    one = jnp.ones_like(x)
    return jnp.concatenate([one, x, y, x * x, x * y, y * y, 0 * one, 0 * one], 0)


def _payload(
    splats: Float[Array, "f places"], channels: int
) -> Float[Array, "c places"]:
    return splats[REGISTER_ROWS : REGISTER_ROWS + channels]


def _dot(a: Array, b: Array, contracted: tuple[int, int] = (1, 0)) -> Array:
    dimensions = (((contracted[0],), (contracted[1],)), ((), ()))
    return lax.dot_general(a, b, dimensions, precision=lax.Precision.HIGHEST)


def _rows(
    splats: Float[Array, "chunks places f"],
) -> Float[Array, "chunks rows places"]:
    """Return the features as rows: geometry and payload begin at multiples of 8."""
    geometry = splats[..., :GEOMETRY_ROWS]
    payload = splats[..., GEOMETRY_ROWS:]

    def pad(x):
        return jnp.pad(x, ((0, 0), (0, 0), (0, -x.shape[-1] % REGISTER_ROWS)))

    rows = jnp.concatenate([pad(geometry), pad(payload)], -1)
    return rearrange(rows, "i k r -> i r k")


def _padded(rows: int) -> int:
    return -(-rows // REGISTER_ROWS) * REGISTER_ROWS
