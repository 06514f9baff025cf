"""Masks of a film over time, along its flow: values averaged as far as it is sure, and numbers.

Pieces of masks are linked from instant to instant to subjects that last. A piece has the number of
what it covers, or of what of its size vanished near it (a ball). Where two that were apart side by
side touch, each pixel goes to the nearer of them; what is above or below belongs to the larger.
Where one falls apart side by side, the smaller part has a new number, but one above the other stays
one: a pole or a rail before a person cuts people so.
"""

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int32
from numpy import ndarray

from full4d_jax.geometry.arrays import Mask, Masks, Pictures
from full4d_jax.geometry.image_motion import differs, flow_agrees, optical_flow, warp
from full4d_jax.source.backdrop import Labels, as_bytes

Values = Float32[ndarray, "t h w c"]
Flow = Float[ndarray, "h w 2"]
# Weight of the instant before or after, relative to the instant itself.
LASTING_WEIGHT = 0.7


class SureFlows(NamedTuple):
    """The flow of a film between neighbouring instants, and where it leads to the same thing.

    Attributes:
      there: from each instant but the last to the next, pixels, x then y.
      back: from that to the instant.
      there_sure: where the flow there is right.
      back_sure: where the flow back is right.
    """

    there: list[Flow]
    back: list[Flow]
    there_sure: list[Mask]
    back_sure: list[Mask]


def sure_flows(frames: Pictures) -> SureFlows:
    """Return the flow of a film, sure where it agrees with the flow back."""
    there = [optical_flow(a, b) for a, b in pairwise(frames)]
    back = [optical_flow(b, a) for a, b in pairwise(frames)]
    agree = [*map(flow_agrees, there, back)], [*map(flow_agrees, back, there)]
    return SureFlows(there, back, *agree)


def of_one_colour(flows: SureFlows, frames: Pictures) -> SureFlows:
    """Return the flow of a film, sure only where it leads to the same colour, too.

    Of what is small and fast the flow is often that of its background, there as back.
    """
    # Of 255 levels: how far the colours of one thing at two instants may differ.
    same_colour_levels = 20

    def same(flow: Flow, sure: Mask, now: ndarray, then: ndarray) -> Mask:
        return sure & ~differs(now, warp(then, flow), same_colour_levels)

    there, back, there_sure, back_sure = flows
    earlier, later = frames[:-1].astype(np.float32), frames[1:].astype(np.float32)
    there_same = [*map(same, there, there_sure, earlier, later)]
    back_same = [*map(same, back, back_sure, later, earlier)]
    return SureFlows(there, back, there_same, back_same)


def average_along_flow(values: Values, flows: SureFlows) -> Values:
    """Return values averaged over time, along the flow as far as it is sure.

    An instant d instants away has the weight `LASTING_WEIGHT` to the power d. So who is missed
    for a few instants is not lost.

    Args:
      values: of each instant, such as shares of classes.
      flows: of the film.
    """
    before, weight_before = _summed(values, flows.back, flows.back_sure)
    after, weight_after = _summed(
        values[::-1], flows.there[::-1], flows.there_sure[::-1]
    )
    # Both sums have the instant itself.
    total = before + after[::-1] - values
    return total / (weight_before + weight_after[::-1] - 1)


def _summed(
    values: Values, flow: list[Flow], sure: list[Mask]
) -> tuple[Values, Float32[ndarray, "t h w 1"]]:
    """Return weighted sums over each instant and those that came before it, and their weights.

    Args:
      values: of each instant, in the order in which they come.
      flow: from each instant but the first to the one before.
      sure: where it is right.
    """
    totals = values.copy()
    weights = np.ones((*values.shape[:3], 1), np.float32)
    for t, (back, is_sure) in enumerate(zip(flow, sure, strict=True), 1):
        weight = np.where(is_sure, np.float32(LASTING_WEIGHT), 0)[..., None]
        totals[t] += weight * warp(totals[t - 1], back)
        weights[t] += weight * warp(weights[t - 1], back)
    return totals, weights


def link_labels(masks: Masks, back: list[Flow]) -> tuple[Int32[ndarray, "t h w"], int]:
    """Return numbers of the pieces of masks, 1 and up, and how many there are.

    Args:
      masks: where anything is.
      back: flow from each instant but the first to the one before.
    """
    labels = np.zeros(masks.shape, np.int32)
    count = 0
    for t, mask in enumerate(masks):
        before = np.zeros(mask.shape, np.int32)
        if t:
            last = labels[t - 1].astype(np.float32)[..., None]
            before = warp(last, back[t - 1], cv2.INTER_NEAREST)[..., 0].astype(np.int32)
        labels[t], count = _number(mask, before, count)
    return labels, count


def _number(mask: Mask, before: Labels, count: int) -> tuple[Labels, int]:
    """Return the numbers of a mask's pieces, given those of the instant before, moved here."""
    # Of the largest one's pixels, from which on a part is a subject of its own.
    whole_share = 0.25
    # Of the smaller one's pixels that a piece and a subject of before share.
    covered_share = 0.2
    sizes = np.bincount(before.ravel(), minlength=count + 1)
    spans = {n: _columns(before == n) for n in range(1, count + 1) if sizes[n]}
    labels = np.zeros(mask.shape, np.int32)
    # Columns of the pieces that have a number.
    placed: dict[int, list[range]] = {}
    for inside in _pieces(mask):
        columns = _columns(inside)
        shared = np.bincount(before[inside], minlength=count + 1)
        least = {n: covered_share * min(sizes[n], inside.sum()) for n in spans}
        covered = [n for n in spans if shared[n] > least[n]]
        covered.sort(key=lambda n: -shared[n])
        parts = covered[:1]
        for n in covered[1:]:
            apart = all(_beside(spans[n], spans[m]) for m in parts)
            if apart and shared[n] > whole_share * shared[parts[0]]:
                parts.append(n)
        clashes = any(_beside(columns, x) for n in parts for x in placed.get(n, []))
        if not parts or (len(parts) == 1 and clashes):
            vanished = {
                n for n in spans if n not in placed and not mask[before == n].any()
            }
            n = _leapt(inside, before, vanished)
            count += not n
            parts = [n or count]
        labels[inside] = _nearest(before, parts)[inside]
        for n in parts:
            placed.setdefault(n, []).append(columns)
    return labels, count


def _pieces(mask: Mask) -> list[Mask]:
    """Return the pieces that are large enough, the largest first."""
    # Of the picture; smaller pieces are noise.
    smallest_share = 2e-4
    # Pixels around pieces that are bridged: a watch, a belt.
    bridged_pixels = 2
    square = np.ones((2 * bridged_pixels + 1,) * 2, np.uint8)
    count, pieces = cv2.connectedComponents(cv2.dilate(as_bytes(mask), square))
    pieces = np.where(mask, pieces.astype(np.int32), 0)
    sizes = np.bincount(pieces.ravel(), minlength=count)
    large = [n for n in range(1, count) if sizes[n] >= smallest_share * mask.size]
    large.sort(key=lambda n: -sizes[n])
    return [pieces == n for n in large]


def _leapt(inside: Mask, before: Labels, vanished: set[int]) -> int:
    """Return the nearest of the vanished subjects that a piece may be; 0 for none."""
    # How many times larger or smaller it may be.
    size_ratio = 2.5
    # Of the picture's longer side: how far a thing may fly that its flow does not follow.
    leap_share = 0.1
    middle = np.argwhere(inside).mean(0)
    likely = [(leap_share * max(inside.shape), 0)]
    for n in vanished:
        places = np.argwhere(before == n)
        ratio = len(places) / inside.sum()
        if 1 / size_ratio < ratio < size_ratio:
            likely.append((float(np.linalg.norm(places.mean(0) - middle)), n))
    return min(likely)[1]


def _columns(mask: Mask) -> range:
    columns = np.flatnonzero(mask.any(0))
    return range(int(columns[0]), int(columns[-1]) + 1)


def _beside(one: range, other: range) -> bool:
    """Return whether two pieces are beside each other rather than one above the other."""
    shared = min(one.stop, other.stop) - max(one.start, other.start)
    return shared < min(len(one), len(other)) / 2


def _nearest(before: Labels, parts: list[int]) -> Labels:
    """Return the nearest of some numbers for each pixel."""
    away = [cv2.distanceTransform(as_bytes(before != n), cv2.DIST_L2, 3) for n in parts]
    return np.array(parts, np.int32)[np.argmin(away, 0)]
