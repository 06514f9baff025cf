"""Is every frame of a clip a whole picture of its own, at its own time, in the light of the others?

`check_*` return a line for each problem, `field: found X, expected Y`.
"""

import hashlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from input_pipeline import transforms
from input_pipeline.films import is_film, take
from input_pipeline.schema import Example
from input_pipeline.selection import evenly

STOPS = 0.5  # a view may be lighter or darker than the others
LATE = 0.5  # of a frame's time, a view may be later than the slowest
GAP = 1.75  # of a frame's time, between two frames
RATE = 0.05  # of the frames a second, by which the record and its timestamps may differ
ROUNDING = 1e-3  # of a frame's time: views as fast as one another
MIDDLE = 0.3  # of a side, how far from the middle of a picture its principal point may lie
GAMMA = 2.2
END_OF_JPEG = b"\xff\xd9"


class Pictures(NamedTuple):
    """The decoded frames of the instants that are looked at, and numbers of all frames."""

    instants: list[int]
    frames: list[list[UInt8[np.ndarray, "h w 3"] | None]]
    """By view and instant; None where a file does not decode."""
    light: Float[np.ndarray, "v t"]
    """Mean linear light in [0, 1]; NaN where a file does not decode."""
    damaged: list[str]
    """A line for each file that is not a whole picture."""
    shapes: list[list[tuple[int, int]]]
    """By view, the different heights and widths."""


def decode_pictures(example: Example, most: int) -> Pictures:
    """Decode every frame once, and keep those of `most` evenly spaced instants."""
    v, t = example.frames.shape
    instants = evenly(t, most)
    light, damaged, shapes, frames = np.full((v, t), np.nan), [], [], []
    for i in range(v):
        sizes, kept = set(), []
        for j in range(t):
            frame = None
            try:
                frame = _decode(example.frames[i], j)
                sizes.add(frame.shape[:2])
                light[i, j] = ((frame[::4, ::4] / 255.0) ** GAMMA).mean()
            except ValueError as error:
                damaged.append(f"frames: view {i}, frame {j}: {error}")
            if j in instants:
                kept.append(frame)
        frames.append(kept)
        shapes.append(sorted(sizes))
    return Pictures(instants, frames, light, damaged, shapes)


def check_sizes(example: Example, shapes: list[list[tuple[int, int]]]) -> list[str]:
    """One size a view, and principal points inside the pictures."""
    found = []
    for view, sizes in enumerate(shapes):
        if len(sizes) > 1:
            found.append(f"frames: found sizes {sizes} in view {view}, expected one")
        for h, w in sizes[:1]:
            x, y = example.intrinsics[view, :2, 2]
            if abs(x / w - 0.5) > MIDDLE or abs(y / h - 0.5) > MIDDLE:
                found.append(
                    f"intrinsics: found principal point ({x:.0f}, {y:.0f}) in view {view} of "
                    f"{w}x{h} pixels, expected one near the middle (are they for another size?)"
                )
    return found


def check_masks(example: Example, shapes: list[list[tuple[int, int]]]) -> list[str]:
    """Masks that do not decode, or are not of their frame's size."""
    found = []
    for (view, frame), file in np.ndenumerate(example.masks):
        if not file:
            continue
        try:
            h, w = transforms.decode_mask(file).shape
            if (h, w) not in shapes[view]:
                raise ValueError(f"found {w}x{h} pixels, expected those of the frame")
        except ValueError as error:
            found.append(f"masks: view {view}, frame {frame}: {error}")
    return found


def check_times(example: Example) -> tuple[list[str], float]:
    """Views that run apart, gaps, and a rate that is not the frames'; and the drift in seconds."""
    times = example.timestamps.astype(np.float64)
    steps = np.diff(times, axis=1)
    if not steps.size:
        return [], float(np.abs(times - times[:1]).max())
    # Instants are the frames of the slowest view; faster ones show their nearest.
    rates = np.median(steps, axis=1)
    slowest = int((rates > (1 - ROUNDING) * rates.max()).argmax())
    late, step = np.abs(times - times[slowest]), float(rates[slowest])
    drift, found = float(late.max()), []
    if (steps <= 0).any():
        view, frame = np.argwhere(steps <= 0)[0]
        line = f"found view {view} going back after frame {frame}, expected rising seconds"
        found.append(f"timestamps: {line}")
    if drift > LATE * step:
        view, frame = np.unravel_index(late.argmax(), late.shape)
        line = f"found view {view} {drift:.3g} s from view {slowest} at frame {frame}, expected at"
        found.append(f"timestamps: {line} most {LATE * step:.3g} s, half a frame")
    if (steps > GAP * step).any():
        view, frame = np.argwhere(steps > GAP * step)[0]
        gap = f"{steps[view, frame]:.3g} s after frame {frame} of view {view}"
        found.append(f"timestamps: found a gap of {gap}, expected steps of {step:.3g} s")
    if abs(example.fps * step - 1) > RATE:
        found.append(f"fps: found {example.fps:g}, expected {1 / step:.4g} by the timestamps")
    return found, drift


def exposure(light: Float[np.ndarray, "v t"]) -> list[float]:
    """Compare each view's light with the median view's, in powers of two; NaN without pictures."""
    rows = [row[np.isfinite(row)] for row in light]
    means = np.array([row.mean() if row.size else np.nan for row in rows])
    stops = np.log2(np.maximum(means, 1e-4))
    middle = np.median(stops[np.isfinite(stops)]) if np.isfinite(stops).any() else 0.0
    return (stops - middle).tolist()


def note_light(stops: list[float]) -> list[str]:
    """Views that are much lighter or darker than the others; they may see other things."""
    return [
        f"exposure: found view {view} {abs(value):.2g} stops {'lighter' if value > 0 else 'darker'}"
        f" than the median view, {STOPS} is usual"
        for view, value in enumerate(stops)
        if abs(value) > STOPS
    ]


def check_repeats(example: Example) -> list[str]:
    """Find files that occur twice: a view that stands still, or one view under two names."""
    found, owner = [], {}
    for view, row in enumerate(file_marks(example)):
        frozen = sum(a == b for a, b in pairwise(row))
        if frozen:
            line = f"found {frozen} of view {view} equal to the one before, expected none"
            found.append(f"frames: {line}")
        others = {owner.setdefault(mark, view) for mark in row} - {view}
        if others:
            line = f"found pictures of view {min(others)} again in view {view}"
            found.append(f"frames: {line}, expected different cameras")
    return found


def file_marks(example: Example) -> list[list[bytes]]:
    """A hash of what every frame is decoded from, by view and instant."""
    return [
        [hashlib.sha256(take(files, [j]).item()).digest() for j in range(len(files))]
        for files in example.frames
    ]


def _decode(files: Shaped[np.ndarray, "t"], number: int) -> UInt8[np.ndarray, "h w 3"]:
    # Decoders take JPEG files that are cut short, and paint the rest grey.
    file = files.item(number)
    if not is_film(file) and not file.rstrip(b"\0").endswith(END_OF_JPEG):
        raise ValueError(f"found {len(file)} bytes that end too early, expected a whole picture")
    return transforms.decode_frame(files, number)
