"""Pictures that show at each pixel what they showed elsewhere, differentiable in where."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def moved(
    pictures: Float[Array, "*n h w c"], motion: Float[Array, "*n h w 2"]
) -> Float[Array, "*n h w c"]:
    """Return what each pixel finds at its motion's end, between pixels bilinearly.

    Args:
      pictures: of which nothing is outside: there is the nearest pixel inside.
      motion: pixels, x then y.
    """
    *_, height, width, channels = pictures.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    columns = jnp.clip(x + motion[..., 0], 0, width - 1)
    rows = jnp.clip(y + motion[..., 1], 0, height - 1)
    left = jnp.clip(jnp.floor(columns), 0, max(width - 2, 0)).astype(int)
    top = jnp.clip(jnp.floor(rows), 0, max(height - 2, 0)).astype(int)
    right = (columns - left)[..., None]
    down = (rows - top)[..., None]
    flat = pictures.reshape(-1, height * width, channels)

    def at(dy: int, dx: int) -> Float[Array, "*n h w c"]:
        places = jnp.minimum(top + dy, height - 1) * width + jnp.minimum(left + dx, width - 1)
        places = places.reshape(-1, height * width, 1)
        return jnp.take_along_axis(flat, places, 1).reshape(pictures.shape)

    upper = (1 - right) * at(0, 0) + right * at(0, 1)
    lower = (1 - right) * at(1, 0) + right * at(1, 1)
    return (1 - down) * upper + down * lower
