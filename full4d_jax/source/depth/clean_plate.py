"""The clean plate of a camera: what its pictures do not show of the background.

- Of a camera at rest: where a subject stands at all instants, pictures from before and after the
  clip may show what it hides.
- Of a camera that moves: the plate of its middle instant, drawn where no instant shows anything.

What no picture shows is filled in, once for all views and instants, by the inpainting network.
Beyond the borders of the picture lines go straight on (`beyond_borders`).

With E the disparity that the network gives the plate as a picture, and D* that of what rests at
the instants (`moving.resting_disparity`), the plate has

    D = E exp(f),   f = log(D* / E) where D* is known, from around by push-pull elsewhere

so that it goes on where the rest of the scene ends, however far off the network is.
"""

from collections.abc import Callable
from functools import cache, partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from full4d_jax.cameras import sides
from full4d_jax.geometry.arrays import Labels, Map, Maps, Mask, Picture, Pictures
from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.grid import CleanPlate
from full4d_jax.models.functional import Params
from full4d_jax.models.inpainting import SIDE_MULTIPLE, InpaintingNetConfig, added
from full4d_jax.models.weights import SHIPPED, load_params, model_of_metadata
from full4d_jax.source.backdrop import Backdrop, as_bytes, disc
from full4d_jax.source.depth.beyond_borders import beyond_borders
from full4d_jax.source.depth.moving import inverse, resting_disparity
from gaussians.fitting.stillness import median_where

Estimate = Callable[[Picture], Map]
# Of each side: how far the plate reaches beyond the borders of the picture.
BEYOND_SHARE = 0.25


def clean_plate(
    depth: Maps,
    frames: Pictures,
    labels: Labels,
    backdrop: Backdrop | None,
    estimate: Estimate,
) -> CleanPlate:
    """Return what a camera does not see: behind subjects, and beyond its borders.

    Args:
      depth: of its pictures, world units, 0 where unknown.
      frames: sRGB.
      labels: number of the subject at each pixel, 0 for what rests.
      backdrop: what other pictures show, too, of a camera at rest; None of one that moves.
      estimate: returns the depth of a picture, of any scale.
    """
    # Pixels beside a subject in which its colours mix with those of what rests.
    outline_pixels = 4
    instant = 0
    if backdrop is None:
        instant = len(frames) // 2
        middle = slice(instant, instant + 1)
        depth, frames, labels = (x[middle] for x in (depth, frames, labels))
        unseen = np.zeros(frames.shape[1:3], bool)
        backdrop = Backdrop(frames[0].astype(np.float32), ~unseen, unseen)
    near = np.stack([cv2.dilate(as_bytes(label > 0), disc(outline_pixels)) for label in labels])
    rests = near == 0
    is_shown = np.asarray(rests.any(0))
    resting_colours = median_where(frames.astype(np.float32), rests)
    usual = np.where(is_shown[..., None], resting_colours, backdrop.frame)
    hole = ~is_shown & ~backdrop.added
    picture = inpainted(usual.astype(np.uint8), hole)
    resting = resting_disparity(inverse(depth), labels == 0)
    behind = _depth_of(picture, resting, estimate)
    rows, columns = (round(BEYOND_SHARE * side) for side in is_shown.shape)
    known = np.pad(is_shown & (resting > 0), ((rows, rows), (columns, columns)))
    wide_picture, wide_disparity = beyond_borders(picture, 1 / behind, rows, columns)
    return CleanPlate(wide_picture, np.where(known, np.float32(0), 1 / wide_disparity), instant)


def _depth_of(picture: Picture, resting: Map, estimate: Estimate) -> Map:
    """Return the depth of the plate, by the equation of the module."""
    estimated = 1 / np.maximum(estimate(picture), 1e-6)
    known = resting > 0
    factor = np.where(known, np.log(np.maximum(resting, 1e-6) / estimated), 0.0)
    maps = (jnp.asarray(x, jnp.float32)[..., None] for x in (factor, known))
    filled = np.asarray(jax.jit(push_pull)(*maps))[..., 0]
    return (np.exp(-filled) / estimated).astype(np.float32)


def depth_within(plate: CleanPlate, height: int, width: int) -> Map:
    """Return the depth of a plate within the borders of the picture."""
    top = (plate.depth.shape[0] - height) // 2
    left = (plate.depth.shape[1] - width) // 2
    return plate.depth[top : top + height, left : left + width]


@cache
def load_inpainting() -> tuple[InpaintingNetConfig, Params]:
    """Return the sizes and the parameters of the network in the package."""
    path = SHIPPED / "inpainting.safetensors"
    params, metadata = load_params(path)
    return model_of_metadata(path, metadata, InpaintingNetConfig), params


def inpainted(picture: Picture, hole: Mask) -> Picture:
    """Return a picture with its hole filled; nothing changes where nothing is known.

    A larger picture gets the averages of push-pull at its own size, and what the network adds to
    them at a smaller one.
    """
    # Short side of what the network sees at most: that of its training.
    most_rows = 256
    if hole.all() or not hole.any():
        return picture
    height, width = hole.shape
    size = sides(height, width, min(most_rows, height, width), SIDE_MULTIPLE)
    filled = _averages(jnp.asarray(picture), jnp.asarray(hole))
    near = cv2.resize(hole.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0
    whole = np.asarray(_with_residual(*load_inpainting(), filled, jnp.asarray(near)))
    colours = np.round(127.5 * (whole + 1)).astype(np.uint8)
    return np.where(hole[..., None], colours, picture)


@jax.jit
def _averages(picture: UInt8[Array, "h w 3"], hole: Bool[Array, "h w"]) -> Float[Array, "h w 3"]:
    """Return the picture in [-1, 1] with its hole filled by push-pull."""
    return push_pull(picture.astype(jnp.float32) / 127.5 - 1, 1.0 - hole[..., None])


@partial(jax.jit, static_argnums=0)
def _with_residual(
    config: InpaintingNetConfig,
    params: Params,
    filled: Float[Array, "h w 3"],
    hole: Bool[Array, "i j"],
) -> Float[Array, "h w 3"]:
    """Return the whole picture; the hole has the size at which the network sees the picture."""
    small = jax.image.resize(filled, (*hole.shape, 3), "linear")
    residual = added(config, params, small[None], hole[None].astype(jnp.float32))[0]
    return jnp.clip(filled + jax.image.resize(residual, filled.shape, "linear"), -1, 1)
