"""Procedural multi-view videos: `procedural_scene(index)` is a pure function of its index.

A clip shows one random world from a source camera (view 0) and from target cameras that orbit a
point on the source's optical axis, all synchronized, with true depth. Worlds are `simple` (`world`:
the shipped weights were trained and are evaluated on them) or `rich` (`rich_world`, where target
cameras may move too). `jit` and `vmap` work over the index, also inside a training step.

The world frame is the source camera at t = 0, with OpenCV axes and intrinsics in pixels; the unit
of length is the median source depth at t = 0.
Training uses indices below `HELD_OUT_START`; evaluation uses `HELD_OUT_START + i`.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Int, Integer, PRNGKeyArray

from input_pipeline.procedural import rich_render, rich_world, simple_render
from input_pipeline.procedural.shapes import (
    Numbers,
    Pixels,
    Scalar,
    Vector,
    columns,
    first_surface,
    in_blocks,
    rows,
    to_world,
)
from input_pipeline.procedural.world import World, sample_world

Worlds = Literal["simple", "rich"]
Place = Float[Array, "3"]
Pose = Float[Array, "4 4"]
# Degrees around the pivot, of each target.
Azimuths = Float[Array, "targets"] | None
Textures = Float[Array, "n s s 3"] | None
Index = Integer[Array, ""] | int
HELD_OUT_START = 2**30
AnyWorld = World | rich_world.RichWorld
# Degrees, of a target camera around the pivot.
MAX_AZIMUTH = 60.0
MAX_ELEVATION = 12.0


class ProceduralClip(NamedTuple):
    """A synchronized grid of frames; view 0 is the source."""

    # [0, 1].
    frames: Float[Array, "v t h w 3"]
    # z in units of the median source depth at t = 0.
    depth: Float[Array, "v t h w"]
    # Pixels.
    intrinsics: Float[Array, "v 3 3"]
    world_to_camera: Float[Array, "v t 4 4"]
    # Seconds.
    timestamps: Float[Array, "t"]
    # 0: room, 1 or to rich.PEOPLE: people; things.
    instances: Int[Array, "v t h w"] | None = None


class FilmedWorld(NamedTuple):
    """A world and the cameras in it, in the world's own frame and unit."""

    world: AnyWorld
    timestamps: Float[Array, "t"]
    intrinsics: Float[Array, "3 3"]
    camera_to_world: Float[Array, "v t 4 4"]
    # Median source depth at t = 0.
    unit: Scalar


@jax.default_matmul_precision("highest")
def procedural_scene(
    index: Index,
    *,
    views: int = 4,
    frames: int = 4,
    height: int = 64,
    width: int = 64,
    azimuths: Azimuths = None,
    orbit: bool = False,
    worlds: Worlds = "simple",
    textures: Textures = None,
) -> ProceduralClip:
    """Render clip number `index`; `azimuths` (degrees) replaces the targets' random angles.

    With `orbit` the source stands still and the targets follow one arc from it, in equal steps.
    In rich worlds half of the surfaces take their colours from `textures`, pictures in [0, 1].
    """
    filmed = sample_filmed_world(
        index,
        views,
        frames,
        height,
        width,
        azimuths=azimuths,
        orbit=orbit,
        worlds=worlds,
    )

    # Frames one after the other: on CPU one frame's rays fit the cache, a batch's do not.
    poses = rearrange(filmed.camera_to_world, "v t i j -> (v t) i j")
    colors, depth, which = jax.lax.map(
        lambda time_and_pose: picture(filmed, height, width, textures, *time_and_pose),
        (jnp.tile(filmed.timestamps, views), poses),
    )
    shape = "(v t) (h w) -> v t h w"
    to_world = filmed.camera_to_world
    world_to_camera = jnp.linalg.inv(to_world) @ to_world[:1, :1]
    return ProceduralClip(
        frames=rearrange(colors, "(v t) c (h w) -> v t h w c", v=views, h=height),
        depth=rearrange(depth, shape, v=views, h=height) / filmed.unit,
        intrinsics=jnp.broadcast_to(filmed.intrinsics, (views, 3, 3)),
        world_to_camera=world_to_camera.at[..., :3, 3].divide(filmed.unit),
        timestamps=filmed.timestamps,
        instances=filmed.world.instances()[rearrange(which, shape, v=views, h=height)],
    )


def picture(
    filmed: FilmedWorld,
    height: int,
    width: int,
    textures: Textures,
    time: Scalar,
    pose: Pose,
) -> tuple[Float[Array, "3 p"], Pixels, Numbers]:
    """Render colours in [0, 1], z-depth and surfaces at pixel centres (+0.5), not antialiased."""
    world = filmed.world
    objects = world.objects_at(time)
    origin = columns(pose[:3, 3])
    rays = image_rays(pose, filmed.intrinsics, height, width)
    depth, which = in_blocks(partial(first_surface, world, objects, origin), rays)
    traced = rays, depth, which
    if isinstance(world, rich_world.RichWorld):
        paint = rich_render.paint_rich_world
        focal = filmed.intrinsics[0, 0]
        colors = paint(world, objects, origin, traced, focal, textures)
    else:
        colors = simple_render.paint_world(world, objects, origin, traced)
    return colors, depth, which


def sample_filmed_world(
    index: Index,
    views: int,
    frames: int,
    height: int,
    width: int,
    *,
    azimuths: Azimuths = None,
    orbit: bool = False,
    worlds: Worlds = "simple",
) -> FilmedWorld:
    """Draw world, times and cameras of clip number `index`; nothing is rendered."""
    key = jax.random.fold_in(jax.random.key(0), index)
    world_key, source_key, target_key, time_key = jax.random.split(key, 4)
    is_rich = worlds == "rich"
    world = (
        rich_world.sample_rich_world(world_key) if is_rich else sample_world(world_key)
    )
    start, interval = jax.random.uniform(time_key, (2,))
    timestamps = 2.0 * start + jnp.arange(frames) * (0.04 + 0.26 * interval)
    travel = (0.7, 0.4) if is_rich else (0.4, 0.24)
    intrinsics, source = source_camera(source_key, world, frames, height, width, travel)
    if orbit:
        source = jnp.repeat(source[:1], frames, 0)
    rays = image_rays(source[0], intrinsics, height, width)
    depth, _ = visible_surface(world, timestamps[0], source[0, :3, 3], rays)
    unit = jnp.median(depth)
    targets = target_cameras(
        target_key, world, source[0], unit, views - 1, azimuths, orbit
    )
    targets = jnp.repeat(targets[:, None], frames, 1)
    if is_rich and not orbit:
        targets = travelling(jax.random.fold_in(target_key, 1), world, targets, unit)
    poses = jnp.concatenate([source[None], targets])
    return FilmedWorld(world, timestamps, intrinsics, poses, unit)


def image_rays(
    pose: Pose, intrinsics: Float[Array, "3 3"], height: int, width: int
) -> Vector:
    """Return rays through pixel centres (+0.5), row-major, in world axes, z = 1 in the camera's."""
    axes = rows(pose[:3, :3])
    y, x = jnp.meshgrid(
        jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij"
    )
    u = (x - intrinsics[0, 2]) / intrinsics[0, 0]
    v = (y - intrinsics[1, 2]) / intrinsics[1, 1]
    rays = Vector(u.reshape(-1), v.reshape(-1), jnp.ones(height * width))
    return to_world(axes, rays)


def visible_surface(
    world: AnyWorld, time: Scalar, center: Place, rays: Vector
) -> tuple[Pixels, Numbers]:
    """Return depth and number of the surfaces seen: primitives first, then faces of the room."""
    return first_surface(world, world.objects_at(time), columns(center), rays)


def source_camera(
    key: PRNGKeyArray,
    world: AnyWorld,
    frames: int,
    height: int,
    width: int,
    travel: tuple[float, float],
) -> tuple[Float[Array, "3 3"], Float[Array, "t 4 4"]]:
    """Draw intrinsics and camera-to-world of a camera that looks near the world's origin.

    A share `travel[0]` of the cameras moves, by up to half of `travel[1]` along each axis.
    """
    view, aim, drift = jax.random.split(key, 3)
    fov, azimuth, elevation = jax.random.uniform(view, (3,))
    focal = 0.5 * width / jnp.tan(jnp.deg2rad(42 + 30 * fov) / 2)
    intrinsics = jnp.eye(3).at[0, 0].set(focal).at[1, 1].set(focal)
    intrinsics = intrinsics.at[:2, 2].set(jnp.array([width / 2, height / 2]))
    pivot = jax.random.uniform(aim, (3,), minval=-0.12, maxval=0.12)
    azimuth = 2 * jnp.pi * azimuth
    elevation = jnp.deg2rad(-2 + 30 * elevation)
    offset = jnp.stack(
        [
            jnp.cos(elevation) * jnp.sin(azimuth),
            -jnp.sin(elevation),
            -jnp.cos(elevation) * jnp.cos(azimuth),
        ]
    )
    does_move, *step = jax.random.uniform(drift, (4,))
    path = (does_move < travel[0]) * (jnp.stack(step) - 0.5) * travel[1]
    centers = (pivot + offset)[None] + jnp.linspace(0.0, 1.0, frames)[:, None] * path[
        None
    ]
    centers = _inside(world, centers)
    up = jnp.array([0.0, -1.0, 0.0])
    return intrinsics, jax.vmap(lambda center: camera_towards(center, pivot, up))(
        centers
    )


def target_cameras(
    key: PRNGKeyArray,
    world: AnyWorld,
    source: Pose,
    unit: Scalar,
    count: int,
    azimuths: Azimuths,
    orbit: bool,
) -> Float[Array, "targets 4 4"]:
    """Draw static cameras around a point near median depth on the source's axis."""
    angle, height, radius, aim, axis = jax.random.split(key, 5)

    def draw(key: PRNGKeyArray, spread: float, middle: float = 0.0) -> Array:
        shape = () if orbit else (count,)
        end = jax.random.uniform(
            key, shape, minval=middle - spread, maxval=middle + spread
        )
        # In an orbit on the way to one drawn value.
        steps = jnp.arange(1, count + 1)
        return middle + (end - middle) * steps / count if orbit else end

    if azimuths is None:
        azimuths = draw(angle, MAX_AZIMUTH)
    azimuth = jnp.deg2rad(azimuths)
    elevation = jnp.deg2rad(draw(height, MAX_ELEVATION))
    distance = jnp.minimum(unit, 1.3) * jax.random.uniform(
        aim, minval=0.75, maxval=1.15
    )
    pivot = source[:3, 3] + distance * source[:3, 2]
    # Orbits turn around gravity's axis or around the source camera's own (all a lone video has).
    gravity = jnp.array([0.0, -1.0, 0.0])
    up = jnp.where(jax.random.bernoulli(axis), gravity, -source[:3, 1])
    back = source[:3, 3] - pivot
    toward = back - up * (back @ up)
    side = jnp.cross(toward, up)
    azimuth, elevation = azimuth[:, None], elevation[:, None]
    turned = jnp.cos(azimuth) * toward[None] + jnp.sin(azimuth) * side[None]
    lifted = turned + (up * (back @ up))[None]
    sideways = jnp.cross(jnp.broadcast_to(up, turned.shape), turned)
    sideways = sideways / jnp.linalg.norm(sideways, axis=-1, keepdims=True)
    raised = jnp.cross(lifted, sideways)
    offset = jnp.cos(elevation) * lifted + jnp.sin(elevation) * raised
    scale = draw(radius, 0.1, 1.0)[:, None]
    centers = _inside(world, pivot[None] + scale * offset)
    return jax.vmap(lambda center: camera_towards(center, pivot, up))(centers)


def travelling(
    key: PRNGKeyArray, world: AnyWorld, poses: Float[Array, "n t 4 4"], distance: Scalar
) -> Float[Array, "n t 4 4"]:
    """Move the target cameras in half of the scenes; each keeps looking at the same point."""
    count, frames = poses.shape[:2]
    does_move, reach = jax.random.uniform(key, (2,))
    step = jax.random.normal(jax.random.fold_in(key, 1), (count, 3)) * 0.2 * reach
    step = jnp.where(does_move < 0.5, step, 0.0)
    center, forward, down = (poses[..., :3, column] for column in (3, 2, 1))
    pivot = center + distance * forward
    paths = center + jnp.linspace(-0.5, 0.5, frames)[None, :, None] * step[:, None]
    paths = jnp.stack([_inside(world, points) for points in paths]) if count else paths
    return jax.vmap(jax.vmap(camera_towards))(paths, pivot, -down)


def _inside(world: AnyWorld, center: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """Keep cameras a little away from walls, floor and ceiling."""
    return jnp.clip(center, world.room_min[None] + 0.1, world.room_max[None] - 0.1)


def camera_towards(center: Place, target: Place, up: Place) -> Pose:
    """Return camera-to-world, OpenCV axes: z towards `target`, x right, y down (against `up`)."""
    forward = target - center
    forward = forward / jnp.linalg.norm(forward)
    right = jnp.cross(forward, up)
    right = right / jnp.linalg.norm(right)
    rotation = jnp.stack([right, jnp.cross(forward, right), forward], 1)
    return jnp.eye(4).at[:3, :3].set(rotation).at[:3, 3].set(center)
