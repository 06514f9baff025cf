"""OpenCV's fisheye lens (Kannala and Brandt 2006) as its usual one, which pictures are rid of.

Both bend a ray at an angle from the axis by a factor, of which six coefficients of the usual model,
a quotient of polynomials, leave out less than half a pixel in lenses that see up to 160 degrees.
"""

import numpy as np
from jaxtyping import Float

WIDEST = 80.0  # degrees from the axis: a flat picture of more is mostly its edges
ANGLES = 400  # at which both are compared
REWEIGHTED = 3  # times that the linear equations count by their denominators
MOST = 0.5  # pixels that both may differ by


def usual_lens(
    fisheye: Float[np.ndarray, "4"],
    intrinsics: Float[np.ndarray, "3 3"],
    height: int,
    width: int,
) -> Float[np.ndarray, "8"]:
    """Return k1 k2 p1 p2 k3 k4 k5 k6 of a fisheye lens with the same intrinsics.

    Args:
      fisheye: k1 k2 k3 k4, of t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8) at an angle t.
      intrinsics: pixels.
      height: rows of its pictures.
      width: columns of its pictures.

    Raises:
      ValueError: They differ by more than half a pixel, or it is no lens.
    """
    focal = intrinsics[[0, 1], [0, 1]]
    if focal.min() <= 0:
        raise ValueError(f"fisheye: found focal lengths {focal.tolist()}, expected some above 0")
    middle = intrinsics[:2, 2]
    reach = np.linalg.norm(np.maximum(middle, [width, height] - middle) / focal)
    angles = np.radians(np.linspace(0, WIDEST, ANGLES + 1)[1:])
    bent = angles * np.polynomial.polynomial.polyval(angles**2, [1, *fisheye])
    is_beyond = (bent > reach) | (np.diff(bent, prepend=0) <= 0)
    seen = int(is_beyond.argmax()) if is_beyond.any() else ANGLES
    if seen == 0:
        no_lens = f"coefficients {fisheye.tolist()}, by which a ray beside the axis is not seen"
        raise ValueError(f"fisheye: found {no_lens}, expected those of a lens")
    slopes = np.tan(angles[:seen])
    factors = bent[:seen] / slopes
    powers = slopes[:, None] ** [2, 4, 6]
    equations = np.column_stack([powers, -factors[:, None] * powers])
    weights = slopes / np.sqrt(1 + slopes**6)
    for _ in range(REWEIGHTED):
        scales = np.linalg.norm(equations * weights[:, None], axis=0)
        rows = equations * weights[:, None] / scales
        solved = np.linalg.lstsq(rows, (factors - 1) * weights)[0] / scales
        below = 1 + powers @ solved[3:]
        weights = slopes / below
    missed = np.abs(slopes * (1 + powers @ solved[:3]) / below - bent[:seen]).max() * focal.max()
    if missed > MOST:
        misfit = f"coefficients {fisheye.tolist()}, which the usual model misses by {missed:.1f}"
        raise ValueError(
            f"fisheye: found {misfit}, expected at most {MOST} pixels: undistort first"
        )
    k1, k2, k3, k4, k5, k6 = solved
    return np.array([k1, k2, 0, 0, k3, k4, k5, k6])
