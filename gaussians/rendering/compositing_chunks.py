"""Compositing for accelerators: all chunks of all tiles at once, in loops of static length.

The equations are those of `compositing`. Its loops end when a tile is finished and hold many small
operations: fast on CPU, slow where every operation is a kernel launch. Here a first pass finds how
much light each chunk lets through, a segmented scan how much reaches it, and a second pass its part
of the picture. The gradient adds a scan of the gains of the chunks. Only the picture is kept.
"""

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float

from gaussians.precision import exact_products
from gaussians.rendering.binning import Bins, Tiles
from gaussians.rendering.chunks import CHUNK, cut_runs, exclusive_scan, map_chunks
from gaussians.rendering.compositing import (
    ALPHA_MAX,
    GEOMETRY,
    TRANSMITTANCE_MIN,
    alphas_at,
    cut_tiles,
    geometry_gradient,
    join_tiles,
    monomials,
    pixel_offsets,
)

BATCH = 1 << 23  # splat-pixel pairs at a time: 32 MB for each intermediate array


@exact_products
def forward(features: Float[Array, "g f"], bins: Bins, tiles: Tiles) -> Float[Array, "h w f-5"]:
    """Composite the payload, see `compositing.forward`."""
    chunks = cut_runs(features, bins, tiles)
    batch = _batch(tiles)
    offsets = pixel_offsets(tiles.side)
    reaching = _reaching(chunks.splats, chunks.tile, tiles)

    def draw(
        splats: Float[Array, "chunks places f"], reaching: Float[Array, "chunks pixels"]
    ) -> Float[Array, "chunks c pixels"]:
        weights, _ = _weights(alphas_at(splats, offsets), reaching)
        return jnp.einsum("bkp,bkc->bcp", weights, splats[..., GEOMETRY:])

    drawn = map_chunks(draw, batch, chunks.splats, reaching)
    image = jax.ops.segment_sum(drawn, chunks.tile, tiles.count, indices_are_sorted=True)
    return join_tiles(image.at[:, -1].set(1 - image[:, -1]), tiles)


@exact_products
def backward(
    features: Float[Array, "g f"],
    bins: Bins,
    image: Float[Array, "h w f-5"],
    cotangent: Float[Array, "h w f-5"],
    tiles: Tiles,
) -> Float[Array, "g f"]:
    """Return the gradient in the features, equation 4."""
    chunks = cut_runs(features, bins, tiles)
    batch = _batch(tiles)
    offsets = pixel_offsets(tiles.side)
    reaching = _reaching(chunks.splats, chunks.tile, tiles)
    # The last channel is the light that the splats leave, 1 minus their coverage.
    cotangent = cotangent.at[..., -1].multiply(-1)
    covered = image.at[..., -1].set(1 - image[..., -1])
    towards = cut_tiles(cotangent, tiles)[chunks.tile]
    whole = cut_tiles((cotangent * covered).sum(-1, keepdims=True), tiles)[chunks.tile, 0]

    def gain(splats, reaching, towards) -> Float[Array, "chunks places pixels"]:
        weights, _ = _weights(alphas_at(splats, offsets), reaching)
        return weights * jnp.einsum("bkc,bcp->bkp", splats[..., GEOMETRY:], towards)

    gains = map_chunks(lambda *x: gain(*x).sum(1), batch, chunks.splats, reaching, towards)
    behind = whole - exclusive_scan(jnp.add, gains, chunks.tile, 0.0)

    def pull_back(splats, reaching, towards, behind) -> Float[Array, "chunks places f"]:
        alphas = alphas_at(splats, offsets)
        weights, drawn = _weights(alphas, reaching)
        gain = weights * jnp.einsum("bkc,bcp->bkp", splats[..., GEOMETRY:], towards)
        behind = behind[:, None] - jnp.cumsum(gain, 1)
        log = jnp.where(drawn & (alphas < ALPHA_MAX), gain - behind * alphas / (1 - alphas), 0.0)
        moments = jnp.einsum("bkp,pm->bkm", log, monomials(offsets))
        payload = jnp.einsum("bkp,bcp->bkc", weights, towards)
        geometry = geometry_gradient(
            jnp.unstack(splats[..., : GEOMETRY - 1], axis=-1), jnp.unstack(moments, axis=-1)
        )
        return jnp.concatenate([jnp.stack(geometry, -1), payload], -1)

    rows = map_chunks(pull_back, batch, chunks.splats, reaching, towards, behind)
    rows = rearrange(rows[..., :-1], "i k f -> (i k) f")
    return jnp.zeros_like(features).at[chunks.ids.reshape(-1)].add(rows, mode="drop")


def _reaching(
    splats: Float[Array, "chunks places f"], tile: Array, tiles: Tiles
) -> Float[Array, "chunks pixels"]:
    """Return the transmittance in front of each chunk."""
    offsets = pixel_offsets(tiles.side)
    through = map_chunks(lambda s: (1 - alphas_at(s, offsets)).prod(1), _batch(tiles), splats)
    return exclusive_scan(jnp.multiply, through, tile, 1.0)


def _weights(
    alphas: Float[Array, "chunks places pixels"], reaching: Float[Array, "chunks pixels"]
) -> tuple[Float[Array, "chunks places pixels"], Bool[Array, "chunks places pixels"]]:
    """Return the weights of the splats of a chunk and which are drawn, equations 2 and 3."""
    after = reaching[:, None] * jnp.cumprod(1 - alphas, axis=1)
    before = jnp.concatenate([reaching[:, None], after[:, :-1]], 1)
    drawn = after > TRANSMITTANCE_MIN
    return jnp.where(drawn, alphas * before, 0.0), drawn


def _batch(tiles: Tiles) -> int:
    return max(1, BATCH // (CHUNK * tiles.side**2))
