"""Seeds of a fit to a grid: points of the source, and of surfaces that it does not see.

Every source pixel lies at its depth; where that is unknown, at the background's, or at that of
something nearer whose colour it shows; pixels at the outline of a moving object get the object's
depth. What the source does not see are the pixels of the generated views that no source point
reached: they lie at a disparity filled in from around the hole, behind everything that the source
sees. Pixels beside something nearer are none of them.
"""

from collections.abc import Callable
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpy import ndarray

from full4d_jax import config, grid
from full4d_jax.cameras import Cameras
from full4d_jax.generation import static_points
from full4d_jax.generation.projection_guidance import (
    Depth,
    Depths,
    Map,
    Projection,
    Video,
    each_frame,
    fill_holes,
    in_squares,
    project_video,
)
from full4d_jax.geometry import rays
from full4d_jax.geometry.image_motion import pixel_velocities
from full4d_jax.scene import half_instants
from gaussians import Scene, deforming, initialize, precision, with_room
from gaussians.fitting import initialization, stillness

# Of all views, and values of their pixels such as depth.
Frames = Float[Array, "v t h w 3"]
Maps = Float[Array, "v t h w"]

# A generated grid is fitted in few steps, from depth that can be trusted: more Gaussians lie at
# detail, and what passes leaves no ghosts at other instants.
GENERATED_SEEDING = initialization.Seeding(
    detail=40.0, transient=0.8, gate=-6.5, duration=half_instants.FIRST_DURATION_STEPS
)


def first_scene(
    settings: config.LiftConfig,
    frames: Frames,
    seeds: Maps,
    cameras: Cameras,
    key: PRNGKeyArray,
    weights: Float[Array, "v"] | None = None,
    between: half_instants.TargetsBetween | None = None,
    filmed: int | None = None,
    passing: Bool[ndarray, "m t h w"] | None = None,
) -> Scene:
    """Return the scene where the fit starts: Gaussians at the pixels with `seeds` > 0.

    Those of all frames; with the motion `deformation` those of the first frames, to be bent over
    time.

    Args:
      settings: how to fit.
      frames: the grid, [0, 1].
      seeds: depth, see `grid_depth`.
      cameras: of all views.
      key: decides the pixels.
      weights: how many Gaussians the pixels of each view get, relative to other views.
      between: pictures of the source between the instants, whose moving pixels are seeds too.
      filmed: how many views, from the first on, are not generated; None for all.
      passing: what the first m views, of cameras that move, see for a while; None where that is
        unknown.
    """
    count = frames.shape[1]
    used = count if settings.motion == "freetime" else 1
    poses = np.asarray(cameras.frames(slice(used)).world_to_camera)
    pictures = np.asarray(frames[:, :used])
    maps = np.asarray(seeds[:, :used])
    film: dict[str, Any] = {"frames": pictures, "depth": maps, "world_to_camera": poses}
    # At rest, depth and colours tell what passes.
    is_told = passing is not None or not stillness.camera_moves(poses[0])
    if between is None or settings.motion != "freetime" or not is_told:
        film |= {"may_move": maps > 0, "velocities": pixel_velocities}
        if passing is not None:
            film["passing"] = np.zeros(maps.shape, bool)
            film["passing"][: len(passing)] = passing[:, :used]
    else:
        own = None if passing is None else passing[0]
        lens = np.asarray(cameras.intrinsics[0])
        film = half_instants.with_instants_between(
            **film, between=between, lens=lens, passing=own
        )
    # What a resting camera does not see stands still: pictures generated of it change at the rims
    # of what moves before it, and seeds of these would float beside people.
    is_filmed = np.arange(len(frames)) < (len(frames) if filmed is None else filmed)
    film["may_move"] &= (is_filmed | stillness.camera_moves(poses[0]))[
        :, None, None, None
    ]
    start = initialize(
        **film,
        intrinsics=cameras.intrinsics,
        capacity=settings.capacity,
        key=key,
        sh_degree=settings.harmonics,
        weights=weights,
        seeding=initialization.CAPTURE_SEEDING if filmed is None else GENERATED_SEEDING,
    )
    if settings.motion == "deformation":
        start = deforming(start.gaussians, max(3, count), key)
    return with_room(start, settings.capacity)


def grid_depth(
    frames: Frames,
    depth: Depths,
    cameras: Cameras,
    plate: grid.CleanPlate | None = None,
    passing: Bool[ndarray, "t h w"] | None = None,
) -> Maps:
    """Return depth of the pixels that seed the scene, 0 for the others.

    All source pixels seed it (see `with_rims`; before a camera at rest also `with_passing_rims`,
    which moves pixels of known depth too), and those of the other views that no source point
    reached. Where depth is unknown, disparity is filled in from around the hole, the background
    first. Memory holds the projection of one frame at a time. Of further real views, those pixels
    that the source does not reach lie at their own depth.

    Args:
      frames: the grid, [0, 1].
      depth: of the real views, the source first, world units, 0 where unknown.
      cameras: of all views, the real ones first.
      plate: what is behind the source's subjects: in views that show it, it lies at its depth.
      passing: what the source sees for a while, of a camera that moves; None where it is unknown.
    """
    lens = cameras.intrinsics[0]
    poses = cameras.world_to_camera[0]
    video = 2 * frames[0] - 1
    known = static_points.find_static_points(video, depth[0], lens, poses, passing)
    hidden = static_points.behind_subjects(plate, video, depth[0], lens, poses)
    seeds = _grid_depth(frames, depth[0], cameras, known, hidden)
    if not stillness.camera_moves(np.asarray(poses)):
        source = with_passing_rims(np.array(seeds[0]), np.asarray(frames[0]))
        seeds = seeds.at[0].set(source)
    return _seed_further(seeds, frames, depth, cameras)


@jax.jit
def _seed_further(seeds: Maps, frames: Frames, depth: Depths, cameras: Cameras) -> Maps:
    """Return seeds with those of real views 1 and on at their depth, and none that they replace.

    Views before them keep theirs: what they do not see lies behind what they see.
    """
    for i in range(1, len(depth)):
        own = jnp.where(seeds[i] > 0, depth[i], 0.0)
        reached = project_video(frames[i], own, cameras, i).mask[i:] > 0
        later = jnp.where(reached, 0.0, seeds[i + 1 :])
        seeds = seeds.at[i].set(own).at[i + 1 :].set(later)
    return seeds


@jax.jit
def _grid_depth(
    frames: Frames,
    depth: Depth,
    cameras: Cameras,
    known: static_points.StaticPoints,
    hidden: static_points.StaticPoints | None,
) -> Maps:
    """Return depth of the pixels that seed the scene; see `grid_depth`."""
    # Pixels beside something nearer in which a generated view may show its colours.
    smeared = 3
    # Factor of disparity by which something is nearer.
    nearer = 1.1
    # Pixels, of smooth edges of pictures and dropped edges of depth.
    edge_width = 2
    lenses, poses = cameras.arrays
    views, times = frames.shape[:2]

    def filled(mask, disparity):
        whole = Projection(disparity[..., None], mask, disparity)
        whole = jax.tree.map(lambda x: x[None, None], whole)
        return 1 / jnp.maximum(fill_holes(whole)[0, 0, ..., 0], 0.05)

    def one_source(depth):
        mask = (depth > 0).astype(depth.dtype)
        return filled(mask, mask / jnp.maximum(depth, 0.05))

    def one_target(view, time):
        ends = [(lenses[i], poses[i, time]) for i in (0, view + 1)]
        (_, pose), (lens, target_pose) = ends
        relative = rays.relative_pose(target_pose, pose)
        still = known.at(time)
        front = static_points.splat_both(frames[0, time], depth[time], still, *ends)
        # What no instant shows has no seed of the source: views that show it have some.
        whole = front
        if hidden is not None:
            behind = static_points.splat_known(
                hidden.at(time), ends[1], *depth.shape[1:]
            )
            whole = static_points.fill_open(front, behind)
        depth_behind = filled(whole.mask, whole.disparity)
        behind = push_behind_source(
            depth_behind, lens, relative, source[time], lenses[0]
        )
        # Colours of what is nearer run over its outline there: behind it, they would be specks.
        is_smeared = in_squares(front.disparity, 2 * smeared + 1) * behind > nearer
        return jnp.where((front.mask > 0) | is_smeared, 0.0, behind)

    source = jax.lax.map(one_source, depth)
    unseen = each_frame(one_target, views - 1, times)
    for _ in range(edge_width):
        source = with_rims(source, frames[0], depth == 0)
    return jnp.concatenate([source[None], unseen])


def with_rims(depth: Depth, frames: Video, unknown: Bool[Array, "t h w"]) -> Depth:
    """Put pixels at the depth of something nearer beside them where they show its colour too.

    At that of the background, they would be seen from other cameras as a line of that colour in the
    air. Disparity is linear on planes of any slant, so its second difference tells edges from
    slopes.

    Args:
      depth: filled in, the background first.
      frames: the pictures, [0, 1].
      unknown: where depth was filled in; known depth stays.
    """
    # Share of the disparity above which a pixel lies beside something nearer.
    bend = 0.1
    # Share of the way from the farther colour to the nearer one, beyond which it is mixed.
    mixed = 0.1
    # Contrast of colours in [0, 1] whose mixture is visible.
    visible_contrast = 0.05
    disparity = nearest = 1 / depth
    for axis in (1, 2):
        ends = [(1, 1) if i == axis else (0, 0) for i in range(4)]
        places = jnp.pad(disparity, ends[:3], mode="reflect", reflect_type="odd")
        colours = jnp.pad(frames, ends, mode="edge")
        before = jnp.arange(depth.shape[axis])
        around = [
            (jnp.take(places, i, axis), jnp.take(colours, i, axis))
            for i in (before, 2 + before)
        ]
        for (front, near), (back, far) in (around, around[::-1]):
            is_edge = (front >= back) & (
                front + back - 2 * disparity > bend * disparity
            )
            contrast = jnp.abs(near - far).max(-1)
            mixes = jnp.abs(frames - far).max(-1) > mixed * contrast
            is_rim = unknown & is_edge & mixes & (contrast > visible_contrast)
            nearest = jnp.where(is_rim, jnp.maximum(nearest, front), nearest)
    return 1 / nearest


def with_passing_rims(
    depth: Float[ndarray, "t h w"], frames: Float[ndarray, "t h w 3"]
) -> Float[ndarray, "t h w"]:
    """Put pixels beside something that passes at its depth, unless they show what rests there.

    The outline of a person is never exact. What lies outside of it, at the depth of the wall, would
    be seen from other cameras as specks of the person's colours beside it. What rests at a pixel
    is what it shows at instants at which nothing nearer is beside it. Before a camera at rest, a
    pixel that is itself nearer at some instants, and never free at others, shows nothing at rest.

    Args:
      depth: of the source, known everywhere.
      frames: its pictures, [0, 1].
    """
    # Pixels by which the outline of what passes may be wrong.
    outline_error = 2
    window = np.ones((2 * outline_error + 1,) * 2)
    nearest = np.stack([cv2.erode(z, window) for z in depth])
    is_rim = nearest < (1 - stillness.HIDING_DEPTH_SHARE) * depth
    rests = stillness.shows_farthest(depth)
    is_free = rests & ~is_rim
    # Infinite where it is never free.
    resting = stillness.median_where(frames, is_free)
    differs = np.abs(frames - resting).max(-1) > stillness.STILL_COLOR_DIFFERENCE
    is_passed = is_free.any(0) | ~rests.all(0)
    return np.where(is_rim & differs & is_passed, nearest, depth)


def push_back(
    depth: Map, hides: Callable[[Map], Bool[Array, "h w"]], most_pushes: int
) -> Map:
    """Move points along their rays until they hide nothing; 0 for those that stay in the way.

    Args:
      depth: of the points, 0 for none.
      hides: which points hide something, given their depth.
      most_pushes: how often they move at most.
    """
    # Points move back by this factor of depth.
    factor = 1.1

    def pushed(step, placed):
        z = depth * factor**step
        return jnp.where((placed == 0) & ~hides(z), z, placed)

    return jax.lax.fori_loop(0, most_pushes, pushed, jnp.zeros_like(depth))


@precision.exact_products
def push_behind_source(
    depth: Map,
    lens: Float[Array, "3 3"],
    source_to_target: Float[Array, "4 4"],
    source_depth: Map,
    source_lens: Float[Array, "3 3"],
) -> Map:
    """Move points along the rays of a target camera until they hide nothing from the source.

    What the source does not see cannot stand before what it sees. Returns 0 for points that stay in
    its way.

    Args:
      depth: of the target's pixels.
      lens: intrinsics of the target, pixels.
      source_to_target: motion from the source camera to the target camera.
      source_depth: of the source's pixels.
      source_lens: its intrinsics.
    """
    height, width = depth.shape
    motion = jnp.linalg.inv(source_to_target)
    # A point z along the ray of a pixel lies at z * slope + offset in homogeneous source pixels.
    pixels = rays.homogeneous_pixels(height, width)
    slope = pixels @ (source_lens @ motion[:3, :3] @ jnp.linalg.inv(lens)).T
    offset = source_lens @ motion[:3, 3]

    def hides(z):
        places = z[..., None] * slope + offset[None, None]
        row, column, inside = rays.pixels_of(places, height, width)
        return inside & (places[..., 2] < source_depth[row, column])

    return push_back(depth, hides, most_pushes=10)
