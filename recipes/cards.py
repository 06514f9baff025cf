"""Cut-outs on upright cards that stand in a scene, with exact depth.

A card stands on the floor like cardboard, turned about the vertical and seen from one side or the
other. What was cut off at the bottom of its picture goes on downwards as its lowest row, like
trousers below a shirt.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from cutouts import Cutouts
from jaxtyping import Array, Float, Int, PRNGKeyArray

from input_pipeline.procedural.shapes import Vector

CARDS = 3
# Share of the cards that are there.
SHOWN_SHARE = 0.45
# Of a person, in the world's unit.
HEIGHT_RANGE = (0.4, 0.7)
# Share of the height that a picture without feet shows.
UPPER_BODY_SHARE = 0.55
# Along the camera's axis.
DISTANCE_RANGE = (0.3, 3.0)
# Radians from facing the camera.
MAX_TURN = 0.7
# Deviation along each axis, in units per second; half of the cards stand still.
SPEED = 0.3


class Cards(NamedTuple):
    """Cards in a world (y points down)."""

    # Middle of the lower edge at time 0.
    foot: Float[Array, "c 3"]
    # What they glide along the floor in a second.
    step: Float[Array, "c 3"]
    # Horizontal unit vector along the card.
    side: Float[Array, "c 3"]
    # Width and height.
    size: Float[Array, "c 2"]
    picture: Int[Array, "c"]
    # Share of the height that the picture covers; 0 for no card.
    shown: Float[Array, "c"]
    # Factors of the colours.
    light: Float[Array, "c 3"]


def stand_cards(
    key: PRNGKeyArray,
    cutouts: Cutouts,
    pose: Float[Array, "4 4"],
    reach: Float[Array, ""],
    floor: Float[Array, ""],
) -> Cards:
    """Place cards where a camera looks.

    Args:
      key: PRNG key.
      cutouts: pictures to choose from.
      pose: camera-to-world.
      reach: half the width of what the camera sees, at distance 1.
      floor: height of the floor, along y.
    """
    place, look, which, light, walk = jax.random.split(key, 5)
    count = len(cutouts.shape)
    picture = jax.random.randint(which, (CARDS,), 0, count)
    x, log_z, height, is_there = jax.random.uniform(place, (4, CARDS))
    low, high = jnp.log(jnp.array(DISTANCE_RANGE))
    z = jnp.exp(low + (high - low) * log_z)
    offset = (2 * x - 1) * 1.2 * reach * z
    center, right, _, forward = (pose[:3, column][None] for column in (3, 0, 1, 2))
    foot = center + z[:, None] * forward + offset[:, None] * right
    foot = foot.at[:, 1].set(floor)
    toward = foot - center
    angle = jnp.arctan2(toward[:, 0], toward[:, 2])
    angle = angle + MAX_TURN * jax.random.uniform(look, (CARDS,), minval=-1.0)
    height = HEIGHT_RANGE[0] + (HEIGHT_RANGE[1] - HEIGHT_RANGE[0]) * height
    share = jnp.where(cutouts.has_feet[picture], 1.0, UPPER_BODY_SHARE)
    wide = cutouts.shape[picture] * height * share
    stroll = SPEED * jax.random.normal(walk, (CARDS, 3)) * jnp.array([[1.0, 0.0, 1.0]])
    walks = jax.random.bernoulli(jax.random.fold_in(walk, 1), shape=(CARDS, 1))
    gain = jnp.exp(0.25 * jax.random.normal(light, (CARDS, 1)))
    tint = jnp.exp(0.05 * jax.random.normal(jax.random.fold_in(light, 1), (CARDS, 3)))
    return Cards(
        foot=foot,
        step=jnp.where(walks, stroll, 0.0),
        side=jnp.stack([jnp.cos(angle), jnp.zeros(CARDS), -jnp.sin(angle)], 1),
        size=jnp.stack([wide, height], 1),
        picture=picture,
        shown=share * (is_there < SHOWN_SHARE),
        light=gain * tint,
    )


def paint_cards(
    cards: Cards,
    cutouts: Cutouts,
    time: Float[Array, ""],
    origin: Float[Array, "3"],
    rays: Vector,
    seen: tuple[Float[Array, "3 p"], Float[Array, "p"]],
) -> tuple[Float[Array, "3 p"], Float[Array, "p"], Int[Array, "p"]]:
    """Return colours, z-depth, and which card is in front, -1 for none.

    Args:
      cards: where cards stand.
      cutouts: their pictures.
      time: seconds.
      origin: centre of the camera.
      rays: of all pixels in the world's axes, z = 1 in the camera's frame.
      seen: colours and z-depth without cards.
    """
    directions = jnp.stack(rays)
    colors, depth = seen
    which = jnp.full(depth.shape, -1)
    for i in range(CARDS):
        side = cards.side[i]
        foot = cards.foot[i] + time * cards.step[i]
        normal = jnp.stack([-side[2], 0.0, side[0]])
        away = normal @ directions
        z = (normal @ (foot - origin)) / jnp.where(jnp.abs(away) < 1e-6, 1e-6, away)
        hit = origin[:, None] + z[None] * directions - foot[:, None]
        u = 0.5 + (side @ hit) / cards.size[i, 0]
        v = 1 + hit[1] / cards.size[i, 1]
        is_inside = (u > 0) & (u < 1) & (v > 0) & (v < 1) & (cards.shown[i] > 0)
        picture = cutouts.pictures[cards.picture[i]]
        row = jnp.minimum(v / jnp.maximum(cards.shown[i], 1e-6), 1.0)
        cell = [x * len(picture) - 0.5 for x in (row, u)]
        color = [jax.scipy.ndimage.map_coordinates(c, cell, 1, "nearest") for c in picture.T.mT]
        alpha = color.pop()
        in_front = is_inside & (alpha > 0.5) & (z > 0) & (z < depth)
        color = jnp.clip(jnp.stack(color) * cards.light[i][:, None], 0, 1)
        colors = jnp.where(in_front[None], color, colors)
        depth = jnp.where(in_front, z, depth)
        which = jnp.where(in_front, i, which)
    return colors, depth, which
