"""Ray casting of a procedural world: colours and exact depth for one camera at one instant.

Rays are parametrised by depth (the direction has z = 1 in the camera frame), so the ray parameter
of a hit *is* its z-depth. All primitives are tested densely against all rays, which is one fused
computation without branches. Shading is Lambert with ambient light and blob shadows that tie the
objects to the floor.
"""

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from input_pipeline.procedural_world import BOXES, ELLIPSOIDS, OBJECTS, Objects, World, objects_at

MISS = 1e4  # depth of a ray that hits nothing
NEAR = 0.02
FLOOR = 3  # index of the +y face


def render_world(
    world: World,
    time: Float[Array, ""],
    camera_to_world: Float[Array, "4 4"],
    intrinsics: Float[Array, "3 3"],
    height: int,
    width: int,
) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
    """Colours in [0, 1] and z-depth, both exact at pixel centres (+0.5), no antialiasing."""
    origin = camera_to_world[:3, 3]
    rays = pixel_rays(intrinsics, height, width) @ camera_to_world[:3, :3].T  # (p 3)
    objects = objects_at(world, time)

    object_depth, object_id = _nearest_object(world, objects, origin, rays)
    room_depth, axis, face = _room_exit(world, origin, rays)
    hit_object = object_depth < room_depth
    depth = jnp.where(hit_object, object_depth, room_depth)
    position = origin[None] + depth[:, None] * rays

    # Object hits get coordinates and normals in the object's frame; walls use the world's.
    which = jnp.where(hit_object, object_id, 0)
    rotation = objects.rotation[which]
    local = jnp.einsum("pi,pij->pj", position - objects.center[which], rotation)
    normal = jnp.einsum("pj,pij->pi", _local_normal(which, local, objects.size[which]), rotation)
    wall_normal = -jax.nn.one_hot(axis, 3) * jnp.sign(rays)
    normal = jnp.where(hit_object[:, None], normal, wall_normal)

    material = jnp.where(hit_object, object_id, OBJECTS + face)
    surface = jnp.where(hit_object[:, None], local, position)
    albedo = _texture(world, material, surface, hit_object, axis)
    lambert = jnp.clip(normal @ world.light, 0, 1)[:, None]
    light = lambert * world.light_color[None]
    color = albedo * (world.ambient + (1.1 - world.ambient) * light)
    on_floor = ~hit_object & (face == FLOOR)
    color = color * jnp.where(on_floor, _shadow(world, objects, position), 1.0)[:, None]

    is_sky = world.outdoor & ~hit_object & (face != FLOOR)
    color = jnp.where(is_sky[:, None], _sky(world, rays), color) * world.exposure
    return jnp.clip(color, 0, 1).reshape(height, width, 3), depth.reshape(height, width)


def pixel_rays(intrinsics: Float[Array, "3 3"], height: int, width: int) -> Float[Array, "p 3"]:
    """Directions through all pixel centres with z = 1, camera frame, row-major."""
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    u = (x - intrinsics[0, 2]) / intrinsics[0, 0]
    v = (y - intrinsics[1, 2]) / intrinsics[1, 1]
    return jnp.stack([u, v, jnp.ones_like(u)], -1).reshape(-1, 3)


def _nearest_object(world: World, objects: Objects, origin, rays):
    """Depth and index of the first object along every ray (MISS where there is none)."""
    local_origin = jnp.einsum("gi,gij->gj", origin[None] - objects.center, objects.rotation)[
        :, None
    ]
    local_rays = jnp.einsum("pi,gij->gpj", rays, objects.rotation)
    size = objects.size[:, None]
    parts = []
    spans = (0, ELLIPSOIDS, ELLIPSOIDS + BOXES, OBJECTS)
    for hit, start, stop in zip((_ellipsoid, _box, _capsule), spans, spans[1:], strict=False):
        parts.append(hit(local_origin[start:stop], local_rays[start:stop], size[start:stop]))
    depth = jnp.concatenate(parts)
    depth = jnp.where((depth > NEAR) & world.present[:, None], depth, MISS)
    return depth.min(0), depth.argmin(0)


def _first_root(a, half_b, c) -> Float[Array, "..."]:
    """Smaller root of a x^2 + 2 half_b x + c, MISS without a real one."""
    discriminant = half_b * half_b - a * c
    root = (-half_b - jnp.sqrt(jnp.maximum(discriminant, 0))) / jnp.maximum(a, 1e-9)
    return jnp.where(discriminant > 0, root, MISS)


def _ellipsoid(origin, rays, size):
    origin, rays = origin / size, rays / size
    return _first_root((rays**2).sum(-1), (origin * rays).sum(-1), (origin**2).sum(-1) - 1)


def _box(origin, rays, size):
    inverse = 1 / jnp.where(jnp.abs(rays) < 1e-6, 1e-6, rays)
    middle, half = -origin * inverse, jnp.abs(inverse) * size
    enter, leave = (middle - half).max(-1), (middle + half).min(-1)
    return jnp.where(enter < leave, enter, MISS)


def _capsule(origin, rays, size):
    """A cylinder of (radius, half length) along local y with spherical ends."""
    radius, half = size[..., 0], size[..., 1]
    flat_origin, flat_rays = origin[..., ::2], rays[..., ::2]
    body = _first_root(
        (flat_rays**2).sum(-1),
        (flat_origin * flat_rays).sum(-1),
        (flat_origin**2).sum(-1) - radius**2,
    )
    along = origin[..., 1] + body * rays[..., 1]
    end = jnp.clip(along, -half, half)
    to_end = origin - jnp.stack([jnp.zeros_like(end), end, jnp.zeros_like(end)], -1)
    cap = _first_root((rays**2).sum(-1), (to_end * rays).sum(-1), (to_end**2).sum(-1) - radius**2)
    return jnp.where((body < MISS) & (jnp.abs(along) <= half), body, cap)


def _room_exit(world: World, origin, rays):
    """Depth at which rays leave the room, the axis of that wall and its face index."""
    rays = jnp.where(jnp.abs(rays) < 1e-6, 1e-6, rays)
    wall = jnp.where(rays > 0, world.room_max[None], world.room_min[None])
    depth = (wall - origin[None]) / rays
    axis = depth.argmin(-1)
    positive = jnp.take_along_axis(rays, axis[:, None], 1)[:, 0] > 0
    return depth.min(-1), axis, axis * 2 + positive


def _local_normal(which: Int[Array, "p"], local, size) -> Float[Array, "p 3"]:
    ellipsoid = local / (size * size + 1e-9)
    ratio = jnp.abs(local) / (size + 1e-9)
    box = jnp.where(ratio >= ratio.max(-1, keepdims=True), jnp.sign(local), 0.0)
    capsule = local.at[:, 1].add(-jnp.clip(local[:, 1], -size[:, 1], size[:, 1]))
    normal = jnp.where((which < ELLIPSOIDS + BOXES)[:, None], box, capsule)
    normal = jnp.where((which < ELLIPSOIDS)[:, None], ellipsoid, normal)
    return normal / (jnp.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9)


def _texture(
    world: World,
    material: Int[Array, "p"],
    surface: Float[Array, "p 3"],
    hit_object: Bool[Array, "p"],
    axis: Int[Array, "p"],
) -> Float[Array, "p 3"]:
    """Six solid textures with smooth edges, mixed between two colours."""
    m = world.materials
    u = jnp.einsum("pi,pij->pj", surface, m.rotation[material])
    u = u * m.frequency[material][:, None] + m.phase[material]
    wave = jnp.sin(jnp.pi * u)
    yz, xz, xy = wave[:, 1] * wave[:, 2], wave[:, 0] * wave[:, 2], wave[:, 0] * wave[:, 1]
    plane = jnp.select([hit_object, axis == 0, axis == 1], [xy, yz, xz], xy)
    stripes = jnp.sin(jnp.pi * (u[:, 0] + 0.4 * u[:, 1] + 0.3 * u[:, 2]))
    noise = 0.65 * _value_noise(u) + 0.35 * _value_noise(u * 2.1 + 7.0)
    noise = jnp.clip((noise - 0.5) * 2.2 + 0.5, 0, 1)
    marble = 0.5 + 0.5 * jnp.sin(2 * u[:, 0] + 5 * noise)
    gradient = 0.5 + 0.5 * jnp.sin(0.35 * (u[:, 0] + u[:, 1]))
    kind = m.kind[material]
    choices = [jax.nn.sigmoid(6 * plane), jax.nn.sigmoid(6 * stripes), noise, marble, gradient]
    mix = jnp.select([kind == i for i in range(5)], choices, 0.2 * noise)[:, None]
    return m.color_a[material] * (1 - mix) + m.color_b[material] * mix


def _value_noise(point: Float[Array, "p 3"]) -> Float[Array, "p"]:
    """Trilinear noise on an integer lattice of hashed values in [0, 1]."""
    corner = jnp.floor(point)
    f = point - corner
    f = f * f * (3 - 2 * f)
    total = jnp.zeros(point.shape[:-1])
    for offset in itertools.product((0, 1), repeat=3):
        step = jnp.array(offset, jnp.float32)
        weight = jnp.where(step[None] > 0, f, 1 - f).prod(-1)
        total = total + weight * _hash(corner + step[None])
    return total


def _hash(lattice: Float[Array, "p 3"]) -> Float[Array, "p"]:
    x, y, z = jnp.moveaxis(lattice.astype(jnp.int32).astype(jnp.uint32), -1, 0)
    h = x * jnp.uint32(0x8DA6B343) ^ y * jnp.uint32(0xD8163841) ^ z * jnp.uint32(0xCB1AB31F)
    h = (h ^ (h >> 13)) * jnp.uint32(0x5BD1E995)
    h = h ^ (h >> 15)
    return (h & jnp.uint32(0xFFFF)).astype(jnp.float32) / 65535.0


def _shadow(world: World, objects: Objects, position: Float[Array, "p 3"]) -> Float[Array, "p"]:
    """How much light reaches the floor: soft blobs below the objects, fainter with height."""
    height = jnp.maximum(world.room_max[1] - objects.center[:, 1], 0.0)
    radius = objects.size[:, 0] + 0.06 + 0.3 * height
    offset = position[:, None, ::2] - objects.center[None, :, ::2]
    fade = -2.5 * height[None]
    blob = jnp.exp(fade - (offset**2).sum(-1) / radius[None] ** 2) * world.present[None]
    return jnp.exp(-1.2 * blob.sum(1))


def _sky(world: World, rays: Float[Array, "p 3"]) -> Float[Array, "p 3"]:
    unit = rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)
    elevation = jnp.clip(0.3 - 1.5 * unit[:, 1:2], 0, 1)
    a, b = world.materials.color_a[OBJECTS], world.materials.color_b[OBJECTS]
    blue = jnp.array([[0.6, 0.75, 0.95]])
    return 0.5 * (a[None] * elevation + b[None] * (1 - elevation)) + 0.5 * blue
