"""Colours of a rich world, for one camera at one instant.

Soft shadows come without shadow maps: how much of a distant disc of light each primitive hides. On
its way to the light a ray passes a ball at a least distance d; with the light's disc seen as a disc
of radius s at that point, the share that is hidden falls smoothly from 1 at d = r - s to 0 at
r + s. Exact for a ball up to the shape of that fall, and taken over for ellipsoids (which are balls
in their own units), for capsules (the ball of their axis that is nearest to the ray), and for boxes
by how long a ray stays inside.

Textures are fractal noise, wood, marble, brick, checker, stripes and photos. A texture gives the
share of a material's second colour and a brightness around 1. Solid ones are functions of a point
in the object's frame, flat ones of the two coordinates across the longest component of the normal
there. Octaves finer than a pixel fade out.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from input_pipeline.procedural import rich_world
from input_pipeline.procedural.shapes import (
    Numbers,
    Objects,
    Pixels,
    Scalar,
    Surface,
    Traced,
    Vector,
    box_span,
    columns,
    dot,
    hashed,
    in_blocks,
    in_own_frames,
    is_sky,
    lookup,
    smooth,
    surface_points,
    value_noise,
)


def paint_rich_world(
    world: rich_world.RichWorld,
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
    surfaces = partial(surface_points, objects, rich_world.SPANS, origin)

    def paint(traced: Traced):
        _, depth, which = traced
        return texture(materials, _material(which), surfaces(*traced), depth / focal)

    def light(traced: Traced):
        at = surfaces(*traced)
        seen = partial(_light_arriving, objects, world.present, at.position, traced[-1])
        arriving = []
        for toward, softness in zip(world.lights, world.softness, strict=True):
            lambert = jnp.clip(dot(at.normal, columns(toward)), 0, 1)
            arriving.append(lambert * seen(toward, softness))
        return [*arriving, 0.85 - 0.15 * at.normal.y]

    rays, _, which = traced
    mix, brightness = (x[None] for x in in_blocks(paint, traced))
    material = _material(which)
    albedo = materials.color_a.T[:, material] * (1 - mix)
    albedo = albedo + materials.color_b.T[:, material] * mix
    if textures is not None:

        def photograph(traced: Traced):
            which = _material(traced[-1])
            return photo_colors(textures, materials, which, surfaces(*traced))

        *photo, has_photo = in_blocks(photograph, traced)
        albedo = jnp.where(has_photo[None] > 0, jnp.stack(photo), albedo)
    first, second, ambient = (x[None] for x in in_blocks(light, traced))
    key, fill = (color[:, None] for color in world.light_colors)
    direct = (1.1 - world.ambient) * (first * key + second * fill)
    lit = albedo * brightness * (world.ambient * ambient + direct)
    color = jnp.where(is_sky(world, which)[None], _sky(world, rays), lit)
    return jnp.clip(color * world.exposure, 0, 1)


def _material(which: Numbers) -> Numbers:
    return jnp.asarray(rich_world.MATERIAL_OF, jnp.int32)[which]


def _sky(world: rich_world.RichWorld, rays: Vector) -> Float[Array, "3 p"]:
    """Return a gradient with clouds that are infinitely far away."""
    x, y, z = rays / jnp.sqrt(dot(rays, rays))
    elevation = jnp.clip(0.2 - 1.2 * y, 0, 1)[None]
    height = 1 / jnp.maximum(0.15 - y, 0.15)
    above = Vector(2 * x * height, jnp.zeros(y.shape), 2 * z * height)
    noise = 0.6 * value_noise(above) + 0.4 * value_noise(above * 2.2 + 5)
    cloud = jnp.clip(2.5 * noise - 1.1, 0, 1) * jnp.clip(-5 * y - 0.75, 0, 1)
    low = world.materials.color_b[rich_world.FIRST_FACE]
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
    shapes = in_own_frames(objects, rich_world.SPANS, position, columns(light))
    for hidden, (part, *local) in zip(
        (_ellipsoid, _box, _capsule), shapes, strict=True
    ):
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
    origin = origin / size
    ray = ray / size
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
    gap = origin._replace(y=end) + ray * step
    distance = jnp.sqrt(dot(gap, gap))
    return jnp.where(step > 0, _fall(distance, size.x, softness * step), 0.0)


def _box(origin: Vector, ray: Vector, size: Vector, softness: Array) -> Array:
    enter, leave = box_span(origin, ray, size)
    spread = softness * jnp.maximum(leave, 0.0)
    x = jnp.clip((leave - enter) / (2 * spread + 1e-6) + 0.5, 0, 1)
    return jnp.where(leave > 0, smooth(x), 0.0)


def texture(
    materials: rich_world.RichMaterials, number: Numbers, at: Surface, pixel: Pixels
) -> tuple[Pixels, Pixels]:
    """Return share of the second colour and brightness; a pixel is `pixel` wide at the surface."""
    kind, frequency, detail, *phase = lookup(_numbers(materials), number)
    u = at.local * frequency + Vector(*phase)
    # Of the lattice, in one pixel.
    cells = pixel * frequency
    clouds, fine = _fractal(u, cells)
    p, q = _across(u, at.local_normal)
    # What repeats fades to its mean where a pixel holds a period.
    sharp = jnp.clip(1.6 - 1.6 * cells, 0, 1)

    def edge(wave: Array) -> Array:
        return 0.5 + sharp * (jax.nn.sigmoid(8 * wave) - 0.5)

    rings = jnp.sqrt(u.x * u.x + u.z * u.z) + 0.05 * u.y
    wood = 0.5 + 0.5 * sharp * jnp.sin(4 * rings + 5 * clouds)
    marble = 0.5 + 0.5 * jnp.sin(1.5 * u.x + u.y + 9 * (clouds - 0.5))
    shift = 0.5 * (jnp.floor(q) % 2)
    brick, tone = _bricks(p / 2 + shift, q)
    plank, plank_tone = _bricks(p / 8 + 0.37 * jnp.floor(q), q)
    choices = [
        clouds,
        wood,
        jnp.clip(marble, 0, 1),
        sharp * brick + (1 - sharp) * 0.9,
        edge(jnp.sin(jnp.pi * p) * jnp.sin(jnp.pi * q)),
        edge(jnp.sin(jnp.pi * (p + 0.3 * q))),
        edge(2 * (clouds + 0.6 * (fine - 0.5)) - 1.2),
        plank * (0.6 + 0.4 * clouds),
    ]
    kinds = [kind == i for i in range(rich_world.KINDS - 1)]
    mix = jnp.select(kinds, choices, 0.15 * clouds)
    tones = jnp.select(
        [kind == 3, kind == rich_world.KINDS - 2], [tone, plank_tone], 0.5
    )
    brightness = 1 + detail * (0.9 * (fine - 0.5) + 0.5 * (tones - 0.5) * sharp)
    return mix, brightness


def photo_colors(
    textures: Float[Array, "n s s 3"],
    materials: rich_world.RichMaterials,
    number: Numbers,
    at: Surface,
) -> list[Pixels]:
    """Return red, green and blue of each material's photo, and 1 where there is one, else 0."""
    # Of the materials, where there are photos.
    photo_share = 0.5
    # Cells of a material's grid that a photo spans.
    tile = 8.0
    count, side = textures.shape[:2]
    _, frequency, _, *phase = lookup(_numbers(materials), number)
    which, chance = lookup(materials.photo, number)
    u = at.local * frequency + Vector(*phase)
    pixels = textures.reshape(-1, 3)
    base = jnp.floor(which * count).astype(jnp.int32) * side * side
    # Every second tile is mirrored, so that none has seams.
    flat = _across(u, at.local_normal)
    column, row = ((1 - jnp.abs((x / tile) % 2 - 1)) * (side - 1) for x in flat)
    left, top = (jnp.clip(jnp.floor(x), 0, side - 2) for x in (column, row))
    across = column - left
    down = row - top
    first = base + (top * side + left).astype(jnp.int32)
    corners = ((0, 0), (0, 1), (1, 0), (1, 1))
    weights = [
        (down if j else 1 - down) * (across if i else 1 - across) for j, i in corners
    ]
    colors = []
    for channel in range(3):
        values = [pixels[:, channel][first + j * side + i] for j, i in corners]
        colors.append(sum(w * v for w, v in zip(weights, values, strict=True)))
    return [*colors, (chance < photo_share).astype(jnp.float32)]


def _numbers(materials: rich_world.RichMaterials) -> Float[Array, "m 6"]:
    kind = materials.kind.astype(jnp.float32)
    numbers = jnp.stack([kind, materials.frequency, materials.detail], 1)
    return jnp.concatenate([numbers, materials.phase], 1)


def _fractal(u: Vector, cells: Array) -> tuple[Array, Array]:
    """Return noise in [0, 1] of all octaves, and of the two finest alone."""
    octaves = 4
    total = jnp.zeros(cells.shape)
    fine = jnp.zeros(cells.shape)
    weights = 0.0
    for octave in range(octaves):
        scale = 2.03**octave
        weight = 0.62**octave
        amplitude = jnp.clip(1.6 - 1.6 * cells * scale, 0, 1)
        noise = amplitude * (value_noise(u * scale + 7.3 * octave) - 0.5)
        total = total + weight * noise
        weights = weights + weight
        fine = fine + (octave >= octaves - 2) * noise
    contrast = 2.4 / weights
    return jnp.clip(0.5 + contrast * total, 0, 1), 0.5 + 0.7 * fine


def _across(u: Vector, normal: Vector) -> tuple[Array, Array]:
    """Return the two coordinates across the longest component of the normal, the vertical last."""
    x, y, z = (jnp.abs(n) for n in normal)
    along_x = (x >= y) & (x >= z)
    along_y = y >= z
    return jnp.where(along_x, u.z, u.x), jnp.where(~along_x & along_y, u.z, u.y)


def _bricks(p: Array, q: Array) -> tuple[Array, Array]:
    """Return 1 inside and 0 in the joints of a unit grid, and a number in [0, 1] for each brick."""
    p_in = p - jnp.floor(p)
    q_in = q - jnp.floor(q)
    inside = jnp.minimum(jnp.minimum(p_in, 1 - p_in) * 2, jnp.minimum(q_in, 1 - q_in))
    tone = hashed(Vector(jnp.floor(p), jnp.floor(q), jnp.zeros(p.shape)))
    return jnp.clip(inside * 25 - 1, 0, 1), tone
