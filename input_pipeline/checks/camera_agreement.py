"""Do the cameras of a clip agree with its pictures, and which convention would?"""

from collections import Counter
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from input_pipeline import cameras
from input_pipeline.checks.pictures import Pictures
from input_pipeline.checks.readings import agreement, better_reading, readings, supports_cameras
from input_pipeline.matches import (
    PARALLAX,
    Matches,
    epipolar_distances,
    find_features,
    match_views,
    triangulate,
)
from input_pipeline.schema import Example

# Matches may lie as far from epipolar lines as the larger of these two.
NOTHING = np.zeros((1, 1, 3), np.uint8)  # in the place of a file that does not decode


class ViewPair(NamedTuple):
    """Two views at one instant."""

    first: int
    second: int
    instant: int
    matches: int
    verified: int
    """Matches that agree with one another, whatever the cameras say; 0 where too few do."""
    error: float
    """Median distance of those from the cameras' epipolar lines, pixels; NaN without any."""


def find_matches(example: Example, pictures: Pictures) -> list[Matches]:
    """Matches of pairs of views at the instants that were kept."""
    most_pairs = 60  # of views, an instant
    matches = []
    for place, instant in enumerate(pictures.instants):
        frames = [row[place] for row in pictures.frames]
        features = [
            find_features(NOTHING if frame is None else frame, intrinsics, distortion)
            for frame, intrinsics, distortion in zip(
                frames, example.intrinsics, example.distortion, strict=True
            )
        ]
        matches += match_views(features, instant, most_pairs)
    return matches


def near_pixels(shapes: list[list[tuple[int, int]]]) -> float:
    """Return the largest good distance of a match from its epipolar line, pixels."""
    most_pixels = 1.5
    most_diagonals = 0.002  # of the picture's diagonal
    diagonals = [float(np.hypot(*size)) for sizes in shapes for size in sizes]
    return max(most_pixels, most_diagonals * max(diagonals, default=0.0))


def judge_cameras(
    example: Example, matches: list[Matches], pairs: list[ViewPair], error: float, limit: float
) -> tuple[list[str], list[str]]:
    """Return problems and notes.

    Args:
      example: the clip.
      matches: of its views.
      pairs: what `pair_errors` returned, and `error` with them.
      error: likewise.
      limit: how far from its epipolar line a match may lie, pixels.
    """
    if len(example.frames) < 2:
        return [], ["cameras cannot be judged: there is one view"]
    agreements = agreement(matches, example.intrinsics, readings(example.world_to_camera), limit)
    counts = (
        f"{agreements.near[0]} of {agreements.count} matches ({agreements.chance[0]} by chance)"
    )
    expected = f"expected matches within {limit:.1f} pixels of their epipolar lines"
    hint = better_reading(agreements)
    if hint:
        best = agreements.near[agreements.names.index(hint)]
        line = f"found cameras that agree with {counts}, {expected}; {best} agree if {hint}"
        return [f"world_to_camera: {line}"], []
    bad = [pair for pair in pairs if pair.error > limit]
    if bad:
        views = Counter(view for pair in bad for view in (pair.first, pair.second))
        worst = views.most_common(1)[0][0]
        names = ", ".join(sorted({f"{pair.first}-{pair.second}" for pair in bad}))
        line = (
            f"found a median error of {error:.2g} pixels and bad pairs of views {names}, {expected}"
            f"; no other convention agrees better: calibrate again, view {worst} first"
        )
        return [f"world_to_camera: {line}"], []
    if not np.isnan(error):
        return [], [f"cameras agree with the pictures: {counts}, median error {error:.2g} pixels"]
    if supports_cameras(agreements):
        return [], [f"cameras are borne out by {counts}, too few to measure an error"]
    return [], [f"cameras cannot be judged: views have too little in common, {counts} agree"]


def pair_errors(example: Example, matches: list[Matches]) -> tuple[list[ViewPair], float]:
    """Measure how far the verified matches lie from epipolar lines, pixels.

    Returns:
      The errors of each pair of views at each instant, and the median distance of all matches,
      NaN without any.
    """
    pairs = []
    pooled = [np.zeros(0)]
    for match in matches:
        distances = epipolar_distances(match.verified, *pair_cameras(example, match))
        pooled.append(distances)
        error = float(np.median(distances)) if distances.size else float("nan")
        counts = len(match.points), len(match.verified)
        pairs.append(ViewPair(match.first, match.second, match.instant, *counts, error))
    all_distances = np.concatenate(pooled)
    return pairs, float(np.median(all_distances)) if all_distances.size else float("nan")


def place_matches(example: Example, matches: list[Matches]) -> Float[np.ndarray, "n 3"]:
    """Return verified matches in world coordinates, as the first view of each pair sees them."""
    places = [np.zeros((0, 3))]
    for match in matches:
        lenses, poses = pair_cameras(example, match)
        depth, angle = triangulate(match.verified, lenses, poses)
        seen = (depth > 0).all(1) & (angle > PARALLAX)
        pixels = np.concatenate([match.verified[:, 0], np.ones((len(depth), 1))], 1)
        rays = pixels @ np.linalg.inv(lenses[0].astype(np.float64)).T
        back = cameras.invert(poses[0])
        places.append((rays * depth[:, :1])[seen] @ back[:3, :3].T + back[:3, 3])
    return np.concatenate(places)


def pair_cameras(
    example: Example, match: Matches
) -> tuple[Float[np.ndarray, "2 3 3"], Float[np.ndarray, "2 4 4"]]:
    """Return intrinsics and world-to-camera of the two views of matches."""
    pair = [match.first, match.second]
    return example.intrinsics[pair], example.world_to_camera[pair, match.instant].astype(np.float64)
