"""Masks of what stands in a clip: people, animals, vehicles, and whatever else moves.

    frames -> DeepLab, 385 pixels a short side -> shares of classes, averaged along the flow
           -> people once more in windows of their own (`silhouettes`)
           -> beside them, what differs from the background (`backdrop`), or before a camera that
              moves what moves by itself (`own_motion`)
           -> other edges by colour (GrabCut in a band around the outline)
           -> the majority along the flow: a hat or an arm that one instant misses -> labels

DeepLab's cells are 8 of its pixels wide; only colours show where the outline of an animal or of a
group runs.
"""

from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from full4d_jax.geometry import arrays
from full4d_jax.grid import Grid
from full4d_jax.models.nets.published import CELL_PIXELS, CLASSES, Params, logits
from full4d_jax.models.weights import load_shipped
from full4d_jax.source import along_flow
from full4d_jax.source.backdrop import (
    BACKGROUND_SHARE,
    OUTLINE_BAND_SHARE,
    Backdrop,
    SeenPictures,
    Share,
    Shares,
    as_bytes,
    count_pieces,
    disc,
    find_backdrop,
    find_faint,
    find_moving,
    grown,
    number_pieces,
    pieces_with,
)
from full4d_jax.source.own_motion import OwnMotion, find_own_motion
from full4d_jax.source.silhouettes import likely_pieces, look_again
from gaussians.fitting.stillness import camera_moves

PERSON = "person"
ANIMAL = "animal"
VEHICLE = "vehicle"
THING = "thing"
KIND_CLASSES = {
    PERSON: ("person",),
    ANIMAL: ("bird", "cat", "cow", "dog", "horse", "sheep"),
    VEHICLE: ("bicycle", "boat", "bus", "car", "motorbike", "train"),
    "aeroplane": ("aeroplane",),
}
# Of the picture.
SMALLEST_THING_SHARE = 3e-4


class Subjects(NamedTuple):
    """People, animals, vehicles and things in a clip.

    Attributes:
      labels: number of the subject at each pixel, 0 for none.
      kinds: "person", "animal", "vehicle", "aeroplane" or "thing" of subjects 1, 2 and so on.
      backdrop: what a camera at rest sees behind them; None of one that moves.
      passing: what a camera that moves sees for a while: these, and shadows that move; None of one
        at rest.
    """

    labels: arrays.Labels
    kinds: tuple[str, ...]
    backdrop: Backdrop | None = None
    passing: arrays.Masks | None = None


def find_subjects(source: Grid) -> Subjects:
    """Return the masks of what stands in the clip of one camera, and of what moves.

    Args:
      source: of one camera, with depth where its camera moves.
    """
    frames, around = source.frames[0], source.around
    lens, poses = source.source_camera
    classes, silhouettes = map(load_shipped, ("segmentation", "silhouette"))
    flows = along_flow.sure_flows(frames)
    shares = along_flow.average_along_flow(class_shares(classes, frames), flows)
    outlines = see_people(silhouettes, frames, shares)
    motion = None
    if camera_moves(poses):
        sure = along_flow.of_one_colour(flows, frames)
        motion = find_own_motion(frames, sure, source.known_depth[0], lens, poses)
    more = None
    if around is not None:
        around_shares = class_shares(classes, around)
        seen = see_people(silhouettes, around, around_shares)
        more = SeenPictures(around, seen.anybody)
    return label_subjects(frames, outlines, flows, motion, more)


class Outlines(NamedTuple):
    """Where subjects are, with sharp outlines of people.

    Attributes:
      shares: of `KIND_CLASSES` at each pixel.
      decided: where a second look at people decides.
      anybody: share of subjects by the first look or the second, whichever is more: an arm that
        DeepLab sees faintly, and the second look not at all, is no background.
    """

    shares: along_flow.Values
    decided: arrays.Masks
    anybody: Shares


def see_people(
    params: Params, frames: arrays.Pictures, shares: along_flow.Values
) -> Outlines:
    """Return where subjects are, after a second look at people.

    Args:
      params: those of `silhouette.safetensors`.
      frames: sRGB.
      shares: as `class_shares` returns them.
    """
    place = list(KIND_CLASSES).index(PERSON)
    pairs = zip(frames, shares[..., place], strict=True)
    people = [look_again(params, *pair) for pair in pairs]
    persons, decided = (np.stack(x) for x in zip(*people, strict=True))
    # What else DeepLab's cells show beside people is their blurred outline.
    sharp = shares * (1 - np.where(decided, persons, 0)[..., None])
    sharp[..., place] = persons
    return Outlines(sharp, decided, np.maximum(shares.sum(-1), sharp.sum(-1)))


def label_subjects(
    frames: arrays.Pictures,
    outlines: Outlines,
    flows: along_flow.SureFlows,
    motion: OwnMotion | None,
    around: SeenPictures | None,
) -> Subjects:
    """Return the masks of what stands in a clip.

    Args:
      frames: sRGB.
      outlines: as `see_people` returns them.
      flows: of the frames, as `sure_flows` returns them.
      motion: what moves by itself before a camera that moves; None of one at rest.
      around: of a camera at rest, before and after.
    """
    subject = outlines.shares.sum(-1)
    anybody = outlines.anybody
    backdrop = None
    moving = faint = np.zeros(subject.shape, bool)
    if motion is not None:
        moving = motion.things
    elif len(frames) > 2:
        backdrop = find_backdrop(frames, anybody, around)
        moving = find_moving(frames, backdrop)
        faint = find_faint(frames, anybody, backdrop) & ~outlines.decided
    masks = map(outline, frames, subject, moving, outlines.decided)
    whole = [up_to_the_sides(mask) for mask in map(with_faint_parts, masks, faint)]
    ballots = np.stack(whole)[..., None].astype(np.float32)
    of_one_colour = along_flow.of_one_colour(flows, frames)
    votes = along_flow.average_along_flow(ballots, of_one_colour)
    steady = np.stack([_smooth(vote > 0.5) for vote in votes[..., 0]])
    labels, count = along_flow.link_labels(steady, flows.back)
    numbers = range(1, count + 1)
    kinds = tuple(_kind(outlines.shares[labels == number]) for number in numbers)
    passing = None if motion is None else steady | motion.shades
    return _drop_small(labels, kinds)._replace(backdrop=backdrop, passing=passing)


def class_shares(params: Params, frames: arrays.Pictures) -> along_flow.Values:
    """Return the probabilities of each of `KIND_CLASSES` at each pixel."""
    # Short side of what the network sees: trained at 257, it is as sure and sharper here.
    network_rows = 385
    height, width = frames.shape[1:3]
    scale = network_rows / min(height, width)
    rows, columns = (
        CELL_PIXELS * round((n * scale - 1) / CELL_PIXELS) + 1 for n in (height, width)
    )
    classes = KIND_CLASSES.values()
    groups = [[CLASSES.index(name) for name in names] for names in classes]
    # Pixel centres of the frame in those of the network's picture, then in cells.
    y, x = np.mgrid[:height, :width]
    place_y = (((y + 0.5) * rows / height - 0.5) / CELL_PIXELS).astype(np.float32)
    place_x = (((x + 0.5) * columns / width - 0.5) / CELL_PIXELS).astype(np.float32)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shares = []
    for frame in frames:
        resized = cv2.resize(frame, (columns, rows), interpolation=interpolation)
        picture = jnp.asarray(resized / np.float32(127.5) - 1)
        cells = np.asarray(_probabilities(params, picture[None]))[0]
        grouped = np.stack([cells[..., group].sum(-1) for group in groups], -1)
        share = cv2.remap(
            grouped, place_x, place_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        shares.append(share)
    return np.stack(shares)


@jax.jit
def _probabilities(params: Params, frames: jax.Array) -> jax.Array:
    return jax.nn.softmax(logits(params, frames))


def with_faint_parts(mask: arrays.Mask, faint: arrays.Mask) -> arrays.Mask:
    """Return a mask with what differs a little and touches it: an arm before a bright wall."""
    # Of the short side: how far from the subject.
    faint_reach = 0.05
    near = grown(mask, disc(round(faint_reach * min(mask.shape))))
    return _smooth(mask | pieces_with((mask | faint) & near, mask))


def up_to_the_sides(mask: arrays.Mask) -> arrays.Mask:
    """Return a mask that goes on to the left and right border where it nearly reaches them.

    Networks see little there, and what they leave of a sleeve would be painted over the wall.
    """
    # Of the short side: how near to a border masks go on to it.
    rim_share = 0.05
    rim = max(1, round(rim_share * min(mask.shape)))
    whole = mask.copy()
    whole[:, :rim] = np.logical_or.accumulate(mask[:, rim - 1 :: -1], 1)[:, ::-1]
    whole[:, -rim:] = np.logical_or.accumulate(mask[:, -rim:], 1)
    return whole


def outline(
    frame: arrays.Picture, subject: Share, moving: arrays.Mask, decided: arrays.Mask
) -> arrays.Mask:
    """Return a mask of all subjects of a frame, with an outline where colours change.

    Args:
      frame: sRGB.
      subject: share of the subjects' classes at each pixel.
      moving: what differs from the background.
      decided: where shares give the outline to a pixel or two.
    """
    grabcut_rounds = 2
    # Pixels around subjects that colours of the background are learnt from.
    margin_pixels = 16
    # Share of the classes that colour does not doubt inside.
    certain_share = 0.9
    coarse = likely_pieces(subject)
    mask = coarse | _parts(coarse, moving)
    if not mask.any():
        return mask
    band = disc(max(2, round(OUTLINE_BAND_SHARE * min(mask.shape))))
    outer = grown(mask, band)
    guess = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    guess[~outer] = cv2.GC_BGD
    guess[~grown(~mask, band) & (subject > certain_share)] = cv2.GC_FGD
    # A sharp outline may be a pixel or two astray.
    guess[decided & ~grown(mask, disc(1))] = cv2.GC_BGD
    guess[decided & ~grown(~mask, disc(2))] = cv2.GC_FGD
    # Colours are learnt from what is near.
    x, y, width, height = cv2.boundingRect(as_bytes(outer))
    top, left = max(0, y - margin_pixels), max(0, x - margin_pixels)
    window = np.s_[top : y + height + margin_pixels, left : x + width + margin_pixels]
    part = np.ascontiguousarray(guess[window], np.uint8)
    if (part != cv2.GC_BGD).all():
        return mask
    # Its mixtures of Gaussians start at random.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.ascontiguousarray(frame[window])
    cv2.grabCut(picture, part, None, *models, grabcut_rounds, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    refined = np.zeros_like(mask)
    refined[window] = (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)
    # The outline of what only moves is that of the difference.
    refined |= moving & mask & ~coarse
    refined |= _lost(mask, refined)
    # Such as an arm in the wall's colours.
    refined |= moving & mask & ~decided
    return _smooth(refined)


def _lost(mask: arrays.Mask, refined: arrays.Mask) -> arrays.Mask:
    """Return the pieces of a mask most of which its refinement lacks: colours do not show them."""
    # Of the pixels of a piece, or colours do not count.
    surviving_share = 0.5
    return mask & (
        count_pieces(mask, refined) < surviving_share * count_pieces(mask, mask)
    )


def _parts(coarse: arrays.Mask, moving: arrays.Mask) -> arrays.Mask:
    """Return what moves and is near a subject that it touches, or big enough to be a thing."""
    # Of a subject's longer side: how far from it what moves may still be a part.
    part_distance = 0.5
    apart = moving & ~coarse
    near = np.zeros_like(coarse)
    subjects, bodies = number_pieces(coarse)
    for subject in range(1, subjects):
        body = bodies == subject
        side = max(body.any(0).sum(), body.any(1).sum())
        away = cv2.distanceTransform(as_bytes(~body), cv2.DIST_L2, 3)
        near |= away < part_distance * side
    touching = pieces_with(apart, grown(coarse, np.ones((5, 5), np.uint8)))
    is_large = count_pieces(apart, apart) >= SMALLEST_THING_SHARE * coarse.size
    return (touching & near) | (apart & ~touching & is_large)


def _smooth(mask: arrays.Mask) -> arrays.Mask:
    """Return a mask without specks, and without holes too small to be seen through."""
    mask = cv2.medianBlur(as_bytes(mask), 3) > 0
    return mask | (count_pieces(~mask, ~mask) < SMALLEST_THING_SHARE * mask.size)


def _kind(shares: Float32[ndarray, "n c"]) -> str:
    means = shares.mean(0)
    most = list(KIND_CLASSES)[means.argmax()]
    return most if means.sum() > BACKGROUND_SHARE else THING


def _drop_small(labels: arrays.Labels, kinds: tuple[str, ...]) -> Subjects:
    """Return the subjects that are large enough, and things that are seen more than once."""
    smallest_subject = 1e-3
    pixels = labels[0].size
    large = [0]
    for number, kind in enumerate(kinds, 1):
        sizes = (labels == number).sum((1, 2))
        once = kind == THING and (sizes > 0).sum() < 2 <= len(labels)
        least = SMALLEST_THING_SHARE if kind == THING else smallest_subject
        if sizes.max() >= least * pixels and not once:
            large.append(number)
    renumbered = np.zeros(len(kinds) + 1, np.int32)
    renumbered[large] = np.arange(len(large))
    kinds_of_large = tuple(kinds[number - 1] for number in large[1:])
    return Subjects(renumbered[labels], kinds_of_large)
