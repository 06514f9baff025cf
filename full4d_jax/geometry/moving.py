"""What moves before a camera at rest: pixels whose colour is not the one at rest.

A pixel has the colour of what rests there at most instants, so that its median over time is that
colour. How large a difference is motion depends on what the answer is for: callers have thresholds
of their own, in the unit of their pictures, levels of 255 or shares of the range.
"""

import numpy as np
from jaxtyping import Bool, Float, Num
from numpy import ndarray


def moving_pixels(
    frames: Num[ndarray, "*v t h w 3"], threshold: float
) -> Bool[ndarray, "*v t h w"]:
    """Return the pixels that differ from their median over time.

    Args:
      frames: pictures of cameras at rest.
      threshold: largest difference of a pixel that rests, in the unit of the frames.
    """
    return differs(frames, resting_picture(frames), threshold)


def resting_picture(frames: Num[ndarray, "*v t h w 3"]) -> Float[ndarray, "*v 1 h w 3"]:
    """Return the median over time, in the precision of the frames but single at least."""
    precision = np.result_type(frames.dtype, np.float32)
    return np.median(frames, axis=-4, keepdims=True).astype(precision)


def differs(
    frames: Num[ndarray, "*n h w 3"], resting: Num[ndarray, "*m h w 3"], threshold: float
) -> Bool[ndarray, "*n h w"]:
    """Return the pixels whose difference from a resting picture is above a threshold."""
    return np.abs(frames - resting).max(-1) > threshold
