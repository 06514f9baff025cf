"""Cameras of a grid: V views at T instants, one lens for each view.

Conventions, everywhere in this package: OpenCV axes (x right, y down, z forward), pixel centres at
+0.5, intrinsics in pixels of pictures of `height` x `width`. The world is the camera of view 0 at
the first instant; its unit is the median depth there, so the middle of that picture is near
(0, 0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat
from jaxtyping import Array, Float

from gaussians import Camera

# Of views or of frames.
Index = slice | list[int] | np.ndarray


# Jax puts anything in the place of arrays: shapes, shardings, None.
@no_type_check
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["intrinsics", "world_to_camera"],
    meta_fields=["height", "width"],
)
@dataclass(frozen=True)
class Cameras:
    """The cameras of all views of a grid, in numpy or jax arrays; a leading axis makes a batch.

    Attributes:
      intrinsics: focal lengths and principal point of each view, pixels.
      world_to_camera: rigid motion from world to camera coordinates, for each view and instant.
      height: rows of the pictures; static under jit.
      width: columns of the pictures; static under jit.
    """

    intrinsics: Float[Any, "*b v 3 3"]
    world_to_camera: Float[Any, "*b v t 4 4"]
    height: int
    width: int

    @property
    def arrays(self) -> tuple[Array, Array]:
        """The lenses and the motions as jax arrays."""
        return jnp.asarray(self.intrinsics), jnp.asarray(self.world_to_camera)

    @property
    def unit_intrinsics(self) -> Float[Any, "*b v 3 3"]:
        """Intrinsics in units of the picture's width and height, as the network takes them."""
        return self.resized(1, 1).intrinsics

    def resized(self, height: int, width: int) -> Cameras:
        """Return the cameras of pictures that were resized."""
        scale = np.array([width / self.width, height / self.height, 1], np.float32)
        lenses = self.intrinsics * scale.reshape(
            *(1,) * (self.intrinsics.ndim - 2), 3, 1
        )
        return Cameras(lenses, self.world_to_camera, height, width)

    def views(self, chosen: Index) -> Cameras:
        """Return the cameras of some views."""
        lenses = self.intrinsics[..., chosen, :, :]
        poses = self.world_to_camera[..., chosen, :, :, :]
        return replace(self, intrinsics=lenses, world_to_camera=poses)

    def frames(self, chosen: Index) -> Cameras:
        """Return the cameras at some instants."""
        return replace(self, world_to_camera=self.world_to_camera[..., chosen, :, :])

    def camera(self, view: int, time: int) -> Camera:
        """Return the camera of one view at one instant, as the renderer takes it."""
        pose = self.world_to_camera[..., view, time, :, :]
        lens = self.intrinsics[..., view, :, :]
        return Camera(jnp.asarray(pose), jnp.asarray(lens), self.width, self.height)

    def batched(self) -> Camera:
        """Return the cameras of all views and instants as one batch (v t), for the renderer."""
        lenses, poses = self.arrays
        lenses = repeat(lenses, "v i j -> v t i j", t=poses.shape[1])
        return Camera(poses, lenses, self.width, self.height)


def cameras_of(clip: Any) -> Cameras:
    """Return the cameras of a clip that has frames (*b v t h w 3) and the arrays of cameras."""
    return Cameras(clip.intrinsics, clip.world_to_camera, *clip.frames.shape[-3:-1])


def sides(height: int, width: int, rows: int, multiple: int) -> tuple[int, int]:
    """Return sides of the shape of `height` x `width` whose shorter one is about `rows`.

    Both are the nearest multiples of `multiple`.
    """
    scale = rows / min(height, width)

    def nearest(side: int) -> int:
        return max(1, round(side * scale / multiple)) * multiple

    return nearest(height), nearest(width)


def inverse_lens(lens: Float[Array, "*n 3 3"]) -> Float[Array, "*n 3 3"]:
    """Return K^-1 of (fx s cx; 0 fy cy; 0 0 1), with the roundings of a solve from below."""
    zero = jnp.zeros_like(lens[..., 0, 0])
    x, y = 1 / lens[..., 0, 0], 1 / lens[..., 1, 1]
    skew, column, row = lens[..., 0, 1], lens[..., 0, 2], -lens[..., 1, 2] * y
    rows = [
        [x, -skew * y * x, (-column - skew * row) * x],
        [zero, y, row],
        [zero, zero, zero + 1],
    ]
    return jnp.stack([jnp.stack(x, -1) for x in rows], -2)
