"""Depth of a small frame, enlarged to the full frame along its edges.

A network estimates depth at the size that it was trained for. Between its pixels disparity is
smooth where depth is, and jumps where an object ends; where exactly it jumps, the colours of the
full frame tell. So with the disparities d_i of the 16 small pixels around a full pixel p, their
colours I_i, and weights

    w_i = exp(-|p - i|^2 / (2 s^2)) exp(-|I(p) - I_i|^2 / (2 c^2))

a pixel whose neighbours agree takes the cubic interpolation of d, whatever its colour, and one
whose neighbours differ by more than `edge_jump` takes the weighted mean of the near ones or of the
far ones, whichever have the larger weight. Texture alone never makes an edge.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def enlarge_disparity(
    disparity: Float[Array, "t h w"],
    small: Float[Array, "t h w 3"],
    frames: Float[Array, "t H W 3"],
) -> Float[Array, "t H W"]:
    """Return disparity at the size of `frames`.

    Args:
      disparity: 1/z of the small frames, all known.
      small: the frames that it was estimated from, in [-1, 1].
      frames: the same at full size.
    """
    return jax.lax.map(lambda x: _enlarge(*x), (disparity, small, frames))


def _enlarge(
    disparity: Float[Array, "h w"], small: Float[Array, "h w 3"], frame: Float[Array, "H W 3"]
) -> Float[Array, "H W"]:
    pixel_offsets = (-1, 0, 1, 2)  # of the small pixels around a full one, along each axis
    edge_jump = 0.12  # relative difference of neighbouring disparities at which an edge begins
    colour_sigma = 0.12  # c, distance of colours in [-1, 1]
    distance_sigma = 0.8  # s, small pixels
    h, w = disparity.shape
    height, width = frame.shape[:2]
    y = ((jnp.arange(height) + 0.5) * (h / height) - 0.5)[:, None]
    x = ((jnp.arange(width) + 0.5) * (w / width) - 0.5)[None]
    top = jnp.floor(y).astype(int)
    left = jnp.floor(x).astype(int)

    def neighbour(i: int, j: int) -> tuple[Array, Array]:
        row = jnp.clip(top + i, 0, h - 1)
        column = jnp.clip(left + j, 0, w - 1)
        distance = (y - top - i) ** 2 + (x - left - j) ** 2
        unlike = ((frame - small[row, column]) ** 2).sum(-1)
        weight = (
            jnp.exp(-distance / (2 * distance_sigma**2) - unlike / (2 * colour_sigma**2)) + 1e-12
        )
        return disparity[row, column], weight

    neighbours = [neighbour(i, j) for i in pixel_offsets for j in pixel_offsets]
    values = jnp.stack([value for value, _ in neighbours])
    weights = jnp.stack([weight for _, weight in neighbours])
    low = values.min(0)
    high = values.max(0)
    is_near = values > (low + high)[None] / 2
    near = weights * is_near
    far = weights * ~is_near
    near_weight = near.sum(0)
    far_weight = far.sum(0)
    sided = jnp.where(
        near_weight > far_weight,
        (near * values).sum(0) / jnp.maximum(near_weight, 1e-30),
        (far * values).sum(0) / jnp.maximum(far_weight, 1e-30),
    )
    smooth = jnp.clip(jax.image.resize(disparity, (height, width), "cubic"), low, high)
    return jnp.where(high - low > edge_jump * high, sided, smooth)
