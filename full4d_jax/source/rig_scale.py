"""How large a world is whose depth nobody measured: from what its cameras share.

A view of a rig gets its depth from a network, which knows no unit; the cameras have one. It is told
by points that other views see too, or else by the place that all cameras look at.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from input_pipeline.cameras import nearest_to_axes
from input_pipeline.depth_alignment import MIN_MATCHES, SparseDepth, known_depth
from input_pipeline.matches import undistort_points
from input_pipeline.schema import Example
from input_pipeline.transforms import Clip


class RigScale(NamedTuple):
    """What tells the unit of a rig.

    Attributes:
      unit: distance of the scene from the source, in the unit of the cameras.
      points: points of the source view whose depth is known, in that unit; None where too few are.
      said: what told the unit, for people.
    """

    unit: float
    points: SparseDepth | None
    said: str


def rig_scale(
    example: Example, clip: Clip, world_to_camera: Float[ndarray, "v t 4 4"]
) -> RigScale | None:
    """Return the unit of a rig whose first view is the source; None if nothing tells it.

    Args:
      example: the clip as it is stored.
      clip: the clip as it is decoded.
      world_to_camera: its cameras; the world is the source camera at the first instant.
    """
    points = shared_points(example, clip)
    if len(points.depth) >= MIN_MATCHES:
        unit = float(np.median(points.depth))
        said = f"{len(points.depth)} points that other views see too"
        return RigScale(unit, points._replace(depth=points.depth / unit), said)
    middle = nearest_to_axes(world_to_camera[:, 0])
    if middle is None or middle[2] <= 0:
        return None
    return RigScale(float(middle[2]), None, "the place that all cameras look at")


def shared_points(example: Example, clip: Clip) -> SparseDepth:
    """Return points of the first view that other views see too, in pixels of the decoded clip."""
    known = known_depth(example)[0]
    height, width = clip.frames.shape[2:4]
    stored = example.intrinsics[0].astype(np.float64)
    pixels = undistort_points(known.pixels, stored, example.distortion[0])
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ np.linalg.inv(stored).T
    u, v = (rays @ clip.intrinsics[0].astype(np.float64).T)[:, :2].T
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    return SparseDepth(known.instants[inside], np.stack([u, v], 1)[inside], known.depth[inside])
