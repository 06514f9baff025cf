"""What a way to make frames gains over another one, by the share of the frame that is open.

Open pixels are those that no projection decides (`cascade.projected_share`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from full4d_jax.evaluation.table import Estimate, estimate, text_table

Scores = Mapping[str, float | None]
# Scores of which gains are shown, and their digits.
GAIN_DIGITS = {"psnr": 2, "psnr_unseen": 2, "lpips": 4}
# Lower ends of the bins, shares of a frame's pixels that are open.
BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)


class FrameGain(NamedTuple):
    """A frame that was made in two ways.

    Attributes:
      open_share: share of its pixels that no projection decides.
      gains: what one way gains over the other, positive where it is better; None where there is
        nothing to score.
    """

    open_share: float
    gains: Scores


def frame_gain(open_share: float, ours: Scores, base: Scores) -> FrameGain:
    """Return what a frame gains, given both of its scores."""

    def gain(name: str) -> float | None:
        own, old = ours[name], base[name]
        if own is None or old is None:
            return None
        return old - own if name.startswith("lpips") else own - old

    return FrameGain(open_share, {name: gain(name) for name in GAIN_DIGITS})


def binned_gains(
    clips: Sequence[Sequence[FrameGain]],
) -> dict[str, dict[str, Estimate]]:
    """Return the gains by bins of open pixels.

    In each bin a clip counts once, by its mean, and standard errors are over clips.
    """
    binned = {}
    for low, high in zip(BINS, (*BINS[1:], math.inf), strict=True):
        chosen = [[x for x in clip if low <= x.open_share < high] for clip in clips]
        label = f"from {low:.0%}, {sum(map(len, chosen))} frames"
        binned[label] = {
            name: estimate([_mean([x.gains[name] for x in clip]) for clip in chosen])
            for name in GAIN_DIGITS
        }
    return binned


def _mean(values: Sequence[float | None]) -> float:
    """Return the mean of the values that exist; NaN without any."""
    known = [x for x in values if x is not None]
    return float(np.mean(known)) if known else float("nan")


def gain_table(binned: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Return the table of gains with their standard errors."""
    lines = [["open pixels", "clips", *GAIN_DIGITS]]
    for label, gains in binned.items():
        cells = [label, str(gains["psnr"]["scenes"])]
        for name, digits in GAIN_DIGITS.items():
            mean, error = gains[name]["mean"], gains[name]["error"]
            text = "-" if mean is None else f"{mean:+.{digits}f}"
            cells.append(text if error is None else f"{text} ± {error:.{digits}f}")
        lines.append(cells)
    return text_table(lines)
