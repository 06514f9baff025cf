"""The part of a video where something happens, for those who do not say where to start.

A few frames a second are looked at, in grey and small. Between two of them, the share of pixels
that change more than `CHANGED_LEVELS` after the best shift of the whole picture measures how much
moves in front of the camera, and the shift itself how much the camera does. A part's score is

    mean(min(moving share, MOST_MOVING_SHARE)) - mean(shift as a share of the width)

over its steps: a person who walks counts, more than `MOST_MOVING_SHARE` counts no more (then it is
the light, or the camera), and a camera that shakes counts against it. Parts with a cut are left
out.
"""

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from av.error import FFmpegError
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.media.video import gray_picture
from full4d_jax.source.shots import are_apart
from input_pipeline.video_files import decode_frames

COMPARED_FPS = 4.0  # frames a second that are looked at
LONGEST_SECONDS = 60.0  # seconds of the video that are looked at
CHANGED_LEVELS = 20  # levels of 255 by which a moving pixel changes from one frame to the next
MOST_MOVING_SHARE = 0.15  # share of moving pixels


def best_start(path: Path, seconds: float) -> float:
    """Return where the part of a video with most motion begins, in seconds; 0 where none does.

    Args:
      path: the video.
      seconds: length of the part.
    """
    # Score of a part, below which nothing moves and the video is taken from its start.
    least_gain = 0.002
    pictures, times = sparse_film(path)
    steps = len(times) - 1
    if steps < 1 or times[-1] <= seconds:
        return 0.0
    scores = np.array([step_score(*pictures[i : i + 2]) for i in range(steps)])
    # A part begins at a frame and has all steps that end within it.
    ends = np.searchsorted(times, times + seconds, side="right") - 1
    begins = np.flatnonzero((times + seconds <= times[-1]) & (ends > np.arange(len(times))))
    if not begins.size:
        return 0.0
    parts = np.array([scores[i : ends[i]].mean() for i in begins])
    best = int(parts.argmax())
    return float(times[begins[best]]) if parts[best] > least_gain else 0.0


def sparse_film(path: Path) -> tuple[UInt8[ndarray, "t r q"], Float[ndarray, " t"]]:
    """Return a few grey frames a second of a video's first `LONGEST_SECONDS`, and their times.

    Where the file is damaged, it ends.
    """
    pictures: list[ndarray] = []
    times: list[float] = []
    with suppress(FFmpegError):  # reported by those who read the part
        for frame in decode_frames(path, strict=True, spacing=0.99 / COMPARED_FPS):
            if frame.time > LONGEST_SECONDS or frame.damaged:
                break
            shape = pictures[0].shape if pictures else None
            pictures.append(gray_picture(frame.picture, shape))
            times.append(frame.time)
    shape = pictures[0].shape if pictures else (1, 1)
    return np.array(pictures, np.uint8).reshape(len(times), *shape), np.array(times)


def step_score(before: UInt8[ndarray, "r q"], after: UInt8[ndarray, "r q"]) -> float:
    """Return how much moves between two frames, less how much the camera does; -inf for a cut."""
    if are_apart(before, after):
        return -np.inf
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(
        before.astype(np.float32), after.astype(np.float32), window
    )
    shift = np.array([[1, 0, right], [0, 1, down]], np.float32)
    border = cv2.BORDER_REPLICATE
    moved = cv2.warpAffine(before, shift, before.shape[::-1], borderMode=border)
    moving = (cv2.absdiff(moved, after) > CHANGED_LEVELS).mean()
    return float(min(moving, MOST_MOVING_SHARE) - np.hypot(right, down) / before.shape[1])
