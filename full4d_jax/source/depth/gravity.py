"""The up direction of a camera, from upright lines: corners of rooms, doors, windows, trunks.

A camera that looks down by an angle p, and does not roll, has up at (0, -cos p, -sin p). Upright
lines of the world meet in the pixel of that direction. Every segment votes for the angles at which
it points there, by its length; segments in the middle columns do so at any angle, and do not count.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

Direction = tuple[float, float, float]  # in camera axes
UP = (0.0, -1.0, 0.0)  # of a level camera
PITCH = np.radians(np.arange(-15.0, 40.25, 0.5))  # that are tried, looking down
STEEP = 25.0  # degrees from the picture's vertical that upright lines may have
SHORTEST = 0.08  # of the picture's height
FEWEST_PIXELS = 10  # of a segment, whose direction is not known otherwise
MARGIN = 0.015  # of the picture's width: the rims of films have black lines
SHARP = 1.0  # degree by which a segment may miss
LEVEL = 25.0  # degrees: how far people's cameras deviate from level
ENOUGH = 0.3  # of the picture's height, of segments that agree on an angle beyond chance


def camera_up(frames: UInt8[ndarray, "t h w 3"], lens: Float[ndarray, "3 3"]) -> Direction | None:
    """Return the direction against gravity in camera axes; None where too few lines determine it.

    Args:
      frames: of a camera at rest.
      lens: intrinsics, pixels.
    """
    votes = _votes(np.median(frames, 0).astype(np.uint8), lens)  # without what moves
    votes = votes * np.exp(-0.5 * (np.degrees(PITCH) / LEVEL) ** 2)
    best = int(np.argmax(votes))
    if votes[best] - np.median(votes) < ENOUGH:
        return None
    return 0.0, -float(np.cos(PITCH[best])), -float(np.sin(PITCH[best]))


def _votes(frame: UInt8[ndarray, "h w 3"], lens: Float[ndarray, "3 3"]) -> Float[ndarray, " n"]:
    """Return the length of the segments that point up at each angle, in picture heights."""
    height, width = frame.shape[:2]
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    lines = cv2.createLineSegmentDetector().detect(gray)[0]
    if lines is None:
        return np.zeros(len(PITCH))
    x0, y0, x1, y1 = lines.reshape(-1, 4).astype(np.float64).T
    length = np.hypot(x1 - x0, y1 - y0)
    lean = np.degrees(np.arctan2(x1 - x0, y1 - y0))
    lean = (lean + 90) % 180 - 90
    is_upright = (length > max(SHORTEST * height, FEWEST_PIXELS)) & (np.abs(lean) < STEEP)
    rim = MARGIN * width
    is_upright &= (np.maximum(x0, x1) > rim) & (np.minimum(x0, x1) < width - rim)
    x = ((x0 + x1) / 2 - lens[0, 2])[is_upright, None]
    y = ((y0 + y1) / 2 - lens[1, 2])[is_upright, None]
    # The pixel of up is (0, focal cos p / sin p) above or below the centre; here times sin p.
    focal = lens[1, 1]
    toward = np.arctan2(-x * np.sin(PITCH), focal * np.cos(PITCH) - y * np.sin(PITCH))
    miss = np.degrees(toward) - lean[is_upright, None]
    miss = (miss + 90) % 180 - 90
    return (length[is_upright, None] / height * np.exp(-0.5 * (miss / SHARP) ** 2)).sum(0)
