"""Projection guidance: the source video, lifted by its depth, seen from the target cameras.

Every source pixel becomes a point at its depth; points are splatted into each target frame of the
same instant with a 2 x 2 bilinear footprint and a soft z-buffer (points within 4 % of the nearest
one share a pixel). Holes are filled by push-pull over an image pyramid in which far points weigh
more, since what appears behind an edge is background.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.cameras import Cameras
from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.geometry.rays import pixel_rays, relative_pose
from full4d_jax.models.sharded_map import map_items
from gaussians.precision import exact_products

FARTHEST_DEPTH = 1e9
# Times the disparity of what a hole hides, from which on a point is in front of it.
NEARER_DISPARITY_RATIO = 1.1
PIXELS_AT_ONCE = 2**20  # of the source, drawn side by side: 0.1 GiB of points


class Projection(NamedTuple):
    """Frames of a source seen from target cameras.

    Attributes:
      frames: colours, zero in holes.
      mask: 1 where a point landed.
      disparity: 1/z, zero in holes.
    """

    frames: Float[Array, "*n h w c"]
    mask: Float[Array, "*n h w"]
    disparity: Float[Array, "*n h w"]

    def filled(self, other: "Projection", holes: Float[Array, "*n h w"]) -> "Projection":
        """Return it with what another has in its holes, which are 1 and 0 elsewhere."""
        is_open = holes * other.mask
        return Projection(
            self.frames + is_open[..., None] * other.frames,
            self.mask + is_open,
            self.disparity + is_open * other.disparity,
        )


def project_video(
    frames: Float[Array, "t h w c"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    view: int = 0,
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
    lenses = jnp.asarray(cameras.intrinsics)
    poses = jnp.asarray(cameras.world_to_camera)
    clips, times, height, width = depth.shape
    targets = lenses.shape[1] - 1

    def one(place: Int[Array, ""], clip: tuple[Array, ...], _: None) -> tuple[Array, ...]:
        frames, depth, lenses, poses = clip
        target, time = jnp.divmod(place, times)
        relative = relative_pose(poses[target + 1, time], poses[view, time])
        drawn = splat(frames[time], depth[time], lenses[view], relative, lenses[target + 1])
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
    depth: Float[Array, "h w"],
    intrinsics_source: Float[Array, "3 3"],
    source_to_target: Float[Array, "4 4"],
    intrinsics: Float[Array, "3 3"],
) -> Projection:
    """Draw one frame in the target camera."""
    height, width, channels = frame.shape
    rays = pixel_rays(intrinsics_source, height, width).reshape(-1, 3)
    points = rays * depth.reshape(-1, 1)
    points = points @ source_to_target[:3, :3].T + source_to_target[None, :3, 3]
    known = depth.reshape(-1) > 0
    return splat_points(points, frame.reshape(-1, channels), known, intrinsics, height, width)


@exact_products
def splat_points(
    points: Float[Array, "n 3"],
    colours: Float[Array, "n c"],
    known: Bool[Array, "n"],
    intrinsics: Float[Array, "3 3"],
    height: int,
    width: int,
    nearest_depth: float = 0.05,
    blending_depth: float = 0.04,
    least_weight: float = 0.06,
) -> Projection:
    """Draw points in the axes of the target camera; see `splat`.

    Args:
      points: in world units.
      colours: of the points.
      known: which of them are drawn.
      intrinsics: of the target camera.
      height: of the picture.
      width: of the picture.
      nearest_depth: nearer points are left out.
      blending_depth: share of the depth of the nearest point within which others blend with it.
      least_weight: smaller bilinear corners would only widen silhouettes.
    """
    channels = colours.shape[-1]
    z = points[:, 2]
    valid = known & (z > nearest_depth)
    z = jnp.where(valid, z, 1.0)
    u, v, _ = jnp.moveaxis(points @ intrinsics.T / z[:, None], -1, 0) - 0.5

    left = jnp.floor(u)
    top = jnp.floor(v)
    fu = u - left
    fv = v - top
    column = jnp.stack([left, left + 1, left, left + 1])
    row = jnp.stack([top, top, top + 1, top + 1])
    weight = jnp.stack([(1 - fu) * (1 - fv), fu * (1 - fv), (1 - fu) * fv, fu * fv])
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    lands = inside & valid[None] & (weight > least_weight)
    # What lands nowhere goes to one extra cell.
    cell = jnp.where(lands, row * width + column, height * width).astype(jnp.int32)

    nearest = (
        jnp.full(height * width + 1, FARTHEST_DEPTH)
        .at[cell]
        .min(jnp.where(lands, z[None], FARTHEST_DEPTH))
    )
    blends = lands & (z[None] < nearest[cell] * (1 + blending_depth) + 0.01)
    weight = jnp.where(blends, weight, 0.0)
    columns = [colours, 1 / z[:, None], jnp.ones_like(z)[:, None]]
    values = jnp.concatenate(columns, 1)
    sums = jnp.zeros((height * width + 1, channels + 2))
    sums = sums.at[cell].add(weight[..., None] * values[None])[:-1]
    mask = sums[:, -1] > 0.1
    mean = jnp.where(mask[:, None], sums[:, :-1] / jnp.maximum(sums[:, -1:], 1e-6), 0.0)
    shape = (height, width)
    return Projection(
        mean[:, :-1].reshape(*shape, channels),
        mask.astype(jnp.float32).reshape(shape),
        mean[:, -1].reshape(shape),
    )


def fill_holes(projection: Projection) -> Float[Array, "*n h w c"]:
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

    reach_share = 0.15  # of the short side: how far from a hole what is in front does not count
    weight_in_front = 0.02  # of such a point, relative to one behind
    behind = jnp.where(is_known, FARTHEST_DEPTH, _farther_side(disparity, is_known))
    reach = 2 * round(reach_share * min(disparity.shape[-2:])) + 1
    window = (*(1 for _ in disparity.shape[:-1]), reach)
    behind = jax.lax.reduce_window(
        behind, FARTHEST_DEPTH, jax.lax.min, window, (1,) * disparity.ndim, "SAME"
    )
    weight *= jnp.where(disparity > NEARER_DISPARITY_RATIO * behind, weight_in_front, 1.0)
    filled = push_pull(projection.frames, weight[..., None])
    return jnp.where(is_known[..., None], projection.frames, filled)


def _farther_side(
    disparity: Float[Array, "*n h w"], is_known: Bool[Array, "*n h w"]
) -> Float[Array, "*n h w"]:
    """Return the smaller disparity of the known neighbours in a row.

    It is `FARTHEST_DEPTH` where one is missing.
    """
    columns = disparity.shape[-1]
    place = jnp.arange(columns)
    axis = disparity.ndim - 1
    left = jax.lax.cummax(jnp.where(is_known, place, -1), axis=axis)
    right = jax.lax.cummin(jnp.where(is_known, place, columns), axis=axis, reverse=True)
    sides = [
        jnp.take_along_axis(disparity, jnp.clip(x, 0, columns - 1), axis) for x in (left, right)
    ]
    return jnp.where((left >= 0) & (right < columns), jnp.minimum(*sides), FARTHEST_DEPTH)
