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
TRIED_PITCHES = np.radians(np.arange(-15.0, 40.25, 0.5))  # that are tried, looking down


def camera_up(frames: UInt8[ndarray, "t h w 3"], lens: Float[ndarray, "3 3"]) -> Direction | None:
    """Return the direction against gravity in camera axes; None where too few lines determine it.

    Args:
      frames: of a camera at rest.
      lens: intrinsics, pixels.
    """
    # Of the picture's height, of segments that agree on an angle beyond chance.
    least_votes = 0.3
    usual_pitch_degrees = 25.0  # degrees: how far people's cameras deviate from level
    votes = _votes(np.median(frames, 0).astype(np.uint8), lens)  # without what moves
    votes = votes * np.exp(-0.5 * (np.degrees(TRIED_PITCHES) / usual_pitch_degrees) ** 2)
    best = int(np.argmax(votes))
    if votes[best] - np.median(votes) < least_votes:
        return None
    return 0.0, -float(np.cos(TRIED_PITCHES[best])), -float(np.sin(TRIED_PITCHES[best]))


def _votes(frame: UInt8[ndarray, "h w 3"], lens: Float[ndarray, "3 3"]) -> Float[ndarray, " n"]:
    """Return the length of the segments that point up at each angle, in picture heights."""
    sharpness_degrees = 1.0  # degree by which a segment may miss
    rim_share = 0.015  # of the picture's width: the rims of films have black lines
    fewest_pixels = 10  # of a segment, whose direction is not known otherwise
    shortest_share = 0.08  # of the picture's height
    steepest_lean = 25.0  # degrees from the picture's vertical that upright lines may have
    height, width = frame.shape[:2]
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    lines = cv2.createLineSegmentDetector().detect(gray)[0]
    if lines is None:
        return np.zeros(len(TRIED_PITCHES))
    x0, y0, x1, y1 = lines.reshape(-1, 4).astype(np.float64).T
    length = np.hypot(x1 - x0, y1 - y0)
    lean = np.degrees(np.arctan2(x1 - x0, y1 - y0))
    lean = (lean + 90) % 180 - 90
    is_long = length > max(shortest_share * height, fewest_pixels)
    is_upright = is_long & (np.abs(lean) < steepest_lean)
    rim = rim_share * width
    is_upright &= (np.maximum(x0, x1) > rim) & (np.minimum(x0, x1) < width - rim)
    x = ((x0 + x1) / 2 - lens[0, 2])[is_upright, None]
    y = ((y0 + y1) / 2 - lens[1, 2])[is_upright, None]
    # The pixel of up is (0, focal cos p / sin p) above or below the centre; here times sin p.
    focal = lens[1, 1]
    sine = np.sin(TRIED_PITCHES)
    toward = np.arctan2(-x * sine, focal * np.cos(TRIED_PITCHES) - y * sine)
    miss = np.degrees(toward) - lean[is_upright, None]
    miss = (miss + 90) % 180 - 90
    agreement = np.exp(-0.5 * (miss / sharpness_degrees) ** 2)
    return (length[is_upright, None] / height * agreement).sum(0)
