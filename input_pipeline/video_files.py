"""Frames of ordinary video files, through PyAV: upright, square pixels, by their own timestamps.

Any codec, bit depth, turn, mirroring and variable frame rate, colours as of `film_colours`, and
interlaced films, of which each frame comes once. Times count from the first frame.

A decoder that meets damaged bytes leaves a frame out, or invents what is missing and says so. It
does not say which other frames were predicted from that one: the bidirectional ones beside it and,
unless it is bidirectional itself, all after it up to a key frame. Damage that happens to be a valid
stream is not noticed: in H.264 one place in ten, in other codecs most.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from functools import partial
from itertools import chain, dropwhile, groupby
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.filter import Graph
from av.stream import Disposition
from av.video.frame import PictureType
from jaxtyping import Bool, Float64, UInt8

from input_pipeline.film_colours import SrgbConverter, check_colours
from input_pipeline.flat_films import check_boxes, check_flat, side_data
from input_pipeline.plain_files import (
    FileRefusal,
    check_field,
    check_frame_size,
    require_regular,
)

# One thread that decodes frame after frame notices less damage.
DECODER_THREADS = 2
# Widths of a pixel in heights, or the other way round.
MAX_PIXEL_SHAPE = 8
# Formats that name other files or addresses.
LISTS = {"concat", "concatf", "dash", "hls", "sdp"}
# Seconds between a frame's time in the index and when it is decoded.
CLOCK_TOLERANCE = 1e-3
# Frames that decoding starts before an interlaced one, from which its lines come too.
INTERLACED_LEAD = 1.5
# Frames after an interlaced one, within which a packet is of its second field.
SECOND_FIELD = 0.75
# Frames in a row that are kept until the next other one; some encoders make no other ones.
MOST_BIDIRECTIONAL = 16

Reopen = Callable[[], AbstractContextManager[tuple[InputContainer, av.VideoStream]]]


class Frame(NamedTuple):
    """One decoded frame."""

    time: float
    """Seconds since the first frame."""
    picture: UInt8[np.ndarray, "h w 3"]
    """sRGB, upright."""
    damaged: bool
    """It is invented in part, or predicted from one that is, or is missing."""


class Shown(NamedTuple):
    """One frame of the decoder, or a missing one."""

    time: float
    """Seconds since the first frame."""
    frame: av.VideoFrame | None
    """None where it does not come."""
    bidirectional: bool
    """It was predicted from a later frame too, or would have been."""


class Timeline(NamedTuple):
    """A part of a video."""

    times: Float64[np.ndarray, " t"]
    """Times of its frames, in seconds since the video's first, increasing."""
    damaged: Bool[np.ndarray, " t"]
    """The frame is missing, invented in part, or predicted from one that is."""
    end: str
    """The reason why the file cannot be read beyond the last of them; "" where it can."""


class Kind(NamedTuple):
    """What frames have in common that one filter takes."""

    is_damaged: bool
    width: int = 0
    height: int = 0
    pixels: str = ""
    is_interlaced: bool = False


def open_video(path: Path) -> InputContainer:
    """Open a video to read it, whatever the encoding of its metadata.

    Raises:
      FileRefusal: it is no file, or a list of other files.
      FFmpegError: it is no video.
    """
    require_regular(path)
    # To FFmpeg, `pipe:0` and `a:b.mp4` are addresses; a path from the root never is. A video that
    # names others, as playlists do, reaches no network.
    place = str(path.absolute())
    options = {"protocol_whitelist": "file"}
    container = av.open(place, metadata_errors="replace", container_options=options)
    if container.format.name.partition(",")[0] in LISTS:
        container.close()
        raise FileRefusal(f"{path}: found a list of other files, expected a video")
    return container


@contextlib.contextmanager
def readable(path: Path) -> Iterator[InputContainer]:
    """Yield an opened video that has pictures.

    Raises:
      ValueError: naming the file, which has none, or can be read no further.
    """
    try:
        with open_video(path) as container:
            video_stream(container, path)
            yield container
    except FFmpegError as error:
        size = path.stat().st_size if path.is_file() else 0
        found = f"no readable video ({str(error).split(':')[0]}, {size} bytes)"
        text = f"{path}: found {found}, expected a whole video file"
        raise ValueError(text) from None


def video_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """Return the best video stream of a container that is no cover.

    Raises:
      FileRefusal: there is none.
    """
    films = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not films:
        raise FileRefusal(f"{path}: found no video stream, expected one")
    best = container.streams.best("video")
    return max(films, key=lambda film: film is best)


def decoded_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """Return the video stream of a container, which can be decoded.

    Raises:
      FFmpegError: there is no decoder for it.
      FileRefusal: there is none, or one whose pictures or pixels have a shape that no camera makes,
        or show a sphere.
    """
    stream = video_stream(container, path)
    if stream.codec_context is None:
        raise InvalidDataError(0, "no decoder for this codec", str(path))
    check_frame_size(path, stream.height, stream.width)
    shape = stream.sample_aspect_ratio or 1
    if not 1 / MAX_PIXEL_SHAPE <= shape <= MAX_PIXEL_SHAPE:
        found = f"pixels of {shape} times their height"
        expected = (
            f"1/{MAX_PIXEL_SHAPE} to {MAX_PIXEL_SHAPE}: encode it with square ones"
        )
        raise FileRefusal(f"{path}: found {found}, expected {expected}")
    if "mp4" in container.format.name:
        check_boxes(path)
    return stream


def decode_frames(
    path: Path,
    start: float = 0.0,
    *,
    spacing: float = 0.0,
    threads: int = 0,
) -> Iterator[Frame]:
    """Yield all frames in order, with `start` from a key frame at or before that second on.

    Args:
      path: the file.
      start: seconds since the first frame.
      spacing: least seconds between two frames; those between are left out. Without `start`.
      threads: of the decoder; 0 is as many as there are cores.

    Raises:
      FFmpegError: where the file can be read no further.
      FileRefusal: naming the file, whose pictures are not flat or have colours that nobody knows.
    """
    decoder = partial(_decoder, path, "AUTO", threads)
    due = 0.0
    converter = SrgbConverter()
    with decoder() as (container, stream):
        shown = _frames_from(container, stream, start, decoder)
        checked = _checked(_judged(shown), path, stream.codec_context.name)
        for (time, frame, _), damaged in _deinterlaced(checked):
            if frame is None or time < due:
                continue
            if spacing > 0:
                due = time + spacing
            yield Frame(time, _upright(frame, stream, converter), damaged)


def frame_times(path: Path) -> Float64[np.ndarray, " t"]:
    """Return the time of each frame, in seconds since the first, without decoding.

    Raises:
      ValueError: naming the file: no video, damaged, without timestamps or with one twice.
    """
    with readable(path) as container:
        stream = video_stream(container, path)
        packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
        stamps = [packet.pts for packet in packets]
        base = stream.time_base
    is_timed = stamps and base and None not in stamps
    check_field(path, is_timed, f"{len(stamps)} frames without timestamps", "times")
    ticks = np.sort(np.array(stamps, np.int64))
    twice = np.flatnonzero(np.diff(ticks) == 0)
    found = f"{twice.size} timestamps twice, the first of frame {twice[:1]}"
    check_field(path, not twice.size, found, "a time of its own for every frame")
    return (ticks - ticks[0]) * float(base or 0)


def frame_size(path: Path) -> tuple[int, int]:
    """Return rows and columns of the upright picture; errors as of `first_frame`."""
    return first_frame(path).shape[:2]


def first_frame(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Return the first picture.

    Raises:
      ValueError: naming the file if it cannot be decoded.
    """
    with readable(path):
        for frame in decode_frames(path, threads=1):
            return frame.picture
    raise ValueError(f"{path}: found no frames, expected a video")


def read_frames(
    path: Path, times: Sequence[float] | Float64[np.ndarray, "t"]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the frames at these increasing times of `frame_times`.

    Raises:
      ValueError: naming the file and the second at which a frame is damaged or missing.
    """
    done = 0
    try:
        for frame in decode_frames(path, start=times[0]):
            if frame.time < times[done] - CLOCK_TOLERANCE:
                continue
            if frame.damaged or frame.time > times[done] + CLOCK_TOLERANCE:
                break
            yield frame.picture
            done += 1
            if done == len(times):
                return
    except FFmpegError:
        # Reported below, with the place.
        pass
    found = f"a damaged or missing frame at {times[done]:.2f} s"
    raise ValueError(f"{path}: found {found}, expected all")


def timeline(path: Path, first: float, last: float, least: int) -> Timeline:
    """Return the times of the frames of a part of a video, and which are damaged.

    No picture is kept: an hour of them would not fit into memory.

    Args:
      path: the video.
      first: seconds since the video's first frame at which the part begins.
      last: seconds at which it ends; or later, where it has `least` frames.
      least: frames.
    """
    decoder = partial(_decoder, path, "FRAME", DECODER_THREADS)
    decoded = []
    end = ""
    count = 0
    try:
        with decoder() as (container, stream):
            shown = _frames_from(container, stream, first, decoder)
            for (time, frame, bidirectional), is_damaged in _judged(shown):
                decoded.append((time, is_damaged))
                count += frame is not None and time >= first
                # The bidirectional frames before the next one are predicted from that one too.
                if time >= last and count >= least and not bidirectional:
                    break
    except FFmpegError as error:
        end = str(error).split(":")[0]
    times, damaged = np.array(sorted(decoded), np.float64).reshape(-1, 2).T
    part = (times >= first) & (times >= 0)
    return Timeline(times[part], damaged[part] > 0, end)


def _judged(frames: Iterable[Shown]) -> Iterator[tuple[Shown, bool]]:
    """Yield frames in order of display, and whether each is damaged or predicted from such ones."""
    damaged_before = False
    # They are predicted from one another, from the frame before them and from the one after.
    between: list[Shown] = []
    for shown in frames:
        between.append(shown)
        if shown.bidirectional and len(between) <= MOST_BIDIRECTIONAL:
            continue
        *bidirectional, latest = between
        around = damaged_before or any(map(_is_damaged, between))
        yield from ((x, around) for x in bidirectional)
        if not latest.bidirectional:
            damaged_before &= not _is_key(latest)
            around = damaged_before or _is_damaged(latest)
        yield latest, around
        damaged_before = around
        between = []
    around = damaged_before or any(map(_is_damaged, between))
    yield from ((x, around) for x in between)


def _deinterlaced(frames: Iterable[tuple[Shown, bool]]) -> Iterator[tuple[Shown, bool]]:
    """Yield judged frames, the lines of interlaced ones all of the time of their first field.

    Nothing of a damaged frame gets into others.
    """
    for kind, alike in groupby(frames, _kind):
        whole = _first_fields if kind.is_interlaced else iter
        yield from whole(alike)


def _kind(judged: tuple[Shown, bool]) -> Kind:
    """Return what a filter must know of a frame."""
    (_, frame, _), damaged = judged
    if frame is None:
        return Kind(damaged)
    return Kind(
        damaged, frame.width, frame.height, frame.format.name, frame.interlaced_frame
    )


def _first_fields(
    frames: Iterator[tuple[Shown, bool]],
) -> Iterator[tuple[Shown, bool]]:
    """Yield as many frames, every other line of which is what was there a field before."""
    latest, is_damaged = next(frames)
    assert latest.frame is not None
    graph = _deinterlacer(latest.frame)
    graph.vpush(latest.frame)
    # The filter waits for the frame behind each.
    for shown, _ in frames:
        graph.vpush(shown.frame)
        yield latest._replace(frame=graph.vpull()), is_damaged
        latest = shown
    graph.vpush(None)
    yield latest._replace(frame=graph.vpull()), is_damaged


def _deinterlacer(frame: av.VideoFrame) -> Graph:
    """Return a filter for frames like this one."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base,
    )
    deinterlacer = graph.add("bwdif", "mode=send_frame")
    graph.link_nodes(source, deinterlacer, graph.add("buffersink"))
    graph.configure()
    return graph


def _is_damaged(shown: Shown) -> bool:
    """Return whether a frame is missing or the decoder had to invent a part of it."""
    return shown.frame is None or shown.frame.is_corrupt


def _is_key(shown: Shown) -> bool:
    """Return whether a frame is predicted from no other."""
    return shown.frame is not None and shown.frame.key_frame


@contextlib.contextmanager
def _decoder(
    path: Path, thread_type: str, threads: int
) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """Yield an opened video and its stream, to be decoded with these settings."""
    with open_video(path) as container:
        stream = decoded_stream(container, path)
        stream.thread_type = thread_type
        stream.codec_context.thread_count = threads
        yield container, stream


def _frames_from(
    container: InputContainer, stream: av.VideoStream, start: float, reopen: Reopen
) -> Iterator[Shown]:
    """Yield frames in order from a key frame at or before `start` on; all if the index misleads."""
    decoded = _decoded(container.demux(stream), stream)
    head = []
    for shown in decoded:
        head.append(shown)
        if shown.frame is not None:
            break
    else:
        return
    # The clock starts at the first packet, decoded or not; but frames that belong before it, as at
    # the cut of a longer video, do not count.
    begin = min(x.time for x in head if x.frame is not None or not x.bidirectional)
    if start > 0 and shown.frame.time is not None:
        lead = 0.0
        if shown.frame.interlaced_frame:
            lead = INTERLACED_LEAD / float(stream.average_rate or 25)
        stamp = round((begin + start - lead) / (stream.time_base or Fraction(1)))
        decoded = _frames_from_key(container, stream, stamp)
        head = []
    if decoded is not None:
        for x in chain(head, decoded):
            yield x._replace(time=x.time - begin)
        return
    # Without an index its beginning need not be found again either.
    with reopen() as (container, stream):
        for x in _decoded(container.demux(stream), stream):
            yield x._replace(time=x.time - begin)


def _frames_from_key(
    container: InputContainer, stream: av.VideoStream, stamp: int
) -> Iterator[Shown] | None:
    """Return frames from a key frame at or before a time stamp on; None if the index misleads."""
    container.seek(stamp, stream=stream)
    # Without an index the place is anywhere between two key frames.
    packets = dropwhile(lambda packet: not packet.is_keyframe, container.demux(stream))
    key = next(packets, None)
    if key is None or key.pts is None or key.pts > stamp:
        return None
    # Frames shown before it may be predicted from those that are left out.
    first = key.pts
    shown = (packet for packet in packets if packet.pts is None or packet.pts >= first)
    return _decoded(chain([key], shown), stream)


def _decoded(packets: Iterable[av.Packet], stream: av.VideoStream) -> Iterator[Shown]:
    """Yield the frames of these packets, by the stream's clock, and missing ones.

    Raises:
      FFmpegError: where the file can be read no further, or its clock goes back.
    """
    rate = float(stream.average_rate or 25)
    frame_rate = stream.codec_context.framerate or stream.average_rate or 25
    field_ticks = SECOND_FIELD / (frame_rate * (stream.time_base or 1))
    count = 0
    latest = -np.inf
    due = -np.inf
    # Packets whose frame did not come yet, by their time stamps.
    awaited: dict[int, Shown] = {}
    for packet in packets:
        if packet.size and packet.pts is not None:
            time = float(packet.pts * (stream.time_base or 1))
            if not packet.is_discard:
                awaited[packet.pts] = Shown(time, None, time < latest)
            latest = max(latest, time)
        frames = []
        with contextlib.suppress(InvalidDataError):
            frames = packet.decode()
        for frame in frames:
            assert isinstance(frame, av.VideoFrame)
            if frame.pts is not None:
                # Frames come in order of display: what belongs before this one comes no more.
                for stamp in sorted(stamp for stamp in awaited if stamp < frame.pts):
                    yield awaited.pop(stamp)
                awaited.pop(frame.pts, None)
                if frame.interlaced_frame:
                    # Fields may have packets of their own, as in AVCHD.
                    for stamp in [x for x in awaited if x < frame.pts + field_ticks]:
                        del awaited[stamp]
            time = frame.time if frame.time is not None else count / rate
            count += 1
            # As in MPEG program streams, of which several frames may share a packet.
            if time < due:
                raise InvalidDataError(0, "times of frames that go back")
            due = time
            yield Shown(time, frame, frame.pict_type == PictureType.B)
    yield from (awaited[stamp] for stamp in sorted(awaited))


def _checked(
    frames: Iterable[tuple[Shown, bool]], path: Path, codec: str
) -> Iterator[tuple[Shown, bool]]:
    """Yield judged frames that can be shown as a camera's pictures in sRGB.

    Raises:
      FileRefusal: naming the file, at the first other one.
    """
    for shown, damaged in frames:
        if shown.frame is not None:
            check_flat(path, shown.frame, codec)
            check_colours(path, shown.frame)
        yield shown, damaged


def _upright(
    frame: av.VideoFrame, stream: av.VideoStream, converter: SrgbConverter
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture, with square pixels."""
    shape = float(stream.sample_aspect_ratio or 1)
    width = max(1, round(frame.width * shape))
    picture = converter.convert(frame, width)
    if matrix := side_data(frame, "DISPLAYMATRIX"):
        return _oriented(picture, matrix)
    # PyAV may tell the counter-clockwise turn all the same; a mirroring is lost.
    return np.rot90(picture, round(frame.rotation / 90))


def _oriented(
    picture: UInt8[np.ndarray, "h w 3"], matrix: bytes
) -> UInt8[np.ndarray, "r q 3"]:
    """Return a picture turned and mirrored by quarters, as near as that is to the matrix.

    Args:
      picture: as stored.
      matrix: nine integers; the first two of each row say where its columns' axis, and its rows',
        point in the upright picture: to the right, and down.
    """
    axes = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2, :2].astype(int)
    if abs(axes[0, 0]) < abs(axes[0, 1]):
        picture, axes = picture.swapaxes(0, 1), axes[::-1]
    columns, rows = np.where(np.diagonal(axes) < 0, -1, 1)
    return picture[::rows, ::columns]
