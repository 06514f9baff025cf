"""Which frames of a film are sound, where a part of the file is damaged.

A decoder that meets damaged bytes leaves a frame out, or invents what is missing and says so. It
does not say which other frames were predicted from that one. Those are, in order of display, the
bidirectional ones before it and all after it up to a key frame; none, if it is bidirectional and
one that decoders may leave out (`skip_frame` NONREF).

Damage that happens to be a valid stream is not noticed: in H.264 one place in ten, in other codecs
most.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from av.error import FFmpegError
from jaxtyping import Bool, Float64

from input_pipeline.video_files import (
    DECODER_THREADS,
    DecoderReport,
    decoded_stream,
    frames_from,
    open_video,
)


class Timeline(NamedTuple):
    """A part of a film."""

    times: Float64[np.ndarray, " t"]
    """When its frames are shown, in seconds since the film's first, increasing."""
    damaged: Bool[np.ndarray, " t"]
    """The frame is missing, invented in part, or predicted from one that is."""
    end: str
    """Why the file cannot be read beyond the last of them; "" where it can."""


class _Fact(NamedTuple):
    """What is kept of a frame."""

    time: float
    damaged: bool
    bidirectional: bool
    key: bool


def timeline(path: Path, first: float, last: float, least: int) -> Timeline:
    """Return when the frames of a part of a film are shown, and which are damaged.

    No picture is kept: an hour of them would not fit into memory.

    Args:
      path: the film.
      first: seconds since the film's first frame at which the part begins.
      last: seconds at which it ends; or later, where it has `least` frames.
      least: frames.
    """
    facts: list[_Fact] = []
    end = ""
    count = 0
    try:
        for shown in _shown(path, first, "DEFAULT"):
            if shown.refused:
                continue  # its frame comes later, or is missing
            facts.append(_fact(shown))
            count += shown.frame is not None and shown.time >= first
            # The bidirectional frames before the next one are predicted from that one too.
            if shown.time >= last and count >= least and not shown.bidirectional:
                break
    except FFmpegError as error:
        end = str(error).split(":")[0]
    facts.sort()
    times = np.array([x.time for x in facts], np.float64)
    damaged = np.array([x.damaged for x in facts], bool)
    if damaged.any():
        damaged = spread_damage(facts, references(path, first, facts[-1].time))
    part = (times >= first) & (times >= 0)
    return Timeline(times[part], damaged[part], end)


def references(path: Path, first: float, last: float) -> set[float]:
    """Return when those frames of a part are shown that others may be predicted from."""
    times = set()
    with suppress(FFmpegError):  # reported by the first reading
        for shown in _shown(path, first, "NONREF"):
            if shown.frame is not None or shown.refused:
                times.add(shown.time)
            if shown.time > last and not shown.bidirectional:
                break
    return times


def spread_damage(facts: list[_Fact], reference_times: set[float]) -> Bool[np.ndarray, " t"]:
    """Return which frames are damaged or predicted from such ones.

    Args:
      facts: the frames in order of display.
      reference_times: of those that others may be predicted from.
    """
    spread = np.array([x.damaged for x in facts], bool)
    for i in np.flatnonzero(spread):
        if facts[i].bidirectional and facts[i].time not in reference_times:
            continue
        first = i
        while first > 0 and facts[first - 1].bidirectional:
            first -= 1
        last = i + 1
        while last < len(facts) and not facts[last].key:
            last += 1
        spread[first:last] = True
    return spread


def _shown(path: Path, first: float, skip: Literal["DEFAULT", "NONREF"]) -> Iterator[DecoderReport]:
    with open_video(path) as container:
        stream = decoded_stream(container, path)
        stream.thread_type = "FRAME"
        stream.codec_context.thread_count = DECODER_THREADS
        stream.codec_context.skip_frame = skip
        yield from frames_from(container, stream, first)


def _fact(shown: DecoderReport) -> _Fact:
    frame = shown.frame
    if frame is None:
        return _Fact(shown.time, damaged=True, bidirectional=shown.bidirectional, key=False)
    return _Fact(
        shown.time,
        damaged=frame.is_corrupt,
        bidirectional=shown.bidirectional,
        key=bool(frame.key_frame),
    )
