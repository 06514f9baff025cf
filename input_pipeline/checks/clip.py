"""Checks of a readable clip: its cameras, clocks, light and pictures.

Every finding is one line, `field: found X, expected Y`. Where the pictures do not say enough about
the cameras, that is reported as a note, never as agreement.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from input_pipeline.cameras import check_cameras
from input_pipeline.checks.camera_agreement import (
    ViewPair,
    find_matches,
    judge_cameras,
    near_pixels,
    pair_errors,
    place_matches,
)
from input_pipeline.checks.pictures import (
    Pictures,
    check_masks,
    check_repeats,
    check_sizes,
    check_times,
    exposure,
    note_light,
)
from input_pipeline.schema import Example


class ClipCheck(NamedTuple):
    """The findings in one clip."""

    problems: list[str]
    notes: list[str]
    error: float
    """Median distance of verified matches from the cameras' epipolar lines, pixels; NaN without
    any."""
    pairs: list[ViewPair]
    drift: float
    """Seconds between the slowest view and the one that is furthest from it, at most."""
    stops: list[float]
    """Light of each view against the median view, powers of two."""
    points: Float[np.ndarray, "n 3"]
    """World coordinates of verified matches, as the cameras place them."""


def check_clip(example: Example, pictures: Pictures) -> ClipCheck:
    """Check a clip by itself; `pictures` are those of `decode_pictures`."""
    timing, drift = check_times(example)
    stops = exposure(pictures.light)
    problems = [*pictures.damaged, *check_sizes(example, pictures.shapes)]
    problems += check_masks(example, pictures.shapes)
    problems += [*timing, *check_repeats(example)]
    light = note_light(stops)
    if not (np.isfinite(example.world_to_camera).all() and np.isfinite(example.intrinsics).all()):
        problems.append("cameras: found NaN or infinite values, expected finite ones")
        return ClipCheck(problems, light, float("nan"), [], drift, stops, np.zeros((0, 3)))
    matches = find_matches(example, pictures)
    pairs, median_error = pair_errors(example, matches)
    limit = near_pixels(pictures.shapes)
    camera_problems, notes = judge_cameras(example, matches, pairs, median_error, limit)
    try:
        check_cameras(example.intrinsics, example.world_to_camera)
    except ValueError as error:
        hint = "; negate one axis of the world, or swap two back" if not camera_problems else ""
        problems.append(f"{error}{hint if 'mirrored' in str(error) else ''}")
    points = place_matches(example, matches)
    problems += camera_problems
    return ClipCheck(problems, notes + light, median_error, pairs, drift, stops, points)
