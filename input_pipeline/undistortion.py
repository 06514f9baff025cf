"""Pictures of a pinhole camera from those of a distorted lens, without pixels that it did not see.

The camera keeps its intrinsics if the lens saw all of its pixels. Otherwise, as with pincushion
distortion, its view is narrowed around the middle of the picture until that is so.
"""

from functools import lru_cache, partial

import cv2
import numpy as np
from jaxtyping import Float, Float64

from input_pipeline.cameras import Lens, crop_intrinsics
from input_pipeline.plain_files import check_field


def flat_lens(
    intrinsics: Lens,
    distortion: Float[np.ndarray, "8"],
    height: int,
    width: int,
) -> Lens:
    """Return the intrinsics of the undistorted picture, in pixels of the same size and number.

    Args:
      intrinsics: of the distorted picture, pixel centres at +0.5.
      distortion: OpenCV's k1 k2 p1 p2 k3 k4 k5 k6.
      height: rows of the picture.
      width: columns of the picture.

    Raises:
      ValueError: the lens saw less than half of the view each way without folding.
    """
    if not distortion.any():
        return intrinsics
    matrix = np.asarray(intrinsics, np.float64)
    lens = np.asarray(distortion, np.float64)
    factor = _narrowing(matrix.tobytes(), lens.tobytes(), height, width)
    return _narrowed(matrix, factor, height, width).astype(intrinsics.dtype)


def undistort(
    image: np.ndarray, intrinsics: Lens, distortion: Float[np.ndarray, "8"]
) -> tuple[np.ndarray, Lens]:
    """Return an image (h w 3, or depth or a mask h w) without distortion, and its intrinsics.

    Depth and masks are never averaged.

    Raises:
      ValueError: as in `flat_lens`.
    """
    if not distortion.any():
        return image, intrinsics
    flat = flat_lens(intrinsics, distortion, *image.shape[:2])
    # OpenCV counts pixel centres from 0.
    matrix, new_matrix = (crop_intrinsics(lens, top=0.5, left=0.5) for lens in (intrinsics, flat))
    size = image.shape[1::-1]
    maps = cv2.initUndistortRectifyMap(matrix, distortion, None, new_matrix, size, cv2.CV_32FC1)
    method = cv2.INTER_NEAREST if image.ndim == 2 else cv2.INTER_LINEAR
    return cv2.remap(image, *maps, method, borderMode=cv2.BORDER_REPLICATE), flat


@lru_cache(maxsize=1024)
def _narrowing(matrix: bytes, lens: bytes, height: int, width: int) -> float:
    """Return the least factor by which the view must be narrowed; 1 where the lens saw all."""
    # The most that a view may be narrowed.
    most_narrowing = 2.0
    halvings = 20
    distortion = np.frombuffer(lens)
    seen = partial(_sees, np.frombuffer(matrix).reshape(3, 3), distortion, height, width)
    if seen(1.0):
        return 1.0
    found = f"coefficients {distortion.tolist()} that fold pictures of {width}x{height} pixels"
    expected = f"a lens that sees 1 / {most_narrowing:g} of the view each way: calibrate again"
    check_field("distortion", seen(most_narrowing), found, expected)
    low = 1.0
    high = most_narrowing
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def _sees(
    intrinsics: Float64[np.ndarray, "3 3"],
    distortion: Float64[np.ndarray, "8"],
    height: int,
    width: int,
    factor: float,
) -> bool:
    """Return whether the lens saw each pixel of the narrowed view, once."""
    # Points each way at which a lens is looked at.
    grid = 33
    x, y = np.meshgrid(np.linspace(0.5, width - 0.5, grid), np.linspace(0.5, height - 0.5, grid))
    flat = _narrowed(intrinsics, factor, height, width)
    rays = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ np.linalg.inv(flat).T
    bent, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), intrinsics, distortion)
    u, v = np.moveaxis(bent.reshape(grid, grid, 2), -1, 0)
    inside = (bent >= 0) & (bent <= [width, height])
    right = np.diff(u, axis=1)[:-1]
    down = np.diff(v, axis=0)[:, :-1]
    across = np.diff(v, axis=1)[:-1]
    along = np.diff(u, axis=0)[:, :-1]
    return bool(inside.all() and (right * down > across * along).all())


def _narrowed(
    intrinsics: Float64[np.ndarray, "3 3"], factor: float, height: int, width: int
) -> Float64[np.ndarray, "3 3"]:
    """Return the intrinsics of the middle of a picture, enlarged to its size."""
    about = np.array([[1.0, 0, -width / 2], [0, 1.0, -height / 2], [0, 0, 1]])
    return np.linalg.inv(about) @ np.diag([factor, factor, 1.0]) @ about @ intrinsics
