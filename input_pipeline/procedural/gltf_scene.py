"""A synchronized multi-view clip of an animated glTF asset: the shape of a procedural scene,
content that no procedural scene has.

The asset stands in the middle of a plain room with a chequered ground. It is skinned exactly at
each time and rendered by casting one ray per sample against every triangle, with no code shared
with the splats or the procedural renderer. Colours are averaged over 3x3 rays, depth is that of the
central ray, exactly at the pixel centre.

In the camera frame a ray is z·r with r = (x, y, 1), so the ray parameter is the depth z. Moeller
and Trumbore's (1997) solution for a triangle a, b, c seen from the origin, with e1 = b-a, e2 = c-a:

    det = r·(e2 x e1),   u = r·(a x e2) / det,   v = r·(e1 x a) / det,   z = -e2·(a x e1) / det

is three matrix products for all rays and triangles.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Float

from input_pipeline import plain_files, schema
from input_pipeline.procedural import clips, gltf_mesh, scene

# Rays per pixel side.
PIXEL_RAYS = 3
# Largest extent of the asset, where the source camera orbits at distance 1.
ASSET_LENGTH = 0.7
# Half width, height, half depth.
ROOM = (1.9, 1.2, 1.9)
LIGHT = (0.4, 0.8, 0.45)
UP = (0.0, 1.0, 0.0)
# Degrees.
FIELD_OF_VIEW = 50.0
ELEVATION = 14.0
# Seconds between two instants.
INTERVALS = 0.04, 0.12
# x, z, ceiling.
WALLS = ((0.55, 0.62, 0.70), (0.72, 0.66, 0.56), (0.80, 0.82, 0.85))
GROUND = ((0.33, 0.42, 0.24), (0.62, 0.58, 0.42))


@dataclass(frozen=True)
class GltfClips:
    """Clips of random animations of the assets in turn, from random sides; see `gltf_clip`.

    Clip i is a pure function of the assets, the shape and i. Its scene is the asset's name, so that
    no split has an asset that another one has.

    Attributes:
      assets: .glb files with a skinned mesh and animations.
      spread: degrees that a target may stand away from the source.
      orbit: place the targets in equal steps along one arc, as a freeze-time video goes.
    """

    assets: tuple[Path, ...]
    count: int
    views: int
    frames: int
    height: int
    width: int
    spread: float = 60.0
    orbit: bool = False
    license: str = ""

    @cached_property
    def animations(self) -> list[dict[str, float]]:
        """Names of each asset's animations, and their seconds."""
        meshes = [gltf_mesh.load_skinned_mesh(path) for path in self.assets]
        return [
            {name: gltf_mesh.animation_seconds(mesh, name) for name in mesh.animations}
            for mesh in meshes
        ]

    @property
    def scene_ids(self) -> list[str]:
        """Scene of each clip."""
        return [
            f"gltf-{self.assets[i % len(self.assets)].stem}" for i in range(self.count)
        ]

    def __len__(self) -> int:
        """Return the number of clips."""
        return self.count

    def __getitem__(self, index: int, /) -> schema.Example:
        """Render a clip."""
        generator = np.random.default_rng(index)
        which = index % len(self.assets)
        names = self.animations[which]
        animation = str(generator.choice(sorted(names)))
        start = generator.uniform(0, names[animation])
        interval = generator.uniform(*INTERVALS)
        azimuth = generator.uniform(0, 360)
        if self.orbit:
            end = generator.uniform(-self.spread, self.spread)
            targets = np.linspace(0, end, self.views)[1:]
        else:
            targets = generator.uniform(-self.spread, self.spread, self.views - 1)
        asset = self.assets[which]
        clip = gltf_clip(
            asset,
            animation=animation,
            start=start,
            interval=interval,
            source_azimuth=azimuth,
            target_azimuths=tuple(targets.tolist()),
            frames=self.frames,
            height=self.height,
            width=self.width,
        )
        return clips.to_example(
            jax.device_get(clip),
            scene_id=self.scene_ids[index],
            source=f"{asset.name}: {animation}, {start:.3f} s, {azimuth:.1f} degrees",
            license=self.license,
        )


def find_assets(path: Path) -> tuple[Path, ...]:
    """Return the file, or all .glb files of a folder in order of name.

    Raises:
      ValueError: there are none, or one has no animation or is no skinned mesh that we read.
    """
    assets = tuple(sorted(path.glob("*.glb"))) if path.is_dir() else (path,)
    plain_files.check_field(path, assets, "no .glb file", "some")
    for asset in assets:
        animations = gltf_mesh.load_skinned_mesh(asset).animations
        plain_files.check_field(asset, animations, "no animation", "at least one")
    return assets


@jax.default_matmul_precision("highest")
def gltf_clip(
    path: str | Path,
    *,
    animation: str,
    start: float,
    interval: float,
    source_azimuth: float,
    target_azimuths: tuple[float, ...],
    frames: int,
    height: int,
    width: int,
) -> scene.ProceduralClip:
    """Return the asset at `start + i * interval` seconds from a source and from targets around it.

    Azimuths are degrees; the targets' are relative to the source's, all at the same elevation and
    distance. World frame and unit are those of every clip: the source camera and its median depth.

    Raises:
      ValueError: the file is unreadable.
      KeyError: it does not have the animation.
    """
    mesh = gltf_mesh.load_skinned_mesh(path)
    times = start + interval * np.arange(frames)
    triangles = jnp.asarray(standing_triangles(mesh, animation, times))

    center = jnp.array([0.0, 0.25 * ASSET_LENGTH, 0.0])
    focal = 0.5 * width / np.tan(np.deg2rad(FIELD_OF_VIEW) / 2)
    intrinsics = jnp.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    azimuth = jnp.deg2rad(source_azimuth + jnp.array([0.0, *target_azimuths]))
    elevation = np.deg2rad(ELEVATION)
    x = jnp.cos(elevation) * jnp.sin(azimuth)
    y = jnp.full_like(azimuth, jnp.sin(elevation))
    direction = jnp.stack([x, y, jnp.cos(elevation) * jnp.cos(azimuth)], axis=1)
    towards = jax.vmap(scene.camera_towards, (0, None, None))
    camera_to_world = towards(center[None] + direction, center, jnp.array(UP))

    texcoords = jnp.asarray(mesh.texcoords[mesh.triangles], jnp.float32)
    surface = texcoords, jnp.asarray(mesh.texture)

    def film(pose: scene.Pose) -> tuple[Array, Array]:
        view = partial(cast_rays, height=height, width=width)
        return jax.lax.map(lambda now: view(now, *surface, pose, intrinsics), triangles)

    colors, depth = jax.lax.map(film, camera_to_world)
    unit = jnp.median(depth[0, 0])
    world_to_camera = jnp.linalg.inv(camera_to_world) @ camera_to_world[0]
    world_to_camera = world_to_camera.at[:, :3, 3].divide(unit)
    views = len(camera_to_world)
    return scene.ProceduralClip(
        frames=colors,
        depth=depth / unit,
        intrinsics=jnp.broadcast_to(intrinsics, (views, 3, 3)),
        world_to_camera=jnp.broadcast_to(
            world_to_camera[:, None], (views, frames, 4, 4)
        ),
        timestamps=jnp.asarray(times, jnp.float32),
    )


def standing_triangles(
    mesh: gltf_mesh.SkinnedMesh, animation: str, times: Float[np.ndarray, "t"]
) -> Float[np.ndarray, "t f 3 3"]:
    """Skin triangles at each time, of ASSET_LENGTH, standing on y = 0 around the origin."""
    low = mesh.positions.min(0)
    high = mesh.positions.max(0)
    anchor = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    scale = ASSET_LENGTH / (high - low).max()
    posed = [gltf_mesh.skinned_positions(mesh, animation, t) for t in times.tolist()]
    corners = np.stack(posed)[:, mesh.triangles]
    return ((corners - anchor) * scale).astype(np.float32)


@partial(jax.jit, static_argnames=("height", "width"))
@jax.default_matmul_precision("highest")
def cast_rays(
    triangles: Float[Array, "f 3 3"],
    texcoords: Float[Array, "f 3 2"],
    texture: Float[Array, "y x 3"],
    camera_to_world: scene.Pose,
    intrinsics: Float[Array, "3 3"],
    height: int,
    width: int,
) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
    """Return colours in [0, 1] and z-depth of the triangles inside the room, from one camera."""
    rotation = camera_to_world[:3, :3]
    eye = camera_to_world[:3, 3]
    # Of Möller and Trumbore's intersection, what depends on triangles alone is computed once.
    local = (triangles - eye[None, None]) @ rotation
    a = local[:, 0]
    e1 = local[:, 1] - local[:, 0]
    e2 = local[:, 2] - local[:, 0]
    normal = jnp.cross(e2, e1)
    u_plane = jnp.cross(a, e2)
    v_plane = jnp.cross(e1, a)
    offset = jnp.sum(e2 * v_plane, axis=-1)
    world_normal = (
        -normal / jnp.linalg.norm(normal, axis=-1, keepdims=True) @ rotation.T
    )
    light = jnp.array(LIGHT) / np.linalg.norm(LIGHT)

    def cast_row(y: Float[Array, ""]) -> tuple[Float[Array, "x 3"], Float[Array, "x"]]:
        # One row meets all triangles at a time: rays of a whole picture would take too much memory.
        x = (jnp.arange(width * PIXEL_RAYS) + 0.5) / PIXEL_RAYS
        rays = jnp.stack([x, jnp.full_like(x, y), jnp.ones_like(x)], axis=1)
        rays = rays @ jnp.linalg.inv(intrinsics).T
        det = rays @ normal.T
        det = jnp.where(jnp.abs(det) < 1e-12, 1e-12, det)
        u = rays @ u_plane.T / det
        v = rays @ v_plane.T / det
        z = offset[None] / det
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (z > 0)
        z = jnp.where(hit, z, jnp.inf)
        # Colours are looked up for the nearest hit alone.
        nearest = jnp.argmin(z, axis=1)
        pick = (jnp.arange(len(x)), nearest)
        u, v, z = (values[pick] for values in (u, v, z))

        corner = texcoords[nearest]
        weights = jnp.stack([1 - u - v, u, v], axis=1)
        albedo = _bilinear(texture, jnp.sum(weights[..., None] * corner, axis=1))
        # The sign turns normals of back faces towards the camera.
        sign = jnp.sign(jnp.sum(rays * normal[nearest], 1))
        lambert = jnp.clip((world_normal[nearest] * sign[:, None]) @ light, 0, 1)
        room_color, room_z = _room(eye, rays @ rotation.T)
        lit = albedo * (0.6 + 0.5 * lambert)[:, None]
        color = jnp.where((z < room_z)[:, None], lit, room_color)
        return jnp.clip(color, 0, 1), jnp.minimum(z, room_z)

    rows = (jnp.arange(height * PIXEL_RAYS) + 0.5) / PIXEL_RAYS
    color, depth = jax.lax.map(cast_row, rows)
    # Colours are averaged over samples. Depth is that of one sample near the middle, since a mean
    # across an edge lies on no surface.
    color = reduce(color, "(h a) (w b) c -> h w c", "mean", a=PIXEL_RAYS, b=PIXEL_RAYS)
    middle = slice(PIXEL_RAYS // 2, None, PIXEL_RAYS)
    return color, depth[middle, middle]


def _room(
    eye: Float[Array, "3"], rays: Float[Array, "x 3"]
) -> tuple[Float[Array, "x 3"], Float[Array, "x"]]:
    """Return colour and depth where rays from inside leave the room."""
    high = jnp.array(ROOM)
    low = jnp.array([-ROOM[0], 0.0, -ROOM[2]])
    rays = jnp.where(jnp.abs(rays) < 1e-6, 1e-6, rays)
    exits = jnp.where(rays > 0, (high - eye)[None], (low - eye)[None]) / rays
    axis = jnp.argmin(exits, axis=1)
    z = jnp.min(exits, axis=1)
    point = eye[None] + z[:, None] * rays
    # Broad stripes on the walls and soft squares on the ground show depth to the eye.
    stripes = 0.06 * jnp.sin(9 * point[:, 0] + 9 * point[:, 2]) - 0.15 * point[:, 1]
    wall = jnp.array([WALLS[0], WALLS[2], WALLS[1]])[axis] + stripes[:, None]
    waves = 6 * jnp.sin(12 * point[:, 0]) * jnp.sin(12 * point[:, 2])
    chequer = jax.nn.sigmoid(waves)[:, None]
    ground = chequer * jnp.array([GROUND[0]]) + (1 - chequer) * jnp.array([GROUND[1]])
    on_ground = (axis == 1) & (rays[:, 1] < 0)
    return jnp.where(on_ground[:, None], ground, wall), z


def _bilinear(
    texture: Float[Array, "y x 3"], texcoords: Float[Array, "n 2"]
) -> Float[Array, "n 3"]:
    """Read a texture at glTF coordinates (origin top left, repeating), texel centres at +0.5."""
    height, width = texture.shape[:2]
    column = texcoords[:, 0] * width - 0.5
    row = texcoords[:, 1] * height - 0.5
    sample = partial(jax.scipy.ndimage.map_coordinates, order=1, mode="wrap")
    channels = jnp.moveaxis(texture, -1, 0)
    return jnp.moveaxis(jax.vmap(lambda c: sample(c, [row, column]))(channels), 0, -1)
