"""Textures of rich worlds: fractal noise, wood, marble, brick, checker, stripes and photos.

A texture gives the share of a material's second colour and a brightness around 1. Solid ones are
functions of a point in the object's frame, flat ones of the two coordinates across the longest
component of the normal there. Octaves finer than a pixel fade out.
"""

import itertools
from operator import add, sub

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from input_pipeline.procedural.rich_world import KINDS, RichMaterials
from input_pipeline.procedural.shapes import Numbers, Pixels, Surface, Vector, lookup, smooth


def value_noise(point: Vector) -> Pixels:
    """Trilinear noise on an integer lattice of hashed values in [0, 1]."""
    corner = [jnp.floor(x) for x in point]
    f = [*map(smooth, [*map(sub, point, corner)])]
    total = jnp.zeros(point.x.shape)
    for steps in itertools.product((0, 1), repeat=3):
        x, y, z = (x if step else 1 - x for x, step in zip(f, steps, strict=True))
        total = total + x * y * z * hashed(Vector(*map(add, corner, steps)))
    return total


def hashed(lattice: Vector) -> Pixels:
    """Return a number in [0, 1] for every point of the integer lattice."""
    x, y, z = (c.astype(jnp.int32).astype(jnp.uint32) for c in lattice)
    h = x * jnp.uint32(0x8DA6B343) ^ y * jnp.uint32(0xD8163841) ^ z * jnp.uint32(0xCB1AB31F)
    h = (h ^ (h >> 13)) * jnp.uint32(0x5BD1E995)
    h = h ^ (h >> 15)
    return (h & jnp.uint32(0xFFFF)).astype(jnp.float32) / 65535.0


def texture(
    materials: RichMaterials, number: Numbers, at: Surface, pixel: Pixels
) -> tuple[Pixels, Pixels]:
    """Return share of the second colour and brightness; a pixel is `pixel` wide at the surface."""
    kind, frequency, detail, *phase = lookup(_numbers(materials), number)
    u = Vector(*(x * frequency + p for x, p in zip(at.local, phase, strict=True)))
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
    mix = jnp.select([kind == i for i in range(KINDS - 1)], choices, 0.15 * clouds)
    tones = jnp.select([kind == 3, kind == KINDS - 2], [tone, plank_tone], 0.5)
    brightness = 1 + detail * (0.9 * (fine - 0.5) + 0.5 * (tones - 0.5) * sharp)
    return mix, brightness


def photo_colors(
    textures: Float[Array, "n s s 3"],
    materials: RichMaterials,
    number: Numbers,
    at: Surface,
) -> list[Pixels]:
    """Red, green and blue of the photo on each material, and 1 where there is one, else 0."""
    # Of the materials, where there are photos.
    photo_share = 0.5
    # Cells of a material's grid that a photo spans.
    tile = 8.0
    count, side = textures.shape[:2]
    _, frequency, _, *phase = lookup(_numbers(materials), number)
    which, chance = lookup(materials.photo, number)
    u = Vector(*(x * frequency + p for x, p in zip(at.local, phase, strict=True)))
    pixels = textures.reshape(-1, 3)
    base = jnp.floor(which * count).astype(jnp.int32) * side * side
    # Every second tile is mirrored, so that none has seams.
    column, row = (
        (1 - jnp.abs((x / tile) % 2 - 1)) * (side - 1) for x in _across(u, at.local_normal)
    )
    left, top = (jnp.clip(jnp.floor(x), 0, side - 2) for x in (column, row))
    across = column - left
    down = row - top
    first = base + (top * side + left).astype(jnp.int32)
    corners = ((0, 0), (0, 1), (1, 0), (1, 1))
    weights = [(down if j else 1 - down) * (across if i else 1 - across) for j, i in corners]
    colors = []
    for channel in range(3):
        values = [pixels[:, channel][first + j * side + i] for j, i in corners]
        colors.append(sum(w * v for w, v in zip(weights, values, strict=True)))
    return [*colors, (chance < photo_share).astype(jnp.float32)]


def _numbers(materials: RichMaterials) -> Float[Array, "m 6"]:
    kind = materials.kind.astype(jnp.float32)
    frequency = materials.frequency
    return jnp.concatenate([jnp.stack([kind, frequency, materials.detail], 1), materials.phase], 1)


def _fractal(u: Vector, cells: Array) -> tuple[Array, Array]:
    """Noise in [0, 1] of all octaves, and of the two finest alone."""
    octaves = 4
    total = jnp.zeros(cells.shape)
    fine = jnp.zeros(cells.shape)
    weights = 0.0
    for octave in range(octaves):
        scale = 2.03**octave
        weight = 0.62**octave
        amplitude = jnp.clip(1.6 - 1.6 * cells * scale, 0, 1)
        noise = amplitude * (value_noise(Vector(*(x * scale + 7.3 * octave for x in u))) - 0.5)
        total = total + weight * noise
        weights = weights + weight
        fine = fine + (octave >= octaves - 2) * noise
    contrast = 2.4 / weights
    return jnp.clip(0.5 + contrast * total, 0, 1), 0.5 + 0.7 * fine


def _across(u: Vector, normal: Vector) -> tuple[Array, Array]:
    """The two coordinates across the longest component of the normal, the vertical one last."""
    x, y, z = (jnp.abs(n) for n in normal)
    along_x = (x >= y) & (x >= z)
    along_y = y >= z
    return jnp.where(along_x, u.z, u.x), jnp.where(~along_x & along_y, u.z, u.y)


def _bricks(p: Array, q: Array) -> tuple[Array, Array]:
    """1 inside and 0 in the joints of a unit grid, and a number in [0, 1] for each brick."""
    p_in = p - jnp.floor(p)
    q_in = q - jnp.floor(q)
    inside = jnp.minimum(jnp.minimum(p_in, 1 - p_in) * 2, jnp.minimum(q_in, 1 - q_in))
    tone = hashed(Vector(jnp.floor(p), jnp.floor(q), jnp.zeros(p.shape)))
    return jnp.clip(inside * 25 - 1, 0, 1), tone
