"""The resting scene: what moves lies before it, and a clean plate shows what pictures do not.

With D = 1/z the disparity of a clip and D* that of what stands still at a pixel (the resting scene,
which has one depth for the whole clip), a subject S at instant t is brought forward as a whole,

    (1)  D <- f_S(t) D on S,  f_S(t) = smallest factor of at least 1 by which the share
                                       `share_before` of S has D >= (1 + SUBJECT_GAP) D*

and then each of its pixels that is still behind is set to (1 + SUBJECT_GAP) D*. Pixels that belong
to no subject rest: they have the depth of the resting scene at all instants. Where one of them does
not show the resting colour (a light, a leaf in the wind), it lies just before it, by `veneer_gap`.

Before a camera that moves, D* at an instant is what the resting pixels of the other instants show
from there, and resting pixels keep their own depth.

The clean plate

- Of a camera at rest: where a subject stands at all instants, pictures from before and after the
  clip may show what it hides.
- Of a camera that moves: the plate of its middle instant, drawn where no instant shows anything.

What no picture shows is filled in, once for all views and instants, by the inpainting network.
Beyond the borders of the picture lines go straight on (`beyond_borders`).

With E the disparity that the network gives the plate as a picture, and D* that of what rests at
the instants (`resting_disparity`), the plate has

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
from numpy.lib.stride_tricks import sliding_window_view

from full4d_jax.cameras import sides
from full4d_jax.geometry import arrays, image_motion
from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.grid import CleanPlate, Grid
from full4d_jax.models import functional, weights
from full4d_jax.models.nets import unet
from full4d_jax.source.backdrop import Backdrop, disc, grown
from full4d_jax.source.depth.beyond_borders import beyond_borders
from full4d_jax.source.subjects import Subjects
from gaussians.fitting.stillness import camera_moves, median_where
from input_pipeline.pinhole import project, unproject

Estimate = Callable[[arrays.Picture], arrays.Map]
# Of each side: how far the plate reaches beyond the borders of the picture.
BEYOND_SHARE = 0.25
# Of disparity, between a subject and what it hides.
SUBJECT_GAP = 0.04


def clean_plate(source: Grid, subjects: Subjects, estimate: Estimate) -> CleanPlate:
    """Return what a camera does not see: behind subjects, and beyond its borders.

    Args:
      source: of one camera, with depth in world units, 0 where unknown.
      subjects: what stands in it.
      estimate: returns the depth of a picture, of any scale.
    """
    # Pixels beside a subject in which its colours mix with those of what rests.
    outline_pixels = 4
    frames, depth = source.frames[0], source.known_depth[0]
    labels = subjects.labels
    backdrop = subjects.backdrop
    instant = 0
    if backdrop is None:
        instant = len(frames) // 2
        middle = slice(instant, instant + 1)
        depth, frames, labels = (x[middle] for x in (depth, frames, labels))
        unseen = np.zeros(frames.shape[1:3], bool)
        backdrop = Backdrop(frames[0].astype(np.float32), ~unseen, unseen)
    outline = disc(outline_pixels)
    rests = np.stack([~grown(label > 0, outline) for label in labels])
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
    wide_depth = np.where(known, np.float32(0), 1 / wide_disparity)
    return CleanPlate(wide_picture, wide_depth, instant)


def _depth_of(
    picture: arrays.Picture, resting: arrays.Map, estimate: Estimate
) -> arrays.Map:
    """Return the depth of the plate, by the equation of the module."""
    estimated = 1 / np.maximum(estimate(picture), 1e-6)
    known = resting > 0
    factor = np.where(known, np.log(np.maximum(resting, 1e-6) / estimated), 0.0)
    maps = (jnp.asarray(x, jnp.float32)[..., None] for x in (factor, known))
    filled = np.asarray(jax.jit(push_pull)(*maps))[..., 0]
    return (np.exp(-filled) / estimated).astype(np.float32)


def depth_within(plate: CleanPlate, height: int, width: int) -> arrays.Map:
    """Return the depth of a plate within the borders of the picture."""
    top = (plate.depth.shape[0] - height) // 2
    left = (plate.depth.shape[1] - width) // 2
    return plate.depth[top : top + height, left : left + width]


@cache
def load_inpainting() -> tuple[unet.InpaintingNetConfig, functional.Params]:
    """Return the sizes and the parameters of the network in the package."""
    path = weights.SHIPPED / "inpainting.safetensors"
    config = weights.model_of_metadata(path, unet.InpaintingNetConfig)
    return config, weights.load_params(path)


def inpainted(picture: arrays.Picture, hole: arrays.Mask) -> arrays.Picture:
    """Return a picture with its hole filled; nothing changes where nothing is known.

    A larger picture gets the averages of push-pull at its own size, and what the network adds to
    them at a smaller one.
    """
    # Short side of what the network sees at most: that of its training.
    most_rows = 256
    if hole.all() or not hole.any():
        return picture
    height, width = hole.shape
    size = sides(height, width, min(most_rows, height, width), unet.SIDE_MULTIPLE)
    filled = _averages(jnp.asarray(picture), jnp.asarray(hole))
    share = hole.astype(np.float32)
    near = cv2.resize(share, size[::-1], interpolation=cv2.INTER_AREA) > 0
    whole = np.asarray(_with_residual(*load_inpainting(), filled, jnp.asarray(near)))
    colours = np.round(127.5 * (whole + 1)).astype(np.uint8)
    return np.where(hole[..., None], colours, picture)


@jax.jit
def _averages(
    picture: UInt8[Array, "h w 3"], hole: Bool[Array, "h w"]
) -> Float[Array, "h w 3"]:
    """Return the picture in [-1, 1] with its hole filled by push-pull."""
    return push_pull(picture.astype(jnp.float32) / 127.5 - 1, 1.0 - hole[..., None])


@partial(jax.jit, static_argnums=0)
def _with_residual(
    config: unet.InpaintingNetConfig,
    params: functional.Params,
    filled: Float[Array, "h w 3"],
    hole: Bool[Array, "i j"],
) -> Float[Array, "h w 3"]:
    """Return the whole picture; the hole has the size at which the network sees the picture."""
    small = jax.image.resize(filled, (*hole.shape, 3), "linear")
    mask = hole[None].astype(jnp.float32)
    residual = unet.added(config, params, small[None], mask)[0]
    return jnp.clip(filled + jax.image.resize(residual, filled.shape, "linear"), -1, 1)


def set_before(
    source: Grid, labels: arrays.Labels, behind: arrays.Map | None = None
) -> arrays.Maps:
    """Return depth in which every subject lies before what stands still behind it.

    Args:
      source: of one camera, with depth in world units, 0 where unknown.
      labels: number of the subject at each pixel, 0 for what rests.
      behind: depth of what a camera at rest never sees at rest, 0 where unknown.
    """
    # Of disparity: a light on a wall lies so far before the wall.
    veneer_gap = 0.015
    # Of 255 levels, from the resting colour.
    changed_levels = 20
    rests = labels == 0
    frames = source.frames[0]
    result = inverse(source.known_depth[0])
    if camera_moves(source.source_camera[1]):
        resting = resting_disparity_along(source, rests)
    else:
        still = resting_disparity(result, rests)
        if behind is not None:
            still = np.where(still == 0, inverse(behind), still)
        resting = np.broadcast_to(still, result.shape)
        # What rests but has another colour than usual lies a little nearer.
        unseen = np.broadcast_to(~rests[..., None], frames.shape)
        usual = np.ma.median(np.ma.masked_array(frames, unseen), axis=0).filled(0)
        changed = image_motion.differs(frames, usual, changed_levels)
        farther = resting * np.where(changed, 1 + veneer_gap, 1.0)
        result = np.where(rests, farther, result)
    for subject in range(1, int(labels.max()) + 1):
        result = _bring_forward(result, resting, labels == subject)
    return inverse(result).astype(np.float32)


def inverse(values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Return disparity of depth or depth of disparity, 0 where unknown."""
    return np.where(values > 0, 1 / np.maximum(values, 1e-6), 0.0)


def resting_disparity(disparity: arrays.Maps, rests: arrays.Masks) -> arrays.Map:
    """Return the median disparity of the instants at which a pixel rests; 0 where it never does."""
    median = median_where(disparity, rests & (disparity > 0))
    return np.where(np.isfinite(median), median, 0.0)


def resting_disparity_along(source: Grid, rests: arrays.Masks) -> arrays.Maps:
    """Return the disparity of what rests, as other instants show it; 0 where none does.

    Where several resting points fall on one pixel, the nearest counts.
    """
    # Instants, evenly spaced, whose resting pixels show what a moving camera would see.
    most_instants = 8
    depth = source.known_depth[0]
    lens, world_to_camera = source.source_camera
    count, height, width = depth.shape
    instants = np.linspace(0, count - 1, min(most_instants, count)).round().astype(int)
    points = []
    for other in instants:
        counts = rests[other] & (depth[other] > 0)
        points.append(unproject(depth[other], lens, world_to_camera[other])[counts])
    cloud = np.concatenate(points)
    result = np.zeros((count, height, width))
    for time, pose in enumerate(world_to_camera):
        pixels, z = project(cloud, lens, pose)
        column, row = np.floor(pixels).astype(int).T
        inside = (z > 0) & (column >= 0) & (column < width)
        inside &= (row >= 0) & (row < height)
        np.maximum.at(result[time], (row[inside], column[inside]), 1 / z[inside])
    return result


def _bring_forward(
    disparity: arrays.Maps, resting: arrays.Maps, subject: arrays.Masks
) -> arrays.Maps:
    """Return disparity with one subject before what rests behind it, by equation 1."""
    # The largest factor.
    farthest_pull = 1.6
    # Share of a subject that equation 1 brings before the resting scene.
    share_before = 0.8
    inside = subject & (disparity > 0)
    least = (1 + SUBJECT_GAP) * resting
    present = np.flatnonzero(inside.any((1, 2)))
    if not len(present):
        return disparity
    # Where nothing was ever seen to rest, resting is 0: whatever hides it lies before it.
    ratios = [least[t][inside[t]] / disparity[t][inside[t]] for t in present]
    needed = np.array([np.quantile(x, share_before) for x in ratios])
    # A factor that jumps from instant to instant would make the subject swing.
    largest = _of_three(np.clip(needed, 1.0, farthest_pull)).max(1)
    result = disparity.copy()
    for t, factor in zip(present, _of_three(largest).mean(1), strict=True):
        nearer = np.maximum(disparity[t] * factor, least[t])
        result[t] = np.where(inside[t], nearer, result[t])
    return result


def _of_three(factors: arrays.Values) -> Float[np.ndarray, "n 3"]:
    """Return each factor between its neighbours."""
    return sliding_window_view(np.pad(factors, 1, mode="edge"), 3)
