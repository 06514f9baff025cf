"""Pictures of a box with noisy walls, seen from inside: exact cameras and depth, many corners."""

import cv2
import numpy as np

from input_pipeline import cameras

HALF = np.array([2.0, 1.2, 3.0])  # half the room, world units; its middle is the origin


def textures(seed: int = 0) -> np.ndarray:
    """Noise of three scales for six walls, (6 256 256 3) in [0, 1]."""
    rng = np.random.default_rng(seed)
    layers = [
        np.stack([cv2.resize(x, (256, 256), interpolation=cv2.INTER_CUBIC) for x in noise])
        for noise in (rng.random((6, n, n, 3), np.float32) for n in (16, 48, 96))
    ]
    return np.clip(sum(layers) / 3 * 1.6 - 0.3, 0, 1)


def render(
    intrinsics: np.ndarray, world_to_camera: np.ndarray, height: int, width: int, walls: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (h w 3) uint8 and its z-depth (h w) from one camera."""
    rays = cameras.unproject(np.ones((height, width)), intrinsics, world_to_camera)
    eye = cameras.centers(world_to_camera)
    rays = rays - eye
    with np.errstate(divide="ignore"):
        reach = np.where(rays > 0, HALF - eye, -HALF - eye) / rays  # z-depth, since rays have z = 1
    axis = reach.argmin(-1)
    depth = reach.min(-1)
    hit = eye + rays * depth[..., None]
    side = np.take_along_axis(hit, axis[..., None], -1)[..., 0] > 0
    across = np.where(axis == 0, 1, 0), np.where(axis == 2, 1, 2)
    u, v = (
        (np.take_along_axis(hit / HALF, a[..., None], -1)[..., 0] * 0.5 + 0.5) * 255 for a in across
    )
    u, v = u.astype(np.float32), v.astype(np.float32)
    wall = axis * 2 + side
    picture = np.zeros((height, width, 3), np.float32)
    for index in range(6):
        seen = cv2.remap(walls[index], u, v, cv2.INTER_LINEAR)
        picture[wall == index] = seen[wall == index]
    return np.round(picture * 255).astype(np.uint8), depth.astype(np.float32)


def ring(views: int) -> np.ndarray:
    """World-to-camera of cameras on an arc, one above the other, that look across the room."""
    azimuth = np.linspace(-25, 25, views)
    return cameras.orbit(azimuth, np.linspace(-4, 9, views), 1.8, (0.0, 0.0, 0.6))
