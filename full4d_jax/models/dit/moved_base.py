"""A residual of a moved base: the nearest real frame and the first row's, warped backwards, mixed.

Without projection the first guess of a hidden frame is the nearest real one. Where things move it
shows them in the wrong place, so it is warped by the motion that the first row carries over
(`geometry.image_motion`), which a second head corrects, and mixed with what the row shows at the
same instant.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax import flow
from full4d_jax.config import ModelConfig
from full4d_jax.models.dit.conditions import Conditions, Motion
from full4d_jax.models.dit.guides import Embedded, Guide, Maps
from full4d_jax.models.dit.linear import Linear, linear
from full4d_jax.models.dit.parametrisations import (
    Features,
    Noisy,
    Predicted,
    Refiner,
    Residual,
)

AnyPictures = Float[Array | np.ndarray, "*n h w c"]
Pictures = Float[Array, "*n h w c"]
# x and y into the nearest real frame, x and y into the row's, a logit.
MOTION_CHANNELS = 5
# Pixels (and logits), unit of motion in and out of the network.
MOTION_UNIT_PIXELS = 4.0
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


class MovedBase(Residual):
    """The network's output is a residual of the moved base, and corrects the motion."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs, inputs: int):
        channels = config.strides.channels
        area = config.patch**2
        moving = MOTION_CHANNELS + channels
        # The refiner also sees what the row adds, and its share.
        super().__init__(config, rngs, inputs, channels + 1)
        self.motion_embedding = linear(moving * area, config.width, rngs, zero=True)
        self.mover_head = linear(config.width, config.refiner * area, rngs)
        read = inputs + moving
        self.mover = Refiner(read, config.refiner, MOTION_CHANNELS, rngs)

    @property
    def heads(self) -> Sequence[Linear]:
        """The layers before the refiner and before the mover."""
        return [self.head, self.mover_head]

    def embed(self, guide: Guide, noisy: Noisy) -> Embedded:
        """Embed with the moved frame in the base's place, and with what moves it."""
        conditions = noisy.conditions
        motion = known_motion(conditions)
        mixed = moved(conditions, motion)
        unit = flow.normalise_residual(*noisy.around(mixed.picture))
        at = guide.embed(unit, conditions._replace(base=mixed.near))
        moving = jnp.concatenate([motion / MOTION_UNIT_PIXELS, mixed.added], -1)
        tokens = at.tokens + guide.patches(moving, self.motion_embedding)
        return Embedded(jnp.concatenate([at.inputs, moving], -1), tokens, at.grid)

    def predict(self, maps: Features, inputs: Maps, noisy: Noisy) -> Predicted:
        """Correct the motion, and let the refiner see what it moves."""
        conditions = noisy.conditions
        for_refiner, for_mover = jnp.split(maps, 2, -1)
        known = known_motion(conditions) / MOTION_UNIT_PIXELS
        motion = MOTION_UNIT_PIXELS * (known + self.mover(for_mover, inputs))
        base = moved(conditions, motion)
        unit = inputs[..., : noisy.latents.shape[-1]]
        mask = conditions.mask[..., None]
        shown = jnp.concatenate([unit, base.near, mask, base.added, base.share], -1)
        residual = self.refiner(for_refiner, shown)
        velocity = flow.velocity_from_residual(residual, *noisy.around(base.picture))
        return Predicted(velocity, motion[..., :2])


def known_motion(conditions: Conditions) -> Motion:
    """Return the motion in the conditions, 0 where there is none."""
    still = (*conditions.base.shape[:-1], MOTION_CHANNELS)
    return jnp.zeros(still) if conditions.motion is None else conditions.motion


def moved(conditions: Conditions, motion: Motion) -> MixedFrames:
    """Move and mix the nearest real frame and the first row's."""
    row = conditions.base if conditions.row is None else conditions.row
    return mixture(conditions.base, row, motion)


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
