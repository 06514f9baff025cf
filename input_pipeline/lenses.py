"""Lenses as files describe them: by four numbers, as a fisheye, or changing in a film."""

import numpy as np
from jaxtyping import Float, Float64

from input_pipeline.plain_files import check_field


def lens_matrix(fx: float, fy: float, cx: float, cy: float) -> Float64[np.ndarray, "3 3"]:
    """Return the intrinsics of focal lengths and a centre in pixels."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def usual_lens(
    fisheye: Float[np.ndarray, "4"],
    intrinsics: Float[np.ndarray, "3 3"],
    height: int,
    width: int,
    where: str = "fisheye",
) -> Float[np.ndarray, "8"]:
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
    check_field(where, focal.min() > 0, f"focal lengths {focal.tolist()}", "some above 0")
    middle = intrinsics[:2, 2]
    reach = np.linalg.norm(np.maximum(middle, [width, height] - middle) / focal)
    angles = np.radians(np.linspace(0, widest, count + 1)[1:])
    bent = angles * np.polynomial.polynomial.polyval(angles**2, [1, *fisheye])
    is_beyond = (bent > reach) | (np.diff(bent, prepend=0) <= 0)
    seen = int(is_beyond.argmax()) if is_beyond.any() else count
    no_lens = f"coefficients {fisheye.tolist()}, by which a ray beside the axis is not seen"
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
    missed = np.abs(slopes * (1 + powers @ solved[:3]) / below - bent[:seen]).max() * focal.max()
    misfit = f"coefficients {fisheye.tolist()}, which the usual model misses by {missed:.1f}"
    expected = f"at most {most_pixels} pixels: undistort first"
    check_field(where, missed <= most_pixels, misfit, expected)
    k1, k2, k3, k4, k5, k6 = solved
    return np.array([k1, k2, 0, 0, k3, k4, k5, k6])


def median_lens(
    lenses: Float64[np.ndarray, "t 4"], where: str
) -> tuple[Float64[np.ndarray, "3 3"], str]:
    """Return the camera matrix of the median fx fy cx cy of a film, and a note where these vary.

    Focusing changes a lens by a few per cent, stabilizing moves its centre; a single frame's wrong
    numbers change no median.

    Raises:
      ValueError: the focal length is not positive, or of many frames another: the lens zooms.
    """
    # Relative change of the focal length; a phone's f of 6 mm is 6 % longer, focused at 10 cm.
    most_focusing = 0.1
    # Share of the frames that may be farther off: their numbers are wrong.
    few_frames = 0.1
    # Share of the focal length by which a film's lens varies silently.
    least_noted = 0.001
    fx, fy, cx, cy = np.median(lenses, axis=0)
    focal = min(fx, fy)
    check_field(where, focal > 0, f"a focal length of {focal:g}", "one above 0")
    apart = np.abs(lenses[:, :2] / [fx, fy] - 1).max(1)
    found = f"focal lengths from {lenses[:, :2].min():.0f} to {lenses[:, :2].max():.0f} pixels"
    expected = f"one within {most_focusing:.0%}: give a part of the film without zooming"
    check_field(where, np.mean(apart > most_focusing) <= few_frames, found, expected)
    spread = (np.ptp(lenses[:, :2], axis=0) / [fx, fy]).max()
    moved = np.ptp(lenses[:, 2:], axis=0).max()
    notes = []
    if spread > least_noted:
        notes.append(f"the focal length varies by {spread:.1%}; its median is taken")
    if moved > least_noted * fx:
        notes.append(f"the lens's centre varies by {moved:.1f} pixels; its median is taken")
    return lens_matrix(fx, fy, cx, cy), "; ".join(notes)
