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
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.geometry.arrays import Labels, Lens, Map, Maps, Mask, Values
from full4d_jax.grid import Grid
from full4d_jax.source.backdrop import as_bytes, disc, grown
from full4d_jax.source.depth.lines import UP, Direction
from full4d_jax.source.depth.resting_scene import inverse
from full4d_jax.source.subjects import ANIMAL, PERSON, THING, VEHICLE, Subjects

STANDING_KINDS = (PERSON, ANIMAL, VEHICLE)
# Of the height: the lowest part of a body, which touches the ground.
FOOT_SHARE = 0.06
# Pixels that a plane needs.
FEWEST_PIXELS = 20
# Rounds of the fit of a plane.
FIT_ROUNDS = 8
# Of its disparity.
DISPARITY_TOLERANCE = 0.05
# Of the depth.
MAX_BODY_RELIEF = 0.03
# Pixels around one, in which depth is smeared if some of them are of another surface.
SMEARED = np.ones((5, 5), np.uint8)


class Foot(NamedTuple):
    """Where a subject touches the ground: pixel, disparity, and how sure that is."""

    x: float
    y: int
    disparity: float
    weight: float


def stand_upright(source: Grid, subjects: Subjects, *, up: Direction = UP) -> Maps:
    """Return depth in which subjects stand on the ground and nothing is between them and the rest.

    Args:
      source: of one camera, with depth, 0 where unknown.
      subjects: what stands in it.
      up: against gravity, in camera axes, as `camera_up` returns it.
    """
    # Times wider than high, from which on a person does not stand.
    lying_ratio = 1.4
    lens, _ = source.source_camera
    before = inverse(source.known_depth[0].astype(np.float64))
    after = before.copy()
    bodies = subjects.labels > 0
    for number, kind in enumerate(subjects.kinds, 1):
        if kind not in STANDING_KINDS:
            continue
        masks = subjects.labels == number
        present = np.flatnonzero(masks.any((1, 2))).tolist()
        feet = {t: _find_foot(before[t], masks[t], bodies[t]) for t in present}
        for t, foot in _steady_feet(feet).items():
            mask = masks[t]
            lies = mask.any(0).sum() > lying_ratio * mask.any(1).sum()
            if not (kind == PERSON and lies):
                after[t][mask] = _body(before[t], mask, foot, lens, up)[mask]
    for number, kind in enumerate(subjects.kinds, 1):
        for t, mask in enumerate(subjects.labels == number):
            if kind == THING and mask.any():
                after[t][mask] = _held(after[t], mask, subjects, t)
    clear = np.stack([*map(_clear_rim, after, bodies)])
    return inverse(clear).astype(np.float32)


def _find_foot(disparity: Map, mask: Mask, subjects: Mask) -> Foot:
    """Return where a subject touches the ground, and the disparity there.

    Args:
      disparity: 0 where unknown.
      mask: of the subject.
      subjects: of all of them.
    """
    # Weight of a foot that is not seen on the ground.
    unsure_weight = 0.2
    # Of its largest disparity.
    max_ground = 1.1
    # Of the lower quartile of the lowest part's disparity.
    min_ground = 0.85
    # Of the height: the part whose own disparity bounds that of the foot.
    lowest_share = 0.25
    top, bottom = np.flatnonzero(mask.any(1))[[0, -1]].tolist()
    height = bottom - top + 1
    touching = mask[bottom - int(FOOT_SHARE * height) : bottom + 1]
    x = float(np.nonzero(touching)[1].mean())
    cut = bottom >= len(mask) - 2
    # What the network says of the lowest part; of a body that is cut, of its lower half.
    start = bottom - int((0.5 if cut else lowest_share) * height)
    known = mask & (disparity > 0)
    own = disparity[start:][known[start:]]
    ground = _ground(disparity, subjects, x, bottom, height)
    if not len(own):
        own = disparity[known]
    if not len(own):
        own = np.array(ground or np.median(disparity))
    # A body that is cut stands nearer than the ground that is seen.
    if cut:
        seen = min(ground or 0, max_ground * own.max())
        return Foot(x, bottom, float(max(np.percentile(own, 75), seen)), unsure_weight)
    if ground is None:
        return Foot(x, bottom, float(np.median(own)), unsure_weight)
    low = min_ground * np.percentile(own, 25)
    high = max_ground * np.percentile(own, 95)
    return Foot(x, bottom, float(np.clip(ground, low, high)), 1.0)


def _ground(
    disparity: Map, subjects: Mask, x: float, y: int, height: int
) -> float | None:
    """Return the disparity of the ground at a foot, or None where too little of it is seen."""
    # How far from the foot ground is looked for, of the height.
    ground_below = 0.15
    ground_aside = 0.3
    aside = max(8, round(ground_aside * height))
    above = max(2, round(FOOT_SHARE * height))
    below = max(8, round(ground_below * height))
    free = ~grown(subjects, SMEARED) & (disparity > 0)
    top = max(0, y - above)
    left = max(0, round(x) - aside)
    v, u = np.nonzero(free[top : y + below, left : round(x) + aside + 1])
    v += top
    u += left
    if len(v) < FEWEST_PIXELS:
        return None
    values = disparity[v, u]
    system = np.stack([np.ones(len(v)), (u - x) / height, (v - y) / height], 1)
    # Few columns or rows determine no slope.
    slack = 1e-6 * len(v) * np.array([0, 1, 1])
    # Tukey's weights, from the median on: what stands on the ground is not part of the plane.
    plane = np.array([np.median(values), 0, 0])
    for _ in range(FIT_ROUNDS):
        error = (system @ plane - values) / (3 * DISPARITY_TOLERANCE * np.abs(values))
        weight = np.maximum(0, 1 - error**2)
        if (weight > 0).sum() < FEWEST_PIXELS:
            return None
        plane = _weighted_fit(system, values, weight, slack)
    return float(plane[0]) if plane[0] > 0 else None


def _weighted_fit(
    system: Float[ndarray, "n k"],
    values: Values,
    weight: Values,
    slack: Float[ndarray, " k"],
) -> Float[ndarray, " k"]:
    """Return the x of least sum weight (system x - values)^2 + sum slack x^2."""
    weighted = system * weight[:, None]
    return np.linalg.solve(weighted.T @ system + np.diag(slack), weighted.T @ values)


def _steady_feet(feet: dict[int, Foot]) -> dict[int, Foot]:
    """Return feet whose disparity is smooth over time: a local line through its logarithm."""
    # Instants over which a foot is smoothed that the network alone measures.
    many_instants = 6.0
    # Instants over which a foot is smoothed that is seen on the ground.
    smoothed_instants = 1.5
    times = np.array(list(feet))
    logs = np.log([max(foot.disparity, 1e-6) for foot in feet.values()])
    weights = np.array([foot.weight for foot in feet.values()])
    order = np.argsort(logs)
    steady = {}
    for t, foot in feet.items():
        reach = smoothed_instants if foot.weight == 1 else many_instants
        near = np.exp(-0.5 * ((times - t) / reach) ** 2) * weights
        # Instants whose foot is hidden differ much; the nearby median does not heed them.
        middle = logs[order][np.searchsorted(np.cumsum(near[order]), near.sum() / 2)]
        near = near / (1 + ((logs - middle) / DISPARITY_TOLERANCE) ** 2)
        # A line, so that who comes nearer is not held back at the ends of the clip.
        line = np.stack([np.ones(len(times)), (times - t) / reach], 1)
        slack = 1e-3 * near.sum() * np.array([0.0, 1.0])
        now, _ = _weighted_fit(line, logs, near, slack)
        steady[t] = foot._replace(disparity=float(np.exp(now)))
    return steady


def _body(disparity: Map, mask: Mask, foot: Foot, lens: Lens, up: Direction) -> Map:
    """Return the disparity of an upright body, for its pixels."""
    # Of the height: how far relief is low-passed.
    smoothed_share = 0.04
    # Of the body's width: how far relief may leave the plane.
    thickness_share = 0.25
    # Horizontal, along the view.
    across = np.array([0.0, 0.0, 1.0]) - np.array(up) * up[2]
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    right = (x - lens[0, 2]) / lens[0, 0]
    rays = np.stack([right, (y - lens[1, 2]) / lens[1, 1], 1 + 0 * x], -1)
    at_foot = rays[foot.y, int(foot.x)] @ across
    plane = foot.disparity * (rays @ across) / at_foot
    inner = (cv2.erode(as_bytes(mask), SMEARED) > 0) & (disparity > 0)
    if inner.sum() < FEWEST_PIXELS:
        return plane
    # Relief is how much nearer, as a logarithm, parts of a body are than a line along it.
    width, height = (int(mask.any(axis).sum()) for axis in (0, 1))
    rows = np.nonzero(inner)[0]
    logs = np.log(disparity[inner])
    system = np.stack([np.ones(len(rows)), (rows - rows.mean()) / height], 1)
    line = np.array([np.median(logs), 0.0])
    # Absolute errors: a head that is at the wall's depth does not lean it.
    for _ in range(FIT_ROUNDS):
        weight = 1 / np.maximum(np.abs(system @ line - logs), MAX_BODY_RELIEF / 4)
        line = _weighted_fit(system, logs, weight, np.full(2, 1e-9))
    bound = min(MAX_BODY_RELIEF, thickness_share * width / lens[0, 0])
    bounded = np.clip(logs - system @ line, -bound, bound)
    # What is cut off may lean; the rest must not.
    bounded -= system @ np.linalg.lstsq(system, bounded, rcond=None)[0]
    relief = np.zeros(mask.shape)
    relief[inner] = bounded
    return plane * np.exp(_blur(relief, inner, max(1.0, smoothed_share * height)))


def _blur(values: Map, known: Mask, sigma: float) -> Map:
    """Return the mean of the known values around each pixel, 0 where there are none."""
    weight = cv2.GaussianBlur(known.astype(np.float64), (0, 0), sigma)
    total = cv2.GaussianBlur(np.where(known, values, 0.0), (0, 0), sigma)
    return np.where(weight > 1e-9, total / np.maximum(weight, 1e-9), 0.0)


def _held(
    disparity: Map, mask: Mask, subjects: Subjects, t: int
) -> Float[ndarray, "*n"]:
    """Return the disparity of a thing: of the subject so near that it may hold or throw it.

    Its estimate where there is no such subject: the thing may be a part of what rests, as an arm of
    a machine is.
    """
    # Of a subject's height: how near things are at its depth.
    neighbour_distance = 0.5
    away = cv2.distanceTransform(as_bytes(~mask), cv2.DIST_L2, 3)
    nearest = neighbour_distance
    held = disparity[mask]
    for number, kind in enumerate(subjects.kinds, 1):
        body = subjects.labels[t] == number
        if kind not in STANDING_KINDS or not body.any():
            continue
        distance = away[body].min() / body.any(1).sum()
        if distance < nearest:
            nearest = distance
            held = np.median(disparity[body], keepdims=True)
    return held


def _clear_rim(disparity: Map, subject: Mask) -> Map:
    """Return disparity without what lies between subjects and the background around them.

    Pixels at the outline, whose colours are mixed, become unknown (0); farther ones get the
    background's disparity.
    """
    # Times the background's disparity, from which on there is an edge.
    parted_ratio = 1.1
    # Of the short side: how far around a subject depth may be smeared.
    fog_share = 0.03
    reach = max(3, round(fog_share * min(subject.shape)))
    around = grown(subject, disc(reach))
    background = _blur(disparity, ~around & (disparity > 0), reach)
    body = cv2.dilate(np.where(subject, disparity, 0.0), disc(reach))
    parted = around & ~subject & (background > 0) & (body > parted_ratio * background)
    parted &= disparity < body
    outline = grown(subject, np.ones((3, 3), np.uint8))
    clear = np.where(parted & (disparity > background), background, disparity)
    return np.where(parted & outline, 0.0, clear)


def forget_rim(depth: Maps, labels: Labels) -> Maps:
    """Return depth that is unknown (0) beside subjects, and between two legs.

    Networks smear bodies over what is beside them, and over gaps that they nearly enclose. A camera
    at rest sees it at other instants, or the clean plate has it.
    """
    # Of the short side: half as wide as gaps that are smeared from both sides.
    gap_share = 0.1
    # Of the short side: how far around a subject a network may smear it.
    smear_share = 0.06
    short = min(depth.shape[1:])
    rim = disc(max(3, round(smear_share * short)))
    gap = disc(max(3, round(gap_share * short)))
    # So that the frame's borders enclose nothing.
    border = len(gap)
    inner = np.s_[border:-border, border:-border]
    result = depth.copy()
    for frame, label in zip(result, labels, strict=True):
        subject = as_bytes(label > 0)
        closed = cv2.morphologyEx(np.pad(subject, border), cv2.MORPH_CLOSE, gap)[inner]
        around = np.logical_or(cv2.dilate(subject, rim), closed)
        frame[around & (subject == 0)] = 0
    return result
