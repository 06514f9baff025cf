"""The conditions that a grid is generated from."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float

from full4d_jax.flow import Latents

Planes = Float[Array, "b v t h w"]
Poses = Float[Array, "b v t 4 4"]
Lenses = Float[Array, "b v 3 3"]
Motion = Float[Array, "b v t h w 5"]


class Conditions(NamedTuple):
    """Conditions of a grid, at latent resolution; view 0 is the source.

    With the guide `ProjectionAsFrames` the first four may have no frames (t = 0). Without any
    projection, it and the disparity have none, and the mask is 1 in real frames
    (`real_frames`).

    Attributes:
      projection: the encoded projected video; in view 0 the input video.
      base: the same with holes filled (push-pull).
      mask: 1 where the projection has a point; ones in view 0.
      disparity: 1/z of the projected points, 0 in holes.
      world_to_camera: the world is the source camera at t = 0.
      intrinsics: in units of the image's width and height.
      text: embedding of the prompt; None has no tokens, which is Wan's padding, zeros.
      real: which frames are, clean, in `base`.
      motion: from each pixel to where `base` and `row` show it, pixels, x then y, and the logit of
        the latter's share, as the first row carries them over (`geometry.image_motion`); None is
        0, and all that models have that do not move their base.
      row: what the first row shows at the same instant where it is carried over, else `base`; None
        is that everywhere.
    """

    projection: Latents
    base: Latents
    mask: Planes
    disparity: Planes
    world_to_camera: Poses
    intrinsics: Lenses
    text: Float[Array, "b n e"] | None = None
    real: Bool[Array, "b v t"] | None = None
    motion: Motion | None = None
    row: Latents | None = None
