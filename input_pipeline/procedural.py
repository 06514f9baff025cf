"""Procedural multi-view videos: `procedural_scene(index)` is a pure function of its index.

A clip shows one random world (`procedural_world`) from a source camera (view 0) and from target
cameras that orbit a point on the source's optical axis, all synchronized, with exact depth. It is
jittable and vmappable over the index, so scenes can be made on any device, also inside a step.

Conventions (design, section 2): the world frame is the source camera at t = 0 and the unit of
length is the median source depth at t = 0; OpenCV axes; intrinsics in pixels.
Training uses indices below `HELD_OUT_START`; evaluation uses `HELD_OUT_START + i`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Int, PRNGKeyArray

from input_pipeline.procedural_render import render_world
from input_pipeline.procedural_world import World, sample_world

HELD_OUT_START = 2**30
MAX_AZIMUTH = 60.0  # degrees, of a target camera around the pivot
MAX_ELEVATION = 12.0


class ProceduralClip(NamedTuple):
    """A synchronized grid of frames; view 0 is the source."""

    frames: Float[Array, "v t h w 3"]  # [0, 1]
    depth: Float[Array, "v t h w"]  # z in units of the median source depth at t = 0
    intrinsics: Float[Array, "v 3 3"]  # pixels
    world_to_camera: Float[Array, "v t 4 4"]
    timestamps: Float[Array, "t"]  # seconds


def procedural_scene(
    index: Int[Array, ""] | int,
    *,
    views: int = 4,
    frames: int = 4,
    height: int = 64,
    width: int = 64,
    seed: int = 0,
    azimuths: Float[Array, "v-1"] | None = None,
    orbit: bool = False,
) -> ProceduralClip:
    """Clip number `index`; `azimuths` (degrees) replaces the targets' random angles.

    With `orbit` the source stands still and the targets follow one arc from it, in equal steps.
    """
    key = jax.random.fold_in(jax.random.key(seed), index)
    world_key, source_key, target_key, time_key = jax.random.split(key, 4)
    world = sample_world(world_key)
    start, interval = jax.random.uniform(time_key, (2,))
    timestamps = 2.0 * start + jnp.arange(frames) * (0.04 + 0.26 * interval)

    def render(camera_to_world: Float[Array, "v t 4 4"]):
        """Frames one after the other: on CPU one frame's rays fit the cache, a batch's do not."""

        def one(time_and_pose):
            time, pose = time_and_pose
            return render_world(world, time, pose, intrinsics, height, width)

        count = camera_to_world.shape[0]
        poses = rearrange(camera_to_world, "v t i j -> (v t) i j")
        colors, depth = jax.lax.map(one, (jnp.tile(timestamps, count), poses))
        return (
            rearrange(colors, "(v t) h w c -> v t h w c", v=count),
            rearrange(depth, "(v t) h w -> v t h w", v=count),
        )

    intrinsics, source = _source_camera(source_key, world, frames, height, width)
    if orbit:
        source = jnp.repeat(source[:1], frames, 0)
    source_frames, source_depth = render(source[None])
    unit = jnp.median(source_depth[0, 0])
    targets = _target_cameras(target_key, world, source[0], unit, views - 1, azimuths, orbit)
    targets = jnp.repeat(targets[:, None], frames, 1)
    camera_to_world = jnp.concatenate([source[None], targets])
    all_frames, all_depth = source_frames, source_depth
    if views > 1:
        target_frames, target_depth = render(targets)
        all_frames = jnp.concatenate([source_frames, target_frames])
        all_depth = jnp.concatenate([source_depth, target_depth])
    world_to_camera = jnp.linalg.inv(camera_to_world) @ source[:1]
    return ProceduralClip(
        frames=all_frames,
        depth=all_depth / unit,
        intrinsics=jnp.broadcast_to(intrinsics, (views, 3, 3)),
        world_to_camera=world_to_camera.at[..., :3, 3].divide(unit),
        timestamps=timestamps,
    )


def _source_camera(
    key: PRNGKeyArray, world: World, frames: int, height: int, width: int
) -> tuple[Float[Array, "3 3"], Float[Array, "t 4 4"]]:
    """Intrinsics and camera-to-world of a camera that looks at a point near the world's origin."""
    view, aim, travel = jax.random.split(key, 3)
    fov, azimuth, elevation = jax.random.uniform(view, (3,))
    focal = 0.5 * width / jnp.tan(jnp.deg2rad(42 + 30 * fov) / 2)
    intrinsics = jnp.eye(3).at[0, 0].set(focal).at[1, 1].set(focal)
    intrinsics = intrinsics.at[:2, 2].set(jnp.array([width / 2, height / 2]))
    pivot = jax.random.uniform(aim, (3,), minval=-0.12, maxval=0.12)
    azimuth, elevation = 2 * jnp.pi * azimuth, jnp.deg2rad(-2 + 30 * elevation)
    offset = jnp.stack(
        [
            jnp.cos(elevation) * jnp.sin(azimuth),
            -jnp.sin(elevation),
            -jnp.cos(elevation) * jnp.cos(azimuth),
        ]
    )
    does_move, *step = jax.random.uniform(travel, (4,))
    path = (does_move < 0.4) * (jnp.stack(step) - 0.5) * 0.24  # 40 % of the sources translate
    centers = (pivot + offset)[None] + jnp.linspace(0.0, 1.0, frames)[:, None] * path[None]
    centers = _inside(world, centers)
    up = jnp.array([0.0, -1.0, 0.0])
    return intrinsics, jax.vmap(lambda center: look_at(center, pivot, up))(centers)


def _target_cameras(
    key: PRNGKeyArray,
    world: World,
    source: Float[Array, "4 4"],
    unit: Float[Array, ""],
    count: int,
    azimuths: Float[Array, "v-1"] | None,
    orbit: bool,
) -> Float[Array, "v-1 4 4"]:
    """Static cameras around a point near median depth on the source's axis; see `orbit` above."""
    angle, height, radius, aim, axis = jax.random.split(key, 5)

    def draw(key: PRNGKeyArray, spread: float, middle: float = 0.0) -> Float[Array, "v-1"]:
        low, high = middle - spread, middle + spread
        if orbit:  # on the way to one drawn value
            end = jax.random.uniform(key, minval=low, maxval=high)
            return middle + (end - middle) * jnp.arange(1, count + 1) / count
        return jax.random.uniform(key, (count,), minval=low, maxval=high)

    if azimuths is None:
        azimuths = draw(angle, MAX_AZIMUTH)
    azimuth, elevation = jnp.deg2rad(azimuths), jnp.deg2rad(draw(height, MAX_ELEVATION))
    distance = jnp.minimum(unit, 1.3) * jax.random.uniform(aim, minval=0.75, maxval=1.15)
    pivot = source[:3, 3] + distance * source[:3, 2]
    # Orbits turn around gravity's axis or around the source camera's own (all a lone video has).
    gravity = jnp.array([0.0, -1.0, 0.0])
    up = jnp.where(jax.random.bernoulli(axis), gravity, -source[:3, 1])
    back = source[:3, 3] - pivot
    toward = back - up * (back @ up)
    side = jnp.cross(toward, up)
    turned = jnp.cos(azimuth)[:, None] * toward[None] + jnp.sin(azimuth)[:, None] * side[None]
    lifted = turned + (up * (back @ up))[None]
    sideways = jnp.cross(jnp.broadcast_to(up, turned.shape), turned)
    sideways = sideways / jnp.linalg.norm(sideways, axis=-1, keepdims=True)
    raised = jnp.cross(lifted, sideways)
    offset = jnp.cos(elevation)[:, None] * lifted + jnp.sin(elevation)[:, None] * raised
    scale = draw(radius, 0.1, 1.0)[:, None]
    centers = _inside(world, pivot[None] + scale * offset)
    return jax.vmap(lambda center: look_at(center, pivot, up))(centers)


def _inside(world: World, center: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """Keep cameras a little away from walls, floor and ceiling."""
    return jnp.clip(center, world.room_min[None] + 0.1, world.room_max[None] - 0.1)


def look_at(
    center: Float[Array, "3"], target: Float[Array, "3"], up: Float[Array, "3"]
) -> Float[Array, "4 4"]:
    """Camera-to-world with OpenCV axes: z towards `target`, x right, y down (against `up`)."""
    forward = target - center
    forward = forward / jnp.linalg.norm(forward)
    right = jnp.cross(forward, up)
    right = right / jnp.linalg.norm(right)
    rotation = jnp.stack([right, jnp.cross(forward, right), forward], 1)
    return jnp.eye(4).at[:3, :3].set(rotation).at[:3, 3].set(center)
