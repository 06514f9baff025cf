"""Gaussians around a fitted scene, where no view of the grid shows anything.

Such places are black after the fit: above and below the pictures, beside the outermost views, and
gaps behind what stands in front. Cameras spread over the orbit up to its limit look for them.
Colour and disparity are filled in from around them, the background first, which gives a blur. The
new Gaussians stand still and hide nothing that a view of the grid shows.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy import ndarray

from full4d_jax.cameras import Cameras, sides
from full4d_jax.generation.projection_guidance import Projection, fill_holes, in_squares
from full4d_jax.geometry.rays import pixel_rays, relative_pose
from full4d_jax.scene import renders, seeds
from full4d_jax.session.progress import watch
from full4d_jax.source.camera_paths import orbit_limit, pivot_of, up_of
from gaussians import (
    Camera,
    DynamicGaussians,
    Rendering,
    initialize,
    precision,
    with_room,
)
from input_pipeline.pinhole import orbit

# A pixel shows nothing below this; above it, new light would shine through.
EMPTY_COVERAGE = 0.5
# Pixels between new Gaussians, of pictures in which empty places are looked for.
SPACING_PIXELS = 2.0
# Pixels from its centre that a new Gaussian colours: 3 deviations of one that wide.
SPLAT_RADIUS_PIXELS = 6
# Where the cameras stand close together, what is empty is still looked for this far around them.
LEAST_LIMIT_DEGREES = 12.0


def search_angles(limit: tuple[float, float]) -> Float[ndarray, "n 2"]:
    """Return azimuth and elevation of the cameras that look for empty places, degrees.

    Those in the middle come first, since what they find is seen most.

    Args:
      limit: azimuth and elevation that the orbit reaches, degrees.
    """
    # In degrees; straight above, no picture is upright.
    steepest = 75.0
    # Degrees of azimuth between two cameras.
    widest = 45.0
    azimuth = limit[0]
    elevation = min(limit[1], steepest)
    sides = np.linspace(0, azimuth, 1 + max(1, int(np.ceil(azimuth / widest))))[1:]
    rows = 0.0, elevation, -elevation
    inner = [(0.0, share * elevation) for share in (0.5, -0.5, 1, -1)]
    outer = [(x, row) for side in sides for row in rows for x in (side, -side)]
    return np.array(inner + outer)


def surround(
    scene: DynamicGaussians, cameras: Cameras, key: PRNGKeyArray
) -> DynamicGaussians:
    """Return the scene with Gaussians where cameras of the orbit see nothing.

    Args:
      scene: fitted to the grid.
      cameras: of its views.
      key: decides where the new Gaussians lie.
    """
    # Most new Gaussians, relative to those there are.
    room_share = 0.25
    # Most instants at which the scene is searched.
    most_instants = 3
    # Share of a picture that must show something, to fill in the rest from it.
    least_shown = 0.1
    # How wide new Gaussians are, relative to those of a picture with detail.
    width_factor = 1.5
    count = len(scene.moments)
    degree = round(scene.gaussians.harmonics.shape[-2] ** 0.5) - 1
    with_space = with_room(scene, count + int(room_share * count))
    assert isinstance(with_space, DynamicGaussians)
    # On the host, where writing another number of Gaussians after each rendering compiles nothing.
    scene = jax.tree.map(np.array, with_space)
    # Pictures are small: a blur fills what is empty.
    short_side = 128
    rows = min(short_side, cameras.height, cameras.width)
    height, width = sides(cameras.height, cameras.width, rows, 1)
    cameras = cameras.resized(height, width)
    poses = np.asarray(cameras.world_to_camera, np.float64)
    spread = np.linspace(0, poses.shape[1] - 1, most_instants).round().astype(int)
    instants = np.unique(spread)
    moments = instants / max(1, poses.shape[1] - 1)
    seen_from = renders.scene_renderer(scene, cameras)
    views = [
        cameras.camera(view, int(i)) for view in range(len(poses)) for i in instants
    ]
    pictures = [
        seen_from(*x) for x in zip(views, np.tile(moments, len(poses)), strict=True)
    ]
    shown = shown_depth(pictures)
    all_views = jax.tree.map(lambda *x: jnp.stack(x), *views)
    pivot = pivot_of(poses)
    up = up_of(poses)
    angles = search_angles(orbit_limit(poses, LEAST_LIMIT_DEGREES))
    azimuth, elevation = angles.T
    around = orbit(azimuth, elevation, pivot[2], tuple(pivot), up)
    # A camera that moves shows other borders at other instants.
    bases = poses[0, instants] if np.ptp(poses[0], axis=0).any() else poses[0, :1]
    searched = (around @ bases[:, None]).reshape(-1, 4, 4).astype(np.float32)
    for i, pose in enumerate(watch("surroundings", searched)):
        camera = dataclasses.replace(views[0], world_to_camera=jnp.asarray(pose))
        renderings = [seen_from(camera, moment) for moment in moments]
        if (
            min(float((x.alpha >= EMPTY_COVERAGE).mean()) for x in renderings)
            < least_shown
        ):
            continue
        colors, depth = fill_empty(renderings)
        depth = push_behind_views(depth, camera, all_views, shown)
        # An equal part of the room that is left, so that the last corners are filled, too.
        room = (len(scene.moments) - count) // (len(searched) - i)
        most = min(int((depth > 0).sum() / SPACING_PIXELS**2), room)
        if most <= 0:
            continue
        place = camera.intrinsics[None], camera.world_to_camera[None, None]
        own_key = jax.random.fold_in(key, i)
        pixels = colors[None, None], depth[None, None]
        more = initialize(*pixels, *place, most, own_key, sh_degree=degree)
        scales = more.gaussians.log_scales + np.log(width_factor)
        more = more._replace(gaussians=more.gaussians._replace(log_scales=scales))
        for field, new in zip(*map(jax.tree.leaves, (scene, more)), strict=True):
            field[count : count + len(new)] = new
        count += len(more.moments)
    return jax.device_put(jax.tree.map(lambda x: x[:count], scene))


@jax.jit
def fill_empty(
    renderings: Sequence[Rendering],
) -> tuple[Float[Array, "h w 3"], seeds.Map]:
    """Return colours and depth for pixels that are empty at some instant; depth 0 for others."""
    nearest, farthest = 0.05, 50.0  # world units
    seen = jax.tree.map(lambda *x: jnp.stack(x), *renderings)
    mask = (seen.alpha >= EMPTY_COVERAGE).astype(seen.alpha.dtype)
    disparity = mask / jnp.maximum(seen.depth, nearest)
    colors = seen.rgb / jnp.maximum(seen.alpha, EMPTY_COVERAGE)[..., None]
    shown = jnp.concatenate([colors, disparity[..., None]], -1)
    filled = fill_holes(Projection(shown[None], mask[None], disparity[None]))[0]
    emptiest = seen.alpha.argmin(0)[None, ..., None]
    emptiest_filled = jnp.take_along_axis(filled, emptiest, 0)[0]
    depth = 1 / jnp.maximum(emptiest_filled[..., 3], 1 / farthest)
    return jnp.clip(emptiest_filled[..., :3], 0, 1), jnp.where(
        mask.min(0) == 0, depth, 0.0
    )


def shown_depth(pictures: Sequence[Rendering]) -> Float[Array, "n h w"]:
    """Return the largest depth that each picture shows around a pixel, 0 where it shows nothing."""
    depths = [jnp.where(x.alpha >= EMPTY_COVERAGE, x.depth, 0.0) for x in pictures]
    shown = jnp.stack(depths)
    return in_squares(shown, 2 * SPLAT_RADIUS_PIXELS + 1)


@jax.jit
@precision.exact_products
def push_behind_views(
    depth: seeds.Map, camera: Camera, views: Camera, shown: Float[Array, "n h w"]
) -> seeds.Map:
    """Move points along a camera's rays until they hide nothing that views show around them.

    Returns 0 for points that stay in their way, and for those without depth.

    Args:
      depth: of the points.
      camera: to whose pixels they belong.
      views: n cameras.
      shown: what they show, see `shown_depth`.
    """
    # Beyond this factor of the depth that a view shows, a point hides nothing.
    behind_factor = 1.02
    height, width = shown.shape[1:]
    rays = pixel_rays(camera.intrinsics, *depth.shape)
    motions = relative_pose(views.world_to_camera, camera.world_to_camera[None])

    def hides(z):
        points = rays * z[..., None]

        def one(view):
            lens, motion, shown = view
            local = points @ motion[:3, :3].T + motion[None, None, :3, 3]
            u, v, w = jnp.moveaxis(local @ lens.T, -1, 0)
            column, row = (
                jnp.floor(a / jnp.maximum(w, 1e-6)).astype(int) for a in (u, v)
            )
            inside = (w > 0) & (
                jnp.abs(column - width // 2) < width // 2 + SPLAT_RADIUS_PIXELS
            )
            inside &= jnp.abs(row - height // 2) < height // 2 + SPLAT_RADIUS_PIXELS
            there = shown[jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)]
            return inside & (local[..., 2] < behind_factor * there)

        return jax.lax.map(one, (views.intrinsics, motions, shown)).any(0)

    return seeds.push_back(depth, hides, most_pushes=12)
