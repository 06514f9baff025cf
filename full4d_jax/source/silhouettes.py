"""Outlines of people: a second look at each person, in a window around them.

    shares of DeepLab --> pieces, cells of 8 pixels wide --> a window around each --> BlazePose

BlazePose sees fingers, feet and the wall between two legs, but one person a window, and loses parts
where the window does not fit a whole body. What it says is believed where two windows of different
size say the same; DeepLab and colours decide about groups, and about somebody of whom the frame
shows a shoulder.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.geometry.arrays import Mask, Picture
from full4d_jax.models.nets.published import WINDOW_PIXELS, Params, silhouette
from full4d_jax.source import backdrop

# A square of a picture: x and y of its middle, side; pixels.
Window = tuple[float, float, float]


class People(NamedTuple):
    """The result of a second look at a frame.

    Attributes:
      shares: of people at each pixel.
      decided: where the second look decides.
    """

    shares: backdrop.Share
    decided: Mask


def look_again(params: Params, frame: Picture, shares: backdrop.Share) -> People:
    """Return the shares of people, with sharp outlines where the networks agree.

    Args:
      params: those of `silhouette.safetensors`.
      frame: sRGB.
      shares: of people at each pixel, as DeepLab sees them.
    """
    # Of the picture.
    smallest_person = 1e-3
    people = People(shares, np.zeros(shares.shape, bool))
    likely = likely_pieces(shares)
    count, pieces = backdrop.number_pieces(likely)
    for number in range(1, count):
        piece = pieces == number
        if piece.sum() >= smallest_person * piece.size:
            people = _look_at(params, frame, piece, likely & ~piece, people)
    return people


def likely_pieces(shares: backdrop.Share) -> Mask:
    """Return the pieces of pixels whose share of subjects is likely that have a sure pixel."""
    return backdrop.pieces_with(shares > 0.4, shares > 0.6)


def _look_at(
    params: Params, frame: Picture, piece: Mask, other_pieces: Mask, people: People
) -> People:
    """Return what is known of people after a look at one piece, which covers no others."""
    # Of them and DeepLab's piece, which is wider.
    min_overlap = 0.6
    # Of what two windows show.
    min_agreement = 0.95
    # Of the piece's longer side: how far beyond it hands and feet may be.
    limb_reach = 0.1
    box = cv2.boundingRect(backdrop.as_bytes(piece))
    windows = _windows(box, len(piece))
    nested = (_shares_in(params, frame, window) for window in windows)
    for smaller, larger in pairwise(nested):
        shares = (smaller + larger) / 2
        agree = _overlap(smaller > 0.5, larger > 0.5) > min_agreement
        if agree and _overlap(shares > 0.5, piece) > min_overlap:
            reach = backdrop.disc(max(2, round(limb_reach * max(box[2:]))))
            near = backdrop.grown(piece, reach) & ~other_pieces
            # Where DeepLab alone sees somebody, a collar or the wall beside them, colours decide.
            disputed = piece & (shares < 0.5)
            decided = people.decided | (near & ~disputed)
            # What lies near two people belongs to whom it is seen with.
            known = np.where(people.decided, np.maximum(shares, people.shares), shares)
            return People(np.where(near, known, people.shares), decided)
    return people


def _overlap(one: Mask, other: Mask) -> float:
    """Return the share of two masks' union that both have."""
    return (one & other).sum() / max((one | other).sum(), 1)


def _windows(box: Sequence[int], rows: int) -> Iterator[Window]:
    """Yield windows in which a person may be seen whole, the smallest first.

    Args:
      box: first column and row of the person, columns, rows.
      rows: of the frame.
    """
    # Of the window's side above the head of somebody whose legs are not in the picture.
    headroom_share = 0.08
    # Of the person's longer side, where the legs are below the picture.
    cut_by_border = (1.25, 1.6, 2.2, 3.0, 4.0)
    whole_body = (1.25, 1.6)
    left, top, width, height = box
    cut = top + height >= rows - 1
    for share in cut_by_border if cut else whole_body:
        side = share * max(width, height)
        y = top + (0.5 - headroom_share) * side if cut else top + height / 2
        yield left + width / 2, y, side


def _shares_in(params: Params, frame: Picture, window: Window) -> backdrop.Share:
    """Return the share of the window's person at each pixel of the frame, 0 outside the window."""
    x, y, side = window
    scale = WINDOW_PIXELS / side
    # Pixel centres of the frame in those of the window.
    shift = WINDOW_PIXELS / 2 - 0.5
    to_window = np.array(
        [[scale, 0, shift + scale * (0.5 - x)], [0, scale, shift + scale * (0.5 - y)]],
        np.float32,
    )
    if scale < 1:
        # Blurred as widely as the pixels that come.
        frame = cv2.GaussianBlur(frame, (0, 0), 0.5 / scale)
    picture = cv2.warpAffine(frame, to_window, (WINDOW_PIXELS, WINDOW_PIXELS))
    logits = np.asarray(_logits(params, jnp.asarray(picture)[None]))[0]
    shares = np.asarray(jax.nn.sigmoid(logits))
    back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(shares, to_window, frame.shape[1::-1], flags=back)


@jax.jit
def _logits(
    params: Params, pictures: UInt8[jax.Array, "b h w 3"]
) -> Float[jax.Array, "b h w"]:
    return silhouette(params, pictures.astype(jnp.float32) / 255)
