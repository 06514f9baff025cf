"""Pictures that a resting camera took shortly before and after the instants of its grid.

Someone who stays at a place for all instants may have come from elsewhere: these pictures show what
is behind (`source.depth.clean_plate`), and that a raised arm is no part of the shelf beside it
(`source.subjects`).
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8
from numpy import ndarray

from full4d_jax.geometry.tracking import standing_share
from full4d_jax.media.video import Video, crop_resize, gray_picture
from input_pipeline.video_files import decode_frames

SECONDS_AROUND = 6.0  # seconds before the first instant and after the last
MAX_PICTURES_AROUND = 12  # pictures


def pictures_around(path: Path, video: Video) -> UInt8[ndarray, "e h w 3"] | None:
    """Return pictures of the same view from before and after a clip; None where there are none.

    Where the camera was moved, or the light is another, or the file is damaged, there are none.

    Args:
      path: the file that the clip was read from.
      video: the clip, of a camera at rest.
    """
    same_light_levels = 12.0  # of 255 levels by which the median pixel may differ
    # Share of the corners that are where they were, or the camera has moved.
    least_standing = 0.3
    first = video.timestamps[0]
    last = video.timestamps[-1]
    height, width = video.frames.shape[1:3]
    gap = 1 / video.fps
    begin = max(0.0, first - SECONDS_AROUND)
    end = last + SECONDS_AROUND
    reference = video.gray[len(video.gray) // 2]
    pictures = []
    with suppress(FFmpegError):
        for frame in decode_frames(path, begin, spacing=gap):
            if frame.time > end:
                break
            is_outside = begin <= frame.time < first - gap / 2 or frame.time > last + gap / 2
            if frame.damaged or not is_outside:
                continue
            gray = gray_picture(frame.picture, reference.shape)
            difference = np.median(np.abs(gray.astype(np.float32) - reference))
            if difference > same_light_levels:
                continue
            if standing_share(np.stack([reference, gray])) > least_standing:
                pictures.append(crop_resize(frame.picture, height, width))
    if not pictures:
        return None
    chosen = (
        np.linspace(0, len(pictures) - 1, min(MAX_PICTURES_AROUND, len(pictures)))
        .round()
        .astype(int)
    )
    return np.stack([pictures[i] for i in chosen])
