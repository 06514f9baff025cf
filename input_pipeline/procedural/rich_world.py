"""Rich random worlds: people, furniture, thin poles, things that fly, two lights, textures.

Static shapes as in `world`, and the same axes and units. In order of the primitives:
ellipsoids of PEOPLE figures, then balls; boxes; limbs of the figures, then legs of table and
chair, poles and rods.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from input_pipeline.procedural import people, world
from input_pipeline.procedural.shapes import Objects, Scalar, Spans

# How many of each kind stand in a world.
PEOPLE = 3
BALLS = 3
CRATES = 4
POLES = 3
RODS = 2
SPANS = Spans(
    PEOPLE * people.ELLIPSOIDS + BALLS,
    3 + CRATES,
    PEOPLE * people.CAPSULES + 8 + POLES + RODS,
)
OBJECTS = sum(SPANS)
# Clouds, wood, marble, brick, checker, stripes, speckles, planks, plain.
KINDS = 9
PLAIN = KINDS - 1
_SHIRT, _TROUSERS, _SKIN = (range(i, 3 * PEOPLE, 3) for i in range(3))
_TABLE = 3 * PEOPLE
_CHAIR = 3 * PEOPLE + 1
_REST = 3 * PEOPLE + 2
MATERIALS = _REST + BALLS + CRATES + 2 + world.ROOM_FACES
FIRST_FACE = MATERIALS - world.ROOM_FACES


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """List the material and the instance (0 is the room) of every primitive, then every face."""
    table = PEOPLE + 1
    chair = PEOPLE + 2
    loose = itertools.count(PEOPLE + 3)
    figures = [*zip(range(1, PEOPLE + 1), _SKIN, _SHIRT, _TROUSERS, strict=True)]
    things = [(material, p) for p, *materials in figures for material in materials]
    things += [(_REST + i, next(loose)) for i in range(BALLS)]
    things += [(_TABLE, table), (_CHAIR, chair), (_CHAIR, chair)]
    things += [(_REST + BALLS + i, next(loose)) for i in range(CRATES)]
    for p, skin, shirt, trousers in figures:
        things += [(m, p) for m in [trousers] * 4 + [shirt, skin] * 2]
    things += [(_TABLE, table)] * 4 + [(_CHAIR, chair)] * 4
    things += [(FIRST_FACE - 2, next(loose)) for _ in range(POLES)]
    things += [(FIRST_FACE - 1, next(loose)) for _ in range(RODS)]
    things += [(face, 0) for face in range(FIRST_FACE, MATERIALS)]
    material, instance = np.array(things).T
    return material, instance


MATERIAL_OF, INSTANCE_OF = _tables()


class RichMaterials(NamedTuple):
    """Textures of m = MATERIALS surfaces; the last six are the room's."""

    kind: Int[Array, "m"]
    color_a: Float[Array, "m 3"]
    color_b: Float[Array, "m 3"]
    # Cells per world unit.
    frequency: Float[Array, "m"]
    # Strength of the finest noise.
    detail: Float[Array, "m"]
    phase: Float[Array, "m 3"]
    # In [0, 1): which of the pictures, and whether any.
    photo: Float[Array, "m 2"]


class RichWorld(NamedTuple):
    """All parameters of a scene (g = OBJECTS; poses of people are in `people`)."""

    room_min: Float[Array, "3"]
    room_max: Float[Array, "3"]
    outdoor: Bool[Array, ""]
    present: Bool[Array, "g"]
    # Of PEOPLE.
    people: people.Person
    # Everything else at rest: balls, boxes, capsules.
    still: Objects
    # Amplitudes.
    sway: Float[Array, "e 3"]
    sway_frequency: Float[Array, "e 1"]
    # Radians per second.
    spin: Float[Array, "e 3"]
    materials: RichMaterials
    # Unit vectors towards them.
    lights: Float[Array, "2 3"]
    light_colors: Float[Array, "2 3"]
    # Tangent of the angular radius.
    softness: Float[Array, "2"]
    ambient: Scalar
    exposure: Scalar

    spans = SPANS

    def objects_at(self, time: Scalar) -> Objects:
        """Return poses and sizes of all primitives at `time` (seconds)."""
        floor = self.room_max[1]
        figures = jax.vmap(people.person_at, (0, None, None))(self.people, floor, time)
        still = self.still
        center = still.center + self.sway * jnp.sin(self.sway_frequency * time)
        turned = world.rotation_of(self.spin * time) @ still.rotation
        return Objects(*map(_among, figures, (center, turned, still.size)))

    def instances(self) -> Int[Array, "_"]:
        """Number all primitives, then faces: 0 is the room, then come people, then things."""
        return jnp.array(INSTANCE_OF)


def sample_rich_world(key: PRNGKeyArray) -> RichWorld:
    """Draw a world."""
    uniform = world.uniform_stream(key)
    outdoor = uniform() < 0.4
    wall = jnp.where(outdoor, uniform(3, 4.0, 9.0), uniform(3, 1.25, 2.6))
    floor = uniform((), 0.2, 0.4)
    ceiling = jnp.where(outdoor, 6.0, uniform((), 0.9, 1.8))
    figures = _people(uniform)
    still, sway, spin, has = _things(uniform, floor)
    shown = jnp.repeat(figures.present[:, None], people.ELLIPSOIDS + people.CAPSULES, 1)
    lights = uniform((2, 3), -1.2, 1.2) * jnp.array([[1.0, 0.3, 1.0]])
    lights = lights - jnp.array([[0, 1.1, 0]])
    strength = jnp.stack([uniform((), 0.7, 1.0), uniform((), 0.0, 0.45)])
    return RichWorld(
        room_min=jnp.stack([-wall[0], -ceiling, -wall[2]]),
        room_max=jnp.stack([wall[0], floor, wall[2]]),
        outdoor=outdoor,
        present=_among(shown, has),
        people=figures,
        still=still,
        sway=sway,
        sway_frequency=uniform((len(sway), 1), 1.0, 4.0),
        spin=spin,
        materials=_materials(uniform),
        lights=lights / jnp.linalg.norm(lights, axis=1, keepdims=True),
        light_colors=strength[:, None] * (1 - uniform((2, 3), 0.0, 0.3)),
        softness=uniform(2, 0.03, 0.25),
        ambient=uniform((), 0.3, 0.6),
        exposure=uniform((), 0.95, 1.4),
    )


def _among(figures: Array, things: Array) -> Array:
    """Put all parts of figures (people, parts, ...) among things, in the order of primitives."""
    parts = jnp.split(figures, [people.ELLIPSOIDS], 1)
    balls, limbs = (part.reshape(-1, *things.shape[1:]) for part in parts)
    thick, thin = jnp.split(things, [BALLS + SPANS.boxes])
    return jnp.concatenate([balls, thick, limbs, thin])


def _people(uniform: world.Uniform) -> people.Person:
    n = PEOPLE
    return people.Person(
        present=uniform(n) < jnp.array([0.9, 0.6, 0.4]),
        action=jnp.floor(uniform(n, 0.0, 3.0)).astype(jnp.int32),
        height=uniform(n, 0.4, 0.7),
        girth=uniform(n, 0.85, 1.3),
        middle=uniform((n, 2), -0.5, 0.5),
        circle=uniform(n, 0.12, 0.5),
        heading=uniform(n, 0.0, 2 * jnp.pi),
        side=jnp.sign(uniform(n, -1.0, 1.0)),
        gait=uniform(n, 3.5, 8.0),
        phase=uniform(n, 0.0, 2 * jnp.pi),
    )


def _things(uniform: world.Uniform, floor: Scalar):
    """Draw the objects beside people, their swaying and spinning, and which are present."""
    ball = uniform((BALLS, 1), 0.04, 0.12) * uniform((BALLS, 3), 0.7, 1.3)
    x = uniform(BALLS, -0.6, 0.6)
    lift = uniform(BALLS, 0.1, 0.7)
    ball_at = jnp.stack([x, floor - lift, uniform(BALLS, -0.6, 0.6)], 1)
    # A top on four legs, and a seat and a back on four legs.
    table = _on_legs(uniform, floor, uniform(2, 0.14, 0.3), uniform((), 0.2, 0.32))
    seat = uniform(2, 0.07, 0.1)
    chair = _on_legs(uniform, floor, seat, uniform((), 0.14, 0.2), back=0.11)
    crate = uniform((CRATES, 3), 0.05, 0.17)
    board = jnp.stack([uniform((), 0.15, 0.35), uniform((), 0.15, 0.4), 0.012])
    crate = crate.at[0].set(board)
    # The third stands on the second.
    lift = jnp.zeros(CRATES).at[2].set(2 * crate[1, 1])
    spot = uniform((CRATES, 2), -0.75, 0.75)
    spot = spot.at[2].set(spot[1] + uniform(2, -0.03, 0.03))
    crate_at = jnp.stack([spot[:, 0], floor - crate[:, 1] - lift, spot[:, 1]], 1)
    yaws = uniform((CRATES, 1), 0.0, 2 * jnp.pi) * jnp.array([[0.0, 1.0, 0.0]])
    pole = jnp.stack([uniform(POLES, 0.006, 0.02), uniform(POLES, 0.2, 0.6)], 1)
    x, z = uniform(POLES, -0.8, 0.8), uniform(POLES, -0.8, 0.8)
    pole_at = jnp.stack([x, floor - pole[:, 1], z], 1)
    rod = jnp.stack([uniform(RODS, 0.006, 0.02), uniform(RODS, 0.08, 0.25)], 1)
    rod_at = uniform((RODS, 3), -0.5, 0.5) * jnp.array([[1.0, 0.4, 1.0]])
    rod_at = rod_at + jnp.stack([0.0, floor - 0.55, 0.0])[None]
    flat = [jnp.pad(x, ((0, 0), (0, 1))) for x in (pole, rod)]
    upright = jnp.broadcast_to(jnp.eye(3)[None], (POLES, 3, 3))
    parts = [
        Objects(ball_at, world.rotation_of(uniform((BALLS, 3), -2.0, 2.0)), ball),
        Objects(*(field[:1] for field in table)),
        Objects(*(field[:2] for field in chair)),
        Objects(crate_at, world.rotation_of(yaws), crate),
        Objects(*(field[1:] for field in table)),
        Objects(*(field[2:] for field in chair)),
        Objects(pole_at, upright, flat[0]),
        Objects(rod_at, world.rotation_of(uniform((RODS, 3), -2.0, 2.0)), flat[1]),
    ]
    still = Objects(*(jnp.concatenate(field) for field in zip(*parts, strict=True)))
    free = np.zeros((len(still.center), 1), np.float32)
    free[:BALLS] = free[-RODS:] = 1
    has_table, has_chair = uniform(2) < 0.6
    counts = (BALLS, 1, 2, CRATES, 4, 4, POLES + RODS)
    stands = [uniform(n) < 0.6 for n in counts]
    for part, here in zip((1, 2, 4, 5), (has_table, has_chair) * 2, strict=True):
        stands[part] = jnp.broadcast_to(here, (counts[part],))
    stands[3] = stands[3].at[2].set(stands[3][1] & stands[3][2])
    sway = uniform(still.center.shape, -0.22, 0.22) * free
    spin = uniform(still.center.shape, -2.5, 2.5) * free
    return still, sway, spin, jnp.concatenate(stands)


def _on_legs(uniform: world.Uniform, floor, half, height, back: float = 0.0) -> Objects:
    """Return a plate (and a back) on four thin legs, somewhere, turned about the vertical."""
    plate = jnp.stack([half[0], 0.012, half[1]])[None]
    centers = [jnp.stack([0.0, -height, 0.0])[None]]
    sizes = [plate]
    if back:
        centers.append(jnp.stack([0.0, -height - back, half[1]])[None])
        sizes.append(jnp.stack([half[0], back, 0.01])[None])
    signs = jnp.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    x, z = (signs * 0.9 * half[None]).T
    centers.append(jnp.stack([x, jnp.full(4, -height / 2), z], 1))
    leg = jnp.stack([uniform((), 0.007, 0.016), height / 2 - 0.01, 0.0])
    sizes.append(jnp.repeat(leg[None], 4, 0))
    turn = world.rotation_of(jnp.stack([0.0, uniform((), 0.0, 2 * jnp.pi), 0.0]))
    x, z = uniform(2, -0.6, 0.6)
    center = jnp.concatenate(centers)
    placed = (center[:, None] * turn[None]).sum(-1) + jnp.stack([x, floor, z])[None]
    turns = jnp.repeat(turn[None], len(center), 0)
    return Objects(placed, turns, jnp.concatenate(sizes))


def _materials(uniform: world.Uniform) -> RichMaterials:
    color_a = world.random_colors(uniform, MATERIALS)
    color_b = world.random_colors(uniform, MATERIALS)
    similar = uniform((MATERIALS, 1)) < 0.4
    color_b = jnp.where(similar, (color_a + 2 * color_b) / 3, color_b)
    kind = jnp.floor(uniform(MATERIALS, 0.0, float(KINDS))).astype(jnp.int32)
    skin = jnp.array(_SKIN)
    tone = uniform((PEOPLE, 1), 0.35, 1.0) * jnp.array([[0.95, 0.72, 0.58]])
    frequency = jnp.exp(uniform(MATERIALS, 2.2, 3.4))
    of_room = jnp.exp(uniform(world.ROOM_FACES, 1.0, 2.6))
    frequency = frequency.at[FIRST_FACE:].set(of_room)
    return RichMaterials(
        kind=kind.at[skin].set(PLAIN),
        color_a=color_a.at[skin].set(tone),
        color_b=color_b.at[skin].set(0.8 * tone),
        frequency=frequency,
        detail=uniform(MATERIALS, 0.1, 0.7).at[skin].set(0.15),
        phase=uniform((MATERIALS, 3), 0.0, 50.0),
        photo=uniform((MATERIALS, 2)).at[skin, 1].set(1.0),
    )
