"""Which frames of a film are sound, where a part of the file is damaged.

A decoder that meets damaged bytes leaves a frame out, or invents what is missing and says so. It
does not say which other frames were predicted from that one. Those are, in order of display, the
bidirectional ones before it and all after it up to a key frame; none, if it is one that decoders
may leave out (`skip_frame` NONREF). Damage that happens to be a valid stream is not noticed.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from av.error import FFmpegError
from jaxtyping import Bool, Float64

from input_pipeline.video_files import Shown, frames_from, open_video

DECODERS = 2  # threads; a decoder that takes frame after frame notices less


class Timeline(NamedTuple):
    """A part of a film."""

    times: Float64[np.ndarray, " t"]
    """When its frames are shown, in seconds since the film's first, increasing."""
    damaged: Bool[np.ndarray, " t"]
    """The frame is missing, invented in part, or predicted from one that is."""
    end: str
    """Why the file cannot be read beyond the last of them; "" where it can."""


class _Fact(NamedTuple):
    """What is kept of a frame; sorted by time, a frame before the failure at the same time."""

    time: float
    missing: bool
    invented: bool
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
    facts, end = _facts(path, first, last, least, skip="DEFAULT")
    times = np.array([x.time for x in facts], np.float64)
    damaged = np.array([x.missing or x.invented for x in facts], bool)
    if damaged.any():
        references, _ = _facts(path, first, last, 0, skip="NONREF")
        damaged = spread_damage(facts, damaged, {x.time for x in references})
    part = times >= first
    return Timeline(times[part], damaged[part], end)


def spread_damage(
    facts: list[_Fact], damaged: Bool[np.ndarray, " t"], references: set[float]
) -> Bool[np.ndarray, " t"]:
    """Return which frames are damaged or predicted from such ones.

    Args:
      facts: the frames in order of display.
      damaged: which of them are missing or invented.
      references: times of those that others may be predicted from.
    """
    spread = damaged.copy()
    for i in np.flatnonzero(damaged):
        if facts[i].time not in references:
            continue
        first = i
        while first > 0 and facts[first - 1].bidirectional:
            first -= 1
        last = i + 1
        while last < len(facts) and not facts[last].key:
            last += 1
        spread[first:last] = True
    return spread


def _facts(
    path: Path, first: float, last: float, least: int, skip: Literal["DEFAULT", "NONREF"]
) -> tuple[list[_Fact], str]:
    """Return what `timeline` needs of frames, in order of display, and why the file ends early."""
    facts: list[_Fact] = []
    end = ""
    count = 0
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "FRAME"
        stream.codec_context.thread_count = DECODERS
        stream.codec_context.skip_frame = skip
        try:
            for shown in frames_from(container, stream, first):
                facts.append(_fact(shown))
                if shown.frame is None:
                    continue
                count += shown.time >= first
                # The bidirectional frames before the next one are predicted from that one too.
                if shown.time >= last and count >= least and not shown.bidirectional:
                    break
        except FFmpegError as error:
            end = str(error).split(":")[0]
    facts.sort()
    # Decoders work ahead: that one failed is said of a frame that came all the same as well.
    once = [x for x, before in zip(facts, [None, *facts[:-1]], strict=True) if _is_new(x, before)]
    return once, end


def _fact(shown: Shown) -> _Fact:
    frame = shown.frame
    if frame is None:
        return _Fact(
            shown.time, missing=True, invented=False, bidirectional=shown.bidirectional, key=False
        )
    return _Fact(
        shown.time,
        missing=False,
        invented=frame.is_corrupt,
        bidirectional=shown.bidirectional,
        key=bool(frame.key_frame),
    )


def _is_new(fact: _Fact, before: _Fact | None) -> bool:
    return before is None or fact.time != before.time
