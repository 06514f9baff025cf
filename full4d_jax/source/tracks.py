"""Numbers of subjects that last: pieces of masks, linked from instant to instant by their flow.

A piece has the number of what it covers, or of what of its size vanished near it (a ball). Where
two that were apart side by side touch, each pixel goes to the nearer of them; what is above or
below belongs to the larger. Where one falls apart side by side, the smaller part has a new number,
but one above the other stays one: a pole or a rail before a person cuts people so.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int32
from numpy import ndarray

from full4d_jax.geometry.optical_flow import warp


class Columns(NamedTuple):
    """The first column of a piece, and the one after its last."""

    left: int
    right: int


def link_labels(
    masks: Bool[ndarray, "t h w"], back: list[Float[ndarray, "h w 2"]]
) -> tuple[Int32[ndarray, "t h w"], int]:
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


def _number(
    mask: Bool[ndarray, "h w"], before: Int32[ndarray, "h w"], count: int
) -> tuple[Int32[ndarray, "h w"], int]:
    """Return the numbers of a mask's pieces, given those of the instant before, moved here."""
    # Of the largest one's pixels, from which on a part is a subject of its own.
    whole_share = 0.25
    # Of the smaller one's pixels that a piece and a subject of before share.
    covered_share = 0.2
    sizes = np.bincount(before.ravel(), minlength=count + 1)
    spans = {n: _columns(before == n) for n in range(1, count + 1) if sizes[n]}
    labels = np.zeros(mask.shape, np.int32)
    placed: dict[int, list[Columns]] = {}  # of the pieces that have a number
    for inside in _pieces(mask):
        columns = _columns(inside)
        shared = np.bincount(before[inside], minlength=count + 1)
        covered = [n for n in spans if shared[n] > covered_share * min(sizes[n], inside.sum())]
        covered.sort(key=lambda n: -shared[n])
        parts = covered[:1]
        for n in covered[1:]:
            apart = all(_beside(spans[n], spans[m]) for m in parts)
            if apart and shared[n] > whole_share * shared[parts[0]]:
                parts.append(n)
        if len(parts) > 1:
            labels[inside] = _nearest(before, parts)[inside]
        elif parts and all(not _beside(columns, x) for x in placed.get(parts[0], [])):
            labels[inside] = parts[0]
        else:
            vanished = {n for n in spans if n not in placed and not mask[before == n].any()}
            n = _leapt(inside, before, vanished)
            count += not n
            parts = [n or count]
            labels[inside] = parts[0]
        for n in parts:
            placed.setdefault(n, []).append(columns)
    return labels, count


def _pieces(mask: Bool[ndarray, "h w"]) -> list[Bool[ndarray, "h w"]]:
    """Return the pieces that are large enough, the largest first."""
    smallest_share = 2e-4  # of the picture; smaller pieces are noise
    bridged_pixels = 2  # pixels around pieces that are bridged: a watch, a belt
    bridged = cv2.dilate(
        mask.astype(np.uint8), np.ones((2 * bridged_pixels + 1, 2 * bridged_pixels + 1), np.uint8)
    )
    count, pieces = cv2.connectedComponents(bridged)
    pieces = np.where(mask, pieces.astype(np.int32), 0)
    sizes = np.bincount(pieces.ravel(), minlength=count)
    large = [n for n in range(1, count) if sizes[n] >= smallest_share * mask.size]
    large.sort(key=lambda n: -sizes[n])
    return [pieces == n for n in large]


def _leapt(inside: Bool[ndarray, "h w"], before: Int32[ndarray, "h w"], vanished: set[int]) -> int:
    """Return the nearest of the vanished subjects that a piece may be; 0 for none."""
    size_ratio = 2.5  # times larger or smaller that may be
    # Of the picture's longer side: how far a thing may fly that its flow does not follow.
    leap_share = 0.1
    middle = np.argwhere(inside).mean(0)
    nearest = leap_share * max(inside.shape)
    best = 0
    for n in sorted(vanished):
        places = np.argwhere(before == n)
        ratio = len(places) / inside.sum()
        away = float(np.linalg.norm(places.mean(0) - middle))
        if 1 / size_ratio < ratio < size_ratio and away < nearest:
            nearest = away
            best = n
    return best


def _columns(mask: Bool[ndarray, "h w"]) -> Columns:
    columns = np.flatnonzero(mask.any(0))
    return Columns(int(columns[0]), int(columns[-1]) + 1)


def _beside(one: Columns, other: Columns) -> bool:
    """Return whether two pieces are beside each other rather than one above the other."""
    shared = min(one.right, other.right) - max(one.left, other.left)
    return shared < min(one.right - one.left, other.right - other.left) / 2


def _nearest(before: Int32[ndarray, "h w"], parts: list[int]) -> Int32[ndarray, "h w"]:
    """Return the nearest of some numbers for each pixel."""
    away = [cv2.distanceTransform((before != n).astype(np.uint8), cv2.DIST_L2, 3) for n in parts]
    return np.array(parts, np.int32)[np.argmin(away, 0)]
