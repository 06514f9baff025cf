"""Projection guidance: the source video, lifted by its depth, seen from the target cameras.

Every source pixel becomes a point at its depth; points are splatted into each target frame of the
same instant with a 2 x 2 bilinear footprint and a soft z-buffer (points within 4 % of the nearest
one share a pixel). Holes are filled by push-pull over an image pyramid in which far points weigh
more, since what appears behind an edge is background.

Of several real cameras of a rig, each is projected into each target. The view whose camera is
nearest to the target decides a pixel; where it has no point, the next one does. A real view is its
own projection: the prior also receives the other real views, and its output for them is discarded.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.cameras import Cameras
from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.geometry.rays import pixel_rays, relative_pose
from full4d_jax.models.sharded_map import map_items
from gaussians.precision import exact_products

# In [-1, 1].
Picture = Float[Array, "h w 3"]
Map = Float[Array, "h w"]
Maps = Float[Array, "*n h w"]
Pictures = Float[Array, "*n h w c"]
Video = Float[Array, "t h w 3"]
Depth = Float[Array, "t h w"]
Videos = Float[Array, "k t h w 3"]
Depths = Float[Array, "k t h w"]
Lens = Float[Array, "3 3"]
Pose = Float[Array, "4 4"]
FARTHEST_DEPTH = 1e9
# Times the disparity of what a hole hides, from which on a point is in front of it.
NEARER_DISPARITY_RATIO = 1.1
# Of the source, drawn side by side: 0.1 GiB of points.
PIXELS_AT_ONCE = 2**20


class Projection(NamedTuple):
    """Frames of a source seen from target cameras.

    Attributes:
      frames: colours, zero in holes.
      mask: 1 where a point landed.
      disparity: 1/z, zero in holes.
    """

    frames: Pictures
    mask: Maps
    disparity: Maps

    def at(
        self, view: int | Int[Array, ""], time: int | Int[Array, ""]
    ) -> "Projection":
        """Return the projection of one frame."""
        return Projection(*(x[view, time] for x in self))

    def filled(self, other: "Projection", holes: Maps) -> "Projection":
        """Return it with what another has in its holes, which are 1 and 0 elsewhere."""
        is_open = holes * other.mask
        return Projection(
            self.frames + is_open[..., None] * other.frames,
            self.mask + is_open,
            self.disparity + is_open * other.disparity,
        )


def in_squares(
    x: Maps, side: int, fold: Callable[..., Array] = jax.lax.max, start: float = 0.0
) -> Maps:
    """Return what is folded from the square of pixels around each; it ends with the picture.

    Args:
      x: values of pixels.
      side: of the squares, odd.
      fold: `jax.lax.max`, `min` or `add`.
      start: what the fold starts from.
    """
    window = (1,) * (x.ndim - 2) + (side, side)
    return jax.lax.reduce_window(x, start, fold, window, (1,) * x.ndim, "SAME")


def each_frame(one: Callable[..., Any], views: int, times: int) -> Any:
    """Return `one(view, time)` of all frames, made one after the other, as trees (v t ...)."""
    places = jnp.divmod(jnp.arange(views * times), times)
    drawn = jax.lax.map(lambda place: one(*place), places)
    return jax.tree.map(lambda x: x.reshape(views, times, *x.shape[1:]), drawn)


def project_video(
    frames: Float[Array, "t h w c"], depth: Depth, cameras: Cameras, view: int = 0
) -> Projection:
    """Project the video of a view with its depth (0 = unknown) into views 1 and following.

    Args:
      frames: the video.
      depth: its z-depth in world units.
      cameras: of all views.
      view: the number of the view among them.

    Returns:
      All views but view 0.
    """
    clip = jax.tree.map(lambda x: jnp.asarray(x)[None], (frames, depth, cameras))
    projection, _ = project_clips(*clip, fill=False, view=view)
    return Projection(*(x[0] for x in projection))


def project_clips(
    frames: Float[Array, "b t h w c"],
    depth: Float[Array, "b t h w"],
    cameras: Cameras,
    *,
    fill: bool,
    view: int = 0,
) -> tuple[Projection, Float[Array, "b v t h w c"] | None]:
    """Project the videos of several clips as `project_video` does, with a leading axis of clips.

    The devices that share a clip divide its views and instants among them, and each draws a few at
    a time (`PIXELS_AT_ONCE`).

    Returns:
      The projection; and with `fill` its frames with holes filled (`fill_holes`), else None.
    """
    lenses, poses = cameras.arrays
    clips, times, height, width = depth.shape
    targets = lenses.shape[1] - 1

    def one(place, clip, _):
        frames, depth, lenses, poses = clip
        target, time = jnp.divmod(place, times)
        relative = relative_pose(poses[target + 1, time], poses[view, time])
        drawn = splat(
            frames[time], depth[time], lenses[view], relative, lenses[target + 1]
        )
        if not fill:
            return drawn
        return *drawn, fill_holes(Projection(*(x[None, None] for x in drawn)))[0, 0]

    places = jnp.broadcast_to(jnp.arange(targets * times), (clips, targets * times))
    at_once = max(1, PIXELS_AT_ONCE // (height * width))
    drawn = map_items(one, places, (frames, depth, lenses, poses), None, at_once)
    drawn = [x.reshape(clips, targets, times, *x.shape[2:]) for x in drawn]
    return Projection(*drawn[:3]), drawn[3] if fill else None


@exact_products
def splat(
    frame: Float[Array, "h w c"],
    depth: Map,
    source: Lens,
    source_to_target: Pose,
    target: Lens,
) -> Projection:
    """Draw one frame in the target camera, given the lenses of both."""
    points = pixel_rays(source, *depth.shape).reshape(-1, 3) * depth.reshape(-1, 1)
    points = points @ source_to_target[:3, :3].T + source_to_target[None, :3, 3]
    colours = frame.reshape(-1, frame.shape[-1])
    return splat_points(points, colours, depth.reshape(-1) > 0, target, *depth.shape)


@exact_products
def splat_points(
    points: Float[Array, "n 3"],
    colours: Float[Array, "n c"],
    known: Bool[Array, "n"],
    intrinsics: Lens,
    height: int,
    width: int,
) -> Projection:
    """Draw points in the axes of the target camera; see `splat`.

    Args:
      points: in world units.
      colours: of the points.
      known: which of them are drawn.
      intrinsics: of the target camera.
      height: of the picture.
      width: of the picture.
    """
    nearest_depth = 0.05
    # Share of the depth of the nearest point within which others blend with it.
    blending_depth = 0.04
    # Smaller bilinear corners would only widen silhouettes.
    least_weight = 0.06
    z = points[:, 2]
    valid = known & (z > nearest_depth)
    z = jnp.where(valid, z, 1.0)
    u, v, _ = jnp.moveaxis(points @ intrinsics.T / z[:, None], -1, 0) - 0.5

    left, top = jnp.floor(u), jnp.floor(v)
    fu = u - left
    fv = v - top
    # The four corners around it.
    right = np.array([[0], [1], [0], [1]], np.float32)
    below = np.array([[0], [0], [1], [1]], np.float32)
    column = left[None] + right
    row = top[None] + below
    beside = jnp.where(right > 0, fu[None], 1 - fu[None])
    weight = beside * jnp.where(below > 0, fv[None], 1 - fv[None])
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    lands = inside & valid[None] & (weight > least_weight)
    # What lands nowhere goes to one extra cell.
    cell = jnp.where(lands, row * width + column, height * width).astype(jnp.int32)

    nearest = jnp.full(height * width + 1, FARTHEST_DEPTH)
    nearest = nearest.at[cell].min(jnp.where(lands, z[None], FARTHEST_DEPTH))
    blends = lands & (z[None] < nearest[cell] * (1 + blending_depth) + 0.01)
    weight = jnp.where(blends, weight, 0.0)
    values = jnp.concatenate([colours, jnp.stack([1 / z, jnp.ones_like(z)], 1)], 1)
    sums = jnp.zeros((height * width + 1, values.shape[1]))
    sums = sums.at[cell].add(weight[..., None] * values[None])[:-1]
    mask = sums[:, -1] > 0.1
    mean = jnp.where(mask[:, None], sums[:, :-1] / jnp.maximum(sums[:, -1:], 1e-6), 0.0)
    mean = mean.reshape(height, width, -1)
    mask = mask.astype(jnp.float32).reshape(height, width)
    return Projection(mean[..., :-1], mask, mean[..., -1])


def fill_holes(projection: Projection) -> Pictures:
    """Fill the holes of projected frames from what is behind them, by push-pull.

    Far points weigh more. Cameras stand beside each other, so that a hole lies between what hid it
    and what was hidden, in its rows: what is nearer than the farther side of a hole beside it
    hardly counts. Below or above somebody, and between them and the border of the picture, nothing
    gives a farther side, and their colours count as others' of that distance.
    """
    is_known = projection.mask > 0
    disparity = projection.disparity
    distance = 1 / jnp.maximum(disparity, 0.1)
    weight = projection.mask * jnp.minimum(distance, 10.0) ** 2
    weight = weight / (weight.max((-2, -1), keepdims=True) + 1e-6)
    weight = projection.mask * jnp.clip(weight, 0.02, 1.0)

    # Of the short side: how far from a hole what is in front does not count.
    reach_share = 0.15
    # Of such a point, relative to one behind.
    weight_in_front = 0.02
    behind = jnp.where(is_known, FARTHEST_DEPTH, _farther_side(disparity, is_known))
    reach = 2 * round(reach_share * min(disparity.shape[-2:])) + 1
    ones = (1,) * disparity.ndim
    window = (*ones[1:], reach)
    least = jax.lax.min
    behind = jax.lax.reduce_window(behind, FARTHEST_DEPTH, least, window, ones, "SAME")
    is_in_front = disparity > NEARER_DISPARITY_RATIO * behind
    weight *= jnp.where(is_in_front, weight_in_front, 1.0)
    filled = push_pull(projection.frames, weight[..., None])
    return jnp.where(is_known[..., None], projection.frames, filled)


def _farther_side(disparity: Maps, is_known: Bool[Array, "*n h w"]) -> Maps:
    """Return the smaller disparity of the known neighbours in a row.

    It is `FARTHEST_DEPTH` where one is missing.
    """
    columns = disparity.shape[-1]
    place = jnp.arange(columns)
    axis = disparity.ndim - 1
    left = jax.lax.cummax(jnp.where(is_known, place, -1), axis=axis)
    right = jax.lax.cummin(jnp.where(is_known, place, columns), axis=axis, reverse=True)
    inside = [jnp.clip(x, 0, columns - 1) for x in (left, right)]
    sides = [jnp.take_along_axis(disparity, x, axis) for x in inside]
    has_both = (left >= 0) & (right < columns)
    return jnp.where(has_both, jnp.minimum(*sides), FARTHEST_DEPTH)


def project_several(frames: Videos, depth: Depths, cameras: Cameras) -> Projection:
    """Project the real views into views 1 and following.

    Args:
      frames: videos of the real views, [-1, 1]; the source is the first.
      depth: their z-depth in world units, 0 where unknown.
      cameras: of all views, the real ones first.
    """
    real = len(frames)
    layers = [project_video(frames[i], depth[i], cameras, i) for i in range(real)]
    if real == 1:
        return layers[0]
    merged = merge(layers, nearest_first(jnp.asarray(cameras.world_to_camera), real))
    own = own_projection(frames[1:], depth[1:])
    return jax.tree.map(lambda x, y: y.at[: len(x)].set(x), own, merged)


def own_projection(frames: Videos, depth: Depths) -> Projection:
    """Return real views as projections into their own cameras; see `project_several`."""
    return Projection(frames, jnp.ones_like(depth), inverse_depth(depth))


def inverse_depth(depth: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return 1/z, zero where it is unknown."""
    return jnp.where(depth > 0, 1 / jnp.maximum(depth, 0.05), 0.0)


@exact_products
def nearest_first(
    poses: Float[Array, "n t 4 4"], real: int
) -> Int[Array, "{real} n-1 t"]:
    """Return for views 1 and following the numbers of the real views, the nearest first."""
    centers = -jnp.einsum("vtji,vtj->vti", poses[..., :3, :3], poses[..., :3, 3])
    distances = jnp.linalg.norm(centers[:real, None] - centers[None, 1:], axis=-1)
    return jnp.argsort(distances, 0)


def merge(layers: Iterable[Projection], order: Int[Array, "k *n"]) -> Projection:
    """Merge projections of `k` real views into the same targets.

    Args:
      layers: the projection of each view.
      order: numbers of the real views, for each target frame those first that count first.
    """
    places = jnp.indices(order[0].shape)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *layers)
    first, *others = (
        jax.tree.map(lambda x, n=n: x[(n, *places)], stacked) for n in order
    )
    for other in others:
        first = first.filled(other, 1 - first.mask)
    return first
