"""Rays against ellipsoids, boxes, capsules and rooms; all primitives by all rays, no branches.

A vector is three arrays, its components, with pixels last: XLA's loops on CPU then run over pixels,
twice as fast as over triples. Sums of three products are written out, because a matrix product
rounds to ten bits on some accelerators. Rays have z = 1 in the camera's frame, so that the ray
parameter of a hit *is* its z-depth.
"""

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Depth of a ray that hits nothing.
MISSED = 1e4
# Of the faces of a room, the one at +y.
FLOOR_FACE = 3
Scalar = Float[Array, ""]
# A number, or a whole number, of each of p pixels.
Pixels = Float[Array, "p"]
Numbers = Int[Array, "p"]


class Vector(NamedTuple):
    """Components of one shape, or of shapes that broadcast.

    Arithmetic is by components, with those of a vector on the right or one number for all three.
    """

    x: Array
    y: Array
    z: Array

    def _each(self, operation: Callable, other: Any) -> "Vector":
        right = other if isinstance(other, tuple) else (other,) * 3
        return Vector(*map(operation, self, right))

    def __add__(self, other: Any) -> "Vector":
        return self._each(operator.add, other)

    def __sub__(self, other: Any) -> "Vector":
        return self._each(operator.sub, other)

    def __mul__(self, other: Any) -> "Vector":
        return self._each(operator.mul, other)

    def __truediv__(self, other: Any) -> "Vector":
        return self._each(operator.truediv, other)


# Rays, the z-depth of what each sees first, and its number: primitives, then faces.
Traced = tuple[Vector, Pixels, Numbers]


class Objects(NamedTuple):
    """Primitives at one instant: pose (object to world) and size."""

    center: Float[Array, "g 3"]
    rotation: Float[Array, "g 3 3"]
    # Semi-axes; for capsules (radius, half length, unused).
    size: Float[Array, "g 3"]


class Spans(NamedTuple):
    """Numbers of the primitives of each shape, in this order."""

    ellipsoids: int
    boxes: int
    capsules: int


def dot(a: Vector, b: Vector) -> Array:
    """Return the scalar product."""
    return a.x * b.x + a.y * b.y + a.z * b.z


def smooth(x: Array) -> Array:
    """Rise from 0 at 0 to 1 at 1 with no slope at either."""
    return x * x * (3 - 2 * x)


def columns(matrix: Float[Array, "*s 3"]) -> Vector:
    """Return the last axis as components, each with a pixel axis of 1."""
    return Vector(*(matrix[..., i, None] for i in range(3)))


def to_local(rotation: Sequence[Vector], vector: Vector) -> Vector:
    """Rotate back; `rotation` holds the rows of rotation matrices."""
    return Vector(
        *(dot(Vector(*column), vector) for column in zip(*rotation, strict=True))
    )


def to_world(rotation: Sequence[Vector], vector: Vector) -> Vector:
    """Return the rotation of object axes into the world's."""
    return Vector(*(dot(row, vector) for row in rotation))


def rows(rotation: Float[Array, "*s 3 3"]) -> list[Vector]:
    """Return the rows of matrices, each with a pixel axis of 1."""
    return [columns(rotation[..., i, :]) for i in range(3)]


def lookup(table: Float[Array, "m c"], which: Numbers) -> list[Pixels]:
    """Return table[which], one array per column: a gather of rows takes twice as long."""
    return [table[:, c][which] for c in range(table.shape[1])]


def in_blocks(function: Callable[..., Any], arrays: Any) -> Any:
    """Return function(arrays), all (p,), on a CPU in parts of up to most_rays pixels in turn.

    Their values fit the cache, and are computed once: without the loop XLA computes what feeds
    three channels three times. Accelerators, which would wait for each small part, do all at once.
    """
    # Rays whose values fit the cache of a CPU.
    most_rays = 512
    if jax.default_backend() != "cpu":
        return function(arrays)
    count = jax.tree.leaves(arrays)[0].shape[0]
    size = max(size for size in range(1, most_rays + 1) if count % size == 0)
    parts = jax.tree.map(lambda x: x.reshape(-1, size), arrays)
    return jax.tree.map(lambda x: x.reshape(-1), jax.lax.map(function, parts))


def in_own_frames(
    objects: Objects, spans: Spans, origin: Vector, rays: Vector
) -> Iterator[tuple[slice, Vector, Vector, Vector]]:
    """Yield of each shape which primitives have it, rays in their frames, and their sizes."""
    origin, rays = (Vector(*(x[None] for x in vector)) for vector in (origin, rays))
    start = 0
    for count in spans:
        part = slice(start, start + count)
        turn = rows(objects.rotation[part])
        offset = to_local(turn, origin - columns(objects.center[part]))
        yield part, offset, to_local(turn, rays), columns(objects.size[part])
        start += count


def first_surface(
    world: Any, objects: Objects, origin: Vector, rays: Vector
) -> tuple[Pixels, Numbers]:
    """Return depth and number of what rays hit first: objects, then the faces of the room."""
    # Depth: nearer hits count as none.
    nearest_hit = 0.02
    best = jnp.full(rays.x.shape, MISSED)
    which = jnp.zeros(rays.x.shape, jnp.int32)
    shapes = in_own_frames(objects, world.spans, origin, rays)
    for hit, (part, *local) in zip((_ellipsoid, _box, _capsule), shapes, strict=True):
        depth = hit(*local)
        is_hit = (depth > nearest_hit) & world.present[part, None]
        depth = jnp.where(is_hit, depth, MISSED)
        first = depth.min(0)
        count = len(depth)
        numbers = jnp.arange(count)[:, None]
        index = jnp.where(depth == first[None], numbers, count).min(0)
        which = jnp.where(first < best, part.start + index, which)
        best = jnp.minimum(best, first)
    room_depth, face = _room_exit(
        columns(world.room_min), columns(world.room_max), origin, rays
    )
    is_object = best < room_depth
    depth = jnp.where(is_object, best, room_depth)
    return depth, jnp.where(is_object, which, sum(world.spans) + face)


def is_sky(world: Any, which: Numbers) -> Bool[Array, "p"]:
    """Tell which of the surfaces are painted as sky: all but the ground around outdoor worlds."""
    count = sum(world.spans)
    return world.outdoor & (which >= count) & (which != count + FLOOR_FACE)


def _room_exit(low: Vector, high: Vector, origin: Vector, rays: Vector):
    """Return where rays leave a box: the depth, and the face (-x +x -y +y -z +z)."""
    depths = []
    positive = []
    for o, r, a, b in zip(origin, rays, low, high, strict=True):
        r = jnp.where(jnp.abs(r) < 1e-6, 1e-6, r)
        depths.append((jnp.where(r > 0, b, a) - o) / r)
        positive.append((r > 0).astype(jnp.int32))
    depth = reduce(jnp.minimum, depths)
    axis = jnp.where(depths[0] <= depth, 0, jnp.where(depths[1] <= depth, 1, 2))
    others = jnp.where(axis == 1, positive[1], positive[2])
    sign = jnp.where(axis == 0, positive[0], others)
    return depth, axis * 2 + sign


def _local_normal(which: Numbers, spans: Spans, local: Vector, size: Vector) -> Vector:
    """Return the unit outward normal at a point of the surface, both in the object's frame."""
    ratio = [jnp.abs(x) / (s + 1e-9) for x, s in zip(local, size, strict=True)]
    largest = reduce(jnp.maximum, ratio)
    is_ellipsoid = which < spans.ellipsoids
    is_box = which < spans.ellipsoids + spans.boxes
    normal = []
    for axis, (x, s) in enumerate(zip(local, size, strict=True)):
        box = jnp.where(ratio[axis] >= largest, jnp.sign(x), 0.0)
        capsule = x - jnp.clip(x, -s, s) if axis == 1 else x
        other = jnp.where(is_box, box, capsule)
        normal.append(jnp.where(is_ellipsoid, x / (s * s + 1e-9), other))
    outward = Vector(*normal)
    return outward * (1 / (jnp.sqrt(dot(outward, outward)) + 1e-9))


class Surface(NamedTuple):
    """Points that rays hit. On walls the local frame is the world's."""

    position: Vector
    # In the object's frame.
    local: Vector
    local_normal: Vector
    # In the world's.
    normal: Vector


def surface_points(
    objects: Objects,
    spans: Spans,
    origin: Vector,
    rays: Vector,
    depth: Pixels,
    which: Numbers,
) -> Surface:
    """Return surfaces of `first_surface`: `which` counts objects, then the faces of the room."""
    count = sum(spans)
    is_object = which < count
    axis = (which - count) // 2
    position = origin + rays * depth
    number = jnp.where(is_object, which, 0)
    poses = [objects.center, objects.size, objects.rotation.reshape(-1, 9)]
    pose = lookup(jnp.concatenate(poses, 1), number)
    center, size, *rotation = (Vector(*pose[i : i + 3]) for i in range(0, 15, 3))
    local = to_local(rotation, position - center)
    local_normal = _local_normal(number, spans, local, size)
    wall = [jnp.where(axis == i, -jnp.sign(ray), 0.0) for i, ray in enumerate(rays)]
    choose = partial(jnp.where, is_object)
    return Surface(
        position,
        Vector(*map(choose, local, position)),
        Vector(*map(choose, local_normal, wall)),
        Vector(*map(choose, to_world(rotation, local_normal), wall)),
    )


def first_root(a, half_b, c) -> Array:
    """Return the smaller root of a x^2 + 2 half_b x + c, MISSED without a real one."""
    discriminant = half_b * half_b - a * c
    root = (-half_b - jnp.sqrt(jnp.maximum(discriminant, 0))) / jnp.maximum(a, 1e-9)
    return jnp.where(discriminant > 0, root, MISSED)


def _ellipsoid(origin: Vector, rays: Vector, size: Vector) -> Array:
    origin = origin / size
    rays = rays / size
    return first_root(dot(rays, rays), dot(origin, rays), dot(origin, origin) - 1)


def _box(origin: Vector, rays: Vector, size: Vector) -> Array:
    enter, leave = box_span(origin, rays, size)
    return jnp.where(enter < leave, enter, MISSED)


def box_span(origin: Vector, rays: Vector, size: Vector) -> tuple[Array, Array]:
    """Return where rays have entered all three slabs of a box, and where they leave the first."""
    inverse = Vector(*(1 / jnp.where(jnp.abs(r) < 1e-6, 1e-6, r) for r in rays))
    middle = Vector(*(-o for o in origin)) * inverse
    half = Vector(*map(jnp.abs, inverse)) * size
    return reduce(jnp.maximum, middle - half), reduce(jnp.minimum, middle + half)


def _capsule(origin: Vector, rays: Vector, size: Vector) -> Array:
    """Return a cylinder of (radius, half length) along local y with spherical ends."""
    radius = size.x
    half = size.y
    body = first_root(
        rays.x**2 + rays.z**2,
        origin.x * rays.x + origin.z * rays.z,
        origin.x**2 + origin.z**2 - radius**2,
    )
    height = origin.y + body * rays.y
    end = jnp.clip(height, -half, half)
    to_end = origin._replace(y=origin.y - end)
    outside = dot(to_end, to_end) - radius**2
    cap = first_root(dot(rays, rays), dot(to_end, rays), outside)
    return jnp.where((body < MISSED) & (jnp.abs(height) <= half), body, cap)


def value_noise(point: Vector) -> Pixels:
    """Return trilinear noise on an integer lattice of hashed values in [0, 1]."""
    corner = Vector(*map(jnp.floor, point))
    rises = [*map(smooth, point - corner)]
    total = jnp.zeros(point.x.shape)
    for steps in itertools.product((0, 1), repeat=3):
        x, y, z = (f if step else 1 - f for f, step in zip(rises, steps, strict=True))
        total = total + x * y * z * hashed(corner + steps)
    return total


def hashed(lattice: Vector) -> Pixels:
    """Return a number in [0, 1] for every point of the integer lattice."""
    x, y, z = (c.astype(jnp.int32).astype(jnp.uint32) for c in lattice)
    h = (
        x * jnp.uint32(0x8DA6B343)
        ^ y * jnp.uint32(0xD8163841)
        ^ z * jnp.uint32(0xCB1AB31F)
    )
    h = (h ^ (h >> 13)) * jnp.uint32(0x5BD1E995)
    h = h ^ (h >> 15)
    return (h & jnp.uint32(0xFFFF)).astype(jnp.float32) / 65535.0
