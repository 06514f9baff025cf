"""Sign of a network's values, compared with ours on a frame that comes with the package.

Files of one signature hold networks of disparity and of depth alike, and nothing in them says
which. So what a file makes of the first frame of `source.options.CLIP`, an aisle seen from above,
is correlated with the disparity that our network makes of it. Tiefenrausch, which others trained,
has a correlation of 0.74 with ours there, and -0.75 where its depth stands for its disparity; a
ramp from top to bottom has 0.55, the frame's red -0.03.
"""

from functools import cache
from typing import NamedTuple

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from full4d_jax.media.pictures import to_model
from full4d_jax.source.depth.estimate import load_depth, predict_depth
from full4d_jax.source.options import CLIP, DepthKind
from input_pipeline.video_files import first_frame

SURE_CORRELATION = 0.4  # correlation from which on a sign is believed


class Sign(NamedTuple):
    """What a comparison says.

    Attributes:
      kind: what the values are.
      note: what a person should know about it, "" where all agrees.
    """

    kind: DepthKind
    note: str


def checked_kind(kind: DepthKind, named_kind: DepthKind | None, correlation: float) -> Sign:
    """Return the kind of a network's values, corrected unless a person names one.

    Args:
      kind: what networks of its signature usually have.
      named_kind: the one of `--depth_kind`; None without it.
      correlation: of its values and disparity.
    """
    claimed = named_kind or kind
    if abs(correlation) < SURE_CORRELATION:
        note = "our network cannot confirm this on a frame of the package's clip: look at it"
        return Sign(claimed, note)
    if (correlation > 0) == (claimed == "disparity"):
        return Sign(claimed, "")
    grow = "when near" if correlation > 0 else "with distance"
    seen = f"its values grow {grow} on a frame of the package's clip, by our network"
    if named_kind is not None:
        return Sign(named_kind, f"warning: {seen}, against --depth_kind {named_kind}")
    corrected: DepthKind = "disparity" if correlation > 0 else "depth"
    return Sign(corrected, f"{seen}, so they are not {kind} as usual with its outputs")


def correlation_with_disparity(values: Float32[ndarray, "r q"]) -> float:
    """Return the correlation of what a network makes of `example_frame` with our disparity.

    Where values are 0, unknown, they do not count; it is 0 where they are one.
    """
    rows, columns = values.shape
    disparity = cv2.resize(example_disparity(), (columns, rows), interpolation=cv2.INTER_LINEAR)
    known = values != 0
    if known.sum() < 2 or np.ptp(values[known]) == 0:
        return 0.0
    correlations = np.corrcoef(clipped(values[known]), clipped(disparity[known]))
    return float(np.nan_to_num(correlations[0, 1]))


def clipped(values: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Return values without their outliers, in double precision."""
    outlier_percentiles = 2, 98  # percentiles to which values are clipped
    values = values.astype(np.float64)
    return np.clip(values, *np.percentile(values, outlier_percentiles))


@cache
def example_frame() -> UInt8[ndarray, "h w 3"]:
    """Return the frame of the package's clip that networks are compared on."""
    return first_frame(CLIP)


@cache
def example_disparity() -> Float32[ndarray, "r q"]:
    """Return our network's disparity of that frame."""
    frame = example_frame()
    network = load_depth()
    height, width = network.sides(*frame.shape[:2])
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    depth = predict_depth(network, jnp.asarray(to_model(small[None])))
    return 1 / np.asarray(depth[0], np.float32)
