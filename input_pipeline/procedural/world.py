"""Random dynamic worlds: the objects of a procedural scene and their poses at any time.

A world is a box room or (35 %) an open ground under a sky, eleven primitives (ellipsoids, boxes,
capsules), most of them moving, and in half of the worlds an articulated walker that borrows six of
the slots. Everything is a pure function of a PRNG key with static shapes, so that `jit`, `vmap` and
any accelerator apply.

World axes: x right, y *down* (the floor is at positive y), z forward. The unit of length here is
the distance of the source camera to the point that it looks at; `scene.py` rescales to the
project's unit (median source depth) once depth is known. Angles are radians, times seconds.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from input_pipeline.procedural.shapes import Objects, Scalar, Spans

SPANS = Spans(ellipsoids=4, boxes=3, capsules=4)
OBJECTS = sum(SPANS)
# -x +x -y(ceiling) +y(floor) -z +z.
ROOM_FACES = 6
MATERIALS = OBJECTS + ROOM_FACES
# Torso, head, two legs, two arms.
WALKER_SLOTS = (0, 1, *range(OBJECTS - SPANS.capsules, OBJECTS))

# (shape, low, high) -> the next draws.
Uniform = Callable[..., Float[Array, "..."]]


class Walker(NamedTuple):
    """An articulated figure; scalars of shape ()."""

    present: Bool[Array, ""]
    size: Scalar
    # Angular frequency of the limbs.
    gait: Scalar
    heading: Scalar
    # Radians per second.
    turning: Scalar
    speed: Scalar
    # How far the arms are raised, radians.
    lift: Scalar
    # x, z.
    start: Float[Array, "2"]


class Materials(NamedTuple):
    """Solid textures of the objects and then of the six faces of the room (m = MATERIALS)."""

    # Checker, stripes, noise, marble, gradient, plain.
    kind: Int[Array, "m"]
    color_a: Float[Array, "m 3"]
    color_b: Float[Array, "m 3"]
    frequency: Float[Array, "m"]
    rotation: Float[Array, "m 3 3"]
    phase: Float[Array, "m 3"]


class World(NamedTuple):
    """All parameters of a scene (g = OBJECTS)."""

    room_min: Float[Array, "3"]
    room_max: Float[Array, "3"]
    outdoor: Bool[Array, ""]
    present: Bool[Array, "g"]
    center: Float[Array, "g 3"]
    # Semi-axes; for capsules (radius, half length, unused).
    size: Float[Array, "g 3"]
    # Amplitudes of two sinusoids of the centre.
    sway: Float[Array, "g 2 3"]
    sway_frequency: Float[Array, "g 2 1"]
    sway_phase: Float[Array, "g 2 1"]
    # Rotation vector at time 0.
    orientation: Float[Array, "g 3"]
    # Its change per second.
    spin: Float[Array, "g 3"]
    walker: Walker
    materials: Materials
    # Unit vector towards the light.
    light: Float[Array, "3"]
    light_color: Float[Array, "3"]
    ambient: Scalar
    exposure: Scalar

    spans = SPANS

    def objects_at(self, time: Scalar) -> Objects:
        """Return poses and sizes of all primitives at `time` (seconds)."""
        sway = self.sway * jnp.sin(self.sway_frequency * time + self.sway_phase)
        center = self.center + sway.sum(1)
        rotation = rotation_of(self.orientation + self.spin * time)
        figure = _walker_at(self.walker, self.room_max[1], time)
        slots = jnp.array(WALKER_SLOTS)

        def place(values, replacement):
            values_kept = jnp.where(self.walker.present, replacement, values[slots])
            return values.at[slots].set(values_kept)

        return Objects(*map(place, (center, rotation, self.size), figure))

    def instances(self) -> Int[Array, "m"]:
        """Number all primitives, then faces: 0 is the room, 1 the walker, others are things."""
        walker = jnp.zeros(OBJECTS, bool).at[jnp.array(WALKER_SLOTS)].set(True)
        number = jnp.where(walker & self.walker.present, 1, 2 + jnp.arange(OBJECTS))
        return jnp.concatenate([number, jnp.zeros(ROOM_FACES, jnp.int32)])


def rotation_of(vector: Float[Array, "*s 3"]) -> Float[Array, "*s 3 3"]:
    """Return a rotation by Rodrigues' formula; finite at zero."""
    angle = jnp.sqrt((vector * vector).sum(-1) + 1e-9)[..., None, None]
    x, y, z = jnp.moveaxis(vector / angle[..., 0], -1, 0)
    o = jnp.zeros_like(x)
    cross = jnp.stack([o, -z, y, z, o, -x, -y, x, o], -1).reshape(*vector.shape, 3)
    identity = jnp.broadcast_to(jnp.eye(3), cross.shape)
    return identity + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * cross @ cross


def uniform_stream(key: PRNGKeyArray) -> Uniform:
    """Return slices of one vector of draws: one random call compiles faster than thirty."""
    # Uniform numbers that a world may use.
    most_draws = 1024
    draws = jax.random.uniform(key, (most_draws,))
    used = 0

    def uniform(shape=(), low=0.0, high=1.0):
        nonlocal used
        first = used
        used = used + int(np.prod(shape))
        return low + (high - low) * draws[first:used].reshape(shape)

    return uniform


def sample_world(key: PRNGKeyArray) -> World:
    """Draw a world."""
    uniform = uniform_stream(key)

    # The room; outdoors its walls are far away, and the sky is above.
    outdoor = uniform() < 0.35
    wall = jnp.where(outdoor, uniform(3, 4.0, 9.0), uniform(3, 1.25, 2.6))
    floor = uniform((), 0.12, 0.45)
    ceiling = jnp.where(outdoor, 6.0, uniform((), 1.0, 2.2))

    # Objects stand on the floor or float above it.
    radius = uniform(SPANS.capsules, 0.03, 0.07)
    capsule = jnp.stack([radius, uniform(SPANS.capsules, 0.06, 0.2)], -1)
    size = uniform((OBJECTS, 3), 0.06, 0.2)
    size = size.at[-SPANS.capsules :].set(jnp.pad(capsule, ((0, 0), (0, 1))))
    resting = uniform(OBJECTS) < 0.55
    spread = jnp.array([[1.1, 0.55, 1.1]])
    corner = jnp.array([[0.55, 0.35, 0.55]])
    center = uniform((OBJECTS, 3)) * spread - corner
    on_floor = floor - size[:, 1]
    height = jnp.where(resting, on_floor, jnp.minimum(center[:, 1], on_floor))
    center = center.at[:, 1].set(height)

    # What stands on the floor turns about the vertical and sways along the floor only.
    moving = (uniform(OBJECTS) < 0.7).astype(jnp.float32)
    # What rests on the floor stays on it.
    vertical = jnp.where(resting, 0.0, 0.6)
    level = jnp.ones(OBJECTS)
    freedom = jnp.stack([level, vertical, level], -1) * moving[:, None]
    upright = jnp.where(resting[:, None], jnp.array([[0.0, 1.0, 0.0]]), 1.0)

    # A walker takes the place of some objects, whether it is there or not: shapes are static.
    walker = Walker(
        present=uniform() < 0.5,
        size=uniform((), 0.09, 0.16),
        gait=uniform((), 3.0, 9.0),
        heading=uniform((), 0.0, 2 * jnp.pi),
        turning=uniform((), -1.5, 1.5),
        speed=uniform((), 0.0, 0.5),
        lift=uniform(),
        start=uniform(2, -0.3, 0.3),
    )
    is_walker = jnp.zeros(OBJECTS, bool).at[jnp.array(WALKER_SLOTS)].set(True)
    light = uniform(3, -1.7, 1.7) * jnp.array([1.0, 0.4, 1.0]) + jnp.array(
        [0.0, -1.3, 0.0]
    )
    return World(
        room_min=jnp.stack([-wall[0], -ceiling, -wall[2]]),
        room_max=jnp.stack([wall[0], floor, wall[2]]),
        outdoor=outdoor,
        present=(uniform(OBJECTS) < uniform((), 0.35, 0.85))
        | (is_walker & walker.present),
        center=center,
        size=size,
        sway=uniform((OBJECTS, 2, 3), -0.22, 0.22) * freedom[:, None],
        sway_frequency=uniform((OBJECTS, 2, 1), 1.0, 4.0),
        sway_phase=uniform((OBJECTS, 2, 1), 0.0, 2 * jnp.pi),
        orientation=uniform((OBJECTS, 3), -1.0, 1.0) * upright * 3.0,
        spin=uniform((OBJECTS, 3), -2.5, 2.5) * upright * moving[:, None],
        walker=walker,
        materials=_sample_materials(uniform, outdoor),
        light=light / jnp.linalg.norm(light),
        light_color=1 - uniform(3, 0.0, 0.25),
        ambient=uniform((), 0.35, 0.75),
        exposure=uniform((), 0.8, 1.2),
    )


def _sample_materials(uniform: Uniform, outdoor: Bool[Array, ""]) -> Materials:
    color_a = random_colors(uniform, MATERIALS)
    color_b = random_colors(uniform, MATERIALS)
    similar = uniform((MATERIALS, 1)) < 0.4
    object_frequency = jnp.exp(uniform(OBJECTS, 1.1, 2.9))
    face_frequency = jnp.exp(uniform(ROOM_FACES, 0.0, 1.8)) / jnp.where(
        outdoor, 1.5, 1.0
    )
    # Walls keep their grain.
    tilt = jnp.where(jnp.arange(MATERIALS) < OBJECTS, 1.7, 0.4)
    return Materials(
        kind=jnp.floor(uniform(MATERIALS, 0.0, 6.0)).astype(jnp.int32),
        color_a=color_a,
        color_b=jnp.where(similar, (color_a + color_b) / 2, color_b),
        frequency=jnp.concatenate([object_frequency, face_frequency]),
        rotation=rotation_of(uniform((MATERIALS, 3), -1.0, 1.0) * tilt[:, None]),
        phase=uniform((MATERIALS, 3), 0.0, 50.0),
    )


def random_colors(uniform: Uniform, count: int) -> Float[Array, "m 3"]:
    """Return random colours by hue, saturation and value."""
    hue, saturation, value = uniform((3, count, 1))
    saturation = 0.9 * saturation**0.7
    rgb = jnp.clip(jnp.abs((hue * 6 + jnp.array([[0.0, 4.0, 2.0]])) % 6 - 3) - 1, 0, 1)
    return (0.2 + 0.8 * value) * (1 - saturation + saturation * rgb)


def _walker_at(walker: Walker, floor: Scalar, time: Scalar) -> Objects:
    """Return torso, head, two legs and two arms that swing in opposite phase."""
    scale = walker.size
    leg = 1.1 * walker.size
    heading = walker.heading + walker.turning * time
    zero = jnp.zeros_like(heading)
    forward = jnp.stack([jnp.cos(heading), zero, jnp.sin(heading)])
    side = jnp.stack([-jnp.sin(heading), zero, jnp.cos(heading)])
    up = jnp.array([0.0, -1.0, 0.0])
    drift = jnp.stack([jnp.cos(walker.heading), jnp.sin(walker.heading)])
    ground = walker.start + drift * walker.speed * (time - 0.5)
    bounce = 0.05 * scale * jnp.sin(2 * walker.gait * time)
    height = floor - 2 * leg - 0.6 * scale - bounce
    torso = jnp.stack([ground[0], height, ground[1]])

    def limb(joint, phase, raised, half_length, radius):
        swing = 0.7 * jnp.sin(walker.gait * time + phase) + raised
        along = jnp.sin(swing) * forward - jnp.cos(swing) * up
        axes = jnp.stack([jnp.cross(along, side), along, side], 1)
        return joint + along * half_length, axes, jnp.stack([radius, half_length, zero])

    hip = torso - up * 0.5 * scale
    shoulder = torso + up * 0.5 * scale
    body = jnp.stack([forward, -up, jnp.cross(forward, -up)], 1)
    leg_size = 0.0, leg, 0.2 * scale
    arm_size = walker.lift, 0.7 * scale, 0.15 * scale
    parts = [
        (torso, body, jnp.array([0.5, 0.95, 0.65]) * scale),
        (torso + up * 1.45 * scale, body, jnp.array([0.42, 0.5, 0.42]) * scale),
        limb(hip + side * 0.35 * scale, 0.0, *leg_size),
        limb(hip - side * 0.35 * scale, jnp.pi, *leg_size),
        limb(shoulder + side * 0.75 * scale, jnp.pi, *arm_size),
        limb(shoulder - side * 0.75 * scale, 0.0, *arm_size),
    ]
    return Objects(*(jnp.stack(values) for values in zip(*parts, strict=True)))
