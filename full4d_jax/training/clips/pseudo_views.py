"""Views from one ordinary video: planar warps, or reprojections into another camera.

Pseudo-4D (4Real-Video, section 4): view v shows the video through a homography H_v, the same at all
times. The path of homographies starts at the centre crop and moves evenly. Half of the paths are
affine (shift, turn, zoom, shear); the others tilt the plane too. There is no parallax, but views
and times are synchronized exactly, and videos are plenty. A warp that would reach over the border
of the picture is shrunk.

Double reprojection (TrajectoryCrafter, arXiv 2503.05638): the video I with its depth is drawn into
a camera P somewhere else, and holes are filled: that is the source of a training clip, and the
video itself, seen from P^-1 relative to it, is the truth of its one target view. Drawn back, the
source leaves the holes and smears of a real target view, and some that no real one has. With P the
identity the source is the video. More target views turn and zoom where the camera of the video
stands. Of a video with a margin they show the truth exactly, as homographies of it; there is
parallax to the source alone.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.generation.batch import Batch
from full4d_jax.generation.projection_guidance import Projection, fill_holes, splat
from gaussians.precision import exact_products

# Ratio of their sides.
VIDEO_PER_CROP = 1.5
Matrix = Float[Array, "3 3"]
Pose = Float[Array, "4 4"]
Video = Float[Array, "t H W 3"]
Depth = Float[Array, "t H W"]
CORNERS = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], np.float32)


def warp_path(key: PRNGKeyArray, views: int) -> Float[Array, "v 3 3"]:
    """Draw homographies from the crop to the video, both with corners at (+-1, +-1).

    The first is the centre crop, of 1 / VIDEO_PER_CROP of the video's sides.
    """
    tilt_key, end_key = jax.random.split(key)
    # The largest parameters of a warp, at the end of a path: shifts are in units of half a side,
    # turns radians, zooms logarithms of the scale, tilts relative changes of depth at half a side.
    shift = 0.25
    turn = 0.25
    zoom = 0.2
    shear = 0.12
    tilt = 0.2
    limits = jnp.array([shift, shift, turn, zoom, shear, tilt, tilt])
    end = limits * jax.random.uniform(end_key, limits.shape, minval=-1, maxval=1)
    end = end.at[5:].multiply(jax.random.bernoulli(tilt_key).astype(end.dtype))

    @exact_products
    def homography(share: Float[Array, ""]) -> Matrix:
        x, y, turn, zoom, shear, *tilt = end * share
        cos = jnp.cos(turn)
        sin = jnp.sin(turn)
        slant = jnp.array([[1.0, shear], [0.0, 1.0]])
        linear = jnp.array([[cos, -sin], [sin, cos]]) @ slant
        warp = jnp.eye(3).at[:2, :2].set(jnp.exp(zoom) * linear)
        warp = warp.at[:2, 2].set(jnp.array([x, y])).at[2, :2].set(jnp.array(tilt))
        crop = jnp.diag(jnp.array([1 / VIDEO_PER_CROP, 1 / VIDEO_PER_CROP, 1.0])) @ warp
        corners = crop @ CORNERS.T
        reach = jnp.abs(corners[:2] / corners[2:]).max()
        shrink = jnp.minimum(1.0, 1 / reach)
        return jnp.diag(jnp.stack([shrink, shrink, jnp.ones(())])) @ crop

    return jax.vmap(homography)(jnp.linspace(0.0, 1.0, views))


def pseudo_grid(
    key: PRNGKeyArray, video: Video, views: int, height: int, width: int
) -> Float[Array, "v t h w 3"]:
    """Return a grid whose first view is the centre of the video."""
    paths = warp_path(key, views)
    return jax.vmap(lambda path: warped(video, path, height, width))(paths)


@exact_products
def warped(
    video: Video, homography: Matrix, height: int, width: int
) -> Float[Array, "t h w 3"]:
    """Warp a video by a homography from the picture to it, both with corners at (+-1, +-1)."""
    rows, columns = video.shape[1:3]
    centers = ((2 * np.arange(side) + 1) / side - 1 for side in (height, width))
    y, x = np.meshgrid(*centers, indexing="ij")
    points = np.stack([x, y, np.ones_like(x)]).reshape(3, -1).astype(np.float32)
    x, y, depth = homography @ points
    x = (x / depth + 1) * columns / 2 - 0.5
    y = (y / depth + 1) * rows / 2 - 0.5
    x0 = jnp.clip(jnp.floor(x), 0, columns - 2).astype(int)
    y0 = jnp.clip(jnp.floor(y), 0, rows - 2).astype(int)
    fx, fy = (jnp.clip(a - b, 0, 1)[None, :, None] for a, b in ((x, x0), (y, y0)))
    top = (1 - fx) * video[:, y0, x0] + fx * video[:, y0, x0 + 1]
    bottom = (1 - fx) * video[:, y0 + 1, x0] + fx * video[:, y0 + 1, x0 + 1]
    return ((1 - fy) * top + fy * bottom).reshape(-1, height, width, 3)


def random_lens(key: PRNGKeyArray, height: int, width: int) -> Matrix:
    """Draw the intrinsics that a video without metadata may have, pixels."""
    # Along the longer side, as most phones have.
    degrees = jax.random.uniform(key, minval=40.0, maxval=80.0)
    angle = jnp.deg2rad(degrees)
    return _lens(0.5 * max(height, width) / jnp.tan(angle / 2), height, width)


@exact_products
def random_pose(key: PRNGKeyArray) -> Pose:
    """Draw world-to-camera of a camera that looks at (0, 0, 1) from the side."""
    # Degrees around the middle of the picture.
    largest_azimuth = 35.0
    largest_elevation = 10.0
    # Of the distance.
    largest_change = 0.15
    turn, lift, move = jax.random.uniform(key, (3,), minval=-1.0)
    across = _about(1, jnp.deg2rad(largest_azimuth * turn))
    rotation = _about(0, jnp.deg2rad(largest_elevation * lift)) @ across
    pivot = jnp.array([0.0, 0.0, 1.0])
    offset = (1 + largest_change * move) * pivot - rotation @ pivot
    return jnp.eye(4).at[:3, :3].set(rotation).at[:3, 3].set(offset)


def two_views(
    video: Video, depth: Depth, lens: Matrix, pose: Pose
) -> tuple[Batch, Depth]:
    """Return the clip of a video and a camera elsewhere, and the video's depth in its unit.

    Args:
      video: frames in [-1, 1] of a camera at rest.
      depth: its z-depth, 0 where unknown.
      lens: intrinsics of both cameras, pixels.
      pose: world-to-camera of the other camera; the world is the video's.

    Returns:
      The clip, without batch axis: the made source and the video. The source's median depth at
      t = 0 is 1. And the z-depth of the video, 0 where unknown.
    """
    drawn = jax.vmap(lambda frame, z: splat(frame, z, lens, pose, lens))(video, depth)
    source = fill_holes(Projection(*(x[None] for x in drawn)))[0]
    _, mask, disparity = drawn
    seen = jnp.where(mask > 0, 1 / jnp.maximum(disparity, 1e-6), 0.0)
    unit = _unit_of(seen)
    back = jnp.linalg.inv(pose)
    back = back.at[:3, 3].divide(unit)
    poses = jnp.stack([jnp.eye(4), back])
    clip = Batch(
        frames=jnp.stack([source, video]),
        depth=seen / unit,
        intrinsics=jnp.stack([lens, lens]),
        world_to_camera=jnp.repeat(poses[:, None], len(video), 1),
    )
    return clip, depth / unit


@exact_products
def several_views(
    key: PRNGKeyArray,
    video: Video,
    depth: Depth,
    lens: Matrix,
    pose: Pose,
    size: tuple[int, int, int],
) -> Batch:
    """Return the clip of a video with a margin, a camera elsewhere and others that are turned.

    It has no batch axis. The source's median depth at t = 0 is 1.

    Args:
      key: decides how they are turned.
      video: frames in [-1, 1] of a camera at rest; views 0 and 1 show its middle.
      depth: its z-depth, 0 where unknown.
      lens: intrinsics of the video's camera, pixels, its middle that of the picture.
      pose: world-to-camera of the other camera; the world is the video's.
      size: views of the clip, at least 2; rows and columns of its pictures, at most the video's.
    """
    views, height, width = size
    rows, columns = video.shape[1:3]
    top = (rows - height) // 2
    left = (columns - width) // 2
    whole, _ = two_views(video, depth, lens, pose)
    middle = np.s_[..., top : top + height, left : left + width]
    seen = whole.depth[middle]
    unit = _unit_of(seen)
    poses = whole.world_to_camera.at[..., :3, 3].divide(unit)
    own_lens = lens.at[:2, 2].subtract(jnp.array([left, top]))

    def turned(key: PRNGKeyArray) -> tuple[Array, Array, Array]:
        drawn = turned_camera(key, lens, (rows, columns), (height, width))
        rotation, own, homography = drawn
        return warped(video, homography, height, width), rotation, own

    keys = jax.random.split(key, views - 2)
    turned_frames, rotations, lenses = jax.vmap(turned)(keys)
    turns = (
        jnp.zeros((views - 2, 4, 4)).at[:, :3, :3].set(rotations).at[:, 3, 3].set(1.0)
    )
    turned_poses = turns[:, None] @ poses[1]
    return Batch(
        frames=jnp.concatenate([whole.frames[*middle, :], turned_frames]),
        depth=seen / unit,
        intrinsics=jnp.concatenate([jnp.stack([own_lens] * 2), lenses]),
        world_to_camera=jnp.concatenate([poses, turned_poses]),
    )


@exact_products
def turned_camera(
    key: PRNGKeyArray, lens: Matrix, video_size: tuple[int, int], size: tuple[int, int]
) -> tuple[Array, Array, Array]:
    """Draw a camera where the video's stands, whose picture lies inside the video's.

    Args:
      key: of the turn; the zoom follows from it.
      lens: intrinsics of the video's camera, pixels, its middle that of the picture.
      video_size: height and width of the video, pixels.
      size: of the camera's picture, at most so large.

    Returns:
      Each (3 3): the rotation from the axes of the video's camera to its own; its intrinsics,
      pixels; the homography from its picture to the video's, both with corners at (+-1, +-1).
    """
    # Of its middle, in halves of the video's sides.
    largest_shift = 0.4
    # Degrees.
    largest_roll = 5.0
    focal = lens[0, 0]
    rows, columns = video_size
    height, width = size
    across, down, around = jax.random.uniform(key, (3,), minval=-1.0)
    yaw = jnp.arctan(largest_shift * across * columns / (2 * focal))
    pitch = jnp.arctan(largest_shift * down * rows / (2 * focal))
    roll = jnp.deg2rad(largest_roll) * around
    rotation = _about(2, roll) @ _about(0, pitch) @ _about(1, yaw)
    scales = jnp.stack([2 * focal / columns, 2 * focal / rows, jnp.ones(())])
    to_video = jnp.diag(scales)

    def homography(zoom: Float[Array, ""]) -> Matrix:
        sides = 2 * focal * zoom
        reach = jnp.stack([width / sides, height / sides, jnp.ones(())])
        return to_video @ rotation.T @ jnp.diag(reach)

    # The smallest zoom that leaves the picture inside the video.
    zooms = jnp.asarray(np.linspace(1.0, 2.0, 21), jnp.float32)
    candidates = jax.vmap(homography)(zooms)
    corners = candidates @ CORNERS.T
    is_inside = (jnp.abs(corners[:, :2]) <= corners[:, 2:]).all((1, 2))
    chosen = jnp.argmax(is_inside.at[-1].set(True))
    return rotation, _lens(focal * zooms[chosen], height, width), candidates[chosen]


def _lens(focal: Float[Array, ""], height: int, width: int) -> Matrix:
    """Return the intrinsics of a lens over the middle of a picture, pixels."""
    lens = jnp.diag(jnp.stack([focal, focal, jnp.ones(())]))
    return lens.at[:2, 2].set(jnp.array([width / 2, height / 2]))


def _unit_of(depth: Depth) -> Float[Array, ""]:
    """Return the median of the depth known at t = 0; 1 where none is."""
    unit = jnp.nanmedian(jnp.where(depth[0] > 0, depth[0], jnp.nan))
    return jnp.where(jnp.isfinite(unit), unit, 1.0)


def _about(axis: int, angle: Float[Array, ""]) -> Matrix:
    """Return the rotation about an axis, radians."""
    one = (axis + 1) % 3
    two = (axis + 2) % 3
    c = jnp.cos(angle)
    s = jnp.sin(angle)
    turned = jnp.eye(3).at[one, one].set(c).at[two, two].set(c)
    return turned.at[one, two].set(-s).at[two, one].set(s)
