"""The path of a source camera, as it is known before there is any depth."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from input_pipeline.cameras import centers, rigid
from input_pipeline.depth_alignment import SparseDepth

RESTS = 1e-6  # of the path's own unit: a camera that turns on its place


class SourcePath(NamedTuple):
    """The path of a source camera.

    Attributes:
      world_to_camera: at every instant; the first is the identity, the unit is free.
      points: still points of the scene, in the path's unit; None where none are known.
      note: a sentence about where it comes from; empty for a camera that stands still.
      warning: a sentence about what may go wrong; empty for nothing.
    """

    world_to_camera: Float[ndarray, "t 4 4"]
    points: SparseDepth | None = None
    note: str = ""
    warning: str = ""


def still_path(frames: int) -> SourcePath:
    """Return the path of a camera that stands still."""
    return SourcePath(np.tile(np.eye(4), (frames, 1, 1)))


def turning_path(rotations: Float[ndarray, "t 3 3"]) -> Float[ndarray, "t 4 4"]:
    """Return the poses of a camera that turns on its place."""
    return rigid(rotations, np.zeros((len(rotations), 3)))


def moves(world_to_camera: Float[ndarray, "t 4 4"]) -> bool:
    """Return whether a camera does anything but stand still."""
    return bool(np.ptp(world_to_camera, axis=0).max() > RESTS)


def travels(world_to_camera: Float[ndarray, "t 4 4"]) -> bool:
    """Return whether a camera changes its place."""
    return bool(np.ptp(centers(np.asarray(world_to_camera)), axis=0).max() > RESTS)
