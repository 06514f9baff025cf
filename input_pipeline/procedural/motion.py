"""Exact optical flow and occlusion of procedural scenes.

They are made apart from the pictures, so whoever does not ask for them does not pay for them.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int

from input_pipeline.procedural.cards import Cards, paint_cards
from input_pipeline.procedural.cutouts import Cutouts
from input_pipeline.procedural.scene import (
    FilmedWorld,
    image_rays,
    objects_at,
    visible_surface,
)
from input_pipeline.procedural.shapes import (
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
    """Place of each pixel's point at the next instant, seen by the same camera."""

    flow: Float[Array, "v t-1 h w 2"]  # pixels, x then y; nothing useful where next_depth <= 0
    next_depth: Float[Array, "v t-1 h w"]  # of the point then, in the clip's unit
    visible: Bool[Array, "v t-1 h w"]  # then too: inside the picture and behind nothing


class Standing(NamedTuple):
    """The cards of a clip (`scene.cards_of`), and the pictures on them."""

    cards: Cards
    cutouts: Cutouts


def procedural_motion(
    filmed: FilmedWorld, height: int, width: int, standing: Standing | None = None
) -> ProceduralMotion:
    """Return the motion in a clip of `procedural_scene`, given its `sample_filmed_world`.

    Args:
      filmed: the world and its cameras.
      height: rows of the pictures.
      width: columns of the pictures.
      standing: the cards that stand in it.
    """
    views = len(filmed.camera_to_world)
    now, then = filmed.camera_to_world[:, :-1], filmed.camera_to_world[:, 1:]
    steps = (
        jnp.tile(filmed.timestamps[:-1], views),
        jnp.tile(filmed.timestamps[1:], views),
        rearrange(now, "v t i j -> (v t) i j"),
        rearrange(then, "v t i j -> (v t) i j"),
    )
    step = partial(_step, filmed, standing, height, width)
    flow, depth, visible = jax.lax.map(lambda times: step(*times), steps)
    shape = "(v t) (h w) -> v t h w"
    sizes = {"v": views, "h": height}
    return ProceduralMotion(
        flow=rearrange(flow, "(v t) c (h w) -> v t h w c", **sizes),
        next_depth=rearrange(depth, shape, **sizes) / filmed.unit,
        visible=rearrange(visible, shape, **sizes),
    )


def _step(filmed, standing, height: int, width: int, time, next_time, pose, next_pose):
    """Flow, next depth and visibility of all pixels (p) of one picture."""
    world, k = filmed.world, filmed.intrinsics
    rays = image_rays(pose, k, height, width)
    depth, which = visible_surface(world, time, pose[:3, 3], rays)
    objects, spans = objects_at(world, time)
    at = surface_points(objects, spans, columns(pose[:3, 3]), rays, depth, which)
    moved = _carried(at.local, objects_at(world, next_time)[0], which)
    if standing is not None:
        depth, card = _before(filmed, standing, time, pose[:3, 3], rays, depth)
        glide = standing.cards.step[card].T * (next_time - time)
        there = (c + depth * r for c, r in zip(columns(pose[:3, 3]), rays, strict=True))
        kinds = zip(moved, there, glide, strict=True)
        moved = Vector(*(jnp.where(card < 0, other, x + step) for other, x, step in kinds))

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
    if standing is not None:
        nearest, _ = _before(filmed, standing, next_time, next_pose[:3, 3], toward, nearest)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return flow, z, inside & (z > NEAR) & (z < nearest * (1 + SAME))


def _before(
    filmed: FilmedWorld,
    standing: Standing,
    time: Float[Array, ""],
    origin: Float[Array, "3"],
    rays: Vector,
    depth: Float[Array, "p"],
) -> tuple[Float[Array, "p"], Int[Array, "p"]]:
    """Return z-depth with the cards, and which card is in front, -1 for none."""
    passed, black = time - filmed.timestamps[0], jnp.zeros((3, *depth.shape))
    _, depth, card = paint_cards(*standing, passed, origin, rays, (black, depth))
    return depth, card


def _carried(local: Vector, objects: Objects, which: Int[Array, "p"]) -> Vector:
    """World positions of points that are fixed to objects; those of the room stay."""
    count = len(objects.center)
    poses = [objects.center, objects.rotation.reshape(-1, 9)]
    pose = lookup(jnp.concatenate(poses, 1), jnp.minimum(which, count - 1))
    turned = to_world([Vector(*pose[i : i + 3]) for i in (3, 6, 9)], local)
    pairs = zip(turned, pose[:3], local, strict=True)
    return Vector(*(jnp.where(which < count, t + c, x) for t, c, x in pairs))
