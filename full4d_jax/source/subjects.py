"""Masks of what stands in a clip: people, animals, vehicles, and whatever else moves.

    frames -> DeepLab, 385 pixels a short side -> shares of classes, averaged along the flow
           -> beside them, of a camera that stays in its place, what differs from the background
           -> edges by colour (GrabCut in a band around the outline) -> labels that last

The network's cells are 8 of its pixels wide; only colours tell where the outline runs. The
background of a camera that rests, or turns on its place, is the median over the instants at which
no subject is seen, or least of one, so that a person who stays for most of the clip is not in it.
Of a camera that rests, pictures from before and after the clip tell it too. A shadow darkens all
channels by one factor, a light brightens them so; neither is a thing.
"""

from itertools import pairwise
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8
from numpy import ndarray

from full4d_jax.geometry.optical_flow import flow_agrees, optical_flow, warp
from full4d_jax.geometry.paths import travels
from full4d_jax.geometry.rotation import homographies
from full4d_jax.models.segmentation import CLASSES, STRIDE, Params, logits
from full4d_jax.source.tracks import link_labels

PERSON = "person"
ANIMAL = "animal"
VEHICLE = "vehicle"
AEROPLANE = "aeroplane"
THING = "thing"
KINDS = {
    PERSON: ("person",),
    ANIMAL: ("bird", "cat", "cow", "dog", "horse", "sheep"),
    VEHICLE: ("bicycle", "boat", "bus", "car", "motorbike", "train"),
    AEROPLANE: ("aeroplane",),
}
ROWS = 385  # short side of what the network sees: trained at 257, it is as sure and sharper here
SURE = 0.6  # share of the classes at a subject's best pixel
LIKELY = 0.4  # share of the classes at all its pixels
LASTS = 0.7  # weight of the instant before or after, relative to the instant itself
BAND = 0.03  # of the short side: how far the outline may be moved by colour
CERTAIN = 0.9  # share of the classes that colour does not doubt inside
SURVIVES = 0.5  # of the pixels of a piece, or colours are not asked
MARGIN = 16  # pixels around subjects that colours of the background are learnt from
ROUNDS = 2  # of GrabCut
BEHIND = 0.2  # share of the classes below which a pixel shows the background
CLEAREST = 0.05  # above the least share of a pixel, up to which it shows the background
EDGE = 2  # pixels: half as wide as edges that seem to move are, where a turn is a little wrong
MAX_MOVING_BACKGROUND = 0.05  # share of it at one instant of a camera that turns on its place
MAX_USUAL_MOVING_BACKGROUND = 0.01  # median of that share over the instants
MOVES = 30  # of 255 levels, from the background
FAINT = 10  # of 255 levels: what differs so much is a part of a subject that it touches
FAINT_NOISE = 5  # times the noise of the background is the least of them
FAINT_TINT = 0.5  # of such a difference is another tint than the background's; of a shadow, less
FAINT_REACH = 0.05  # of the short side: how far from the subject
SAME_COLOUR = 12  # of 255 levels, from the background times one factor
# Factors of brightness that shadows and lights may have.
SHADOW = 0.45
LIGHT = 1.7
EVEN = 1.25  # times the lower quartile of a shadow's factors is above their upper one
# Shares of the picture.
SMALLEST_SUBJECT = 1e-3
SMALLEST_THING = 3e-4
REACH = 0.5  # of a subject's longer side: how far from it what moves may still be a part


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


class Seen(NamedTuple):
    """Pictures of one view, and what the network sees in them.

    Attributes:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
    """

    frames: UInt8[ndarray, "e h w 3"]
    subject: Float32[ndarray, "e h w"]


class Subjects(NamedTuple):
    """What stands in a clip.

    Attributes:
      labels: number of the subject at each pixel, 0 for none.
      kinds: "person", "animal", "vehicle", "aeroplane" or "thing" of subjects 1, 2 and so on.
      backdrop: what a camera at rest sees behind them; None of one that moves.
    """

    labels: Int32[ndarray, "t h w"]
    kinds: tuple[str, ...]
    backdrop: Backdrop | None = None


def find_subjects(
    params: Params,
    frames: UInt8[ndarray, "t h w 3"],
    lens: Float[ndarray, "3 3"],
    world_to_camera: Float[ndarray, "t 4 4"],
    around: UInt8[ndarray, "e h w 3"] | None = None,
) -> Subjects:
    """Return the masks of what stands in a clip.

    Unless the camera travels, what moves is found as well.

    Args:
      params: of the network, as `load_segmentation` reads them.
      frames: sRGB.
      lens: intrinsics, pixels.
      world_to_camera: of each frame.
      around: pictures that a camera at rest took before and after.
    """
    to_first = None
    if not travels(world_to_camera):
        to_first = homographies(world_to_camera[:, :3, :3], lens)
    more = None
    if around is not None:
        more = Seen(around, class_shares(params, around).sum(-1))
    return label_subjects(frames, class_shares(params, frames), to_first, more)


def label_subjects(
    frames: UInt8[ndarray, "t h w 3"],
    shares: Float32[ndarray, "t h w c"],
    to_first: Float[ndarray, "t 3 3"] | None,
    around: Seen | None = None,
) -> Subjects:
    """Return the masks of what stands in a clip.

    Args:
      frames: sRGB.
      shares: as `class_shares` returns them.
      to_first: where the pixels of each frame lie in the first one (`homographies`); None of a
        camera that travels.
      around: of a camera at rest, before and after.
    """
    there = [optical_flow(a, b) for a, b in pairwise(frames)]
    back = [optical_flow(b, a) for a, b in pairwise(frames)]
    shares = average_along_flow(shares, there, back)
    subject = shares.sum(-1)
    backdrop = None
    moving = np.zeros(subject.shape, bool)
    faint = np.zeros(subject.shape, bool)
    if to_first is not None and len(frames) > 2:
        if np.ptp(to_first, axis=0).any():
            moving = find_moving_while_turning(frames, subject, to_first)
        else:
            backdrop = find_backdrop(frames, subject, around)
            moving = find_moving(frames, backdrop)
            faint = find_faint(frames, subject, backdrop)
    masks = [
        outline(frame, share, moves)
        for frame, share, moves in zip(frames, subject, moving, strict=True)
    ]
    masks = [with_faint_parts(mask, differs) for mask, differs in zip(masks, faint, strict=True)]
    labels, count = link_labels(np.stack(masks), back)
    kinds = tuple(_kind(shares[labels == number]) for number in range(1, count + 1))
    return _drop_small(labels, kinds)._replace(backdrop=backdrop)


def class_shares(params: Params, frames: UInt8[ndarray, "t h w 3"]) -> Float32[ndarray, "t h w c"]:
    """Return the probabilities of each of `KINDS` at each pixel."""
    height, width = frames.shape[1:3]
    scale = ROWS / min(height, width)
    rows, columns = (STRIDE * round((n * scale - 1) / STRIDE) + 1 for n in (height, width))
    groups = [[CLASSES.index(name) for name in names] for names in KINDS.values()]
    # Pixel centres of the frame in those of the network's picture, then in cells.
    y, x = np.mgrid[:height, :width]
    place_y = (((y + 0.5) * rows / height - 0.5) / STRIDE).astype(np.float32)
    place_x = (((x + 0.5) * columns / width - 0.5) / STRIDE).astype(np.float32)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shares = []
    for frame in frames:
        picture = (
            cv2.resize(frame, (columns, rows), interpolation=interpolation) / np.float32(127.5) - 1
        )
        cells = np.asarray(_probabilities(params, jnp.asarray(picture)[None]))[0]
        grouped = np.stack([cells[..., group].sum(-1) for group in groups], -1)
        shares.append(
            cv2.remap(grouped, place_x, place_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        )
    return np.stack(shares)


@jax.jit
def _probabilities(params: Params, frames: jax.Array) -> jax.Array:
    return jax.nn.softmax(logits(params, frames))


def average_along_flow(
    shares: Float32[ndarray, "t h w c"],
    there: list[Float32[ndarray, "h w 2"]],
    back: list[Float32[ndarray, "h w 2"]],
) -> Float32[ndarray, "t h w c"]:
    """Return shares averaged over time, along the flow as far as it agrees with the flow back.

    An instant d instants away has the weight `LASTS` to the power d. So somebody whom the network
    does not see for a few instants is not lost.

    Args:
      shares: of each instant.
      there: flow from each instant but the last to the next.
      back: flow from each instant but the first to the one before.
    """
    sure_of_next = [flow_agrees(a, b) for a, b in zip(there, back, strict=True)]
    sure_of_last = [flow_agrees(b, a) for a, b in zip(there, back, strict=True)]
    before, weight_before = _summed(shares, back, sure_of_last)
    after, weight_after = _summed(shares[::-1], there[::-1], sure_of_next[::-1])
    # Both sums have the instant itself.
    total = before + after[::-1] - shares
    return total / (weight_before + weight_after[::-1] - 1)


def _summed(
    shares: Float32[ndarray, "t h w c"],
    flows: list[Float32[ndarray, "h w 2"]],
    agrees: list[Bool[ndarray, "h w"]],
) -> tuple[Float32[ndarray, "t h w c"], Float32[ndarray, "t h w 1"]]:
    """Return weighted sums over each instant and those that came before it, and their weights.

    Args:
      shares: of each instant, in the order in which they come.
      flows: from each instant but the first to the one before.
      agrees: where these flows agree with those back.
    """
    totals = shares.copy()
    weights = np.ones((*shares.shape[:3], 1), np.float32)
    for t, (flow, sure) in enumerate(zip(flows, agrees, strict=True), 1):
        weight = np.where(sure, np.float32(LASTS), 0)[..., None]
        totals[t] += weight * warp(totals[t - 1], flow)
        weights[t] += weight * warp(weights[t - 1], flow)
    return totals, weights


def find_moving_while_turning(
    frames: UInt8[ndarray, "t h w 3"],
    subject: Float32[ndarray, "t h w"],
    to_first: Float[ndarray, "t 3 3"],
) -> Bool[ndarray, "t h w"]:
    """Return what moves before a camera that turns on its place: `find_moving` in the first view.

    A place that is a little wrong makes the edges of the background move: thin pieces do not count,
    and instants at which much of the background moves tell nothing. Where more of it moves than
    things do at most instants, the camera does not turn on its place, and no instant tells.

    Args:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
      to_first: where the pixels of each frame lie in the first one.
    """
    size = frames.shape[2], frames.shape[1]
    everywhere = np.ones(frames.shape[1:3], np.float32)
    steady = []
    shares = []
    for frame, share, place in zip(frames, subject, to_first, strict=True):
        unseen = 1 - cv2.warpPerspective(everywhere, place, size)
        steady.append(cv2.warpPerspective(frame, place, size, borderMode=cv2.BORDER_REPLICATE))
        # What this instant does not show tells nothing of the background.
        shares.append(np.maximum(cv2.warpPerspective(share, place, size), unseen))
    steady_shares = np.stack(shares)
    pictures = np.stack(steady)
    moving = find_moving(pictures, find_backdrop(pictures, steady_shares))

    thick = np.stack([cv2.morphologyEx(_bytes(x), cv2.MORPH_OPEN, _disc(EDGE)) for x in moving]) > 0
    behind = steady_shares < BEHIND
    astray = (thick & behind).sum((1, 2)) / np.maximum(behind.sum((1, 2)), 1)
    turns_on_its_place = np.median(astray) <= MAX_USUAL_MOVING_BACKGROUND
    thick[(astray > MAX_MOVING_BACKGROUND) | (not turns_on_its_place)] = False

    onto_frames = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    seen_back = [
        cv2.warpPerspective(_bytes(mask), place, size, flags=onto_frames) > 0
        for mask, place in zip(thick, to_first, strict=True)
    ]
    return np.stack(seen_back)


def find_moving(frames: UInt8[ndarray, "t h w 3"], backdrop: Backdrop) -> Bool[ndarray, "t h w"]:
    """Return what differs from the background of a resting camera, without shadows and lights.

    Args:
      frames: sRGB.
      backdrop: what rests behind them.
    """
    background = backdrop.frame
    moving = []
    for frame in frames.astype(np.float32):
        differs = np.abs(frame - background).max(-1) > MOVES
        factor = (frame * background).sum(-1) / np.maximum((background**2).sum(-1), 1)
        colour = np.abs(frame - factor[..., None] * background).max(-1) < SAME_COLOUR
        light = differs & colour & (factor > SHADOW) & (factor < LIGHT)
        mask = _bytes(backdrop.known & differs & ~_even(light, factor))
        # Opened by 2x2 pixels; morphologyEx would shift the mask by one.
        square = np.ones((2, 2), np.uint8)
        mask = cv2.dilate(cv2.erode(mask, square), square, anchor=(0, 0))
        moving.append(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(2)) > 0)
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
    background = backdrop.frame
    energy = np.maximum((background**2).sum(-1), 1)
    faint = []
    for frame, share in zip(frames.astype(np.float32), subject, strict=True):
        difference = np.abs(frame - background).max(-1)
        at_rest = backdrop.known & (share < BEHIND) & (difference < MOVES)
        noise = np.median(difference[at_rest]) if at_rest.any() else MOVES
        factor = (frame * background).sum(-1) / energy
        tint = np.abs(frame - factor[..., None] * background).max(-1)
        differs = (difference > max(FAINT, FAINT_NOISE * noise)) & (tint > FAINT_TINT * difference)
        # Outlines are blurred and codecs ring: what is thin tells nothing.
        thick = cv2.morphologyEx(_bytes(backdrop.known & differs), cv2.MORPH_OPEN, _disc(EDGE))
        faint.append(thick > 0)
    return np.stack(faint)


def with_faint_parts(
    mask: Bool[ndarray, "h w"], faint: Bool[ndarray, "h w"]
) -> Bool[ndarray, "h w"]:
    """Return a mask with what differs a little and touches it: an arm before a bright wall."""
    near = cv2.dilate(_bytes(mask), _disc(round(FAINT_REACH * min(mask.shape)))) > 0
    mask = mask | _pieces_with((mask | faint) & near, mask)
    return _fill_holes(cv2.medianBlur(_bytes(mask), 3) > 0)


def _pieces_with(mask: Bool[ndarray, "h w"], sure: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return the pieces of a mask that have a sure pixel."""
    count, pieces = _number_pieces(mask)
    has_sure = np.zeros(count, bool)
    has_sure[np.unique(pieces[sure & mask])] = True
    return has_sure[pieces]


def _even(light: Bool[ndarray, "h w"], factor: Float32[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return the pieces that are darkened or lit by about one factor: grey trousers are not."""
    count, pieces = _number_pieces(light)
    even = np.zeros(count, bool)
    for piece in range(1, count):
        low, high = np.percentile(factor[pieces == piece], (25, 75))
        even[piece] = high < EVEN * low
    return even[pieces]


def find_backdrop(
    frames: UInt8[ndarray, "t h w 3"],
    subject: Float32[ndarray, "t h w"],
    around: Seen | None = None,
) -> Backdrop:
    """Return the median colour over the instants that show least of a subject.

    Whoever holds an arm up for most of a clip is faintly seen by the network, and does not count
    where other pictures show even less. These are asked nowhere else: what rests in the clip may
    have come before it, and go after it.

    Args:
      frames: sRGB.
      subject: share of the subjects' classes at each pixel.
      around: pictures of the same view from before and after.
    """
    added = np.zeros(frames.shape[1:3], bool)
    if around is not None:
        # The network's cells are coarse: beside its outline a subject is still there.
        rim = _disc(round(BAND * min(added.shape)))
        widened = np.stack([cv2.dilate(share, rim) for share in around.subject])
        added = widened.min(0) + CLEAREST < subject.min(0)
        frames = np.concatenate([frames, around.frames])
        subject = np.concatenate([subject, np.where(added, widened, 1)])
    free = (subject < BEHIND) & (subject <= subject.min(0) + CLEAREST)
    counts = free.sum(0)
    values = np.sort(np.where(free[..., None], frames, np.uint16(256)), 0)  # what is not free last
    middle = np.maximum(counts - 1, 0) // 2
    background = np.take_along_axis(values, middle[None, ..., None], 0)[0]
    return Backdrop(background.astype(np.float32), counts > 0, added & (counts > 0))


def outline(
    frame: UInt8[ndarray, "h w 3"], subject: Float32[ndarray, "h w"], moving: Bool[ndarray, "h w"]
) -> Bool[ndarray, "h w"]:
    """Return a mask of all subjects of a frame, with an outline where colours change."""
    coarse = _likely(subject)
    mask = coarse | _parts(coarse, moving)
    if not mask.any():
        return mask
    disc = _disc(max(2, round(BAND * min(mask.shape))))
    inner = cv2.erode(_bytes(mask), disc) > 0
    outer = cv2.dilate(_bytes(mask), disc) > 0
    guess = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    guess[~outer] = cv2.GC_BGD
    guess[inner & (subject > CERTAIN)] = cv2.GC_FGD
    # Colours are learnt from what is near.
    window = tuple(
        slice(max(0, places[0] - MARGIN), places[-1] + MARGIN + 1)
        for places in (np.flatnonzero(outer.any(1)), np.flatnonzero(outer.any(0)))
    )
    part = np.ascontiguousarray(guess[window], np.uint8)
    if (part != cv2.GC_BGD).all():
        return mask
    cv2.setRNGSeed(0)  # its mixtures of Gaussians start at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.ascontiguousarray(frame[window])
    cv2.grabCut(picture, part, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    refined = np.zeros_like(mask)
    refined[window] = (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)
    refined |= moving & mask & ~coarse  # its outline is that of the difference
    refined |= _lost(mask, refined)
    refined |= moving & mask  # an arm in the wall's colours
    smooth = cv2.medianBlur(_bytes(refined), 3) > 0
    return _fill_holes(smooth)


def _lost(mask: Bool[ndarray, "h w"], refined: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return the pieces of a mask most of which its refinement lacks: colours do not tell them."""
    count, pieces = _number_pieces(mask)
    size = np.bincount(pieces.ravel(), minlength=count)
    left = np.bincount(pieces[refined], minlength=count)
    return mask & (left < SURVIVES * size)[pieces]


def _likely(subject: Float32[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return the pieces of likely pixels that have a sure one."""
    return _pieces_with(subject > LIKELY, subject > SURE)


def _parts(coarse: Bool[ndarray, "h w"], moving: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return what moves and is near a subject that it touches, or big enough to be a thing."""
    count, pieces = _number_pieces(moving & ~coarse)
    near = np.zeros_like(coarse)
    subjects, bodies = _number_pieces(coarse)
    for subject in range(1, subjects):
        body = bodies == subject
        side = max(body.any(0).sum(), body.any(1).sum())
        away = cv2.distanceTransform(_bytes(~body), cv2.DIST_L2, 3)
        near |= away < REACH * side
    touches = cv2.dilate(_bytes(coarse), np.ones((5, 5), np.uint8)) > 0
    touching = np.zeros(count, bool)
    touching[np.unique(pieces[touches & (pieces > 0)])] = True
    size = np.bincount(pieces.ravel(), minlength=count)
    alone = ~touching & (size >= SMALLEST_THING * coarse.size)
    alone[0] = False
    return (touching[pieces] & near) | alone[pieces]


def _fill_holes(mask: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return a mask without holes too small to be seen through."""
    count, pieces = _number_pieces(~mask)
    small = np.bincount(pieces.ravel(), minlength=count) < SMALLEST_THING * mask.size
    return mask | small[pieces]


def _number_pieces(mask: Bool[ndarray, "h w"]) -> tuple[int, Int32[ndarray, "h w"]]:
    """Return how many numbers the connected pieces of a mask have, with 0 outside, and these."""
    count, pieces = cv2.connectedComponents(_bytes(mask))
    return count, pieces.astype(np.int32)


def _bytes(mask: Bool[ndarray, "h w"]) -> UInt8[ndarray, "h w"]:
    return mask.astype(np.uint8)


def _disc(radius: int) -> ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _kind(shares: Float32[ndarray, "n c"]) -> str:
    means = shares.mean(0)
    return list(KINDS)[means.argmax()] if means.sum() > BEHIND else THING


def _drop_small(labels: Int32[ndarray, "t h w"], kinds: tuple[str, ...]) -> Subjects:
    """Return the subjects that are large enough, and things that are seen more than once."""
    pixels = labels[0].size
    large = [0]
    for number, kind in enumerate(kinds, 1):
        sizes = (labels == number).sum((1, 2))
        once = kind == THING and (sizes > 0).sum() < 2 <= len(labels)
        least = SMALLEST_THING if kind == THING else SMALLEST_SUBJECT
        if sizes.max() >= least * pixels and not once:
            large.append(number)
    renumbered = np.zeros(len(kinds) + 1, np.int32)
    renumbered[large] = np.arange(len(large))
    return Subjects(renumbered[labels], tuple(kinds[number - 1] for number in large[1:]))
