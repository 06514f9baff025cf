"""Camera poses between the conventions of the field.

Ours is `opencv`: world-to-camera, x right, y down, z forward. A convention is what its matrices map
(world to camera or back) and how its camera axes stand to ours; the world is never touched.

  opencv          world to camera, x right, y down, z forward; COLMAP, Panoptic, Qualisys, ours
  opencv_c2w      the same axes, camera to world
  opengl          camera to world, x right, y up, z backward; Blender, NeRF, D-NeRF, nerfstudio
  opengl_w2c      the same axes, world to camera
  llff            camera to world, x down, y right, z backward; poses_bounds.npy
  pytorch3d       world to camera, x left, y up, z forward, for row vectors: the transposed matrix
  unreal          camera to world, x forward, y right, z up, left-handed, for row vectors

Where two conventions map the same way, or are each other's transpose, a conversion only moves and
negates numbers and is exact to the bit; where one is the inverse of the other it is exact up to
float64 rounding. Unreal's world is left-handed: its y is negated, the one change to a world.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from input_pipeline.pinhole import Poses, invert, rigid
from input_pipeline.plain_files import check_field


class Convention(NamedTuple):
    """The relation of a convention's matrices to ours."""

    axes: str
    """Directions of the camera axes x, y, z: letters of `AXES`."""
    to_world: bool
    """The matrix maps camera to world."""
    rows: bool = False
    """For row vectors: the transposed matrix."""
    mirrored: bool = False
    """The world is left-handed; its y points the other way."""


# Letters of axes in OpenCV's: right, left, down, up, forward, backward.
AXES = {
    "r": (1, 0, 0),
    "l": (-1, 0, 0),
    "d": (0, 1, 0),
    "u": (0, -1, 0),
    "f": (0, 0, 1),
    "b": (0, 0, -1),
}
CONVENTIONS = {
    "opencv": Convention("rdf", to_world=False),
    "opencv_c2w": Convention("rdf", to_world=True),
    "opengl": Convention("rub", to_world=True),
    "opengl_w2c": Convention("rub", to_world=False),
    "llff": Convention("drb", to_world=True),
    "pytorch3d": Convention("luf", to_world=False, rows=True),
    "unreal": Convention("fru", to_world=True, rows=True, mirrored=True),
}
SAME = {
    "colmap": "opencv",
    "panoptic": "opencv",
    "blender": "opengl",
    "nerfstudio": "opengl",
    "dnerf": "opengl",
}
MIRROR_Y = np.diag([1.0, -1.0, 1.0, 1.0])


def convert(poses: Float[np.ndarray, "..."], source: str, target: str) -> Poses:
    """Convert cameras to another convention.

    Args:
      poses: rigid 4x4 matrices of the convention `source`.
      source: a name in `CONVENTIONS` or `SAME`.
      target: likewise.

    Raises:
      ValueError: an unknown name, or matrices of another shape.
    """
    found = f"shape {poses.shape}"
    check_field("poses", poses.shape[-2:] == (4, 4), found, "(... 4 4)")
    before = _named(source)
    after = _named(target)
    if before == after:
        return np.array(poses)
    matrix = np.swapaxes(poses, -1, -2) if before.rows else poses
    if before.to_world != after.to_world:
        matrix = invert(matrix)
    # From camera coordinates of `target` to `source`.
    swap = _axes(before) @ _axes(after).T
    matrix = matrix @ swap if after.to_world else swap.T @ matrix
    if before.mirrored != after.mirrored:
        matrix = MIRROR_Y @ matrix if after.to_world else matrix @ MIRROR_Y
    matrix = np.swapaxes(matrix, -1, -2) if after.rows else matrix
    # Adding 0 leaves no negative zeros.
    return matrix + 0.0


def to_opencv(poses: Float[np.ndarray, "..."], source: str) -> Poses:
    """Return world-to-camera in OpenCV axes; see `convert`."""
    return convert(poses, source, "opencv")


def from_quaternions(
    rotations: Float[np.ndarray, "n 4"], places: Float[np.ndarray, "n 3"], where: str
) -> Poses:
    """Return the rigid matrices of quaternions x y z w, and translations.

    Raises:
      ValueError: naming `where`, and a length that no rotation has.
    """
    lengths = np.linalg.norm(rotations, axis=1)
    worst = lengths[np.abs(lengths - 1).argmax()]
    check_field(where, abs(worst - 1) <= 0.01, f"a rotation of length {worst:.3g}", 1)
    return rigid(Rotation.from_quat(rotations).as_matrix(), places)


def homogeneous(poses: Float[np.ndarray, "... 3 4"] | Poses) -> Poses:
    """Add the row 0 0 0 1 where it is missing."""
    if poses.shape[-2:] == (4, 4):
        return poses
    row = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (*poses.shape[:-2], 1, 4))
    return np.concatenate([poses, row], -2)


def _named(name: str) -> Convention:
    names = ", ".join([*CONVENTIONS, *SAME])
    known = SAME.get(name, name)
    expected = f"one of {names}"
    check_field("camera convention", known in CONVENTIONS, repr(name), expected)
    return CONVENTIONS[known]


def _axes(convention: Convention) -> Poses:
    """Return the matrix from OpenCV camera coordinates to those of the convention."""
    return rigid(np.array([AXES[x] for x in convention.axes], np.float64), np.zeros(3))
