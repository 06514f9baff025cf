"""Colours of a rich world, for one camera at one instant.

Soft shadows come without shadow maps: how much of a distant disc of light each primitive hides. On
its way to the light a ray passes a ball at a least distance d; with the light's disc seen as a disc
of radius s at that point, the share that is hidden falls smoothly from 1 at d = r - s to 0 at
r + s. Exact for a ball up to the shape of that fall, and taken over for ellipsoids (which are balls
in their own units), for capsules (the ball of their axis that is nearest to the ray), and for boxes
by how long a ray stays inside.
"""

from operator import truediv

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from input_pipeline.procedural.rich_world import (
    FIRST_FACE,
    MATERIAL_OF,
    OBJECTS,
    SPANS,
    RichWorld,
)
from input_pipeline.procedural.shapes import (
    FLOOR_FACE,
    Numbers,
    Objects,
    Pixels,
    Scalar,
    Traced,
    Vector,
    box_span,
    columns,
    dot,
    in_blocks,
    in_own_frames,
    point_on_ray,
    smooth,
    surface_points,
)
from input_pipeline.procedural.textures import photo_colors, texture, value_noise


def paint_rich_world(
    world: RichWorld,
    objects: Objects,
    origin: Vector,
    traced: Traced,
    focal: Scalar,
    textures: Float[Array, "n s s 3"] | None = None,
) -> Float[Array, "3 p"]:
    """Return colours in [0, 1] of what rays from `origin` see first; textures are filtered.

    `focal` is in pixels; `textures` are pictures in [0, 1] that half of the materials take their
    colours from.
    """
    materials = world.materials

    def paint(traced: Traced):
        _, depth, which = traced
        at = surface_points(objects, SPANS, origin, *traced)
        return texture(materials, _material(which), at, depth / focal)

    def light(traced: Traced):
        _, _, which = traced
        at = surface_points(objects, SPANS, origin, *traced)
        arriving = []
        for toward, softness in zip(world.lights, world.softness, strict=True):
            lambert = jnp.clip(dot(at.normal, columns(toward)), 0, 1)
            share = _light_arriving(objects, world.present, at.position, which, toward, softness)
            arriving.append(lambert * share)
        return [*arriving, 0.85 - 0.15 * at.normal.y]

    rays, _, which = traced
    mix, brightness = (x[None] for x in in_blocks(paint, traced))
    material = _material(which)
    albedo = materials.color_a.T[:, material] * (1 - mix)
    albedo = albedo + materials.color_b.T[:, material] * mix
    if textures is not None:

        def photograph(traced: Traced):
            at = surface_points(objects, SPANS, origin, *traced)
            return photo_colors(textures, materials, _material(traced[-1]), at)

        *photo, has_photo = in_blocks(photograph, traced)
        albedo = jnp.where(has_photo[None] > 0, jnp.stack(photo), albedo)
    first, second, ambient = (x[None] for x in in_blocks(light, traced))
    lit = world.ambient * ambient + (1.1 - world.ambient) * (
        first * world.light_colors[0][:, None] + second * world.light_colors[1][:, None]
    )
    color = jnp.where(is_sky(world, which)[None], _sky(world, rays), albedo * brightness * lit)
    return jnp.clip(color * world.exposure, 0, 1)


def is_sky(world: RichWorld, which: Numbers) -> Bool[Array, "p"]:
    """Tell which of the surfaces are painted as sky: all but the ground around outdoor worlds."""
    return world.outdoor & (which >= OBJECTS) & (which != OBJECTS + FLOOR_FACE)


def _material(which: Numbers) -> Numbers:
    return jnp.asarray(MATERIAL_OF, jnp.int32)[which]


def _sky(world: RichWorld, rays: Vector) -> Float[Array, "3 p"]:
    """Return a gradient with clouds that are infinitely far away."""
    length = jnp.sqrt(dot(rays, rays))
    x, y, z = (ray / length for ray in rays)
    elevation = jnp.clip(0.2 - 1.2 * y, 0, 1)[None]
    height = 1 / jnp.maximum(0.15 - y, 0.15)
    above = Vector(2 * x * height, jnp.zeros(y.shape), 2 * z * height)
    finer = Vector(*(2.2 * x + 5 for x in above))
    cloud = jnp.clip(2.5 * (0.6 * value_noise(above) + 0.4 * value_noise(finer)) - 1.1, 0, 1)
    cloud = cloud * jnp.clip(-5 * y - 0.75, 0, 1)
    low = world.materials.color_b[FIRST_FACE]
    high = jnp.array([0.35, 0.55, 0.9])
    pale = 0.5 * low[:, None] + jnp.array([[0.4], [0.43], [0.46]])
    blue = pale * (1 - elevation) + high[:, None] * elevation
    return blue * (1 - 0.6 * cloud)[None] + 0.57 * cloud[None]


def _light_arriving(
    objects: Objects,
    present: Bool[Array, "g"],
    position: Vector,
    own: Numbers,
    light: Float[Array, "3"],
    softness: Scalar,
) -> Pixels:
    """Return the share in [0, 1] of a light's disc that is seen from each position.

    Args:
      objects: the primitives.
      present: which of them are there.
      position: of the points, world.
      own: number of the primitive that a point lies on. It is convex, so it does not hide light
        from its lit side.
      light: unit vector towards the light, world.
      softness: tangent of its angular radius.
    """
    arriving = jnp.ones(position.x.shape)
    shapes = in_own_frames(objects, SPANS, position, columns(light))
    for hidden, (part, *local) in zip((_ellipsoid, _box, _capsule), shapes, strict=True):
        share = hidden(*local, softness=softness)
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
