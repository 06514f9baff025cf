"""Front-to-back compositing of listed splats, tile by tile, with a hand-written gradient.

For a pixel p and its splats in depth order, with falloff e^(-q/2) and opacity o:

    (1)  alpha_k = min(0.999, o_k e^(-q_k(p) / 2)),  0 below 1/255
    (2)  T_k = T_(k-1) (1 - alpha_k),  T_0 = 1; the pixel is finished once T_k <= 1e-4
    (3)  w_k = alpha_k T_(k-1),  image = sum_k w_k payload_k,  and the last T of (2)

T never grows, so `T_k > 1e-4` alone says whether splat k is still drawn. For the gradient, with
cotangents v of the image and u of the final T, let S_k be the part of v . image + u T that lies
behind splat k. Walking front to back again, S_k = S_(k-1) - w_k (payload_k . v), and

    (4)  dL/d log alpha_k = w_k (payload_k . v) - S_k alpha_k / (1 - alpha_k)

needs nothing saved but the image. Since log alpha is quadratic in the pixel's position, the
gradients of centre, conic and opacity are linear in six moments of (4) over the tile's pixels.

Tiles are composited in groups of similar load, a few splats at a time, until every pixel of the
group is finished. Steps are short because XLA recomputes the products of (2) for each output.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Num

from gaussians.precision import exact_products
from gaussians.rendering.binning import Bins, Tiles
from gaussians.rendering.projection import ALPHA_MIN

# Of g Gaussians, and what they become in a picture.
Features = Float[Array, "g f"]
Image = Float[Array, "h w f-5"]

ALPHA_MAX = 0.999
LEAST_LIGHT = 1e-4
# Splats per loop iteration.
STEP_SPLATS = 4
# Tiles per loop: enough to amortise an iteration, few enough to exit early.
GROUP_TILES = 64
# Of a slot that no splat fills.
UNUSED_LOG_OPACITY = -1e4
# These are x, y, -A/2, -B, -C/2, log opacity; the payload follows.
GEOMETRY_ROWS = 6


class TileGroup(NamedTuple):
    """Tiles that are composited together; empty tiles pad the last group.

    Attributes:
      tile: index of each tile.
      first: its first slot in `Bins.ids`.
      length: its number of slots.
      center: its centre in pixels.
    """

    tile: Int[Array, "tiles"]
    first: Int[Array, "tiles"]
    length: Int[Array, "tiles"]
    center: Float[Array, "tiles 2"]


def forward(features: Features, bins: Bins, tiles: Tiles) -> Image:
    """Composite the payload; the last channel is the light left for the background.

    `features` has the `GEOMETRY_ROWS`, then the payload. The picture covers whole tiles.
    """
    channels = features.shape[1] - GEOMETRY_ROWS

    def draw(group):
        def step(splats, _ids, _used, alphas, light, left, image):
            for k in range(STEP_SPLATS):
                weight, drawn, after = _blend(alphas[:, k], light)
                image = tuple(
                    so_far + weight * splats[:, k, GEOMETRY_ROWS + c, None]
                    for c, so_far in enumerate(image)
                )
                left = jnp.where(drawn, after, left)
                light = after
            return light, left, image

        blank = jnp.zeros((group.tile.shape[0], tiles.side**2))
        start = blank + 1, (blank,) * channels
        left, image = _walk(step, features, bins, tiles, group, *start)
        return jnp.stack([*image, left], 1)

    return _by_groups(draw, bins, tiles)


def surfaces(
    features: Float[Array, "g 6"], bins: Bins, tiles: Tiles
) -> Int[Array, "h w 2"]:
    """Return at each pixel the splat of greatest weight, and the one behind which T is at most 1/2.

    Both are -1 where there is none. The picture covers whole tiles, the arithmetic is `forward`'s.
    """

    def find(group):
        def step(_splats, ids, _used, alphas, light, most, strongest, middle):
            for k in range(STEP_SPLATS):
                weight, _, after = _blend(alphas[:, k], light)
                strongest = jnp.where(weight > most, ids[:, k, None], strongest)
                most = jnp.maximum(weight, most)
                crosses = (light > 0.5) & (after <= 0.5)
                middle = jnp.where(crosses, ids[:, k, None], middle)
                light = after
            return light, most, strongest, middle

        blank = jnp.zeros((group.tile.shape[0], tiles.side**2))
        nothing = jnp.full(blank.shape, -1, bins.ids.dtype)
        start = blank, nothing, nothing
        return jnp.stack(_walk(step, features, bins, tiles, group, *start)[1:], 1)

    return _by_groups(find, bins, tiles)


@exact_products
def backward(
    features: Features, bins: Bins, image: Image, cotangent: Image, tiles: Tiles
) -> Features:
    """Return the gradient in the features, equation 4."""
    offsets = pixel_offsets(tiles.side)
    cotangents = cut_tiles(cotangent, tiles)
    behind_all = cut_tiles((cotangent * image).sum(-1, keepdims=True), tiles)

    def pull_back(gradient, group):
        towards = cotangents[group.tile][:, :-1]

        def step(splats, ids, used, alphas, light, behind, gradient):
            weights = []
            logs = []
            for k in range(STEP_SPLATS):
                alpha = alphas[:, k]
                weight, drawn, after = _blend(alpha, light)
                gain = weight * sum(
                    splats[:, k, GEOMETRY_ROWS + c, None] * towards[:, c]
                    for c in range(towards.shape[1])
                )
                behind = behind - gain
                log = gain - behind * alpha / (1 - alpha)
                logs.append(jnp.where(drawn & (alpha < ALPHA_MAX), log, 0.0))
                weights.append(weight)
                light = after
            moments = rearrange(jnp.stack(logs, 1), "b k p -> (b k) p") @ monomials(
                offsets
            )
            moments = rearrange(moments, "(b k) m -> b k m", k=STEP_SPLATS)
            payload = jnp.einsum("bkp,bcp->bkc", jnp.stack(weights, 1), towards)
            shape = jnp.unstack(splats[..., : GEOMETRY_ROWS - 1], axis=-1)
            geometry = geometry_gradient(shape, jnp.unstack(moments, axis=-1))
            rows = jnp.concatenate([jnp.stack(geometry, -1), payload], -1)
            ids = jnp.where(used, ids, features.shape[0])
            gradient = gradient.at[ids].add(rows, mode="drop")
            return light, behind, gradient

        start = behind_all[group.tile][:, 0], gradient
        return _walk(step, features, bins, tiles, group, *start)[-1], None

    gradient, _ = lax.scan(pull_back, jnp.zeros_like(features), _groups(bins, tiles))
    return gradient


def _by_groups(
    draw: Callable[[TileGroup], Num[Array, "tiles c pixels"]], bins: Bins, tiles: Tiles
) -> Num[Array, "h w c"]:
    """Draw all tiles in groups, and join them into one picture."""
    groups = _groups(bins, tiles)
    drawn = rearrange(lax.map(draw, groups), "n b c p -> (n b) c p")
    blank = jnp.zeros((tiles.count + 1, *drawn.shape[1:]), drawn.dtype)
    return join_tiles(blank.at[groups.tile.reshape(-1)].set(drawn)[:-1], tiles)


def _groups(bins: Bins, tiles: Tiles) -> TileGroup:
    """Return all tiles, the fullest first, in groups of equal size."""
    size = min(tiles.count, GROUP_TILES)
    padding = -tiles.count % size
    tile = jnp.concatenate([jnp.argsort(-bins.length), jnp.full(padding, tiles.count)])
    first, length = (jnp.append(run, 0)[tile] for run in (bins.first, bins.length))
    group = TileGroup(tile, first, length, tiles.centers(tile))
    return jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), group)


def _walk(
    draw: Callable[..., tuple],
    features: Array,
    bins: Bins,
    tiles: Tiles,
    group: TileGroup,
    *start,
) -> tuple:
    """Draw the splats of tiles, a step at a time, while any are left that could change a pixel.

    Args:
      draw: function of the splats of a step, their ids, which exist, their alphas, the light, and
        the state; it returns the light and the state behind them.
      features: of all splats.
      bins: their lists.
      tiles: of the picture.
      group: which of them.
      start: the state before the first step; that behind the last is returned.
    """
    offsets = pixel_offsets(tiles.side)
    longest = group.length[0]

    def goes_on(state):
        chunk, light = state[:2]
        return (chunk * STEP_SPLATS < longest) & (light > LEAST_LIGHT).any()

    def step(state):
        chunk, *so_far = state
        splats, ids, used = _fetch(features, bins, group, chunk)
        return chunk + 1, *draw(splats, ids, used, alphas_at(splats, offsets), *so_far)

    light = jnp.ones((group.tile.shape[0], tiles.side**2))
    return lax.while_loop(goes_on, step, (jnp.int32(0), light, *start))[2:]


def _fetch(
    features: Array, bins: Bins, group: TileGroup, chunk: Int[Array, ""]
) -> tuple[
    Float[Array, "tiles splats f"],
    Int[Array, "tiles splats"],
    Bool[Array, "tiles splats"],
]:
    """Return the splats of one step relative to the tile centres, their ids, and which exist."""
    nth = chunk * STEP_SPLATS + jnp.arange(STEP_SPLATS)[None]
    used = nth < group.length[:, None]
    slot = jnp.minimum(group.first[:, None] + nth, bins.ids.shape[0] - 1)
    # Without bounds checks, which cost as much as the copy.
    ids = bins.ids.at[slot].get(mode="promise_in_bounds")
    splats = features.at[ids].get(mode="promise_in_bounds")
    splats = splats.at[..., :2].add(-group.center[:, None])
    log_opacity = jnp.where(used, splats[..., 5], UNUSED_LOG_OPACITY)
    return splats.at[..., 5].set(log_opacity), ids, used


def alphas_at(
    splats: Float[Array, "tiles splats f"], offsets: tuple[np.ndarray, np.ndarray]
) -> Float[Array, "tiles splats pixels"]:
    """Return alpha at every pixel of every tile, equation 1."""
    x, y, a, b, c, log_opacity = (splats[..., i, None] for i in range(GEOMETRY_ROWS))
    dx = offsets[0][None, None] - x
    dy = offsets[1][None, None] - y
    alpha = jnp.exp(log_opacity + (a * dx + b * dy) * dx + c * dy * dy)
    alpha = jnp.minimum(alpha, ALPHA_MAX)
    return jnp.where(alpha >= ALPHA_MIN, alpha, 0.0)


def _blend(alpha: Array, light: Array) -> tuple[Array, Array, Array]:
    """Return the weights, which pixels are drawn, and the light behind, equations 2 and 3."""
    after = light * (1 - alpha)
    drawn = after > LEAST_LIGHT
    return jnp.where(drawn, alpha * light, 0.0), drawn, after


def geometry_gradient(
    splats: Sequence[Array], moments: Sequence[Array]
) -> tuple[Array, ...]:
    """Turn moments of (4) about the tile centre into gradients of the six geometry features.

    Args:
      splats: x, y, -A/2, -B, -C/2 of each splat.
      moments: the moments of 1, x, y, x^2, xy, y^2.
    """
    x, y, a, b, c = splats
    m, mx, my, mxx, mxy, myy = moments
    mdx = mx - x * m
    mdy = my - y * m
    return (
        -(2 * a * mdx + b * mdy),
        -(b * mdx + 2 * c * mdy),
        mxx - 2 * x * mx + x * x * m,
        mxy - x * my - y * mx + x * y * m,
        myy - 2 * y * my + y * y * m,
        m,
    )


def pixel_offsets(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the pixel centres relative to the tile's centre, row by row."""
    offset = np.arange(side, dtype=np.float32) + np.float32(0.5 - side / 2)
    return np.tile(offset, side), np.repeat(offset, side)


def monomials(offsets: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return 1, x, y, x^2, xy, y^2 of every pixel of a tile (pixels 6)."""
    x, y = offsets
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)


def join_tiles(
    tiled: Num[Array, "tiles c pixels"], tiles: Tiles
) -> Num[Array, "h w c"]:
    """Join the pictures of all tiles, row by row, into one."""
    shape = "(rows cols) c (y x) -> (rows y) (cols x) c"
    return rearrange(tiled, shape, rows=tiles.rows, x=tiles.side)


def cut_tiles(
    image: Float[Array, "h w c"], tiles: Tiles
) -> Float[Array, "{tiles.count}+1 c pixels"]:
    """Cut a picture into tiles, the inverse of `join_tiles`, and append an empty tile."""
    shape = "(rows y) (cols x) c -> (rows cols) c (y x)"
    tiled = rearrange(image, shape, y=tiles.side, x=tiles.side)
    return jnp.pad(tiled, ((0, 1), (0, 0), (0, 0)))
