"""Read and write ordinary video files, through PyAV.

Reading takes any size, rate, pixel format, turn, mirroring and variable frame rate: frames are
picked by their own timestamps, turned upright, cropped at the centre to the wanted shape and
reduced by area averaging. `Video.note` says what was done.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from full4d_jax.grid import DEFAULT_FPS, PicturesBetween
from full4d_jax.session.errors import (
    InputError,
    input_errors,
    printable,
    require_file,
)
from input_pipeline import media_files, video_files, whole_files
from input_pipeline.plain_files import check_field

# Of the frames.
MOST_DAMAGED = 0.2
# Frames a second that are looked at to follow points.
MOST_FPS = 30.0
# Formats of FFmpeg that draw any text as a video.
NO_VIDEOS = ("tty",)

Picture = UInt8[ndarray, "H W 3"]
Small = UInt8[ndarray, "h w 3"]
Times = Float[ndarray, " t"]


class Video(NamedTuple):
    """A short clip at the model's size.

    Attributes:
      frames: sRGB pictures.
      fps: frames a second of `frames`.
      timestamps: seconds in the source file at which the frames were taken.
      gray: the same instants uncropped and larger, to look for camera motion.
      kept_width: the share of the upright picture's width that the crop kept, in (0, 1].
      note: what was done to the source, in one sentence.
      between: the file's own pictures about half-way between the frames, and when they were taken
        in it; None where it has none between some two of them.
    """

    frames: UInt8[ndarray, "t h w 3"]
    fps: float
    timestamps: Times
    gray: UInt8[ndarray, "t r q"]
    kept_width: float
    note: str
    between: PicturesBetween | None = None


def read_video(
    path: str | Path,
    *,
    height: int,
    width: int,
    frames: int,
    fps: float | None = None,
    start: float = 0.0,
    usual: float = DEFAULT_FPS,
) -> Video:
    """Take `frames` frames, `fps` a second from `start` on, at `height` x `width`.

    Args:
      path: the video file.
      height: rows of the result.
      width: columns of the result.
      frames: how many frames the model needs.
      fps: frames a second to take; None takes the usual number, or spreads the frames over a clip
        that is too short for that.
      start: seconds into the clip.
      usual: frames a second where `fps` does not say.

    Raises:
      InputError: there is no such file, it is not a video, it is too short, or it is damaged before
        enough frames.
    """
    path = Path(path)
    check_file(path)
    step = 1 / (fps or usual)
    end = start + (frames - 1) * step
    # Time stamps come first: pictures are decoded only once it is settled which.
    with input_errors("video", "give another video"):
        shown = video_files.timeline(path, start - 0.5 * step, end, frames)
    damage = damage_note(shown)
    times = shown.times[~shown.damaged]
    if len(times) < frames or shown.damaged.sum() > MOST_DAMAGED * len(shown.times):
        found = f"{len(times)} readable frames from {start:g} s on{damage}"
        expected = f"at least {frames}, and at most {MOST_DAMAGED:.0%} damaged"
        do = "encode it again, take another part with --start, or ask for fewer frames"
        raise InputError("video", path, found, expected, do)
    instants = np.linspace(start, end, frames)
    chosen = _choose(times, instants, step, path, exact=fps is not None)
    taken = times[chosen]
    midway = _midway(times, chosen)
    # One pass through the video decodes the instants and the pictures half-way between.
    decoded_times = np.sort(np.concatenate([taken, midway]))
    with input_errors("video", "give another video"):
        decoded, sizes = _pictures(path, decoded_times, height, width)
    if len(decoded) < len(decoded_times):
        missing = f"a damaged or missing frame at {decoded_times[len(decoded)]:.2f} s"
        raise InputError("video", path, missing, "all frames", "encode it again")
    pictures = [decoded[i] for i in np.searchsorted(decoded_times, taken)]
    between = [decoded[i][0] for i in np.searchsorted(decoded_times, midway)]
    size = sizes[0]
    rate = float((frames - 1) / (taken[-1] - taken[0])) if frames > 1 else 1 / step
    # Say what was taken of how much, as a user cannot see it in the scene.
    source_rate = 1 / np.median(np.diff(times)) if len(times) > 1 else rate
    note = (
        f"took {frames} of the video's {source_rate:.3g} frames a second, {rate:.3g} a second from "
        f"{taken[0]:.2f} s to {taken[-1]:.2f} s; {resize_note(size, (height, width))}"
    )
    if (count := len(set(sizes))) > 1:
        note += f"; its pictures change size ({count} sizes), all were resized alike"
    return Video(
        frames=np.stack([small for small, _ in pictures]),
        fps=rate,
        timestamps=taken,
        gray=np.stack([gray for _, gray in pictures]),
        kept_width=min(1.0, size[0] * width / (height * size[1])),
        note=note + damage,
        between=PicturesBetween(np.stack(between), midway) if between else None,
    )


def gray_film(
    path: Path, times: Times, height: int, width: int
) -> tuple[UInt8[ndarray, "f h w"], Int[ndarray, " t"]]:
    """Return all frames from the first to the last of these times in gray, and the times' places.

    They are cropped and resized as the result's. Of more than `MOST_FPS` frames a second, some.
    """
    pictures = []
    places: list[int] = []
    last = -np.inf
    threads = video_files.DECODER_THREADS
    for frame in video_files.decode_frames(path, float(times[0]), threads=threads):
        wanted = len(places) < len(times) and frame.time == times[len(places)]
        if not wanted and (not places or frame.time < last + 0.99 / MOST_FPS):
            continue
        if wanted:
            places.append(len(pictures))
        last = frame.time
        small = crop_resize(frame.picture, height, width)
        pictures.append(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        if len(places) == len(times):
            break
    return np.stack(pictures), np.array(places)


def damage_note(shown: video_files.Timeline) -> str:
    """Return a phrase about damage in a part of a video; "" for none."""
    parts = []
    if shown.damaged.any():
        seconds = shown.times[shown.damaged]
        count = f"{len(seconds)} of {len(shown.times)} frames are damaged"
        parts.append(f"{count}, from {seconds[0]:.2f} s to {seconds[-1]:.2f} s")
    if shown.end:
        last = f" after {shown.times[-1]:.2f} s" if len(shown.times) else ""
        parts.append(f"the video is damaged{last} ({shown.end})")
    return "".join(f"; {part}" for part in parts)


def _pictures(
    path: Path, times: Times, height: int, width: int
) -> tuple[list[tuple[ndarray, ndarray]], list[tuple[int, int]]]:
    """Return the pictures at these times, cropped and in gray, and their sizes in the file."""
    pictures = []
    sizes = []
    for frame in _decoded(path, float(times[0])):
        if frame.time == times[len(pictures)]:
            shape = pictures[0][1].shape if pictures else None
            gray = gray_picture(frame.picture, shape)
            pictures.append((crop_resize(frame.picture, height, width), gray))
            sizes.append(frame.picture.shape[:2])
            if len(pictures) == len(times):
                break
    return pictures, sizes


def _decoded(path: Path, start: float) -> Iterable[video_files.Frame]:
    """Return the frames of a video from `start` on, or the one frame of a photograph."""
    if path.suffix.lower() in media_files.PICTURES:
        return [video_files.Frame(start, media_files.read_photo(path), damaged=False)]
    threads = video_files.DECODER_THREADS
    return video_files.decode_frames(path, start, threads=threads)


def _choose(
    times: Float[ndarray, " n"],
    instants: Times,
    step: float,
    path: Path,
    *,
    exact: bool,
) -> list[int]:
    """Return the places of the decoded frames nearest to the wanted instants, all different."""
    frames = len(instants)
    start, end = instants[[0, -1]]
    if times[-1] < end - step / 2:
        if exact:
            found = f"{times[-1] - start:.2f} s from {start:g} s on"
            expected = (
                f"{end - start:.2f} s for {frames} frames at {1 / step:g} a second"
            )
            raise InputError("video", path, found, expected, "raise or omit --fps")
        instants = np.linspace(times[0], times[-1], frames)
    chosen = np.abs(times[None] - instants[:, None]).argmin(1).tolist()
    # Of a slower source the frames are taken one after another.
    if len(set(chosen)) < frames:
        first = min(chosen[0], len(times) - frames)
        chosen = list(range(first, first + frames))
    return chosen


def _midway(times: Float[ndarray, " n"], chosen: list[int]) -> Float[ndarray, " m"]:
    """Return the times of the decoded frames nearest to half-way between the chosen ones.

    There is none unless there is one between every two.
    """
    first = np.array(chosen[:-1], int)
    last = np.array(chosen[1:], int)
    if not first.size or (last - first < 2).any():
        return np.zeros(0)
    middle = (times[first] + times[last]) / 2
    nearest = np.abs(times[None] - middle[:, None]).argmin(1)
    return times[np.clip(nearest, first + 1, last - 1)]


def crop_resize(picture: Picture, height: int, width: int) -> Small:
    """Cut out the largest centred `width`:`height` part and resize it, down by area averages."""
    picture = without_dark_rim(picture)
    rows, columns = picture.shape[:2]
    scale = min(rows / height, columns / width)
    keep_rows = min(rows, round(height * scale))
    keep_columns = min(columns, round(width * scale))
    top = (rows - keep_rows) // 2
    left = (columns - keep_columns) // 2
    part = picture[top : top + keep_rows, left : left + keep_columns]
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return cv2.resize(part, (width, height), interpolation=method)


def without_dark_rim(picture: Picture) -> Picture:
    """Return a picture whose outermost lines repeat the next ones where encoders left them dark.

    From aside such a line would stand as a bar between the picture and what goes on beyond it.
    """
    outermost_lines = 3
    # A line is dark below this share of the next line's light.
    darkened = 0.7
    mended = picture.copy()
    upright = mended.transpose(1, 0, 2)
    for side in (mended, mended[::-1], upright, upright[::-1]):
        light = side[: outermost_lines + 1].mean((1, 2))
        dark = np.flatnonzero(light[:-1] < darkened * light[1:])
        if len(dark):
            side[: dark[-1] + 1] = side[dark[-1] + 1]
    return mended


def resize_note(size: tuple[int, int], resized: tuple[int, int]) -> str:
    """Describe the crop and the scaling of `crop_resize`.

    Args:
      size: rows and columns of the picture.
      resized: rows and columns of the result.
    """
    rows, columns = size
    height, width = resized
    scale = min(rows / height, columns / width)
    kept = scale * min(height / rows, width / columns)
    # Sides that are rounded to multiples of 8 lose no larger share.
    rounding = 0.06
    part = "the whole picture" if kept > 1 - rounding else f"only the middle {kept:.0%}"
    return f"{part}, {columns}x{rows}, resized to {width}x{height}"


def read_credit(path: Path) -> str:
    """Return artist, copyright and licence by the tags of a video; "" without any.

    Raises:
      ValueError: naming the file, which is no video.
    """
    most_characters = 500
    with video_files.readable(path) as container:
        streams = [stream.metadata for stream in container.streams.video]
        tags = [
            (name.lower(), text.strip())
            for table in (container.metadata, *streams)
            for name, text in table.items()
        ]
    kinds = ("artist", "copyright", "license")
    credits = [text for kind in kinds for name, text in tags if name == kind and text]
    return printable("; ".join(dict.fromkeys(credits)))[:most_characters]


def write_video(
    path: str | Path,
    frames: UInt8[ndarray, "t h w 3"],
    fps: float,
    *,
    credit: str = "",
) -> None:
    """Write an mp4 (h264, yuv420p, readable everywhere); odd sizes repeat their last row or column.

    The file appears under its name only when it is complete.

    Args:
      path: where to write.
      frames: sRGB, uint8.
      fps: frames a second.
      credit: tag `copyright`, of what the frames are made of.
    """
    height, width = frames.shape[1:3]
    room = (0, 0), (0, height % 2), (0, width % 2), (0, 0)
    frames = np.pad(frames, room, mode="edge")
    whole_file = whole_files.whole_file(Path(path))
    with whole_file as partial, av.open(str(partial), "w") as container:
        if credit:
            container.metadata["copyright"] = credit
            container.metadata["comment"] = f"made by full4d from: {credit}"
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "17", "movflags": "+faststart"}
        # Players guess the matrix of a film that names none by its size.
        context = stream.codec_context
        context.colorspace = Colorspace.ITU601
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            # Converted by the encoder's threads, the same frames need not give the same bytes.
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def check_file(path: Path) -> None:
    """Raise `InputError` unless `path` is a file that holds a video stream."""
    do = "give the path of a video file"
    require_file("video", path, "a video file", do)
    with input_errors("video", do), video_files.readable(path) as container:
        kind = container.format.name
        check_field(path, kind not in NO_VIDEOS, f"text ({kind})", "a video file")


def gray_picture(
    picture: Picture, shape: tuple[int, ...] | None = None
) -> UInt8[ndarray, "r q"]:
    """Return the whole picture in gray, 320 pixels across, or of another shape.

    That is enough to see the camera move.
    """
    columns = 320
    rows = max(1, round(columns * picture.shape[0] / picture.shape[1]))
    rows, columns = shape or (rows, columns)
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
