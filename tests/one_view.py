"""The grid of one real view."""

import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.grid import Grid, around_source


def one_view(
    frames: np.ndarray,
    depth: np.ndarray | None = None,
    lens: np.ndarray | None = None,
    poses: np.ndarray | None = None,
) -> Grid:
    """Return the grid of frames (t h w 3), default: depth 1, any lens, a camera at rest."""
    t, height, width = frames.shape[:3]
    depth = np.ones(frames.shape[:3]) if depth is None else depth
    lens = np.eye(3) if lens is None else lens
    poses = np.tile(np.eye(4), (t, 1, 1)) if poses is None else poses
    cameras = Cameras(lens[None], poses[None], height, width)
    return around_source(frames[None], depth[None], cameras)
