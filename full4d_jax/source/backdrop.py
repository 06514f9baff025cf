"""Background of a camera that stays in its place, and whatever moves before it.

The background is the median over the instants at which no subject is seen, or least of one, so that
a person who stays for most of the clip is not in it. Of a camera that rests, pictures from before
and after the clip show it too. A shadow darkens all channels by one factor, a light brightens them
so; neither is a thing.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Int32, UInt8
from numpy import ndarray

from full4d_jax.geometry import image_motion
from full4d_jax.geometry.arrays import Mask, Masks, Pictures

Labels = Int32[ndarray, "h w"]
# The share of the subjects' classes.
Share = Float32[ndarray, "h w"]
Shares = Float32[ndarray, "t h w"]
# Of the short side: how far the outline may be moved by colour.
OUTLINE_BAND_SHARE = 0.03
# Share of the classes below which a pixel shows the background.
BACKGROUND_SHARE = 0.2
# Half as wide as edges that seem to move are, where a turn is a little wrong.
EDGE_RADIUS_PIXELS = 2
# Of 255 levels, from the background.
MOVING_LEVELS = 30


class Backdrop(NamedTuple):
    """Background of a camera that stays in its place.

    Attributes:
      frame: sRGB, 0 to 255.
      known: where some instant shows it.
      added: where only pictures from before and after show it.
    """

    frame: Float32[ndarray, "h w 3"]
    known: Mask
    added: Mask


class SeenPictures(NamedTuple):
    """Pictures of one view, and what the network sees in them.

    Attributes:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
    """

    frames: Pictures
    subject: Shares


def find_moving(frames: Pictures, backdrop: Backdrop) -> Masks:
    """Return what differs from the background of a resting camera, without shadows and lights.

    Args:
      frames: sRGB.
      backdrop: what rests behind them.
    """
    moving = []
    for frame in frames.astype(np.float32):
        changed = image_motion.differs(frame, backdrop.frame, MOVING_LEVELS)
        factor, _ = _factor_and_tint(frame, backdrop.frame)
        light = changed & is_lit(frame, backdrop.frame)
        mask = as_bytes(backdrop.known & changed & ~_even(light, factor))
        # Opened by 2x2 pixels; morphologyEx would shift the mask by one.
        square = np.ones((2, 2), np.uint8)
        mask = cv2.dilate(cv2.erode(mask, square), square, anchor=(0, 0))
        moving.append(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc(2)) > 0)
    return np.stack(moving)


def is_lit(
    frame: Float32[ndarray, "h w 3"], background: Float32[ndarray, "h w 3"]
) -> Mask:
    """Return where a frame differs from its background by brightness alone."""
    # Factors of brightness that shadows and lights may have.
    brightest_light = 1.7
    darkest_shadow = 0.45
    # Of 255 levels, from the background times one factor.
    same_colour_levels = 12
    factor, tint = _factor_and_tint(frame, background)
    possible = (factor > darkest_shadow) & (factor < brightest_light)
    return possible & (tint < same_colour_levels)


def find_faint(frames: Pictures, subject: Shares, backdrop: Backdrop) -> Masks:
    """Return what differs a little from the background of a resting camera, in its tint above all.

    Args:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
      backdrop: what rests behind them.
    """
    # Of such a difference is another tint than the background's; of a shadow, less.
    faint_tint = 0.5
    # Times the noise of the background: the least difference that counts.
    faint_noise = 5
    # Of 255 levels: what differs so much is a part of a subject that it touches.
    faint_levels = 10
    faint = []
    for frame, share in zip(frames.astype(np.float32), subject, strict=True):
        difference = np.abs(frame - backdrop.frame).max(-1)
        behind = backdrop.known & (share < BACKGROUND_SHARE)
        at_rest = behind & (difference < MOVING_LEVELS)
        noise = np.median(difference[at_rest]) if at_rest.any() else MOVING_LEVELS
        _, tint = _factor_and_tint(frame, backdrop.frame)
        clear = difference > max(faint_levels, faint_noise * noise)
        tinted = clear & (tint > faint_tint * difference)
        # Outlines are blurred and codecs ring: what is thin is no evidence.
        faint.append(thick(backdrop.known & tinted))
    return np.stack(faint)


def _factor_and_tint(
    frame: Float32[ndarray, "h w 3"], background: Float32[ndarray, "h w 3"]
) -> tuple[Share, Share]:
    """Return the factor of brightness from the background, and what no factor explains, levels."""
    factor = (frame * background).sum(-1) / np.maximum((background**2).sum(-1), 1)
    return factor, np.abs(frame - factor[..., None] * background).max(-1)


def thick(mask: Mask) -> Mask:
    """Return a mask without what is thinner than edges that seem to move."""
    kernel = disc(EDGE_RADIUS_PIXELS)
    return cv2.morphologyEx(as_bytes(mask), cv2.MORPH_OPEN, kernel) > 0


def _even(light: Mask, factor: Share) -> Mask:
    """Return the pieces that are darkened or lit by about one factor: grey trousers are not."""
    # Upper quartile of a shadow's factors over their lower one, at most.
    even_ratio = 1.25
    count, pieces = number_pieces(light)
    even = np.zeros(count, bool)
    for piece in range(1, count):
        low, high = np.percentile(factor[pieces == piece], (25, 75))
        even[piece] = high < even_ratio * low
    return even[pieces]


def find_backdrop(
    frames: Pictures, subject: Shares, around: SeenPictures | None = None
) -> Backdrop:
    """Return the median colour over the instants that show least of a subject.

    An arm that is held up for most of a clip is faintly seen by the network, and does not count
    where other pictures show even less. These count nowhere else: what rests in the clip may
    have come before it, and go after it.

    Args:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
      around: pictures of the same view from before and after.
    """
    # Above the least share of a pixel, up to which it shows the background.
    clearest_margin = 0.05
    added = np.zeros(frames.shape[1:3], bool)
    if around is not None:
        # The network's cells are coarse: beside its outline a subject is still there.
        rim = disc(round(OUTLINE_BAND_SHARE * min(added.shape)))
        widened = np.stack([cv2.dilate(share, rim) for share in around.subject])
        added = widened.min(0) + clearest_margin < subject.min(0)
        frames = np.concatenate([frames, around.frames])
        subject = np.concatenate([subject, np.where(added, widened, 1)])
    free = (subject < BACKGROUND_SHARE) & (subject <= subject.min(0) + clearest_margin)
    counts = free.sum(0)
    # What is not free comes last.
    values = np.sort(np.where(free[..., None], frames, np.uint16(256)), 0)
    middle = np.maximum(counts - 1, 0) // 2
    background = np.take_along_axis(values, middle[None, ..., None], 0)[0]
    return Backdrop(background.astype(np.float32), counts > 0, added & (counts > 0))


def number_pieces(mask: Mask) -> tuple[int, Labels]:
    """Return how many numbers the connected pieces of a mask have, with 0 outside, and these."""
    count, pieces = cv2.connectedComponents(as_bytes(mask))
    return count, pieces.astype(np.int32)


def count_pieces(mask: Mask, inside: Mask) -> Labels:
    """Return for each pixel how many pixels of its piece of a mask lie inside; 0 beside pieces."""
    count, pieces = number_pieces(mask)
    return np.bincount(pieces[mask & inside], minlength=count).astype(np.int32)[pieces]


def pieces_with(mask: Mask, sure: Mask) -> Mask:
    """Return the pieces of a mask that have a sure pixel."""
    return count_pieces(mask, sure) > 0


def grown(mask: Mask, kernel: UInt8[ndarray, "n n"]) -> Mask:
    """Return a mask dilated by a kernel."""
    return cv2.dilate(as_bytes(mask), kernel) > 0


def as_bytes(mask: Mask) -> UInt8[ndarray, "h w"]:
    """Return a mask of 0 and 1, as OpenCV takes them."""
    return mask.astype(np.uint8)


def disc(radius: int) -> UInt8[ndarray, "n n"]:
    """Return a disc of that many pixels around its middle."""
    side = 2 * radius + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
