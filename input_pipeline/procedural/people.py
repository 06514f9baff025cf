"""People-like figures of ellipsoids and capsules that walk in circles, wave, or stand.

Three ellipsoids (head, chest, pelvis), then eight capsules (thigh and shin of both legs, upper
and lower half of both arms). Proportions are fractions of the height; the
lower foot always touches the floor.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from input_pipeline.procedural.shapes import Objects, Scalar

# Ellipsoids of a person.
ELLIPSOIDS = 3
# Capsules of a person.
CAPSULES = 8
# Upper and lower half of a limb, as shares of the body's height.
LEG_LENGTHS = (0.245, 0.235)
ARM_LENGTHS = (0.16, 0.2)
UP = (0.0, -1.0, 0.0)


class Person(NamedTuple):
    """One figure; scalars of shape (), or (n,) for several."""

    present: Bool[Array, ""]
    action: Int[Array, ""]
    height: Scalar
    # Of all radii, relative.
    girth: Scalar
    # x, z: of the circle, or the place to stand.
    middle: Float[Array, "2"]
    # Its radius.
    circle: Scalar
    # Radians at time 0.
    heading: Scalar
    # +1 or -1: which way round.
    side: Scalar
    # Radians per second.
    gait: Scalar
    phase: Scalar


def person_at(person: Person, floor: Scalar, time: Scalar) -> Objects:
    """Return poses and sizes of the eleven parts."""
    hip_offset = 0.05
    shoulder_offset = 0.115
    walking = 0
    # People of any other action are idle.
    waving = 1
    size = person.height
    walks = (person.action == walking).astype(jnp.float32)
    waves = (person.action == waving).astype(jnp.float32)
    beat = person.gait * time + person.phase
    # A step is as long as the legs swing, so feet that stand do not slide much.
    turn = walks * person.side * 0.16 * size * person.gait * time / person.circle
    heading = person.heading + turn + (1 - walks) * 0.1 * jnp.sin(0.7 * beat)
    forward = jnp.stack([jnp.cos(heading), jnp.zeros(()), jnp.sin(heading)])
    side = jnp.stack([-jnp.sin(heading), jnp.zeros(()), jnp.cos(heading)])
    up = jnp.array(UP)
    place = person.middle - walks * person.side * person.circle * side[::2]

    # Left, right.
    swing = walks * 0.5 * jnp.sin(beat) * jnp.array([1.0, -1.0])
    lifted = jnp.clip(jnp.cos(beat) * jnp.array([1.0, -1.0]), 0, 1)
    shin_angle = swing - 0.1 - 0.9 * walks * lifted
    reach = LEG_LENGTHS[0] * jnp.cos(swing) + LEG_LENGTHS[1] * jnp.cos(shin_angle)
    hip_height = (reach.max() + 0.035 * person.girth) * size
    hip = jnp.stack([place[0], floor - hip_height, place[1]])
    sway = 0.01 * size * jnp.sin(beat) * side
    lean = up + (0.06 * walks) * forward

    girth = size * person.girth
    body = jnp.stack([forward, -up, jnp.cross(forward, -up)], 1)
    balls = [
        (hip + 0.42 * size * lean + sway, (0.062, 0.078, 0.058), size),
        (hip + 0.2 * size * lean + sway, (0.07, 0.165, 0.105), girth),
        (hip + 0.02 * size * up, (0.065, 0.085, 0.088), girth),
    ]
    limbs = []
    for i, out in enumerate((side, -side)):
        top = hip + hip_offset * size * out
        angles = swing[i], shin_angle[i]
        limbs += _limb(top, angles, (0.04, 0.02), forward, out, size, LEG_LENGTHS)
    arm_swing = -0.8 * swing
    for i, out in enumerate((side, -side)):
        # The right arm waves: raised sideways, its lower half to and fro.
        raised = waves * i
        top = hip + 0.31 * size * lean + shoulder_offset * size * out + sway
        angles = (arm_swing[i] * (1 - raised), (arm_swing[i] + 0.35) * (1 - raised))
        wave = 2.6 + 0.5 * jnp.sin(2 * beat)
        away = (0.12 + raised * 1.6, 0.08 + raised * wave)
        limbs += _limb(top, angles, away, forward, out, size, ARM_LENGTHS)
    radii = jnp.array([0.05, 0.036, 0.05, 0.036, 0.032, 0.026, 0.032, 0.026])
    halves = jnp.array([*LEG_LENGTHS, *LEG_LENGTHS, *ARM_LENGTHS, *ARM_LENGTHS]) / 2
    sizes = jnp.stack([radii * girth, halves * size, jnp.zeros(CAPSULES)], 1)
    semi_axes = jnp.stack([jnp.array(shape) * scale for _, shape, scale in balls])
    return Objects(
        jnp.stack([center for center, *_ in (*balls, *limbs)]),
        jnp.stack([body] * ELLIPSOIDS + [axes for _, axes in limbs]),
        jnp.concatenate([semi_axes, sizes]),
    )


def _limb(top, angles, away, forward, out, size, lengths):
    """Return centres and axes of two segments that hang from a joint.

    Args:
      top: the joint.
      angles: of both segments against the vertical, forwards.
      away: the same, away from the body.
      forward: where the figure goes.
      out: from its middle to this limb.
      size: the figure's height.
      lengths: of both segments, as shares of it.
    """
    down = -jnp.array(UP)
    parts = []
    for angle, sideways, length in zip(angles, away, lengths, strict=True):
        along = jnp.cos(angle) * (jnp.cos(sideways) * down + jnp.sin(sideways) * out)
        along = along + jnp.sin(angle) * forward
        across = jnp.cross(along, forward)
        across = across / jnp.linalg.norm(across)
        axes = jnp.stack([across, along, jnp.cross(across, along)], 1)
        parts.append((top + along * (length / 2 * size), axes))
        top = top + along * (length * size)
    return parts
