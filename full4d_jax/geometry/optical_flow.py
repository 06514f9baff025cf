"""Optical flow between two pictures (OpenCV's DIS), and where it can be trusted."""

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32

from full4d_jax.geometry.arrays import Mask, Picture, Pictures


class Flows(NamedTuple):
    """Optical flow between the pictures of a film that follow each other, pixels, x then y.

    Attributes:
      there: from each picture but the last to the next.
      back: from that to the picture.
    """

    there: Float32[np.ndarray, "t-1 h w 2"]
    back: Float32[np.ndarray, "t-1 h w 2"]


def film_flows(pictures: Pictures) -> Flows:
    """Return the optical flow between two or more pictures that follow each other."""
    there = [optical_flow(now, then) for now, then in pairwise(pictures)]
    back = [optical_flow(then, now) for now, then in pairwise(pictures)]
    return Flows(np.stack(there), np.stack(back))


def optical_flow(now: Picture, then: Picture, finest: int = 0) -> Float32[np.ndarray, "h w 2"]:
    """Return the flow from `now` to `then`: pixels, x then y; 0 for sides below `smallest_side`.

    Args:
      now: a picture; small ones have no scales to spare.
      then: the other.
      finest: how often the pictures of the last scale are halved.
    """
    # Pixels of a side that DIS needs.
    smallest_side = 12
    if min(now.shape[:2]) < smallest_side:
        return np.zeros((*now.shape[:2], 2), np.float32)
    gray = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (now, then)]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(finest)
    return method.calc(gray[0], gray[1], None)  # type: ignore[call-overload]


def warp(
    image: Float[np.ndarray, "h w c"],
    flow: Float[np.ndarray, "h w 2"],
    interpolation: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_CONSTANT,
) -> Float32[np.ndarray, "h w c"]:
    """Return the image where the flow leads; outside what OpenCV's `border` says, else 0."""
    h, w = flow.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    columns = (x + flow[..., 0]).astype(np.float32)
    rows = (y + flow[..., 1]).astype(np.float32)
    warped = cv2.remap(image.astype(np.float32), columns, rows, interpolation, borderMode=border)
    return warped.reshape(h, w, -1)


def flow_agrees(there: Float[np.ndarray, "h w 2"], back: Float[np.ndarray, "h w 2"]) -> Mask:
    """Return where the flow there and back leads home, inside the picture."""
    # Of squared flow, and pixels: Sundaram et al. 2010, as in Lai et al.
    agreement_bound = 0.01, 0.5
    h, w = there.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    x = x + there[..., 0]
    y = y + there[..., 1]
    inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    returned = warp(back, there)
    length = (there**2).sum(-1) + (returned**2).sum(-1)
    return inside & (
        ((there + returned) ** 2).sum(-1) < agreement_bound[0] * length + agreement_bound[1]
    )
