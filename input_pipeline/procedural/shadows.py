"""Soft shadows without shadow maps: how much of a distant disc of light each primitive hides.

On its way to the light a ray passes a ball at a least distance d; with the light's disc seen as a
disc of radius s at that point, the share that is hidden falls smoothly from 1 at d = r - s to 0 at
r + s. Exact for a ball up to the shape of that fall, and taken over for ellipsoids (which are balls
in their own units), for capsules (the ball of their axis that is nearest to the ray), and for boxes
by how long a ray stays inside.
"""

from operator import truediv

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from input_pipeline.procedural.shapes import (
    Objects,
    Spans,
    Vector,
    box_span,
    columns,
    dot,
    in_own_frames,
    point_on_ray,
    smooth,
)


def light_arriving(
    objects: Objects,
    spans: Spans,
    present: Bool[Array, "g"],
    position: Vector,
    own: Int[Array, "p"],
    light: Float[Array, "3"],
    softness: Float[Array, ""],
) -> Float[Array, "p"]:
    """Return the share in [0, 1] of a light's disc that is seen from each position.

    Args:
      objects: the primitives.
      spans: of which shape they are.
      present: which of them are there.
      position: of the points, world.
      own: number of the primitive that a point lies on. It is convex, so it does not hide light
        from its lit side.
      light: unit vector towards the light, world.
      softness: tangent of its angular radius.
    """
    arriving = jnp.ones(position.x.shape)
    shapes = in_own_frames(objects, spans, position, columns(light))
    for hidden, (part, *local) in zip((_ellipsoid, _box, _capsule), shapes, strict=True):
        share = hidden(*local, softness)
        numbers = jnp.arange(part.start, part.stop)[:, None]
        counts = present[part, None] & (own[None] != numbers)
        arriving = arriving * jnp.where(counts, 1 - share, 1.0).prod(0)
    return arriving


def _fall(distance: Array, radius: Array | float, spread: Array) -> Array:
    """Fall from 1 at radius - spread to 0 at radius + spread."""
    x = jnp.clip((radius + spread - distance) / (2 * spread + 1e-6), 0, 1)
    return smooth(x)


def _ellipsoid(origin: Vector, ray: Vector, size: Vector, softness: Array) -> Array:
    origin = Vector(*map(truediv, origin, size))
    ray = Vector(*map(truediv, ray, size))
    squared = dot(ray, ray)
    step = -dot(origin, ray) / squared
    distance = jnp.sqrt(jnp.maximum(dot(origin, origin) - step * step * squared, 0))
    spread = softness * step * jnp.sqrt(squared)
    return jnp.where(step > 0, _fall(distance, 1.0, spread), 0.0)


def _capsule(origin: Vector, ray: Vector, size: Vector, softness: Array) -> Array:
    flat = ray.x * ray.x + ray.z * ray.z
    step = -(origin.x * ray.x + origin.z * ray.z) / (flat + 1e-6)
    end = origin.y - jnp.clip(origin.y + step * ray.y, -size.y, size.y)
    step = -(origin.x * ray.x + end * ray.y + origin.z * ray.z)
    gap = point_on_ray(origin._replace(y=end), step, ray)
    distance = jnp.sqrt(dot(gap, gap))
    return jnp.where(step > 0, _fall(distance, size.x, softness * step), 0.0)


def _box(origin: Vector, ray: Vector, size: Vector, softness: Array) -> Array:
    enter, leave = box_span(origin, ray, size)
    spread = softness * jnp.maximum(leave, 0.0)
    x = jnp.clip((leave - enter) / (2 * spread + 1e-6) + 0.5, 0, 1)
    return jnp.where(leave > 0, smooth(x), 0.0)
