"""Fill holes of pictures by push-pull: weighted averages on ever coarser grids."""

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Float


def push_pull(
    frames: Float[Array, "*b h w c"], weights: Float[Array, "*b h w 1"]
) -> Float[Array, "*b h w c"]:
    """Fill pixels without weight by weighted averages on ever coarser grids.

    Frames are padded with unknown pixels until the pyramid can halve down to one row or column.
    """
    height, width = frames.shape[-3:-1]
    side = 2 ** int(np.log2(min(height, width)))
    grown = [(0, 0)] * (frames.ndim - 3) + [
        (0, -height % side),
        (0, -width % side),
        (0, 0),
    ]
    frames = jnp.pad(frames, grown)
    weights = jnp.pad(weights, grown)
    levels = [(frames * weights, weights)]
    while all(n % 2 == 0 for n in levels[-1][0].shape[-3:-1]):
        pool = "... (h i) (w j) c -> ... h w c"
        color, weight = (reduce(x, pool, "mean", i=2, j=2) for x in levels[-1])
        levels.append((color, weight))
    color, weight = levels.pop()
    total = weight.sum((-3, -2), keepdims=True)
    mean = color.sum((-3, -2), keepdims=True) / jnp.maximum(total, 1e-8)
    image = jnp.where(weight > 1e-8, color / jnp.maximum(weight, 1e-8), mean)
    for color, weight in reversed(levels):
        coarse = jax.image.resize(image, color.shape, "bilinear")
        trust = jnp.clip(4 * weight, 0, 1)
        image = trust * color / jnp.maximum(weight, 1e-8) + (1 - trust) * coarse
    return image[..., :height, :width, :]
