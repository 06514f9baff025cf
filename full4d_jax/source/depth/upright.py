"""Depth of what stands: bodies are upright planes with some relief, on the ground at their feet.

Networks tilt people: the depth of a body follows the lawn behind it, or falls apart into that of
the floor and of the wall. But where a subject stands is known from where it touches the ground, and
that it stands is known from what it is. With u up and n the horizontal direction of view, the plane
through the foot (pixel p, disparity D) has at pixel q

    disparity(q) = D (n . ray(q)) / (n . ray(p)),    ray(x, y) = ((x - cx) / fx, (y - cy) / fy, 1)

and the relief is what the network's log disparity has beside a line along the body, low-passed and
bounded. D is that of a plane through the ground around the foot (disparity of a plane is linear in
the pixel), within what the network says of the lowest part of the body, and smooth over time.

People, animals and vehicles stand so. What they may hold or throw has their disparity; any other
thing that moves keeps the network's estimate, as an aeroplane does, which may be in the air.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32
from numpy import ndarray

from full4d_jax.source.backdrop import as_bytes, disc
from full4d_jax.source.depth.gravity import UP
from full4d_jax.source.depth.moving import inverse
from full4d_jax.source.subjects import ANIMAL, PERSON, THING, VEHICLE, Subjects

STANDING_KINDS = (PERSON, ANIMAL, VEHICLE)
FOOT_SHARE = 0.06  # of the height: the lowest part of a body, which touches the ground
AWAY_PIXELS = 2  # pixels from any subject, where depth is smeared
FEWEST_PIXELS = 20  # pixels that a plane needs
FIT_ROUNDS = 8  # of the fit of a plane
DISPARITY_TOLERANCE = 0.05  # of its disparity
MAX_BODY_RELIEF = 0.03  # of the depth, at most


class Foot(NamedTuple):
    """Where a subject touches the ground: pixel, disparity, and how sure that is."""

    x: float
    y: float
    disparity: float
    weight: float


def stand_upright(
    depth: Float[ndarray, "t h w"],
    subjects: Subjects,
    lens: Float[ndarray, "3 3"],
    *,
    up: tuple[float, float, float] = UP,
) -> Float32[ndarray, "t h w"]:
    """Return depth in which subjects stand on the ground and nothing is between them and the rest.

    Args:
      depth: of a clip, 0 where unknown.
      subjects: what stands in it.
      lens: intrinsics, pixels.
      up: against gravity, in camera axes, as `camera_up` returns it.
    """
    before = inverse(depth.astype(np.float64))
    after = before.copy()
    for number, kind in enumerate(subjects.kinds, 1):
        if kind not in STANDING_KINDS:
            continue
        instants = {t: mask for t, mask in enumerate(subjects.labels == number) if mask.any()}
        feet = {t: find_foot(before[t], mask, subjects.labels[t]) for t, mask in instants.items()}
        steady = _steady_feet(feet)
        for t, mask in instants.items():
            if not (kind == PERSON and _lies(mask)):
                after[t][mask] = _body(before[t], mask, steady[t], lens, up)[mask]
    for number, kind in enumerate(subjects.kinds, 1):
        if kind == THING:
            for t, mask in enumerate(subjects.labels == number):
                holder = _holder_disparity(after[t], mask, subjects, t) if mask.any() else None
                if holder is not None:
                    after[t][mask] = holder
    clear = [clear_rim(*x) for x in zip(after, subjects.labels > 0, strict=True)]
    return inverse(np.stack(clear)).astype(np.float32)


def find_foot(
    disparity: Float[ndarray, "h w"], mask: Bool[ndarray, "h w"], labels: Int32[ndarray, "h w"]
) -> Foot:
    """Return where a subject touches the ground, and the disparity there.

    Args:
      disparity: 0 where unknown.
      mask: of the subject.
      labels: of all subjects.
    """
    unsure_weight = 0.2  # weight of a foot that is not seen on the ground
    max_ground = 1.1  # of its largest disparity
    min_ground = 0.85  # of the lower quartile of the lowest part's disparity
    lowest_share = 0.25  # of the height: the part whose own disparity bounds that of the foot
    rows = np.flatnonzero(mask.any(1))
    top = int(rows[0])
    bottom = int(rows[-1])
    height = bottom - top + 1
    touching = mask[bottom - int(FOOT_SHARE * height) : bottom + 1]
    x = float(np.nonzero(touching)[1].mean())
    cut = bottom >= len(mask) - 2
    # What the network says of the lowest part; of a body that is cut, of its lower half.
    start = bottom - int((0.5 if cut else lowest_share) * height)
    own = disparity[start:][mask[start:] & (disparity[start:] > 0)]
    ground = _ground(disparity, labels, x, bottom, height)
    if not len(own):
        own = disparity[mask & (disparity > 0)]
    if not len(own):
        near = ground if ground is not None else float(np.median(disparity))
        return Foot(x, bottom, near, unsure_weight)
    if cut:  # it stands nearer than the ground that is seen
        near = float(np.percentile(own, 75))
        if ground is not None:
            near = max(near, min(ground, max_ground * float(own.max())))
        return Foot(x, bottom, near, unsure_weight)
    if ground is None:
        return Foot(x, bottom, float(np.median(own)), unsure_weight)
    low = min_ground * np.percentile(own, 25)
    high = max_ground * np.percentile(own, 95)
    return Foot(x, bottom, float(np.clip(ground, low, high)), 1.0)


def _ground(
    disparity: Float[ndarray, "h w"], labels: Int32[ndarray, "h w"], x: float, y: int, height: int
) -> float | None:
    """Return the disparity of the ground at a foot, or None where too little of it is seen."""
    # How far from the foot ground is looked for, of the height.
    ground_below = 0.15
    ground_aside = 0.3
    free = cv2.dilate((labels > 0).astype(np.uint8), np.ones((2 * AWAY_PIXELS + 1,) * 2)) == 0
    reach = max(8, round(ground_aside * height))
    above = max(2, round(FOOT_SHARE * height))
    below = max(8, round(ground_below * height))
    rows = slice(max(0, y - above), y + below)
    columns = slice(max(0, round(x) - reach), round(x) + reach + 1)
    part = np.zeros_like(free)
    part[rows, columns] = True
    v, u = np.nonzero(part & free & (disparity > 0))
    if len(v) < FEWEST_PIXELS:
        return None
    values = disparity[v, u]
    system = np.stack([np.ones(len(v)), (u - x) / height, (v - y) / height], 1)
    # Tukey's weights, from the median on: what stands on the ground is not part of the plane.
    plane = np.array([np.median(values), 0.0, 0.0])
    for _ in range(FIT_ROUNDS):
        error = (system @ plane - values) / (3 * DISPARITY_TOLERANCE * np.abs(values))
        weight = np.maximum(0, 1 - error**2)
        if (weight > 0).sum() < FEWEST_PIXELS:
            return None
        weighted = system * weight[:, None]
        slack = 1e-6 * len(v) * np.diag([0.0, 1.0, 1.0])  # few columns or rows determine no slope
        plane = np.linalg.solve(weighted.T @ system + slack, weighted.T @ values)
    return float(plane[0]) if plane[0] > 0 else None


def _steady_feet(feet: dict[int, Foot]) -> dict[int, Foot]:
    """Return feet whose disparity is smooth over time: a local line through its logarithm."""
    many_instants = 6.0  # over which any other is, which the network alone measures
    smoothed_instants = 1.5  # over which a foot that is seen on the ground is smoothed
    times = np.array(list(feet))
    logs = np.log([max(foot.disparity, 1e-6) for foot in feet.values()])
    weights = np.array([foot.weight for foot in feet.values()])
    steady = {}
    for t, foot in feet.items():
        reach = smoothed_instants if foot.weight == 1 else many_instants
        near = np.exp(-0.5 * ((times - t) / reach) ** 2) * weights
        # Instants whose foot is hidden differ much; the nearby median does not heed them.
        order = np.argsort(logs)
        middle = logs[order][np.searchsorted(np.cumsum(near[order]), near.sum() / 2)]
        near = near / (1 + ((logs - middle) / DISPARITY_TOLERANCE) ** 2)
        # A line, so that who comes nearer is not held back at the ends of the clip.
        line = np.stack([np.ones(len(times)), (times - t) / reach], 1)
        weighted = line * near[:, None]
        slack = 1e-3 * near.sum() * np.diag([0.0, 1.0])
        now, _ = np.linalg.solve(weighted.T @ line + slack, weighted.T @ logs)
        steady[t] = foot._replace(disparity=float(np.exp(now)))
    return steady


def _lies(mask: Bool[ndarray, "h w"]) -> bool:
    lying_ratio = 1.4  # times wider than high, from which on a person does not stand
    return bool(mask.any(0).sum() > lying_ratio * mask.any(1).sum())


def _body(
    disparity: Float[ndarray, "h w"],
    mask: Bool[ndarray, "h w"],
    foot: Foot,
    lens: Float[ndarray, "3 3"],
    up: tuple[float, float, float],
) -> Float[ndarray, "h w"]:
    """Return the disparity of an upright body, for its pixels."""
    toward = np.array([0.0, 0.0, 1.0])
    across = toward - np.array(up) * (toward @ np.array(up))  # horizontal, along the view
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    rays = np.stack([(x - lens[0, 2]) / lens[0, 0], (y - lens[1, 2]) / lens[1, 1], 1 + 0 * x], -1)
    at_foot = rays[min(int(foot.y), len(mask) - 1), int(foot.x)] @ across
    plane = foot.disparity * (rays @ across) / at_foot
    return plane * np.exp(_relief(disparity, mask, float(lens[0, 0])))


def _relief(
    disparity: Float[ndarray, "h w"], mask: Bool[ndarray, "h w"], focal: float
) -> Float[ndarray, "h w"]:
    """Return how much nearer, as a logarithm, parts of a body are than its upright plane."""
    smoothed_share = 0.04  # of the height: how far relief is low-passed
    thickness_share = 0.25  # of the body's width: how far relief may leave the plane
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    inner = cv2.erode(mask.astype(np.uint8), np.ones((2 * AWAY_PIXELS + 1,) * 2)) > 0
    inner &= disparity > 0
    relief = np.zeros(mask.shape)
    if inner.sum() < FEWEST_PIXELS:
        return relief
    v, _ = np.nonzero(inner)
    logs = np.log(disparity[inner])
    system = np.stack([np.ones(len(v)), (v - v.mean()) / len(rows)], 1)
    line = np.array([np.median(logs), 0.0])
    # Absolute errors: a head that is at the wall's depth does not lean it.
    for _ in range(FIT_ROUNDS):
        weight = 1 / np.maximum(np.abs(system @ line - logs), MAX_BODY_RELIEF / 4)
        weighted = system * weight[:, None]
        line = np.linalg.solve(weighted.T @ system + 1e-9 * np.eye(2), weighted.T @ logs)
    bound = min(MAX_BODY_RELIEF, thickness_share * len(columns) / focal)
    bounded = np.clip(logs - system @ line, -bound, bound)
    bounded -= system @ np.linalg.lstsq(system, bounded, rcond=None)[0]  # what is cut off may lean
    relief[inner] = bounded
    return _blur(relief, inner, max(1.0, smoothed_share * len(rows)))


def _blur(
    values: Float[ndarray, "h w"], known: Bool[ndarray, "h w"], sigma: float
) -> Float[ndarray, "h w"]:
    """Return the mean of the known values around each pixel."""
    weight = cv2.GaussianBlur(known.astype(np.float64), (0, 0), sigma)
    total = cv2.GaussianBlur(np.where(known, values, 0.0), (0, 0), sigma)
    return np.where(weight > 1e-9, total / np.maximum(weight, 1e-9), 0.0)


def _holder_disparity(
    disparity: Float[ndarray, "h w"], mask: Bool[ndarray, "h w"], subjects: Subjects, t: int
) -> float | None:
    """Return the disparity of the subject so near a thing that it may hold or throw it.

    None where there is no such subject: the thing may be a part of what rests, as an arm of a
    machine is, and keeps its estimate.
    """
    neighbour_distance = 0.5  # of a subject's height: how near things are at its depth
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    nearest = neighbour_distance
    holder = None
    for number, kind in enumerate(subjects.kinds, 1):
        body = subjects.labels[t] == number
        if kind not in STANDING_KINDS or not body.any():
            continue
        distance = away[body].min() / body.any(1).sum()
        if distance < nearest:
            nearest = distance
            holder = float(np.median(disparity[body]))
    return holder


def clear_rim(
    disparity: Float[ndarray, "h w"], subject: Bool[ndarray, "h w"]
) -> Float[ndarray, "h w"]:
    """Return disparity without what lies between subjects and the background around them.

    Pixels at the outline, whose colours are mixed, become unknown (0); farther ones get the
    background's disparity.
    """
    parted_ratio = 1.1  # times the background's disparity, from which on there is an edge
    fog_share = 0.03  # of the short side: how far around a subject depth may be smeared
    if not subject.any():
        return disparity
    reach = max(3, round(fog_share * min(subject.shape)))
    around = cv2.dilate(as_bytes(subject), disc(reach)) > 0
    background = _blur(disparity, ~around & (disparity > 0), reach)
    body = cv2.dilate(np.where(subject, disparity, 0.0), disc(reach))
    parted = around & ~subject & (background > 0) & (body > parted_ratio * background)
    fog = parted & (disparity > background) & (disparity < body)
    outline = cv2.dilate(as_bytes(subject), np.ones((3, 3), np.uint8)) > 0
    clear = np.where(fog, background, disparity)
    return np.where(parted & outline & (disparity < body), 0.0, clear)


def forget_rim(
    depth: Float[ndarray, "t h w"], labels: Int32[ndarray, "t h w"]
) -> Float[ndarray, "t h w"]:
    """Return depth that is unknown (0) beside subjects, and between two legs.

    Networks smear bodies over what is beside them. A camera at rest sees it at other instants, or
    the clean plate has it.
    """
    return np.where([_rim_of(label > 0) for label in labels], 0, depth)


def _rim_of(subject: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return where a subject may be smeared: around it, and in gaps that it nearly encloses."""
    gap_share = 0.1  # of the short side: half as wide as gaps that are smeared from both sides
    smear_share = 0.06  # of the short side: how far around a subject a network may smear it
    shorter = min(subject.shape)
    around = cv2.dilate(as_bytes(subject), disc(max(3, round(smear_share * shorter)))) > 0
    gap = disc(max(3, round(gap_share * shorter)))
    border = len(gap)  # so that the frame's borders enclose nothing
    wide = np.pad(as_bytes(subject), border)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, gap)[border:-border, border:-border] > 0
    return (around | closed) & ~subject
