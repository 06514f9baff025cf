"""Pictures of a box with noisy walls, seen from inside: exact cameras and depth, many corners."""

import cv2
import numpy as np

from input_pipeline import pinhole, transforms
from input_pipeline.schema import Example, make_example

HALF = np.array([2.0, 1.2, 3.0])  # half the room, world units; its middle is the origin
FOV = 65.0  # degrees


def make_room(
    *,
    views: int,
    height: int,
    width: int,
    frames: int = 2,
    lens: np.ndarray | None = None,
) -> Example:
    """A clip with depth from cameras on an arc, 10 frames a second; the walls change each frame."""
    poses = ring(views)
    intrinsics = pinhole.intrinsics_from_fov(FOV, height, width)
    shape = views, frames
    files, depths = np.empty(shape, object), np.empty(shape, object)
    lens = np.zeros(8, np.float32) if lens is None else lens
    for j in range(frames):
        walls = textures(j)
        for i in range(views):
            picture, depth = render(intrinsics, poses[i], height, width, walls, lens)
            files[i, j] = transforms.encode_jpeg(picture)
            depths[i, j] = transforms.encode_depth(depth)
    example = make_example(
        files,
        np.stack([intrinsics] * views),
        np.stack([poses] * frames, 1),
        np.arange(frames) / 10,
        scene_id="room",
        fps=10.0,
        source="made by formula",
        license="Apache-2.0",
        depth16=depths,
    )
    return example._replace(distortion=np.float32(np.tile(lens, (views, 1))))


def textures(seed: int) -> np.ndarray:
    """Noise of three scales for six walls, (6 256 256 3) in [0, 1]."""
    rng = np.random.default_rng(seed)
    noises = [rng.random((6, n, n, 3), np.float32) for n in (16, 48, 96)]
    cubic: dict = {"dsize": (256, 256), "interpolation": cv2.INTER_CUBIC}
    layers = [np.stack([cv2.resize(x, **cubic) for x in noise]) for noise in noises]
    return np.clip(sum(layers) / 3 * 1.6 - 0.3, 0, 1)


def render(
    intrinsics: np.ndarray,
    pose: np.ndarray,
    height: int,
    width: int,
    walls: np.ndarray,
    lens: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (h w 3) uint8 and its z-depth (h w) from one camera."""
    pixels = np.mgrid[:height, :width][::-1].reshape(2, -1).T + 0.5
    bent = lens.astype(np.float64)
    flat = cv2.undistortPoints(pixels[:, None], intrinsics, bent)[:, 0]
    ahead = np.concatenate([flat, np.ones((len(flat), 1))], 1)  # so reach is z-depth
    rays = (ahead @ pose[:3, :3]).reshape(height, width, 3)
    eye = pinhole.centers(pose)
    reach = np.where(rays > 0, HALF - eye, -HALF - eye) / rays
    axis, depth = reach.argmin(-1), reach.min(-1)
    hit = (eye + rays * depth[..., None]) / HALF
    side = np.take_along_axis(hit, axis[..., None], -1)[..., 0] > 0
    across = np.where(axis == 0, 1, 0), np.where(axis == 2, 1, 2)
    places = [np.take_along_axis(hit, a[..., None], -1)[..., 0] for a in across]
    u, v = (((place + 1) / 2 * 255).astype(np.float32) for place in places)
    picture = np.zeros((height, width, 3), np.float32)
    for index in range(6):
        here = axis * 2 + side == index
        picture[here] = cv2.remap(walls[index], u, v, cv2.INTER_LINEAR)[here]
    return np.round(picture * 255).astype(np.uint8), depth.astype(np.float32)


def ring(views: int) -> np.ndarray:
    """World-to-camera of cameras on an arc that climbs and looks across the room."""
    azimuth = np.linspace(-12, 12, views)
    return pinhole.orbit(azimuth, np.linspace(-4, 9, views), 1.8, (0.0, 0.0, 0.6))


class Clips(list):
    """Examples as importers hand them on."""

    @property
    def scene_ids(self) -> list[str]:
        """Names of their scenes."""
        return [clip.scene_id for clip in self]
