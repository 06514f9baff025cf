"""Checks of recordings: whole pictures, their sizes, times, exposure and repetitions.

`check_*` return a line for each problem, `field: found X, expected Y`.
"""

import hashlib
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from input_pipeline import h264, transforms
from input_pipeline.schema import Example


def check_sizes(example: Example, shapes: list[list[tuple[int, int]]]) -> list[str]:
    """Find views of several sizes, and principal points far from the middle of the pictures."""
    # Share of a side from the middle of a picture to its principal point.
    most_off_centre = 0.3
    problems = []
    for view, sizes in enumerate(shapes):
        if len(sizes) > 1:
            problems.append(f"frames: found sizes {sizes} in view {view}, expected one")
        for h, w in sizes[:1]:
            x, y = example.intrinsics[view, :2, 2]
            if max(abs(x / w - 0.5), abs(y / h - 0.5)) > most_off_centre:
                found = f"principal point ({x:.0f}, {y:.0f}) in view {view} of {w}x{h}"
                expected = "one near the middle (are they for another size?)"
                problem = f"intrinsics: found {found} pixels, expected {expected}"
                problems.append(problem)
    return problems


def check_masks(example: Example, shapes: list[list[tuple[int, int]]]) -> list[str]:
    """Find masks that do not decode, or are not of their frame's size."""
    problems = []
    for (view, frame), file in np.ndenumerate(example.masks):
        if not file:
            continue
        try:
            h, w = transforms.decode_mask(file).shape
            if (h, w) not in shapes[view]:
                raise ValueError(f"found {w}x{h} pixels, expected those of the frame")
        except ValueError as error:
            problems.append(f"masks: view {view}, frame {frame}: {error}")
    return problems


def check_times(example: Example) -> tuple[list[str], float]:
    """Find drifting views, gaps and a wrong rate; also return the drift in seconds."""
    # Share of a frame's time that a view may be later than the slowest.
    most_delay = 0.5
    # The time between two frames, in frames.
    most_gap = 1.75
    # Relative difference of the rates of the record and of its timestamps.
    rate_tolerance = 0.05
    # Views whose rates differ by less are as fast as one another.
    step_tolerance = 1e-3
    times = example.timestamps.astype(np.float64)
    steps = np.diff(times, axis=1)
    if not steps.size:
        return [], float(np.abs(times - times[:1]).max())
    # Instants are the frames of the slowest view; faster ones show their nearest.
    rates = np.median(steps, axis=1)
    slowest = int((rates > (1 - step_tolerance) * rates.max()).argmax())
    late = np.abs(times - times[slowest])
    step = float(rates[slowest])
    drift = float(late.max())
    problems = []
    for view, frame in np.argwhere(steps <= 0)[:1]:
        found = f"view {view} going back after frame {frame}"
        problems.append(f"timestamps: found {found}, expected rising seconds")
    if drift > most_delay * step:
        view, frame = np.unravel_index(late.argmax(), late.shape)
        found = f"view {view} {drift:.3g} s from view {slowest} at frame {frame}"
        expected = f"at most {most_delay * step:.3g} s, half a frame"
        problems.append(f"timestamps: found {found}, expected {expected}")
    for view, frame in np.argwhere(steps > most_gap * step)[:1]:
        gap = f"{steps[view, frame]:.3g} s after frame {frame} of view {view}"
        problem = f"timestamps: found a gap of {gap}, expected steps of {step:.3g} s"
        problems.append(problem)
    if abs(example.fps * step - 1) > rate_tolerance:
        rates = f"found {example.fps:g}, expected {1 / step:.4g}"
        problems.append(f"fps: {rates} by the timestamps")
    return problems, drift


def exposure(light: Float[np.ndarray, "v t"]) -> list[float]:
    """Compare each view's light with the median view's, in powers of two; NaN without pictures."""
    means = np.ma.masked_invalid(light).mean(1).filled(np.nan)
    stops = np.log2(np.maximum(means, 1e-4))
    seen = stops[np.isfinite(stops)]
    return (stops - (np.median(seen) if seen.size else 0.0)).tolist()


def note_light(stops: list[float]) -> list[str]:
    """Note views that are much lighter or darker than the others; they may see other things."""
    # By so much a view may be lighter or darker than the others.
    most_stops = 0.5
    return [
        f"exposure: found view {view} {abs(value):.2g} stops {'lighter' if value > 0 else 'darker'}"
        f" than the median view, {most_stops} is usual"
        for view, value in enumerate(stops)
        if abs(value) > most_stops
    ]


def check_repeats(example: Example) -> list[str]:
    """Find files that occur twice: a view that stands still, or one view under two names."""
    problems = []
    owner = {}
    for view, row in enumerate(file_marks(example)):
        if frozen := sum(a == b for a, b in pairwise(row)):
            found = f"{frozen} of view {view} equal to the one before"
            problems.append(f"frames: found {found}, expected none")
        if views := {owner.setdefault(mark, view) for mark in row} - {view}:
            found = f"pictures of view {min(views)} again in view {view}"
            problems.append(f"frames: found {found}, expected different cameras")
    return problems


def file_marks(example: Example) -> list[list[bytes]]:
    """Return a hash of what every frame is decoded from, by view and instant."""
    return [
        [
            hashlib.sha256(h264.take(files, [j]).item()).digest()
            for j in range(len(files))
        ]
        for files in example.frames
    ]
