"""Masks of what stands in a clip: people, animals, vehicles, and whatever else moves.

    frames -> DeepLab, 385 pixels a short side -> shares of classes, averaged along the flow
           -> people once more in windows of their own (`silhouettes`)
           -> beside them, of a camera that stays in its place, what differs from the background
           -> other edges by colour (GrabCut in a band around the outline)
           -> the majority along the flow: a hat or an arm that one instant misses -> labels

DeepLab's cells are 8 of its pixels wide; only colours show where the outline of an animal or of a
group runs. What moves before a camera that stays in its place is found by `backdrop`.
"""

from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8
from numpy import ndarray

from full4d_jax.geometry.paths import travels
from full4d_jax.geometry.tracking import homographies
from full4d_jax.models.segmentation import (
    CELL_PIXELS,
    CLASSES,
    Params,
    logits,
)
from full4d_jax.models.weights import load_shipped
from full4d_jax.source.along_flow import (
    SureFlows,
    average_along_flow,
    of_one_colour,
    sure_flows,
)
from full4d_jax.source.backdrop import (
    BACKGROUND_SHARE,
    OUTLINE_BAND_SHARE,
    Backdrop,
    SeenPictures,
    as_bytes,
    disc,
    find_backdrop,
    find_faint,
    find_moving,
    find_moving_while_turning,
    number_pieces,
    pieces_with,
)
from full4d_jax.source.silhouettes import likely_pieces, look_again
from full4d_jax.source.tracks import link_labels

PERSON = "person"
ANIMAL = "animal"
VEHICLE = "vehicle"
AEROPLANE = "aeroplane"
THING = "thing"
KIND_CLASSES = {
    PERSON: ("person",),
    ANIMAL: ("bird", "cat", "cow", "dog", "horse", "sheep"),
    VEHICLE: ("bicycle", "boat", "bus", "car", "motorbike", "train"),
    AEROPLANE: ("aeroplane",),
}
SMALLEST_THING_SHARE = 3e-4  # of the picture


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


class SubjectNetworks(NamedTuple):
    """Parameters of the networks that see subjects.

    Attributes:
      classes: those of `segmentation.safetensors`.
      silhouette: those of `silhouette.safetensors`.
    """

    classes: Params
    silhouette: Params


def load_subject_networks() -> SubjectNetworks:
    """Read the networks that the package has."""
    return SubjectNetworks(load_shipped("segmentation"), load_shipped("silhouette"))


def find_subjects(
    networks: SubjectNetworks,
    frames: UInt8[ndarray, "t h w 3"],
    lens: Float[ndarray, "3 3"],
    world_to_camera: Float[ndarray, "t 4 4"],
    around: UInt8[ndarray, "e h w 3"] | None,
) -> Subjects:
    """Return the masks of what stands in a clip.

    Unless the camera travels, what moves is found as well.

    Args:
      networks: as `load_subject_networks` reads them.
      frames: sRGB.
      lens: intrinsics, pixels.
      world_to_camera: of each frame.
      around: pictures that a camera at rest took before and after.
    """
    to_first = None
    if not travels(world_to_camera):
        to_first = homographies(world_to_camera[:, :3, :3], lens)
    flows = sure_flows(frames)
    shares = average_along_flow(class_shares(networks.classes, frames), flows)
    outlines = see_people(networks, frames, shares)
    more = None
    if around is not None:
        around_shares = class_shares(networks.classes, around)
        more = SeenPictures(around, see_people(networks, around, around_shares).anybody)
    return label_subjects(frames, outlines, flows, to_first, more)


class Outlines(NamedTuple):
    """Where subjects are, with sharp outlines of people.

    Attributes:
      shares: of `KIND_CLASSES` at each pixel.
      decided: where a second look at people decides.
      anybody: share of subjects by the first look or the second, whichever is more: an arm that
        DeepLab sees faintly, and the second look not at all, is no background.
    """

    shares: Float32[ndarray, "t h w c"]
    decided: Bool[ndarray, "t h w"]
    anybody: Float32[ndarray, "t h w"]


def see_people(
    networks: SubjectNetworks,
    frames: UInt8[ndarray, "t h w 3"],
    shares: Float32[ndarray, "t h w c"],
) -> Outlines:
    """Return where subjects are, after a second look at people.

    Args:
      networks: as `load_subject_networks` reads them.
      frames: sRGB.
      shares: as `class_shares` returns them.
    """
    place = list(KIND_CLASSES).index(PERSON)
    people = [
        look_again(networks.silhouette, frame, share)
        for frame, share in zip(frames, shares[..., place], strict=True)
    ]
    sharp = shares.copy()
    sharp[..., place] = np.stack([each.shares for each in people])
    decided = np.stack([each.decided for each in people])
    # What else DeepLab's cells show beside people is their blurred outline.
    other_kinds = [number for number in range(len(KIND_CLASSES)) if number != place]
    sharp[..., other_kinds] *= 1 - np.where(decided, sharp[..., place], 0)[..., None]
    return Outlines(sharp, decided, np.maximum(shares.sum(-1), sharp.sum(-1)))


def label_subjects(
    frames: UInt8[ndarray, "t h w 3"],
    outlines: Outlines,
    flows: SureFlows,
    to_first: Float[ndarray, "t 3 3"] | None,
    around: SeenPictures | None,
) -> Subjects:
    """Return the masks of what stands in a clip.

    Args:
      frames: sRGB.
      outlines: as `see_people` returns them.
      flows: of the frames, as `sure_flows` returns them.
      to_first: where the pixels of each frame lie in the first one (`homographies`); None of a
        camera that travels.
      around: of a camera at rest, before and after.
    """
    subject = outlines.shares.sum(-1)
    anybody = outlines.anybody
    backdrop = None
    moving = np.zeros(subject.shape, bool)
    faint = np.zeros(subject.shape, bool)
    if to_first is not None and len(frames) > 2:
        if np.ptp(to_first, axis=0).any():
            moving = find_moving_while_turning(frames, anybody, to_first)
        else:
            backdrop = find_backdrop(frames, anybody, around)
            moving = find_moving(frames, backdrop)
            faint = find_faint(frames, anybody, backdrop) & ~outlines.decided
    masks = [
        outline(frame, share, moves, sharp)
        for frame, share, moves, sharp in zip(
            frames, subject, moving, outlines.decided, strict=True
        )
    ]
    masks = [
        up_to_the_sides(with_faint_parts(mask, differs))
        for mask, differs in zip(masks, faint, strict=True)
    ]
    ballots = np.stack(masks)[..., None].astype(np.float32)
    votes = average_along_flow(ballots, of_one_colour(flows, frames))
    steady = np.stack([_smooth(vote > 0.5) for vote in votes[..., 0]])
    labels, count = link_labels(steady, flows.back)
    kinds = tuple(_kind(outlines.shares[labels == number]) for number in range(1, count + 1))
    return _drop_small(labels, kinds)._replace(backdrop=backdrop)


def class_shares(params: Params, frames: UInt8[ndarray, "t h w 3"]) -> Float32[ndarray, "t h w c"]:
    """Return the probabilities of each of `KIND_CLASSES` at each pixel."""
    # Short side of what the network sees: trained at 257, it is as sure and sharper here.
    network_rows = 385
    height, width = frames.shape[1:3]
    scale = network_rows / min(height, width)
    rows, columns = (
        CELL_PIXELS * round((n * scale - 1) / CELL_PIXELS) + 1 for n in (height, width)
    )
    groups = [[CLASSES.index(name) for name in names] for names in KIND_CLASSES.values()]
    # Pixel centres of the frame in those of the network's picture, then in cells.
    y, x = np.mgrid[:height, :width]
    place_y = (((y + 0.5) * rows / height - 0.5) / CELL_PIXELS).astype(np.float32)
    place_x = (((x + 0.5) * columns / width - 0.5) / CELL_PIXELS).astype(np.float32)
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


def with_faint_parts(
    mask: Bool[ndarray, "h w"], faint: Bool[ndarray, "h w"]
) -> Bool[ndarray, "h w"]:
    """Return a mask with what differs a little and touches it: an arm before a bright wall."""
    faint_reach = 0.05  # of the short side: how far from the subject
    near = cv2.dilate(as_bytes(mask), disc(round(faint_reach * min(mask.shape)))) > 0
    mask = mask | pieces_with((mask | faint) & near, mask)
    return _smooth(mask)


def up_to_the_sides(mask: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return a mask that goes on to the left and right border where it nearly reaches them.

    Networks see little there, and what they leave of a sleeve would be painted over the wall.
    """
    rim_share = 0.05  # of the short side: how near to a border masks go on to it
    rim = max(1, round(rim_share * min(mask.shape)))
    whole = mask.copy()
    whole[:, :rim] = np.logical_or.accumulate(mask[:, rim - 1 :: -1], 1)[:, ::-1]
    whole[:, -rim:] = np.logical_or.accumulate(mask[:, -rim:], 1)
    return whole


def outline(
    frame: UInt8[ndarray, "h w 3"],
    subject: Float32[ndarray, "h w"],
    moving: Bool[ndarray, "h w"],
    decided: Bool[ndarray, "h w"],
) -> Bool[ndarray, "h w"]:
    """Return a mask of all subjects of a frame, with an outline where colours change.

    Args:
      frame: sRGB.
      subject: share of the subjects' classes at each pixel.
      moving: what differs from the background.
      decided: where shares give the outline to a pixel or two.
    """
    grabcut_rounds = 2
    margin_pixels = 16  # pixels around subjects that colours of the background are learnt from
    certain_share = 0.9  # share of the classes that colour does not doubt inside
    coarse = likely_pieces(subject)
    mask = coarse | _parts(coarse, moving)
    if not mask.any():
        return mask
    band = disc(max(2, round(OUTLINE_BAND_SHARE * min(mask.shape))))
    inner = cv2.erode(as_bytes(mask), band) > 0
    outer = cv2.dilate(as_bytes(mask), band) > 0
    guess = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    guess[~outer] = cv2.GC_BGD
    guess[inner & (subject > certain_share)] = cv2.GC_FGD
    # A sharp outline may be a pixel or two astray.
    guess[decided & ~(cv2.dilate(as_bytes(mask), disc(1)) > 0)] = cv2.GC_BGD
    guess[decided & (cv2.erode(as_bytes(mask), disc(2)) > 0)] = cv2.GC_FGD
    # Colours are learnt from what is near.
    window = tuple(
        slice(max(0, places[0] - margin_pixels), places[-1] + margin_pixels + 1)
        for places in (np.flatnonzero(outer.any(1)), np.flatnonzero(outer.any(0)))
    )
    part = np.ascontiguousarray(guess[window], np.uint8)
    if (part != cv2.GC_BGD).all():
        return mask
    cv2.setRNGSeed(0)  # its mixtures of Gaussians start at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.ascontiguousarray(frame[window])
    cv2.grabCut(picture, part, None, *models, grabcut_rounds, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    refined = np.zeros_like(mask)
    refined[window] = (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)
    refined |= moving & mask & ~coarse  # its outline is that of the difference
    refined |= _lost(mask, refined)
    refined |= moving & mask & ~decided  # an arm in the wall's colours
    return _smooth(refined)


def _lost(mask: Bool[ndarray, "h w"], refined: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return the pieces of a mask most of which its refinement lacks: colours do not show them."""
    surviving_share = 0.5  # of the pixels of a piece, or colours are not asked
    count, pieces = number_pieces(mask)
    size = np.bincount(pieces.ravel(), minlength=count)
    left = np.bincount(pieces[refined], minlength=count)
    return mask & (left < surviving_share * size)[pieces]


def _parts(coarse: Bool[ndarray, "h w"], moving: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
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
    touches = cv2.dilate(as_bytes(coarse), np.ones((5, 5), np.uint8)) > 0
    touching = pieces_with(apart, touches)
    _, pieces = number_pieces(apart)
    is_large = np.bincount(pieces.ravel()) >= SMALLEST_THING_SHARE * coarse.size
    return (touching & near) | (apart & ~touching & is_large[pieces])


def _smooth(mask: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return a mask without specks, and without holes too small to be seen through."""
    mask = cv2.medianBlur(as_bytes(mask), 3) > 0
    count, pieces = number_pieces(~mask)
    small = np.bincount(pieces.ravel(), minlength=count) < SMALLEST_THING_SHARE * mask.size
    return mask | small[pieces]


def _kind(shares: Float32[ndarray, "n c"]) -> str:
    means = shares.mean(0)
    return list(KIND_CLASSES)[means.argmax()] if means.sum() > BACKGROUND_SHARE else THING


def _drop_small(labels: Int32[ndarray, "t h w"], kinds: tuple[str, ...]) -> Subjects:
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
    return Subjects(renumbered[labels], tuple(kinds[number - 1] for number in large[1:]))
