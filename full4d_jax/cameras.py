"""Cameras of a grid: V views at T instants, one lens a view.

Conventions, everywhere in this package: OpenCV axes (x right, y down, z forward), pixel centres at
+0.5, intrinsics in pixels of pictures of `height` x `width`. The world is the camera of view 0 at
the first instant; its unit is the median depth there, so the middle of that picture is near
(0, 0, 1).
"""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float

from gaussians import Camera


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["intrinsics", "world_to_camera"],
    meta_fields=["height", "width"],
)
@dataclass(frozen=True)
class Cameras:
    """The cameras of all views of a grid; a leading axis makes it a batch. numpy or jax arrays.

    intrinsics: focal lengths and principal point of each view, pixels.
    world_to_camera: rigid motion from world to camera coordinates, for each view and instant.
    height, width: size of the pictures, pixels; static under jit.
    """

    intrinsics: Float[Array | np.ndarray, "*b v 3 3"]
    world_to_camera: Float[Array | np.ndarray, "*b v t 4 4"]
    height: int
    width: int

    def camera(self, view: int, time: int) -> Camera:
        """The camera of one view at one instant, as the renderer takes it."""
        pose, lens = self.world_to_camera[..., view, time, :, :], self.intrinsics[..., view, :, :]
        return Camera(pose, lens, self.width, self.height)  # pyright: ignore[reportArgumentType]
