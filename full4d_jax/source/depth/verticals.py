"""Upright lines of the world, such as corners of rooms, doors and pillars, in depth.

Where up u is known in camera axes, depth along an upright line has one unknown: with the rays
r(q) = ((x - cx) / fx, (y - cy) / fy, 1) of its pixels q and m the unit vector along r x u, which
all of its rays share,

    disparity(q) = c p(q),     p(q) = (r(q) x u) . m

as its points r / disparity differ by multiples of u. In the picture upright lines point to where up
is. So do the gaps of a floor that lead straight away from the camera, which is why the estimate has
to agree to within `max_lean` that a line is upright.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.source.depth.gravity import Direction

Points = Float[ndarray, "n 2"]


class UprightLines(NamedTuple):
    """Evidence of upright lines in a picture.

    Attributes:
      lens: intrinsics, pixels.
      up: against gravity, in camera axes.
    """

    lens: Float[ndarray, "3 3"]
    up: Direction

    def include(self, points: Points, depth: Float[ndarray, " n"]) -> bool:
        """Tell whether a straight segment, points x y in pixels with depth, is upright."""
        max_lean = 75.0  # degrees from up, by the estimate
        max_miss = 4.0  # degrees by which a line may point past the pixel of up
        start, end = self.rays(points[[0, -1]])
        # The plane through the camera and the line holds up.
        normal = np.cross(start, end)
        miss = np.degrees(np.arcsin(abs(normal @ self.up) / np.linalg.norm(normal)))
        return bool(miss < max_miss) and self.lean(points, depth) < max_lean

    def lean(self, points: Points, depth: Float[ndarray, " n"]) -> float:
        """Return the angle between up and a segment as its depth places it, degrees, up to 90."""
        # Disparity is linear along a straight line, whatever noise its depth has.
        along = np.linspace(-1, 1, len(points))
        slope, middle = np.polyfit(along, 1 / depth, 1)
        ends = np.maximum(middle + slope * along[[0, -1]], 1e-3 * middle)
        start, end = self.rays(points[[0, -1]]) / ends[:, None]
        direction = (end - start) / np.linalg.norm(end - start)
        return float(np.degrees(np.arccos(min(1.0, abs(direction @ self.up)))))

    def profile(self, points: Points) -> Float[ndarray, " n"]:
        """Return the module's p at points of an upright line, over its mean."""
        crossed = np.cross(self.rays(points), self.up)
        profile = crossed @ crossed.mean(0)
        return profile / profile.mean()

    def rays(self, points: Points) -> Float[ndarray, "n 3"]:
        """Return the directions of pixels at depth 1, in camera axes."""
        pixels = np.concatenate([points, np.ones((len(points), 1))], 1)
        return pixels @ np.linalg.inv(self.lens).T
