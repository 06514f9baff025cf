"""Lenses: by four numbers, as a fisheye, changing in a video, and without their distortion.

A pinhole camera's pictures are made from those of a distorted lens without pixels that it did not
see. The camera keeps its intrinsics if the lens saw all of its pixels. Otherwise, as with
pincushion distortion, its view is narrowed around the middle of the picture until that is so.
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from input_pipeline.pinhole import Lens, crop_intrinsics
from input_pipeline.plain_files import check_field

# OpenCV's k1 k2 p1 p2 k3 k4 k5 k6.
Distortion = Float[ndarray, "8"]


def lens_matrix(fx: float, fy: float, cx: float, cy: float) -> Lens:
    """Return the intrinsics of focal lengths and a centre in pixels."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def usual_lens(
    fisheye: Float[ndarray, "4"],
    intrinsics: Lens,
    height: int,
    width: int,
    where: str = "fisheye",
) -> Distortion:
    """Return k1 k2 p1 p2 k3 k4 k5 k6 of OpenCV's usual model for a lens of its fisheye model.

    Both bend a ray at an angle from the axis by a factor (Kannala and Brandt 2006), of which six
    coefficients of the usual model, a quotient of polynomials, leave out less than half a pixel in
    lenses that see up to 160 degrees.

    Args:
      fisheye: k1 k2 k3 k4, of t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8) at an angle t.
      intrinsics: pixels.
      height: rows of its pictures.
      width: columns of its pictures.
      where: which lens, for messages.

    Raises:
      ValueError: They differ by more than half a pixel, or it is no lens.
    """
    # Degrees from the axis: a flat picture of more is mostly its edges.
    widest = 80.0
    # Angles at which both are compared.
    count = 400
    # By so many pixels both may differ.
    most_pixels = 0.5
    focal = intrinsics[[0, 1], [0, 1]]
    check_field(where, focal.min() > 0, f"focal lengths {focal.tolist()}", "above 0")
    middle = intrinsics[:2, 2]
    reach = np.linalg.norm(np.maximum(middle, [width, height] - middle) / focal)
    angles = np.radians(np.linspace(0, widest, count + 1)[1:])
    bent = angles * np.polynomial.polynomial.polyval(angles**2, [1, *fisheye])
    is_beyond = (bent > reach) | (np.diff(bent, prepend=0) <= 0)
    seen = int(is_beyond.argmax()) if is_beyond.any() else count
    no_lens = (
        f"coefficients {fisheye.tolist()}, by which no ray beside the axis is seen"
    )
    check_field(where, seen > 0, no_lens, "those of a lens")
    slopes = np.tan(angles[:seen])
    factors = bent[:seen] / slopes
    powers = slopes[:, None] ** [2, 4, 6]
    equations = np.column_stack([powers, -factors[:, None] * powers])
    weights = slopes / np.sqrt(1 + slopes**6)
    # The linear equations count by their denominators.
    for _ in range(3):
        scales = np.linalg.norm(equations * weights[:, None], axis=0)
        rows = equations * weights[:, None] / scales
        solved = np.linalg.lstsq(rows, (factors - 1) * weights)[0] / scales
        below = 1 + powers @ solved[3:]
        weights = slopes / below
    usual = slopes * (1 + powers @ solved[:3]) / below
    missed = np.abs(usual - bent[:seen]).max() * focal.max()
    found = f"coefficients {fisheye.tolist()}, the usual model misses by {missed:.1f}"
    expected = f"at most {most_pixels} pixels: undistort first"
    check_field(where, missed <= most_pixels, found, expected)
    k1, k2, k3, k4, k5, k6 = solved
    return np.array([k1, k2, 0, 0, k3, k4, k5, k6])


def median_lens(lenses: Float[ndarray, "t 4"], where: str) -> tuple[Lens, str]:
    """Return the camera matrix of the median fx fy cx cy of a video, and a note where these vary.

    Focusing changes a lens by a few per cent, stabilizing moves its centre; a single frame's wrong
    numbers change no median.

    Raises:
      ValueError: the focal length is not positive, or of many frames another: the lens zooms.
    """
    # Relative change of the focal length; a phone's f of 6 mm is 6 % longer, focused at 10 cm.
    most_focusing = 0.1
    # Share of the frames that may be farther off: their numbers are wrong.
    few_frames = 0.1
    # Share of the focal length by which a video's lens varies silently.
    least_noted = 0.001
    fx, fy, cx, cy = np.median(lenses, axis=0)
    focal = min(fx, fy)
    check_field(where, focal > 0, f"a focal length of {focal:g}", "one above 0")
    focals, centres = np.split(lenses, 2, axis=1)
    apart = np.abs(focals / [fx, fy] - 1).max(1)
    found = f"focal lengths from {focals.min():.0f} to {focals.max():.0f} pixels"
    expected = f"within {most_focusing:.0%}: give a part of the video without zooming"
    check_field(where, np.mean(apart > most_focusing) <= few_frames, found, expected)
    spread = (np.ptp(focals, axis=0) / [fx, fy]).max()
    drift = np.ptp(centres, axis=0).max()
    notes = []
    if spread > least_noted:
        notes.append(f"the focal length varies by {spread:.1%}; its median is taken")
    if drift > least_noted * fx:
        notes.append(
            f"the lens's centre varies by {drift:.1f} pixels, its median is used"
        )
    return lens_matrix(fx, fy, cx, cy), "; ".join(notes)


def flat_lens(
    intrinsics: Lens, distortion: Distortion, height: int, width: int
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
    image: ndarray, intrinsics: Lens, distortion: Distortion
) -> tuple[ndarray, Lens]:
    """Return an image (h w 3, or depth or a mask h w) without distortion, and its intrinsics.

    Depth and masks are never averaged.

    Raises:
      ValueError: as in `flat_lens`.
    """
    if not distortion.any():
        return image, intrinsics
    flat = flat_lens(intrinsics, distortion, *image.shape[:2])
    # OpenCV counts pixel centres from 0.
    before, after = (crop_intrinsics(x, top=0.5, left=0.5) for x in (intrinsics, flat))
    size = image.shape[1::-1]
    maps = cv2.initUndistortRectifyMap(
        before, distortion, None, after, size, cv2.CV_32FC1
    )
    method = cv2.INTER_NEAREST if image.ndim == 2 else cv2.INTER_LINEAR
    return cv2.remap(image, *maps, method, borderMode=cv2.BORDER_REPLICATE), flat


@lru_cache(maxsize=1024)
def _narrowing(matrix: bytes, lens: bytes, height: int, width: int) -> float:
    """Return the least factor by which the view must be narrowed; 1 where the lens saw all."""
    # The most that a view may be narrowed.
    most_narrowing = 2.0
    halvings = 20
    intrinsics = np.frombuffer(matrix).reshape(3, 3)
    distortion = np.frombuffer(lens)
    # Points each way at which a lens is looked at.
    grid = 33
    x, y = np.meshgrid(
        *(np.linspace(0.5, side - 0.5, grid) for side in (width, height))
    )
    pixels = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)

    def seen(factor: float) -> bool:
        """Return whether the lens saw each pixel of the narrowed view, once."""
        rays = pixels @ np.linalg.inv(_narrowed(intrinsics, factor, height, width)).T
        bent, _ = cv2.projectPoints(
            rays, np.zeros(3), np.zeros(3), intrinsics, distortion
        )
        u, v = np.moveaxis(bent.reshape(grid, grid, 2), -1, 0)
        inside = (bent >= 0) & (bent <= [width, height])
        right = np.diff(u, axis=1)[:-1]
        down = np.diff(v, axis=0)[:, :-1]
        across = np.diff(v, axis=1)[:-1]
        along = np.diff(u, axis=0)[:, :-1]
        return bool(inside.all() and (right * down > across * along).all())

    if seen(1.0):
        return 1.0
    bent = f"coefficients {distortion.tolist()}"
    found = f"{bent} that fold pictures of {width}x{height} pixels"
    least = f"1 / {most_narrowing:g} of the view each way"
    expected = f"a lens that sees {least}: calibrate again"
    check_field("distortion", seen(most_narrowing), found, expected)
    low = 1.0
    high = most_narrowing
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def _narrowed(intrinsics: Lens, factor: float, height: int, width: int) -> Lens:
    """Return the intrinsics of the middle of a picture, enlarged to its size."""
    about = np.array([[1.0, 0, -width / 2], [0, 1.0, -height / 2], [0, 0, 1]])
    return np.linalg.inv(about) @ np.diag([factor, factor, 1.0]) @ about @ intrinsics
