"""Single frames of rich worlds as people film them: any height, pitch, roll, lens and distance.

The worlds are `rich_world`'s, rearranged: rooms from a closet to a hall, open ground up to a
square; furniture from a stool to a house, each piece scaled and moved by itself. Of CANDIDATES
cameras that look at people, things and walls the one is taken that sees the most relief. Half of
the rooms have plain pale walls, like most that people live in: what is bright and has no texture
is not always the sky. A share ORBIT_SHARE of the frames leaves the world as it is and looks at it
from where the cameras of `procedural_scene` stand. The scenes are no clips and share no pictures
with those of `procedural_scene`.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from appearance import NO_PHOTOS, Appearance
from cards import paint_cards, stand_cards
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from input_pipeline.procedural.rich_world import (
    BALLS,
    FIRST_FACE,
    MATERIALS,
    PLAIN,
    POLES,
    RODS,
    SPANS,
    RichWorld,
    sample_rich_world,
)
from input_pipeline.procedural.scene import (
    FilmedWorld,
    camera_towards,
    image_rays,
    picture,
    source_camera,
    visible_surface,
)
from input_pipeline.procedural.shapes import FLOOR_FACE, Objects, is_sky
from input_pipeline.procedural.world import ROOM_FACES, uniform_stream

CANDIDATES = 3
# Degrees.
MAX_ROLL = 10.0
# Degrees.
PITCH_RANGE = (-60.0, 30.0)
# Degrees, along the longer side.
FIELD_OF_VIEW = (30.0, 100.0)
# From the camera to what it looks at; a person is about 0.55 tall.
DISTANCE = (0.25, 4.0)
# Pixels per side of what candidates are compared by.
COARSE_SIDE = 12
MIN_DEPTH = 0.12
# Of cameras from walls, floor and ceiling.
MARGIN = 0.08
# Its smallest depth, in the worlds' unit.
SKY = 12.0
ORBIT_SHARE = 0.35
# Of the faces of a room.
CEILING = FLOOR_FACE - 1
# Apart from the keys of `procedural_scene`.
_STREAM = 0x57494445


class WideFrame(NamedTuple):
    """One picture and its truth."""

    # [0, 1].
    frame: Float[Array, "h w 3"]
    # Z in units of its median.
    depth: Float[Array, "h w"]


@jax.default_matmul_precision("highest")
def wide_frame(
    index: Integer[Array, ""] | int,
    *,
    height: int,
    width: int,
    seed: int = 0,
    appearance: Appearance = NO_PHOTOS,
) -> WideFrame:
    """Render frame number `index`.

    Args:
      index: number of the frame.
      height: pixels.
      width: pixels.
      seed: of all frames.
      appearance: photographs for half of the surfaces, people and things on cards.
    """
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _STREAM), index)
    world_key, change_key, time_key, camera_key, orbit_key = jax.random.split(key, 5)
    as_it_is = sample_rich_world(world_key)
    changed = plain_walls(change_key, rearranged(change_key, as_it_is))
    is_orbited = jax.random.bernoulli(orbit_key, ORBIT_SHARE)
    world = jax.tree.map(partial(jnp.where, is_orbited), as_it_is, changed)
    time = jax.random.uniform(time_key, maxval=10.0)
    lens, poses = source_camera(camera_key, world, 1, height, width, (0.0, 0.0))
    free = best_camera(camera_key, world, time, height, width)
    intrinsics, pose = jax.tree.map(
        partial(jnp.where, is_orbited), (lens, poses[0]), free
    )
    filmed = FilmedWorld(world, time[None], intrinsics, pose[None, None], jnp.ones(()))
    colors, depth, which = picture(
        filmed, height, width, appearance.textures, time, pose
    )
    is_far = is_sky(world, which) & ~is_orbited
    depth = jnp.where(is_far, jnp.maximum(depth, SKY), depth)
    if appearance.cutouts is not None:
        reach = 0.5 * width / intrinsics[0, 0]
        floor = world.room_max[1]
        cards = stand_cards(
            jax.random.fold_in(key, 1), appearance.cutouts, pose, reach, floor
        )
        rays = image_rays(pose, intrinsics, height, width)
        seen = (colors, depth)
        origin = pose[:3, 3]
        still = jnp.zeros(())
        colors, depth, _ = paint_cards(
            cards, appearance.cutouts, still, origin, rays, seen
        )
    frame = colors.T.reshape(height, width, 3)
    depth = depth.reshape(height, width)
    return WideFrame(frame, depth / jnp.median(depth))


def rearranged(key: PRNGKeyArray, world: RichWorld) -> RichWorld:
    """Change the size of the room, and size and place of all that stands in it."""
    uniform = uniform_stream(key)

    def spread(shape: tuple[int, ...], low: float, high: float) -> Array:
        return jnp.exp(uniform(shape, float(np.log(low)), float(np.log(high))))

    half = jnp.where(world.outdoor, spread((2,), 2.5, 10.0), spread((2,), 0.6, 2.8))
    floor = world.room_max[1]
    top = floor - jnp.where(world.outdoor, 7.0, spread((), 0.7, 1.8))
    pieces = int(PIECE.max()) + 1
    indoors = spread((pieces,), 0.6, 2.5)
    outdoors = spread((pieces,), 0.6, 8.0)
    scale = jnp.where(world.outdoor, outdoors, indoors)
    reach = jnp.minimum(1.3 * scale[:, None], 0.8 * half[None])
    shift = reach * uniform((pieces, 2), -1.0, 1.0)
    ground = jnp.stack([0.0, floor, 0.0])
    moved = jnp.stack([shift[:, 0], jnp.zeros(pieces), shift[:, 1]], 1)
    size = scale[PIECE, None]
    still = world.still
    center = ground[None] + (still.center - ground[None]) * size + moved[PIECE]
    walk = jnp.minimum(1.5, 0.7 * half)[None] * uniform(
        (len(world.people.middle), 2), -1.0, 1.0
    )
    return world._replace(
        room_min=jnp.stack([-half[0], top, -half[1]]),
        room_max=jnp.stack([half[0], floor, half[1]]),
        people=world.people._replace(middle=world.people.middle + walk),
        still=Objects(center, still.rotation, still.size * size),
    )


def plain_walls(key: PRNGKeyArray, world: RichWorld) -> RichWorld:
    """Paint walls and ceiling of half of the rooms, each in a pale colour."""
    which, brightness, tint = jax.random.split(jax.random.fold_in(key, 1), 3)
    has_walls, has_ceiling = jax.random.bernoulli(which, jnp.array([0.5, 0.7]))
    same = jax.random.bernoulli(jax.random.fold_in(which, 1), 0.6)
    grey = jax.random.uniform(brightness, (ROOM_FACES, 1), minval=0.6, maxval=1.4)
    pale = jnp.clip(
        grey * (1 + 0.06 * jax.random.normal(tint, (ROOM_FACES, 3))), 0, 1.4
    )
    pale = jnp.where(same, pale[:1], pale)
    face = jnp.arange(ROOM_FACES)
    walls = has_walls & (face != FLOOR_FACE) & (face != CEILING)
    painted = (walls | (has_ceiling & (face == CEILING))) & ~world.outdoor
    painted = jnp.zeros(MATERIALS, bool).at[FIRST_FACE:].set(painted)
    pale = jnp.zeros((MATERIALS, 3)).at[FIRST_FACE:].set(pale)
    old = world.materials
    return world._replace(
        materials=old._replace(
            kind=jnp.where(painted, PLAIN, old.kind),
            color_a=jnp.where(painted[:, None], pale, old.color_a),
            color_b=jnp.where(painted[:, None], 0.9 * pale, old.color_b),
            detail=jnp.where(painted, 0.1 * old.detail, old.detail),
            photo=old.photo.at[:, 1].set(jnp.where(painted, 1.0, old.photo[:, 1])),
        )
    )


def pieces_of_furniture() -> np.ndarray:
    """Return which of the pieces of furniture each primitive of `RichWorld.still` belongs to."""
    table = 0
    chair = 1
    # The third crate stands on the second.
    crates = [2, 3, 3, 4]
    loose = iter(range(5, 5 + BALLS + POLES + RODS))
    balls = [next(loose) for _ in range(BALLS)]
    return np.array(
        [*balls, table, chair, chair, *crates, *[table] * 4, *[chair] * 4, *loose]
    )


PIECE = pieces_of_furniture()


def best_camera(
    key: PRNGKeyArray, world: RichWorld, time: Float[Array, ""], height: int, width: int
) -> tuple[Float[Array, "3 3"], Float[Array, "4 4"]]:
    """Return intrinsics and camera-to-world of the candidate that sees the most relief."""
    objects = world.objects_at(time)
    longer = max(height, width)
    sides = jnp.array([COARSE_SIDE / width, COARSE_SIDE / height, 1.0])

    def candidate(key: PRNGKeyArray) -> tuple[Array, Array, Array]:
        lens, pose = jax.random.split(key)
        angle = jax.random.uniform(
            lens, minval=FIELD_OF_VIEW[0], maxval=FIELD_OF_VIEW[1]
        )
        focal = 0.5 * longer / jnp.tan(jnp.deg2rad(angle) / 2)
        intrinsics = jnp.diag(jnp.stack([focal, focal, 1.0]))
        intrinsics = intrinsics.at[:2, 2].set(jnp.array([width / 2, height / 2]))
        camera = _camera(pose, world, objects)
        rays = image_rays(camera, sides[:, None] * intrinsics, COARSE_SIDE, COARSE_SIDE)
        depth, which = visible_surface(world, time, camera[:3, 3], rays)
        sky = is_sky(world, which)
        relief = jnp.nan_to_num(jnp.log(depth).std(where=~sky))
        is_empty = ((depth < MIN_DEPTH).mean() > 0.1) | (sky.mean() > 0.6)
        return intrinsics, camera, jnp.where(is_empty, -1.0, relief)

    intrinsics, cameras, relief = jax.vmap(candidate)(jax.random.split(key, CANDIDATES))
    best = jnp.argmax(relief)
    return intrinsics[best], cameras[best]


def _camera(
    key: PRNGKeyArray, world: RichWorld, objects: Objects
) -> Float[Array, "4 4"]:
    """Draw a camera-to-world that looks at, or past, something in the room."""
    where, far, sideways_key, angles = jax.random.split(key, 4)
    most = DISTANCE[1] * jnp.where(world.outdoor, 2.0, 1.0)
    distance = DISTANCE[0] * (most / DISTANCE[0]) ** jax.random.uniform(far)
    target = _target(where, world, objects) + 0.15 * distance * jax.random.normal(
        sideways_key, (3,)
    )
    rotation = random_rotation(angles)
    low = world.room_min + MARGIN
    high = world.room_max - MARGIN
    center = jnp.clip(target - distance * rotation[:, 2], low, high)
    return jnp.eye(4).at[:3, :3].set(rotation).at[:3, 3].set(center)


def _target(key: PRNGKeyArray, world: RichWorld, objects: Objects) -> Float[Array, "3"]:
    """Draw a part of a person, a thing, or any place near the ground."""
    which, place = jax.random.split(key)
    is_person = jnp.arange(len(objects.center)) < SPANS.ellipsoids - BALLS
    weight = world.present * jnp.where(is_person, 3.0, 1.0)
    thing = objects.center[jax.random.categorical(which, jnp.log(weight + 1e-6))]
    share, *corner = jax.random.uniform(place, (4,))
    low = world.room_min.at[1].max(world.room_max[1] - 1.5)
    anywhere = low + jnp.stack(corner) * (world.room_max - low)
    return jnp.where(share < 0.65, thing, anywhere)


def random_rotation(key: PRNGKeyArray) -> Float[Array, "3 3"]:
    """Draw a camera's axes: most look a little down, the others up or down within `PITCH_RANGE`."""
    usual, steep, turn, tilt = jax.random.split(key, 4)
    share, angle = jax.random.uniform(steep, (2,))
    pitch = -8 + 10 * jax.random.normal(usual)
    pitch = jnp.where(
        share < 0.45, PITCH_RANGE[0] + (PITCH_RANGE[1] - PITCH_RANGE[0]) * angle, pitch
    )
    pitch = jnp.deg2rad(pitch)
    azimuth = jax.random.uniform(turn, maxval=2 * jnp.pi)
    roll = jnp.deg2rad(
        jnp.clip(MAX_ROLL / 2 * jax.random.normal(tilt), -MAX_ROLL, MAX_ROLL)
    )
    level = jnp.stack([jnp.sin(azimuth), 0.0, jnp.cos(azimuth)])
    up = jnp.array([0.0, -1.0, 0.0])
    forward = jnp.cos(pitch) * level + jnp.sin(pitch) * up
    axes = camera_towards(jnp.zeros(3), forward, up)[:3, :3]
    right = axes[:, 0]
    down = axes[:, 1]
    cos = jnp.cos(roll)
    sin = jnp.sin(roll)
    return jnp.stack([cos * right + sin * down, cos * down - sin * right, forward], 1)
