"""What rests before a camera that stays in its place, and what moves before that.

The background is the median over the instants at which no subject is seen, or least of one, so that
a person who stays for most of the clip is not in it. Of a camera that rests, pictures from before
and after the clip show it too. A shadow darkens all channels by one factor, a light brightens them
so; neither is a thing.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8
from numpy import ndarray

from full4d_jax.geometry.moving import differs

OUTLINE_BAND_SHARE = 0.03  # of the short side: how far the outline may be moved by colour
BACKGROUND_SHARE = 0.2  # share of the classes below which a pixel shows the background
# Half as wide as edges that seem to move are, where a turn is a little wrong.
EDGE_RADIUS_PIXELS = 2
MOVING_LEVELS = 30  # of 255 levels, from the background


class Backdrop(NamedTuple):
    """What rests before a camera.

    Attributes:
      frame: sRGB, 0 to 255.
      known: where some instant shows it.
      added: where only pictures from before and after show it.
    """

    frame: Float32[ndarray, "h w 3"]
    known: Bool[ndarray, "h w"]
    added: Bool[ndarray, "h w"]


class SeenPictures(NamedTuple):
    """Pictures of one view, and what the network sees in them.

    Attributes:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
    """

    frames: UInt8[ndarray, "e h w 3"]
    subject: Float32[ndarray, "e h w"]


def find_moving_while_turning(
    frames: UInt8[ndarray, "t h w 3"],
    subject: Float32[ndarray, "t h w"],
    to_first: Float[ndarray, "t 3 3"],
) -> Bool[ndarray, "t h w"]:
    """Return what moves before a camera that turns on its place: `find_moving` in the first view.

    A place that is a little wrong makes the edges of the background move: thin pieces do not count,
    and instants at which much of the background moves are left out. Where more of it moves than
    things do at most instants, the camera does not turn on its place, and no instant is used.

    Args:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
      to_first: where the pixels of each frame lie in the first one.
    """
    max_usual_moving_background = 0.01  # median of that share over the instants
    # Share of it at one instant of a camera that turns on its place.
    max_moving_background = 0.05
    size = frames.shape[2], frames.shape[1]
    everywhere = np.ones(frames.shape[1:3], np.float32)
    steady = []
    shares = []
    for frame, share, place in zip(frames, subject, to_first, strict=True):
        unseen = 1 - cv2.warpPerspective(everywhere, place, size)
        steady.append(cv2.warpPerspective(frame, place, size, borderMode=cv2.BORDER_REPLICATE))
        # Pixels that this instant does not show are no evidence of the background.
        shares.append(np.maximum(cv2.warpPerspective(share, place, size), unseen))
    steady_shares = np.stack(shares)
    pictures = np.stack(steady)
    moving = find_moving(pictures, find_backdrop(pictures, steady_shares))

    thick = np.stack([_thick(mask) for mask in moving])
    behind = steady_shares < BACKGROUND_SHARE
    astray = (thick & behind).sum((1, 2)) / np.maximum(behind.sum((1, 2)), 1)
    turns_on_its_place = np.median(astray) <= max_usual_moving_background
    thick[(astray > max_moving_background) | (not turns_on_its_place)] = False

    onto_frames = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    seen_back = [
        cv2.warpPerspective(as_bytes(mask), place, size, flags=onto_frames) > 0
        for mask, place in zip(thick, to_first, strict=True)
    ]
    return np.stack(seen_back)


def find_moving(frames: UInt8[ndarray, "t h w 3"], backdrop: Backdrop) -> Bool[ndarray, "t h w"]:
    """Return what differs from the background of a resting camera, without shadows and lights.

    Args:
      frames: sRGB.
      backdrop: what rests behind them.
    """
    # Factors of brightness that shadows and lights may have.
    brightest_light = 1.7
    darkest_shadow = 0.45
    same_colour_levels = 12  # of 255 levels, from the background times one factor
    background = backdrop.frame
    moving = []
    for frame in frames.astype(np.float32):
        changed = differs(frame, background, MOVING_LEVELS)
        factor = (frame * background).sum(-1) / np.maximum((background**2).sum(-1), 1)
        colour = np.abs(frame - factor[..., None] * background).max(-1) < same_colour_levels
        light = changed & colour & (factor > darkest_shadow) & (factor < brightest_light)
        mask = as_bytes(backdrop.known & changed & ~_even(light, factor))
        # Opened by 2x2 pixels; morphologyEx would shift the mask by one.
        square = np.ones((2, 2), np.uint8)
        mask = cv2.dilate(cv2.erode(mask, square), square, anchor=(0, 0))
        moving.append(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc(2)) > 0)
    return np.stack(moving)


def find_faint(
    frames: UInt8[ndarray, "t h w 3"],
    subject: Float32[ndarray, "t h w"],
    backdrop: Backdrop,
) -> Bool[ndarray, "t h w"]:
    """Return what differs a little from the background of a resting camera, in its tint above all.

    Args:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
      backdrop: what rests behind them.
    """
    # Of such a difference is another tint than the background's; of a shadow, less.
    faint_tint = 0.5
    faint_noise = 5  # times the noise of the background is the least of them
    # Of 255 levels: what differs so much is a part of a subject that it touches.
    faint_levels = 10
    background = backdrop.frame
    energy = np.maximum((background**2).sum(-1), 1)
    faint = []
    for frame, share in zip(frames.astype(np.float32), subject, strict=True):
        difference = np.abs(frame - background).max(-1)
        at_rest = backdrop.known & (share < BACKGROUND_SHARE) & (difference < MOVING_LEVELS)
        noise = np.median(difference[at_rest]) if at_rest.any() else MOVING_LEVELS
        factor = (frame * background).sum(-1) / energy
        tint = np.abs(frame - factor[..., None] * background).max(-1)
        clear = difference > max(faint_levels, faint_noise * noise)
        tinted = clear & (tint > faint_tint * difference)
        # Outlines are blurred and codecs ring: what is thin is no evidence.
        faint.append(_thick(backdrop.known & tinted))
    return np.stack(faint)


def _thick(mask: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return a mask without what is thinner than edges that seem to move."""
    return cv2.morphologyEx(as_bytes(mask), cv2.MORPH_OPEN, disc(EDGE_RADIUS_PIXELS)) > 0


def _even(light: Bool[ndarray, "h w"], factor: Float32[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return the pieces that are darkened or lit by about one factor: grey trousers are not."""
    even_ratio = 1.25  # times the lower quartile of a shadow's factors is above their upper one
    count, pieces = number_pieces(light)
    even = np.zeros(count, bool)
    for piece in range(1, count):
        low, high = np.percentile(factor[pieces == piece], (25, 75))
        even[piece] = high < even_ratio * low
    return even[pieces]


def find_backdrop(
    frames: UInt8[ndarray, "t h w 3"],
    subject: Float32[ndarray, "t h w"],
    around: SeenPictures | None = None,
) -> Backdrop:
    """Return the median colour over the instants that show least of a subject.

    An arm that is held up for most of a clip is faintly seen by the network, and does not count
    where other pictures show even less. These are asked nowhere else: what rests in the clip may
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
    values = np.sort(np.where(free[..., None], frames, np.uint16(256)), 0)  # what is not free last
    middle = np.maximum(counts - 1, 0) // 2
    background = np.take_along_axis(values, middle[None, ..., None], 0)[0]
    return Backdrop(background.astype(np.float32), counts > 0, added & (counts > 0))


def number_pieces(mask: Bool[ndarray, "h w"]) -> tuple[int, Int32[ndarray, "h w"]]:
    """Return how many numbers the connected pieces of a mask have, with 0 outside, and these."""
    count, pieces = cv2.connectedComponents(as_bytes(mask))
    return count, pieces.astype(np.int32)


def pieces_with(mask: Bool[ndarray, "h w"], sure: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return the pieces of a mask that have a sure pixel."""
    count, pieces = number_pieces(mask)
    has_sure = np.zeros(count, bool)
    has_sure[np.unique(pieces[sure & mask])] = True
    return has_sure[pieces]


def as_bytes(mask: Bool[ndarray, "h w"]) -> UInt8[ndarray, "h w"]:
    """Return a mask of 0 and 1, as OpenCV takes them."""
    return mask.astype(np.uint8)


def disc(radius: int) -> UInt8[ndarray, "n n"]:
    """Return a disc of that many pixels around its middle."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
