"""The conditions that a grid is generated from."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float

from full4d_jax.config import ModelConfig


def reads_filled(model: ModelConfig) -> bool:
    """Return whether a model with projection reads `Conditions.base` in more than real frames."""
    return model.projection == "channels" or model.prediction == "residual"


class Conditions(NamedTuple):
    """Conditions of a grid, at latent resolution; view 0 is the source.

    With `config.projection = "frames"` the first four may have no frames (t = 0). Without any
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
        the latter's share, as the first row carries them over (`geometry.carried_motion`); None is
        0, and all that models without `moves_base` have.
      row: what the first row shows at the same instant where it is carried over, else `base`; None
        is that everywhere.
    """

    projection: Float[Array, "b v t h w c"]
    base: Float[Array, "b v t h w c"]
    mask: Float[Array, "b v t h w"]
    disparity: Float[Array, "b v t h w"]
    world_to_camera: Float[Array, "b v t 4 4"]
    intrinsics: Float[Array, "b v 3 3"]
    text: Float[Array, "b n e"] | None = None
    real: Bool[Array, "b v t"] | None = None
    motion: Float[Array, "b v t h w 5"] | None = None
    row: Float[Array, "b v t h w c"] | None = None

    @property
    def source(self) -> Float[Array, "b t h w c"]:
        """The latents of the input video."""
        return self.projection[:, 0]
