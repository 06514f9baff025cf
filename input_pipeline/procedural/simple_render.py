"""Colours of a simple world, for one camera at one instant.

Shading is Lambert with ambient light and blob shadows that tie the objects to the floor.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from input_pipeline.procedural import shapes
from input_pipeline.procedural.world import OBJECTS, SPANS, World


def paint_world(
    world: World, objects: shapes.Objects, origin: shapes.Vector, traced: shapes.Traced
) -> Float[Array, "3 p"]:
    """Return colours in [0, 1] of what rays from `origin` see first."""

    shade = partial(_shade, world, objects, origin)
    rays, _, material = traced
    mix, lambert, shadow = (x[None] for x in shapes.in_blocks(shade, traced))
    m = world.materials
    albedo = m.color_a.T[:, material] * (1 - mix) + m.color_b.T[:, material] * mix
    light = world.ambient + (1.1 - world.ambient) * lambert * world.light_color[:, None]
    lit = albedo * light * shadow
    color = jnp.where(shapes.is_sky(world, material)[None], _sky(world, rays), lit)
    return jnp.clip(color * world.exposure, 0, 1)


def _shade(
    world: World, objects: shapes.Objects, origin: shapes.Vector, traced: shapes.Traced
) -> tuple[shapes.Pixels, shapes.Pixels, shapes.Pixels]:
    """Return the share of the second colour, cosine to the light, and how much of it arrives."""
    material = traced[-1]
    is_object = material < OBJECTS
    axis = (material - OBJECTS) // 2
    at = shapes.surface_points(objects, SPANS, origin, *traced)
    mix = _texture(world, material, at.local, is_object, axis)
    lambert = jnp.clip(shapes.dot(at.normal, shapes.columns(world.light)), 0, 1)
    on_floor = material == OBJECTS + shapes.FLOOR_FACE
    return mix, lambert, jnp.where(on_floor, _shadow(world, objects, at.position), 1.0)


def _texture(
    world: World,
    material: shapes.Numbers,
    surface: shapes.Vector,
    is_object: Bool[Array, "p"],
    axis: shapes.Numbers,
) -> shapes.Pixels:
    """Return the share of the second of two colours, by six solid textures with smooth edges."""
    m = world.materials
    numbers = [m.kind[:, None].astype(jnp.float32), m.frequency[:, None], m.phase]
    table = jnp.concatenate([*numbers, m.rotation.reshape(-1, 9)], 1)
    kind, frequency, *rest = shapes.lookup(table, material)
    phase, *rotation = (shapes.Vector(*rest[i : i + 3]) for i in (0, 3, 6, 9))
    u = shapes.to_local(rotation, surface) * frequency + phase
    x, y, z = (jnp.sin(jnp.pi * x) for x in u)
    on_walls = jnp.where(axis == 0, y * z, x * z)
    plane = jnp.where(is_object | (axis == 2), x * y, on_walls)
    stripes = jnp.sin(jnp.pi * (u.x + 0.4 * u.y + 0.3 * u.z))
    noise = 0.65 * shapes.value_noise(u) + 0.35 * shapes.value_noise(u * 2.1 + 7.0)
    noise = jnp.clip((noise - 0.5) * 2.2 + 0.5, 0, 1)
    marble = 0.5 + 0.5 * jnp.sin(2 * u.x + 5 * noise)
    gradient = 0.5 + 0.5 * jnp.sin(0.35 * (u.x + u.y))
    sharp = jax.nn.sigmoid(6 * plane), jax.nn.sigmoid(6 * stripes)
    choices = [*sharp, noise, marble, gradient]
    return jnp.select([kind == i for i in range(5)], choices, 0.2 * noise)


def _shadow(
    world: World, objects: shapes.Objects, position: shapes.Vector
) -> shapes.Pixels:
    """Return the light on the floor: soft blobs below the objects, fainter with height."""
    height = jnp.maximum(world.room_max[1] - objects.center[:, 1], 0.0)
    inverse = 1 / (objects.size[:, 0] + 0.06 + 0.3 * height) ** 2
    strength = jnp.exp(-2.5 * height) * world.present
    x = position.x[None] - objects.center[:, 0, None]
    z = position.z[None] - objects.center[:, 2, None]
    # Below -40 nothing is left; smaller numbers would only be slow ones.
    falloff = jnp.exp(jnp.maximum(-(x**2 + z**2) * inverse[:, None], -40.0))
    return jnp.exp(-1.2 * (falloff * strength[:, None]).sum(0))


def _sky(world: World, rays: shapes.Vector) -> Float[Array, "3 p"]:
    elevation = jnp.clip(0.3 - 1.5 * rays.y / jnp.sqrt(shapes.dot(rays, rays)), 0, 1)[
        None
    ]
    a = world.materials.color_a[OBJECTS]
    b = world.materials.color_b[OBJECTS]
    blue = jnp.array([[0.6], [0.75], [0.95]])
    return 0.5 * (a[:, None] * elevation + b[:, None] * (1 - elevation)) + 0.5 * blue
