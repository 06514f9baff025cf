"""Cuts of an edited film: a scene needs one shot.

Between two frames of one shot some corners can be tracked, or the pictures are alike as a whole.
Where neither holds for two frames that were taken, the frames of the file between them are looked
at, so that a fast camera and few frames a second are no cut.
"""

from itertools import pairwise
from math import ceil
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from full4d_jax.geometry.tracking import MOST_CORNERS, spread_corners, track_steps
from full4d_jax.media.video import Video, gray_picture
from full4d_jax.session.errors import InputError
from input_pipeline.video_files import decode_frames


def check_one_shot(video: Video, path: Path, *, seconds: bool) -> None:
    """Refuse a clip with a cut.

    Args:
      video: the clip.
      path: the file that it was read from.
      seconds: whether the clip's length is an option, --seconds.

    Raises:
      InputError: it shows two shots; the message says where the second begins.
    """
    cut = find_cut(video, path)
    if cut is None:
        return
    begin, end = video.timestamps[[0, -1]]
    do = f"start after it (--start {ceil(100 * cut) / 100:g})"
    before = int((video.timestamps < cut).sum())
    if seconds and before > 1:
        do += f", or end before it (--seconds {before / video.fps:.2f})"
    expected = f"one shot from {begin:.2f} s to {end:.2f} s"
    raise InputError("video", path, f"a cut to another shot at {cut:.2f} s", expected, do)


def find_cut(video: Video, path: Path) -> float | None:
    """Return when the second shot of a clip begins, in seconds into its file; None in one shot."""
    for i, (before, after) in enumerate(pairwise(video.gray)):
        if not are_apart(before, after):
            continue
        begin, end = video.timestamps[i : i + 2]
        shot = None
        for frame in decode_frames(path, float(begin)):
            if frame.time > end:
                break
            if frame.time < begin:
                continue
            gray = gray_picture(frame.picture, before.shape)
            if shot is not None and are_apart(shot, gray):
                return frame.time
            shot = gray
    return None


def are_apart(before: UInt8[ndarray, "r q"], after: UInt8[ndarray, "r q"]) -> bool:
    """Return whether two pictures in gray share nothing; one without contrast says nothing."""
    least_contrast = 4.0  # levels of 255 that a picture must vary by to be compared
    # Of corners that one motion explains in one shot; in two shots, by chance, .04.
    least_share = 1 / 20
    coarse_size = 16, 12
    # Correlation of pictures of coarse_size pixels, from which on they may be of one shot.
    least_correlation = 0.5
    small = [
        cv2.resize(x, coarse_size, interpolation=cv2.INTER_AREA).ravel() for x in (before, after)
    ]
    if (
        min(x.std() for x in small) < least_contrast
        or np.asarray(np.corrcoef(small))[0, 1] >= least_correlation
    ):
        return False
    step = track_steps(np.stack([before, after]))[0]
    return step is None or len(step.points) < least_share * len(
        spread_corners(before, MOST_CORNERS)
    )
