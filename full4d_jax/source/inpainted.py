"""Holes of pictures filled by the inpainting network, at any size."""

from functools import cache, partial
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from full4d_jax.cameras import sides
from full4d_jax.geometry.arrays import Mask, Picture
from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.models.functional import Params
from full4d_jax.models.inpainting import SIDE_MULTIPLE, InpaintingNetConfig, added
from full4d_jax.models.weights import load_params, model_of_metadata


@cache
def load_inpainting() -> tuple[InpaintingNetConfig, Params]:
    """Return the sizes and the parameters of the network in the package."""
    path = Path(__file__).parents[1] / "checkpoints" / "inpainting.safetensors"
    params, metadata = load_params(path)
    return model_of_metadata(path, metadata, InpaintingNetConfig), params


def inpainted(picture: Picture, hole: Mask) -> Picture:
    """Return a picture with its hole filled; nothing changes where nothing is known.

    A larger picture gets the averages of push-pull at its own size, and what the network adds to
    them at a smaller one.
    """
    # Short side of what the network sees at most: that of its training.
    most_rows = 256
    if hole.all() or not hole.any():
        return picture
    height, width = hole.shape
    size = sides(height, width, min(most_rows, height, width), SIDE_MULTIPLE)
    filled = _averages(jnp.asarray(picture), jnp.asarray(hole))
    near = cv2.resize(hole.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0
    whole = np.asarray(_with_residual(*load_inpainting(), filled, jnp.asarray(near)))
    colours = np.round(127.5 * (whole + 1)).astype(np.uint8)
    return np.where(hole[..., None], colours, picture)


@jax.jit
def _averages(picture: UInt8[Array, "h w 3"], hole: Bool[Array, "h w"]) -> Float[Array, "h w 3"]:
    """Return the picture in [-1, 1] with its hole filled by push-pull."""
    known = 1.0 - hole[..., None]
    return push_pull(picture.astype(jnp.float32) / 127.5 - 1, known)


@partial(jax.jit, static_argnums=0)
def _with_residual(
    config: InpaintingNetConfig,
    params: Params,
    filled: Float[Array, "h w 3"],
    hole: Bool[Array, "i j"],
) -> Float[Array, "h w 3"]:
    """Return the whole picture; the hole has the size at which the network sees the picture."""
    small = jax.image.resize(filled, (*hole.shape, 3), "linear")
    residual = added(config, params, small[None], hole[None].astype(jnp.float32))[0]
    return jnp.clip(filled + jax.image.resize(residual, filled.shape, "linear"), -1, 1)
