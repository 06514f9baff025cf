"""Exact optical flow, occlusion and instance masks of procedural scenes.

They are made apart from the pictures, so whoever does not ask for them does not pay for them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int

from input_pipeline import procedural_rich_world as rich
from input_pipeline import procedural_world as simple
from input_pipeline.procedural import (
    Shot,
    World,
    Worlds,
    image_rays,
    objects_at,
    sample_shot,
    visible_surface,
)
from input_pipeline.procedural_shapes import (
    NEAR,
    Objects,
    Vector,
    columns,
    lookup,
    rows,
    surface_points,
    to_local,
    to_world,
)

SAME = 0.002  # relative depth within which a surface counts as the one looked for


class ProceduralMotion(NamedTuple):
    """Where the point in every pixel is at the next instant, seen by the same camera."""

    flow: Float[Array, "v t-1 h w 2"]  # pixels, x then y; nothing useful where next_depth <= 0
    next_depth: Float[Array, "v t-1 h w"]  # of the point then, in the clip's unit
    visible: Bool[Array, "v t-1 h w"]  # then too: inside the picture and behind nothing
    instances: Int[Array, "v t h w"]  # 0 is the room; a person or a table is one number


def procedural_motion(
    index: Int[Array, ""] | int,
    *,
    views: int = 4,
    frames: int = 4,
    height: int = 64,
    width: int = 64,
    seed: int = 0,
    azimuths: Float[Array, "v-1"] | None = None,
    orbit: bool = False,
    worlds: Worlds = "simple",
) -> ProceduralMotion:
    """Of clip number `index`, with the arguments of `procedural_scene`."""
    shot = sample_shot(
        index,
        views=views,
        frames=frames,
        height=height,
        width=width,
        seed=seed,
        azimuths=azimuths,
        orbit=orbit,
        worlds=worlds,
    )

    def seen(time_and_pose):
        time, pose = time_and_pose
        rays = image_rays(pose, shot.intrinsics, height, width)
        return _instances(shot.world)[visible_surface(shot.world, time, pose[:3, 3], rays)[1]]

    poses = rearrange(shot.camera_to_world, "v t i j -> (v t) i j")
    instances = jax.lax.map(seen, (jnp.tile(shot.timestamps, views), poses))
    now, then = shot.camera_to_world[:, :-1], shot.camera_to_world[:, 1:]
    steps = (
        jnp.tile(shot.timestamps[:-1], views),
        jnp.tile(shot.timestamps[1:], views),
        rearrange(now, "v t i j -> (v t) i j"),
        rearrange(then, "v t i j -> (v t) i j"),
    )
    flow, depth, visible = jax.lax.map(lambda step: _step(shot, height, width, *step), steps)
    shape = "(v t) (h w) -> v t h w"
    sizes = {"v": views, "h": height}
    return ProceduralMotion(
        flow=rearrange(flow, "(v t) c (h w) -> v t h w c", **sizes),
        next_depth=rearrange(depth, shape, **sizes) / shot.unit,
        visible=rearrange(visible, shape, **sizes),
        instances=rearrange(instances, shape, **sizes),
    )


def _step(shot: Shot, height: int, width: int, time, next_time, pose, next_pose):
    """Flow, next depth and visibility of all pixels (p) of one picture."""
    world, k = shot.world, shot.intrinsics
    rays = image_rays(pose, k, height, width)
    depth, which = visible_surface(world, time, pose[:3, 3], rays)
    objects, spans = objects_at(world, time)
    at = surface_points(objects, spans, columns(pose[:3, 3]), rays, depth, which)
    moved = _carried(at.local, objects_at(world, next_time)[0], which)

    center = columns(next_pose[:3, 3])
    offset = Vector(*(m - c for m, c in zip(moved, center, strict=True)))
    x, y, z = to_local(rows(next_pose[:3, :3]), offset)
    safe = jnp.maximum(z, NEAR)
    column, row = k[0, 0] * x / safe + k[0, 2], k[1, 1] * y / safe + k[1, 2]
    grid = jnp.arange(height * width)
    flow = jnp.stack([column - grid % width - 0.5, row - grid // width - 0.5])
    # The ray through the moved point itself, not through the nearest pixel's centre.
    toward = Vector(*(o / safe for o in offset))
    nearest, _ = visible_surface(world, next_time, next_pose[:3, 3], toward)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return flow, z, inside & (z > NEAR) & (z < nearest * (1 + SAME))


def _carried(local: Vector, objects: Objects, which: Int[Array, "p"]) -> Vector:
    """World positions of points that are fixed to objects; those of the room stay."""
    count = len(objects.center)
    poses = [objects.center, objects.rotation.reshape(-1, 9)]
    pose = lookup(jnp.concatenate(poses, 1), jnp.minimum(which, count - 1))
    turned = to_world([Vector(*pose[i : i + 3]) for i in (3, 6, 9)], local)
    pairs = zip(turned, pose[:3], local, strict=True)
    return Vector(*(jnp.where(which < count, t + c, x) for t, c, x in pairs))


def _instances(world: World) -> Int[Array, "m"]:
    """The instance of every primitive and then every face of the room."""
    if isinstance(world, rich.RichWorld):
        return jnp.asarray(rich.INSTANCE_OF, jnp.int32)
    walker = jnp.zeros(simple.OBJECTS, bool).at[jnp.array(simple.WALKER_SLOTS)].set(True)
    number = jnp.where(walker & world.walker.present, 1, 2 + jnp.arange(simple.OBJECTS))
    return jnp.concatenate([number, jnp.zeros(simple.FACES, jnp.int32)])
