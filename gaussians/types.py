"""The values that every part of the renderer exchanges: scenes, cameras, pictures.

Parameters are raw, exactly as a 3DGS `.ply` stores them (log-scales, logit-opacities, harmonic
coefficients), so that optimisers, files and the renderer see the same numbers.
Cameras are OpenCV: x right, y down, z forward; pixel centres lie at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int

# A number, and a count or an index.
Scalar = Float[Array, ""]
Number = Int[Array, ""]
# A number and a vector of each Gaussian.
Values = Float[Array, "g"]
Vectors = Float[Array, "g 3"]
# Colours of a picture, and the times of several, in clips.
Picture = Float[Array, "h w 3"]
Times = Float[Array, "n"]


class Gaussians(NamedTuple):
    """A static scene of `g` Gaussians in world units.

    Attributes:
      means: centres.
      quaternions: orientation (w, x, y, z), normalised when used; zero means no rotation.
      log_scales: natural logarithm of the standard deviation along each local axis.
      logit_opacities: opacity before the sigmoid.
      harmonics: colour as k = (degree + 1)^2 spherical harmonics; the first is the mean.
    """

    means: Float[Array, "*b g 3"]
    quaternions: Float[Array, "*b g 4"]
    log_scales: Float[Array, "*b g 3"]
    logit_opacities: Float[Array, "*b g"]
    harmonics: Float[Array, "*b g k 3"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["world_to_camera", "intrinsics"],
    meta_fields=["width", "height"],
)
@dataclass(frozen=True)
class Camera:
    """A pinhole camera; with leading axes on both arrays it is a batch for `vmap` or `lax.map`.

    Attributes:
      world_to_camera: rigid motion from world to OpenCV camera coordinates.
      intrinsics: focal lengths and principal point in pixels. Entries beside these four are not
        read, so pictures with skewed pixels must be rectified before.
      width: columns of the picture, static under jit.
      height: rows of the picture, static under jit.
    """

    world_to_camera: Float[Array, "*b 4 4"]
    intrinsics: Float[Array, "*b 3 3"]
    width: int
    height: int

    @property
    def eye(self) -> Float[Array, "*b 3"]:
        """Centre of a single camera, world units."""
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]


class Surfaces(NamedTuple):
    """The Gaussian that is seen at each pixel.

    Attributes:
      ids: the Gaussian that colours the pixel most; -1 where there is none.
      median_ids: the first behind which at most half of the light is left; -1 where more is left.
      median_depth: z of that one's centre, world units; 0 where there is none.
      overflow: Gaussian-tile intersections beyond the budget. Above 0, some are missing.
    """

    ids: Int[Array, "*b h w"]
    median_ids: Int[Array, "*b h w"]
    median_depth: Float[Array, "*b h w"]
    overflow: Int[Array, "*b"]


class Rendering(NamedTuple):
    """One picture.

    Attributes:
      rgb: colour composited over the background; in [0, 1] when the harmonics are.
      depth: expected z of the visible Gaussians in world units; 0 where there are none.
      alpha: coverage in [0, 1].
      overflow: Gaussian-tile intersections beyond the budget. Above 0, the picture lacks them.
      features: features of the Gaussians, weighted as colours are, over a background of 0; None
        where `render` got none. Divided by `alpha` they are the mean of what is visible.
    """

    rgb: Float[Array, "*b h w 3"]
    depth: Float[Array, "*b h w"]
    alpha: Float[Array, "*b h w"]
    overflow: Int[Array, "*b"]
    features: Float[Array, "*b h w f"] | None = None
