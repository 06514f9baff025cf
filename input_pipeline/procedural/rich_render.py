"""Colours of a rich world, for one camera at one instant."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from input_pipeline.procedural.rich_world import (
    FIRST_FACE,
    MATERIAL_OF,
    OBJECTS,
    SPANS,
    RichWorld,
)
from input_pipeline.procedural.shadows import light_arriving
from input_pipeline.procedural.shapes import (
    FLOOR_FACE,
    Objects,
    Traced,
    Vector,
    columns,
    dot,
    in_blocks,
    surface_points,
)
from input_pipeline.procedural.textures import photo_colors, texture, value_noise


def paint_rich_world(
    world: RichWorld,
    objects: Objects,
    origin: Vector,
    traced: Traced,
    focal: Float[Array, ""],
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

    def photograph(traced: Traced):
        at = surface_points(objects, SPANS, origin, *traced)
        return photo_colors(textures, materials, _material(traced[-1]), at)

    def light(traced: Traced):
        _, _, which = traced
        at = surface_points(objects, SPANS, origin, *traced)
        arriving = []
        for toward, softness in zip(world.lights, world.softness, strict=True):
            lambert = jnp.clip(dot(at.normal, columns(toward)), 0, 1)
            light_share = light_arriving(
                objects, SPANS, world.present, at.position, which, toward, softness
            )
            arriving.append(lambert * light_share)
        return [*arriving, 0.85 - 0.15 * at.normal.y]

    rays, _, which = traced
    mix, brightness = (x[None] for x in in_blocks(paint, traced))
    material = _material(which)
    albedo = materials.color_a.T[:, material] * (1 - mix)
    albedo = albedo + materials.color_b.T[:, material] * mix
    if textures is not None:
        *photo, has_photo = in_blocks(photograph, traced)
        albedo = jnp.where(has_photo[None] > 0, jnp.stack(photo), albedo)
    first, second, ambient = (x[None] for x in in_blocks(light, traced))
    lit = world.ambient * ambient + (1.1 - world.ambient) * (
        first * world.light_colors[0][:, None] + second * world.light_colors[1][:, None]
    )
    color = jnp.where(is_sky(world, which)[None], _sky(world, rays), albedo * brightness * lit)
    return jnp.clip(color * world.exposure, 0, 1)


def is_sky(world: RichWorld, which: Int[Array, "p"]) -> Bool[Array, "p"]:
    """Tell which of the surfaces are painted as sky: all but the ground around outdoor worlds."""
    return world.outdoor & (which >= OBJECTS) & (which != OBJECTS + FLOOR_FACE)


def _material(which: Int[Array, "p"]) -> Int[Array, "p"]:
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
