"""Static points of a clip: what was seen at any instant stays known behind the current frame.

What stands still keeps its colour and its place in other instants (`gaussians.fitting.stillness`),
whether the camera moves or not. Each such point is kept from the first instant that shows it. At an
instant whose picture it is beyond, or behind what is there, it is hidden, and projected behind the
points of the current frame: so it closes holes that a person leaves, or that the camera turned away
from.
"""

from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.generation.projection_guidance import (
    Depth,
    Lens,
    Map,
    Picture,
    Pose,
    Projection,
    Video,
    each_frame,
    in_squares,
    splat,
    splat_points,
)
from full4d_jax.geometry import rays
from full4d_jax.grid import CleanPlate
from gaussians.fitting import stillness
from gaussians.precision import exact_products
from input_pipeline.pinhole import unproject

# Colours in [-1, 1] that differ by less are the same.
SAME_COLOUR = 2 * stillness.STILL_COLOR_DIFFERENCE
# Narrower gaps between the points of a frame are cracks of a surface, not holes.
CRACK_PIXELS = 3
# The number of points is a multiple of this share of a frame's pixels: for each, programs compile.
POINTS_STEP = 0.5
# The lens and the pose of a camera at one instant.
AnyLens = Float[Array | ndarray, "3 3"]
AnyPath = Float[Array | ndarray, "t 4 4"]
Placed = tuple[Lens, Pose]
Points = Float[Array, "n 3"]


class StaticPoints(NamedTuple):
    """Points of a clip that stand still, and the instants at which they are hidden.

    Attributes:
      points: world units.
      colours: [-1, 1].
      hidden: whether the source's camera does not see them then.
    """

    points: Points
    colours: Points
    hidden: Bool[Array, "*t n"]

    def at(self, time: int | Int[Array, ""]) -> "StaticPoints":
        """Return the points at one instant."""
        return self._replace(hidden=self.hidden[time])


def find_static_points(
    frames: Video,
    depth: Depth,
    lens: AnyLens,
    path: AnyPath,
    passing: Bool[ndarray, "t h w"] | None = None,
) -> StaticPoints:
    """Return the points of a clip that stand still.

    Args:
      frames: the clip, [-1, 1].
      depth: its z-depth in world units, 0 where unknown.
      lens: intrinsics of its camera, pixels.
      path: its motion from world to camera at every instant.
      passing: what a camera that moves sees for a while; None where that is unknown.
    """
    camera = np.asarray(lens, np.float64), np.asarray(path, np.float64)
    maps, pictures = np.asarray(depth, np.float64), np.asarray(frames)
    is_still, again = stillness.still_points(pictures / 2 + 0.5, maps, *camera, passing)
    is_fresh = is_still & ~again
    # A subject that hides something for a while is gone later.
    if not stillness.camera_moves(camera[1]):
        is_still &= stillness.shows_farthest(maps) & _far_from_edges(maps)
        is_fresh = is_still & (np.cumsum(is_still, axis=0) == 1)
    fresh = np.flatnonzero(is_fresh)
    # Points of a clip, at most.
    most = 2 * maps[0].size
    fresh = fresh[np.linspace(0, len(fresh) - 1, min(most, len(fresh))).astype(int)]
    pairs = zip(maps, camera[1], strict=True)
    points = np.stack([unproject(z, camera[0], pose) for z, pose in pairs])
    places, colours = (x.reshape(-1, 3)[fresh] for x in (points, pictures))
    return _with_hidden(places, colours, frames, depth, camera)


def _with_hidden(
    points: Float[ndarray, "n 3"],
    colours: Float[ndarray, "n 3"],
    frames: Video,
    depth: Depth,
    camera: tuple[Float[ndarray, "3 3"], Float[ndarray, "t 4 4"]],
) -> StaticPoints:
    """Return points, and others that are never hidden: a multiple of `POINTS_STEP` of a frame."""
    step = round(POINTS_STEP * depth[0].size)
    room = (0, step - len(points) % step), (0, 0)
    places, shades = (
        jnp.asarray(np.pad(x, room), jnp.float32) for x in (points, colours)
    )
    lens, path = map(jnp.asarray, camera)
    hidden = _are_hidden(places, shades, frames, depth, lens, path)
    is_point = jnp.arange(len(places)) < len(points)
    return StaticPoints(places, shades, hidden & is_point[None])


def _far_from_edges(depth: Float[ndarray, "t h w"]) -> Bool[ndarray, "t h w"]:
    """Return where no edge of depth, which is unknown, is near: colours are mixed there."""
    # Pixels around which none is unknown.
    side = 7
    square = np.ones((side, side), np.uint8)
    known = (depth > 0).astype(np.uint8)
    return np.stack([cv2.erode(mask, square) for mask in known]) > 0


def behind_subjects(
    plate: CleanPlate | None, frames: Video, depth: Depth, lens: AnyLens, path: AnyPath
) -> StaticPoints | None:
    """Return the points of a clean plate, behind subjects and beyond the picture; None without one.

    Args:
      plate: of the camera.
      frames: the clip, [-1, 1].
      depth: its z-depth in world units, 0 where unknown.
      lens: intrinsics of its camera, pixels.
      path: its motion from world to camera at every instant.
    """
    if plate is None:
        return None
    camera = np.asarray(lens, np.float64), np.asarray(path, np.float64)
    wide_lens = camera[0].copy()
    wide_lens[:2, 2] += np.subtract(plate.depth.shape, depth.shape[1:])[::-1] / 2
    wide_depth = plate.depth.astype(np.float64)
    placed = unproject(wide_depth, wide_lens, camera[1][plate.instant])
    is_known = np.flatnonzero(plate.depth)
    places = placed.reshape(-1, 3)[is_known]
    colours = plate.frame.reshape(-1, 3)[is_known] / 127.5 - 1
    return _with_hidden(places, colours, frames, depth, camera)


@jax.jit
@exact_products
def _are_hidden(
    points: Points,
    colours: Points,
    frames: Video,
    depth: Depth,
    lens: Lens,
    path: Float[Array, "t 4 4"],
) -> Bool[Array, "t n"]:
    """Return which points lie beyond the picture of each instant, or behind what it shows."""
    # Times the depth of what hides it, from which on a point lies behind that.
    farther_by = 1.05

    def one(instant):
        frame, depth, pose = instant
        seen = (points @ pose[:3, :3].T + pose[None, :3, 3]) @ lens.T
        *place, inside = rays.pixels_of(seen, *depth.shape)
        there = depth[tuple(place)]
        differs = jnp.abs(frame[tuple(place)] - colours).max(-1) >= SAME_COLOUR
        return ~inside | (there == 0) | (differs & (seen[:, 2] > farther_by * there))

    return jax.lax.map(one, (frames, depth, path))


def project_known(
    frames: Video, depth: Depth, known: StaticPoints, cameras: Cameras
) -> Projection:
    """Project the video of view 0 and, in its holes, what is known; see `project_video`."""
    lenses, poses = cameras.arrays

    def one(view, time):
        source, target = ((lenses[i], poses[i, time]) for i in (0, view + 1))
        return splat_both(frames[time], depth[time], known.at(time), source, target)

    return each_frame(one, len(poses) - 1, len(frames))


def splat_both(
    frame: Picture, depth: Map, known: StaticPoints, source: Placed, target: Placed
) -> Projection:
    """Draw a frame and, in its holes, what it hides; see `projection_guidance.splat`.

    Args:
      frame: of the source.
      depth: its z-depth, 0 where unknown.
      known: points that stand still, at that instant.
      source: intrinsics in pixels and world-to-camera of the source.
      target: those of the target.
    """
    relative = rays.relative_pose(target[1], source[1])
    front = splat(frame, depth, source[0], relative, target[0])
    return fill_open(front, splat_known(known, target, *depth.shape))


@exact_products
def splat_known(
    known: StaticPoints, target: Placed, height: int, width: int
) -> Projection:
    """Draw the points that a source does not see at an instant into a target camera."""
    lens, pose = target
    points = known.points @ pose[:3, :3].T + pose[None, :3, 3]
    return splat_points(points, known.colours, known.hidden, lens, height, width)


def fill_open(front: Projection, behind: Projection) -> Projection:
    """Fill the holes of one drawing, but not the cracks of its surfaces, from another."""
    return front.filled(behind, 1 - _closed(front.mask))


def without_cracks(drawn: Projection) -> Projection:
    """Return a drawing of one surface with the means of their neighbours in its cracks."""
    crack = _closed(drawn.mask) - drawn.mask
    share = jnp.maximum(_sum_around(drawn.mask), 1.0)
    means = Projection(
        _sum_around(drawn.frames) / share[..., None],
        jnp.ones_like(drawn.mask),
        _sum_around(drawn.disparity) / share,
    )
    return drawn.filled(means, crack)


def _sum_around(x: Float[Array, "h w *c"]) -> Float[Array, "h w *c"]:
    """Return the sums over squares of `CRACK_PIXELS` pixels."""
    window = (CRACK_PIXELS, CRACK_PIXELS, 1)[: x.ndim]
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, (1,) * x.ndim, "SAME")


def _closed(mask: Map) -> Map:
    """Return the mask with its gaps closed that are narrower than `CRACK_PIXELS` pixels."""
    grown = in_squares(mask, CRACK_PIXELS)
    return in_squares(grown, CRACK_PIXELS, jax.lax.min, 1.0)
