"""Parts of a video that are read: the shot, where it begins, and pictures around it.

A scene needs one shot. Between two frames of one shot some corners can be tracked, or the pictures
are alike as a whole. Where neither holds for two frames that were taken, the frames of the file
between them are looked at, so that a fast camera and few frames a second are no cut.

For those who do not say where to start, the part where most moves beside the camera is taken. A few
frames a second are looked at, in grey and small, and the camera's motion between two of them is the
homography that most corners follow. Of a camera that travels, what is near shifts by more than what
is far, by about as much as the whole picture does: a pixel moves by itself where it differs by more
than `CHANGED_LEVELS` from all that the first picture, moved by the homography, shows within this
shift. A part's score is the mean over its steps of

    min(moving share, 2 MOST_MOVING_SHARE - moving share) - shift as a share of the width

A person who walks counts; more than `MOST_MOVING_SHARE` counts against the part (then it is the
light, or something before the lens), and so does a camera that moves. Parts with a cut are left
out.

Someone who stays at a place for all instants may have come from elsewhere: what a resting camera
took shortly before and after them shows what is behind (`source.depth.resting_scene`), and that a
raised arm is no part of the shelf beside it (`source.subjects`).
"""

from contextlib import suppress
from itertools import pairwise
from math import ceil
from pathlib import Path

import cv2
import numpy as np
from av.error import FFmpegError
from jaxtyping import Float, UInt8

from full4d_jax.config import Size
from full4d_jax.geometry.tracking import (
    LEAST_STANDING_SHARE,
    Gray,
    dominant_motion,
    spread_corners,
    standing_share,
    staying_share,
    track_corners,
)
from full4d_jax.media.video_io import Video, crop_resize, gray_picture, read_video
from full4d_jax.session.errors import InputError
from full4d_jax.source.options import TwoVideosOptions, VideoOptions
from input_pipeline.video_files import decode_frames

# Frames a second that are looked at, their columns, and corners that are tracked between two.
COMPARED_FPS = 4.0
COMPARED_COLUMNS = 160
COMPARED_CORNERS = 96
# Seconds of the video that are looked at.
LONGEST_SECONDS = 60.0
# Levels of 255 by which a moving pixel changes from one frame to the next.
CHANGED_LEVELS = 20
# Share of moving pixels.
MOST_MOVING_SHARE = 0.15
# Seconds before the first instant and after the last.
SECONDS_AROUND = 6.0
MAX_PICTURES_AROUND = 12


def read_shot(
    path: Path, size: Size, options: VideoOptions | TwoVideosOptions, usual_fps: float
) -> Video:
    """Read frames of a video.

    Args:
      path: the video.
      size: how many frames of which size.
      options: where they begin, and their rate.
      usual_fps: their rate where the options name none.

    Raises:
      InputError: the video is unusable, or shows two shots; the message says where the second
        begins.
    """
    video = read_part(path, size, options, usual_fps)
    require_one_shot(video, path, options)
    return video


def read_part(
    path: Path, size: Size, options: VideoOptions | TwoVideosOptions, usual_fps: float
) -> Video:
    """Read frames that may show several shots; arguments and other errors as of `read_shot`."""
    return read_video(
        path,
        height=size.height,
        width=size.width,
        frames=size.frames,
        fps=options.fps,
        start=options.start or 0.0,
        usual=usual_fps,
    )


def require_one_shot(
    video: Video, path: Path, options: VideoOptions | TwoVideosOptions
) -> None:
    """Refuse frames of two shots, with the file that they were read from and the options of that.

    Raises:
      InputError: the message says where the second shot begins.
    """
    cut = find_cut(video, path)
    if cut is None:
        return
    begin, end = video.timestamps[[0, -1]]
    do = f"start after it (--start {ceil(100 * cut) / 100:g})"
    before = int((video.timestamps < cut).sum())
    if options.size is not None and before > 1:
        do += f", or end before it (--seconds {before / video.fps:.2f})"
    expected = f"one shot from {begin:.2f} s to {end:.2f} s"
    found = f"a cut to another shot at {cut:.2f} s"
    raise InputError("video", path, found, expected, do)


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


def are_apart(before: Gray, after: Gray) -> bool:
    """Return whether two pictures in gray share nothing; one without contrast says nothing."""
    # Levels of 255 that a picture must vary by to be compared.
    least_contrast = 4.0
    # Of corners that one motion explains in one shot; in two shots, by chance, .04.
    least_share = 1 / 20
    size = 16, 12
    # Correlation of pictures of so many pixels, from which on they may be of one shot.
    least_correlation = 0.5
    both = before, after
    small = [cv2.resize(x, size, interpolation=cv2.INTER_AREA).ravel() for x in both]
    alike = min(x.std() for x in small) < least_contrast
    if alike or np.asarray(np.corrcoef(small))[0, 1] >= least_correlation:
        return False
    step = dominant_motion(track_corners(before, after), before.shape[1])
    return step is None or len(step.points) < least_share * len(spread_corners(before))


def best_start(path: Path, seconds: float) -> float:
    """Return where the part of a video where most moves begins, in seconds; 0 where nothing does.

    Args:
      path: the video.
      seconds: length of the part.
    """
    # Score of a part, below which nothing moves and the video is taken from its start.
    least_gain = 0.002
    pictures, times = _sparse_film(path)
    scores = [_step_score(*pair) for pair in pairwise(pictures)]
    # A part begins at a frame and has all steps that end within it.
    ends = np.searchsorted(times, times + seconds, side="right") - 1
    fits = (times + seconds <= times[-1:]) & (ends > np.arange(len(times)))
    begins = np.flatnonzero(fits)
    parts = [(np.mean(scores[i : ends[i]]), -times[i]) for i in begins]
    gain, start = max(parts, default=(0.0, 0.0))
    return float(-start) if gain > least_gain else 0.0


def _sparse_film(path: Path) -> tuple[list[Gray], Float[np.ndarray, " t"]]:
    """Return a few grey frames a second of a video's first `LONGEST_SECONDS`, and their times.

    Where the file is damaged, it ends.
    """
    pictures: list[Gray] = []
    times = []
    # Reported by those who read the part.
    with suppress(FFmpegError):
        for frame in decode_frames(path, spacing=0.99 / COMPARED_FPS):
            if frame.time > LONGEST_SECONDS or frame.damaged:
                break
            gray = cv2.cvtColor(frame.picture, cv2.COLOR_RGB2GRAY)
            rows = ceil(COMPARED_COLUMNS * gray.shape[0] / gray.shape[1])
            size = pictures[0].shape[::-1] if pictures else (COMPARED_COLUMNS, rows)
            pictures.append(cv2.resize(gray, size, interpolation=cv2.INTER_AREA))
            times.append(frame.time)
    return pictures, np.array(times)


def _step_score(before: Gray, after: Gray) -> float:
    """Return how much moves beside the camera between two frames; -inf for a cut."""
    if are_apart(before, after):
        return -np.inf
    size = before.shape[::-1]
    homography = np.eye(3)
    shift = 0.0
    pairs = track_corners(before, after, COMPARED_CORNERS)
    if staying_share(pairs, size[0]) < LEAST_STANDING_SHARE:
        step = dominant_motion(pairs, size[0])
        if step is not None:
            homography = step.homography
            shifts = np.linalg.norm(step.points[:, 1] - step.points[:, 0], axis=-1)
            shift = float(np.median(shifts))
    # Levels around each pixel; beyond the first picture's border all of them.
    near = np.ones((2 * ceil(shift) + 1,) * 2, np.uint8)
    dark = cv2.warpPerspective(before, homography, size, borderValue=0)
    bright = cv2.warpPerspective(before, homography, size, borderValue=255)
    above = cv2.subtract(after, cv2.dilate(bright, near))
    below = cv2.subtract(cv2.erode(dark, near), after)
    moving = (cv2.max(above, below) > CHANGED_LEVELS).mean()
    return float(min(moving, 2 * MOST_MOVING_SHARE - moving) - shift / size[0])


def pictures_around(path: Path, video: Video) -> UInt8[np.ndarray, "e h w 3"] | None:
    """Return pictures of the same view from before and after a clip; None where there are none.

    Where the camera was moved, or the light is another, or the file is damaged, there are none.

    Args:
      path: the file that the clip was read from.
      video: the clip, of a camera at rest.
    """
    # Of 255 levels by which the median pixel may differ.
    same_light_levels = 12.0
    # Share of the corners that are where they were, or the camera has moved.
    least_standing = 0.3
    first, last = video.timestamps[[0, -1]]
    gap = 1 / video.fps
    begin = max(0.0, first - SECONDS_AROUND)
    reference = video.gray[len(video.gray) // 2]
    pictures = []
    with suppress(FFmpegError):
        for frame in decode_frames(path, begin, spacing=gap):
            if frame.time > last + SECONDS_AROUND:
                break
            before = begin <= frame.time < first - gap / 2
            if frame.damaged or not (before or frame.time > last + gap / 2):
                continue
            gray = gray_picture(frame.picture, reference.shape)
            difference = np.median(np.abs(gray.astype(np.float32) - reference))
            alike = difference <= same_light_levels
            if alike and standing_share(np.stack([reference, gray])) > least_standing:
                pictures.append(crop_resize(frame.picture, *video.frames.shape[1:3]))
    if not pictures:
        return None
    count = min(MAX_PICTURES_AROUND, len(pictures))
    chosen = np.linspace(0, len(pictures) - 1, count).round().astype(int)
    return np.stack([pictures[i] for i in chosen])
