"""People and things cut out of clips, on upright cards that stand in a scene, with exact depth.

What differs from the median frame of a clip from a camera at rest is cut out. A cut-out is kept if
it is one piece that fills most of its hull, is large enough, and does not leave the picture at a
side or at the top. Where it leaves at the bottom, it has no feet.

A card stands on the floor like cardboard, turned about the vertical and seen from one side or the
other. What was cut off at the bottom of its picture goes on downwards as its lowest row, like
trousers below a shirt.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, PRNGKeyArray, UInt8

from input_pipeline import video_files
from input_pipeline.media_files import training_clips
from input_pipeline.procedural.shapes import Vector

# Pixels of a stored cut-out, whatever its shape.
SIDE = 96
# Pixels of the short side that clips are cut at.
SHORT_SIDE = 240
# Frames of a clip that are looked at.
INSTANTS = 32
# Grey levels from the median.
MIN_MOVED_LEVELS = 16
# Share of the picture that a cutout covers.
MIN_AREA = 0.012
MAX_AREA = 0.5
# Share of the hull.
MIN_SOLIDITY = 0.75
# Largest share of the picture that moves, for a camera at rest.
AT_REST = 0.25


class Cutouts(NamedTuple):
    """Pictures with alpha, stretched to squares."""

    # [0, 1].
    pictures: Float[Array, "n s s 4"]
    # Width / height.
    shape: Float[Array, "n"]
    has_feet: Bool[Array, "n"]


def read_cutouts(folder: str | Path) -> Cutouts:
    """Cut what moves out of a folder's training clips.

    Raises:
      ValueError: there is no clip, one does not decode, or nothing moves before a camera at rest.
    """
    with ThreadPoolExecutor() as pool:
        of_clips = pool.map(
            lambda clip: list(_pieces(_frames(clip))), training_clips(folder)
        )
        pieces = [piece for of_clip in of_clips for piece in of_clip]
    if not pieces:
        raise ValueError(
            f"videos {folder}: found nothing that moves before a camera at rest"
        )
    pictures, shapes, feet = zip(*pieces, strict=True)
    return Cutouts(
        jnp.stack(pictures), jnp.asarray(shapes, jnp.float32), jnp.asarray(feet)
    )


def _frames(clip: Path) -> UInt8[np.ndarray, "t h w 3"]:
    """Return frames of a clip, evenly spaced, reduced to `SHORT_SIDE` pixels."""
    times = video_files.frame_times(clip)
    which = np.unique(np.linspace(0, len(times) - 1, INSTANTS).round().astype(int))
    return np.stack(
        [_reduced(frame) for frame in video_files.read_frames(clip, times[which])]
    )


def _reduced(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "r q 3"]:
    scale = SHORT_SIDE / min(frame.shape[:2])
    return cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _pieces(
    frames: UInt8[np.ndarray, "t h w 3"],
) -> Iterator[tuple[Float32[np.ndarray, "s s 4"], float, bool]]:
    """Yield picture, shape and whether it has feet, of all cut-outs of a clip."""
    difference = np.abs(frames - np.median(frames, 0)).max(-1).astype(np.float32)
    if np.median((difference > 1.5 * MIN_MOVED_LEVELS).mean((1, 2))) > AT_REST:
        return
    height, width = frames.shape[1:3]
    for frame, moved in zip(frames, difference, strict=True):
        mask = (cv2.GaussianBlur(moved, (0, 0), 1.5) > MIN_MOVED_LEVELS).astype(
            np.uint8
        )
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((13, 13), np.uint8))
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            left, top, across, down = cv2.boundingRect(outline)
            area = cv2.contourArea(outline)
            hull = cv2.contourArea(cv2.convexHull(outline))
            is_cut = left <= 1 or top <= 1 or left + across >= width - 1
            if (
                is_cut
                or not MIN_AREA < area / (height * width) < MAX_AREA
                or area < MIN_SOLIDITY * hull
            ):
                continue
            filled = np.zeros(mask.shape, np.uint8)
            cv2.drawContours(filled, [outline], -1, 255, cv2.FILLED)
            # Its rim shows the background.
            filled = cv2.erode(filled, np.ones((3, 3), np.uint8))
            box = slice(top, top + down), slice(left, left + across)
            picture = np.dstack([frame, filled])[box]
            picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            yield (
                picture.astype(np.float32) / 255,
                across / down,
                top + down < height - 1,
            )


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
        color = [
            jax.scipy.ndimage.map_coordinates(c, cell, 1, "nearest")
            for c in picture.T.mT
        ]
        alpha = color.pop()
        in_front = is_inside & (alpha > 0.5) & (z > 0) & (z < depth)
        color = jnp.clip(jnp.stack(color) * cards.light[i][:, None], 0, 1)
        colors = jnp.where(in_front[None], color, colors)
        depth = jnp.where(in_front, z, depth)
        which = jnp.where(in_front, i, which)
    return colors, depth, which
