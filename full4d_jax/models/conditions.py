"""What the network takes: latents, flow times, and what the grid is generated from."""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float

Params = dict[str, Any]  # nested, leaves are arrays


class Conditions(NamedTuple):
    """What the grid is generated from, at latent resolution; view 0 is the source.

    With `config.projection = "frames"` the first four may have no frames (t = 0). Without any
    projection, it and the disparity have none, and the mask is 1 in visible frames
    (`visible_frames`).
    """

    projection: Float[Array, "b v t h w c"]  # encoded projected video; view 0: the input video
    base: Float[Array, "b v t h w c"]  # the same with holes filled (push-pull)
    mask: Float[Array, "b v t h w"]  # 1 where the projection has a point; view 0: ones
    disparity: Float[Array, "b v t h w"]  # 1/z of the projected points, 0 in holes
    world_to_camera: Float[Array, "b v t 4 4"]  # world = source camera at t = 0
    intrinsics: Float[Array, "b v 3 3"]  # in units of the image's width and height
    text: Float[Array, "b n e"] | None = None  # None: no tokens, which is Wan's padding, zeros
    visible: Bool[Array, "b v t"] | None = None  # frames that are given, clean, in `base`

    @property
    def source(self) -> Float[Array, "b t h w c"]:
        """Latents of the input video."""
        return self.projection[:, 0]
