"""People and things cut out of clips from cameras at rest: what differs from the median frame.

A cut-out is kept if it is one piece that fills most of its hull, is large enough, and does not
leave the picture at a side or at the top. Where it leaves at the bottom, it has no feet.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, UInt8

from input_pipeline import video_files
from input_pipeline.footage import training_clips

# Pixels of a stored cut-out, whatever its shape.
SIDE = 96
# Pixels of the short side that clips are cut at.
SHORT_SIDE = 240
# Frames of a clip that are looked at.
INSTANTS = 32
# Grey levels from the median.
MIN_MOVED_LEVELS = 16
# Share of the picture that a cutout covers.
MIN_AREA = 0.012
MAX_AREA = 0.5
# Share of the hull.
MIN_SOLIDITY = 0.75
# Largest share of the picture that moves, for a camera at rest.
AT_REST = 0.25


class Cutouts(NamedTuple):
    """Pictures with alpha, stretched to squares."""

    # [0, 1].
    pictures: Float[Array, "n s s 4"]
    # Width / height.
    shape: Float[Array, "n"]
    has_feet: Bool[Array, "n"]


def read_cutouts(folder: str | Path) -> Cutouts:
    """Cut what moves out of a folder's training clips.

    Raises:
      ValueError: there is no clip, one does not decode, or nothing moves before a camera at rest.
    """
    with ThreadPoolExecutor() as pool:
        of_clips = pool.map(lambda clip: list(_pieces(_frames(clip))), training_clips(folder))
        pieces = [piece for of_clip in of_clips for piece in of_clip]
    if not pieces:
        raise ValueError(f"videos {folder}: found nothing that moves before a camera at rest")
    pictures, shapes, feet = zip(*pieces, strict=True)
    return Cutouts(jnp.stack(pictures), jnp.asarray(shapes, jnp.float32), jnp.asarray(feet))


def _frames(clip: Path) -> UInt8[np.ndarray, "t h w 3"]:
    """Return frames of a clip, evenly spaced, reduced to `SHORT_SIDE` pixels."""
    times = video_files.frame_times(clip)
    which = np.unique(np.linspace(0, len(times) - 1, INSTANTS).round().astype(int))
    return np.stack([_reduced(frame) for frame in video_files.read_frames(clip, times[which])])


def _reduced(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "r q 3"]:
    scale = SHORT_SIDE / min(frame.shape[:2])
    return cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _pieces(
    frames: UInt8[np.ndarray, "t h w 3"],
) -> Iterator[tuple[Float32[np.ndarray, "s s 4"], float, bool]]:
    """Yield picture, shape and whether it has feet, of all cut-outs of a clip."""
    difference = np.abs(frames - np.median(frames, 0)).max(-1).astype(np.float32)
    if np.median((difference > 1.5 * MIN_MOVED_LEVELS).mean((1, 2))) > AT_REST:
        return
    height, width = frames.shape[1:3]
    for frame, moved in zip(frames, difference, strict=True):
        mask = (cv2.GaussianBlur(moved, (0, 0), 1.5) > MIN_MOVED_LEVELS).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((13, 13), np.uint8))
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            left, top, across, down = cv2.boundingRect(outline)
            area = cv2.contourArea(outline)
            hull = cv2.contourArea(cv2.convexHull(outline))
            is_cut = left <= 1 or top <= 1 or left + across >= width - 1
            if (
                is_cut
                or not MIN_AREA < area / (height * width) < MAX_AREA
                or area < MIN_SOLIDITY * hull
            ):
                continue
            filled = np.zeros(mask.shape, np.uint8)
            cv2.drawContours(filled, [outline], -1, 255, cv2.FILLED)
            # Its rim shows the background.
            filled = cv2.erode(filled, np.ones((3, 3), np.uint8))
            box = slice(top, top + down), slice(left, left + across)
            picture = np.dstack([frame, filled])[box]
            picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            yield picture.astype(np.float32) / 255, across / down, top + down < height - 1
