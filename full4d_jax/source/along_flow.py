"""Values of a film's pixels, averaged over time along its flow as far as that is sure."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray

from full4d_jax.geometry.moving import differs
from full4d_jax.geometry.optical_flow import flow_agrees, optical_flow, warp

LASTING_WEIGHT = 0.7  # weight of the instant before or after, relative to the instant itself


class SureFlows(NamedTuple):
    """The flow of a film, and where it leads to the same thing.

    Attributes:
      there: from each instant but the last to the next, pixels, x then y.
      back: from each instant but the first to the one before.
      sure_of_next: where the first is right.
      sure_of_previous: where the second is.
    """

    there: list[Float32[ndarray, "h w 2"]]
    back: list[Float32[ndarray, "h w 2"]]
    sure_of_next: list[Bool[ndarray, "h w"]]
    sure_of_previous: list[Bool[ndarray, "h w"]]


def sure_flows(frames: UInt8[ndarray, "t h w 3"]) -> SureFlows:
    """Return the flow of a film, sure where it agrees with the flow back."""
    there = [optical_flow(a, b) for a, b in pairwise(frames)]
    back = [optical_flow(b, a) for a, b in pairwise(frames)]
    sure_of_next = [flow_agrees(a, b) for a, b in zip(there, back, strict=True)]
    sure_of_previous = [flow_agrees(b, a) for a, b in zip(there, back, strict=True)]
    return SureFlows(there, back, sure_of_next, sure_of_previous)


def of_one_colour(flows: SureFlows, frames: UInt8[ndarray, "t h w 3"]) -> SureFlows:
    """Return the flow of a film, sure only where it leads to the same colour, too.

    Of what is small and fast the flow is often that of its background, there as back.
    """
    # Of 255 levels: how far the colours of one thing at two instants may differ.
    same_colour_levels = 20
    pictures = frames.astype(np.float32)
    earlier = pictures[:-1]
    later = pictures[1:]
    sure_of_next = [
        sure & ~differs(now, warp(then, flow), same_colour_levels)
        for sure, flow, now, then in zip(
            flows.sure_of_next, flows.there, earlier, later, strict=True
        )
    ]
    sure_of_previous = [
        sure & ~differs(now, warp(then, flow), same_colour_levels)
        for sure, flow, now, then in zip(
            flows.sure_of_previous, flows.back, later, earlier, strict=True
        )
    ]
    return flows._replace(sure_of_next=sure_of_next, sure_of_previous=sure_of_previous)


def average_along_flow(
    values: Float32[ndarray, "t h w c"], flows: SureFlows
) -> Float32[ndarray, "t h w c"]:
    """Return values averaged over time, along the flow as far as it is sure.

    An instant d instants away has the weight `LASTING_WEIGHT` to the power d. So who is missed
    for a few instants is not lost.

    Args:
      values: of each instant, such as shares of classes.
      flows: of the film.
    """
    before, weight_before = _summed(values, flows.back, flows.sure_of_previous)
    after, weight_after = _summed(values[::-1], flows.there[::-1], flows.sure_of_next[::-1])
    # Both sums have the instant itself.
    total = before + after[::-1] - values
    return total / (weight_before + weight_after[::-1] - 1)


def _summed(
    values: Float32[ndarray, "t h w c"],
    flows: list[Float32[ndarray, "h w 2"]],
    sure: list[Bool[ndarray, "h w"]],
) -> tuple[Float32[ndarray, "t h w c"], Float32[ndarray, "t h w 1"]]:
    """Return weighted sums over each instant and those that came before it, and their weights.

    Args:
      values: of each instant, in the order in which they come.
      flows: from each instant but the first to the one before.
      sure: where these flows are.
    """
    totals = values.copy()
    weights = np.ones((*values.shape[:3], 1), np.float32)
    for t, (flow, is_sure) in enumerate(zip(flows, sure, strict=True), 1):
        weight = np.where(is_sure, np.float32(LASTING_WEIGHT), 0)[..., None]
        totals[t] += weight * warp(totals[t - 1], flow)
        weights[t] += weight * warp(weights[t - 1], flow)
    return totals, weights
