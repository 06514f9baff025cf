"""Cameras of procedural scenes: one that looks near the world's origin, and others around it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from input_pipeline.procedural.rich_world import RichWorld
from input_pipeline.procedural.shapes import Scalar
from input_pipeline.procedural.world import World

AnyWorld = World | RichWorld
# Degrees, of a target camera around the pivot.
MAX_AZIMUTH = 60.0
MAX_ELEVATION = 12.0


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
    centers = (pivot + offset)[None] + jnp.linspace(0.0, 1.0, frames)[:, None] * path[None]
    centers = _inside(world, centers)
    up = jnp.array([0.0, -1.0, 0.0])
    return intrinsics, jax.vmap(lambda center: camera_towards(center, pivot, up))(centers)


def target_cameras(
    key: PRNGKeyArray,
    world: AnyWorld,
    source: Float[Array, "4 4"],
    unit: Scalar,
    count: int,
    azimuths: Float[Array, "targets"] | None,
    orbit: bool,
) -> Float[Array, "targets 4 4"]:
    """Draw static cameras around a point near median depth on the source's axis."""
    angle, height, radius, aim, axis = jax.random.split(key, 5)

    def draw(key: PRNGKeyArray, spread: float, middle: float = 0.0) -> Float[Array, "targets"]:
        low = middle - spread
        high = middle + spread
        # On the way to one drawn value.
        if orbit:
            end = jax.random.uniform(key, minval=low, maxval=high)
            return middle + (end - middle) * jnp.arange(1, count + 1) / count
        return jax.random.uniform(key, (count,), minval=low, maxval=high)

    if azimuths is None:
        azimuths = draw(angle, MAX_AZIMUTH)
    azimuth = jnp.deg2rad(azimuths)
    elevation = jnp.deg2rad(draw(height, MAX_ELEVATION))
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
    moved = center + jnp.linspace(-0.5, 0.5, frames)[None, :, None] * step[:, None]
    moved = jnp.stack([_inside(world, points) for points in moved]) if count else moved
    return jax.vmap(jax.vmap(camera_towards))(moved, pivot, -down)


def _inside(world: AnyWorld, center: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """Keep cameras a little away from walls, floor and ceiling."""
    return jnp.clip(center, world.room_min[None] + 0.1, world.room_max[None] - 0.1)


def camera_towards(
    center: Float[Array, "3"], target: Float[Array, "3"], up: Float[Array, "3"]
) -> Float[Array, "4 4"]:
    """Camera-to-world with OpenCV axes: z towards `target`, x right, y down (against `up`)."""
    forward = target - center
    forward = forward / jnp.linalg.norm(forward)
    right = jnp.cross(forward, up)
    right = right / jnp.linalg.norm(right)
    rotation = jnp.stack([right, jnp.cross(forward, right), forward], 1)
    return jnp.eye(4).at[:3, :3].set(rotation).at[:3, 3].set(center)
