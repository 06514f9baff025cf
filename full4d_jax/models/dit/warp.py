"""Differentiable backward warping, and the mixture of two warped pictures."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

AnyPictures = Float[Array | np.ndarray, "*n h w c"]
Pictures = Float[Array, "*n h w c"]
# x and y into the nearest real frame, x and y into the row's, a logit.
MOTION_CHANNELS = 5
# Taken off the logit, so that the row's share of what never changed is .007.
RARE_LOGIT = 5.0


class MixedFrames(NamedTuple):
    """The nearest real frame, and what the first row's adds to it.

    Attributes:
      near: the nearest real frame, moved.
      added: the first row's frame of the same instant, moved, less `near`.
      share: how much of `added` counts, in [0, 1].
    """

    near: Pictures
    added: Pictures
    share: Float[Array, "*n h w 1"]

    @property
    def picture(self) -> Pictures:
        """Return both frames, mixed."""
        return self.near + self.share * self.added


def mixture(
    near: AnyPictures, row: AnyPictures, motion: Float[Array | np.ndarray, "*n h w 5"]
) -> MixedFrames:
    """Move both frames and give the first row's its share, sigmoid(logit - RARE_LOGIT).

    Args:
      near: the nearest real frames.
      row: the first row's frames of the same instants.
      motion: to where `near` shows a pixel, to where `row` does, pixels, x then y; and the logit.
    """
    own, across, logit = jnp.split(jnp.asarray(motion), [2, 4], -1)
    near = warp_pictures(near, own)
    added = warp_pictures(row, across) - near
    return MixedFrames(near, added, jax.nn.sigmoid(logit - RARE_LOGIT))


def warp_pictures(
    pictures: AnyPictures, motion: Float[Array | np.ndarray, "*n h w 2"]
) -> Pictures:
    """Return what each pixel finds at its motion's end, between pixels bilinearly.

    Args:
      pictures: of which nothing is outside: there is the nearest pixel inside.
      motion: pixels, x then y.
    """
    *_, height, width, channels = pictures.shape
    flat = jnp.asarray(pictures).reshape(-1, height * width, channels)
    ends = motion.reshape(-1, height, width, 2)
    y, x = np.indices((1, height, width), np.float32)[1:]
    columns = jnp.clip(x + ends[..., 0], 0, width - 1)
    rows = jnp.clip(y + ends[..., 1], 0, height - 1)
    left = jnp.floor(columns).astype(int)
    top = jnp.floor(rows).astype(int)
    right = (columns - left)[..., None]
    down = (rows - top)[..., None]

    def at(dy: int, dx: int):
        row = jnp.minimum(top + dy, height - 1)
        places = row * width + jnp.minimum(left + dx, width - 1)
        colours = jnp.take_along_axis(flat, places.reshape(-1, height * width, 1), 1)
        return colours.reshape(-1, height, width, channels)

    upper = (1 - right) * at(0, 0) + right * at(0, 1)
    lower = (1 - right) * at(1, 0) + right * at(1, 1)
    return ((1 - down) * upper + down * lower).reshape(pictures.shape)
