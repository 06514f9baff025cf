"""The path of a source camera, as it is known before there is any depth."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from input_pipeline.depth_alignment import SparseDepth


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
