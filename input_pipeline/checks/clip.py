"""Checks of a readable clip: its cameras, clocks, light and pictures.

Every finding is one line, `field: found X, expected Y`. Where the pictures do not say enough about
the cameras, that is reported as a note, never as agreement.

The convention that cameras were written in is found from matches between their pictures. The
cameras as they are stored are compared with what they would be if their file had meant something
else: the inverse matrices, other axes of the cameras, rotations by columns, positions in the place
of translations. A reading is believed where many more matches than by chance lie on its epipolar
lines, in front of both cameras. What moves the whole world, such as another axis for up, changes no
picture and cannot be seen, nor need it be.
"""

from collections import Counter
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from input_pipeline import pinhole
from input_pipeline.checks import recording
from input_pipeline.decoded_clip import DecodedClip
from input_pipeline.matches import (
    PARALLAX,
    Matches,
    epipolar_distances,
    find_matches,
    near_pixels,
    pair_cameras,
    triangulate,
)
from input_pipeline.schema import Example

Cameras = Float[np.ndarray, "v t 4 4"]
STORED = "as stored"
# Those that right, down and forward are in the axes of a file.
KNOWN_AXES = {
    "+x, +y, +z": "",
    "+x, -y, -z": "camera axes are OpenGL's (x right, y up, z backward)",
    "+y, +x, -z": "camera axes are LLFF's (x down, y right, z backward)",
}


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


def check_clip(example: Example, pictures: DecodedClip) -> ClipCheck:
    """Check a clip by itself; `pictures` are those of `decode_clip`."""
    timing, drift = recording.check_times(example)
    stops = recording.exposure(pictures.light)
    light = recording.note_light(stops)
    problems = [
        *pictures.damaged,
        *recording.check_sizes(example, pictures.shapes),
        *recording.check_masks(example, pictures.shapes),
        *timing,
        *recording.check_repeats(example),
    ]
    both = example.intrinsics, example.world_to_camera
    if not all(np.isfinite(x).all() for x in both):
        problems.append("cameras: found NaN or infinite values, expected finite ones")
        nothing = np.zeros((0, 3))
        return ClipCheck(problems, light, float("nan"), [], drift, stops, nothing)
    matches = find_matches(example, pictures)
    pairs, median_error = pair_errors(example, matches)
    limit = near_pixels(pictures.shapes)
    problem, note = judge_cameras(example, matches, pairs, median_error, limit)
    try:
        pinhole.check_cameras(*both)
    except ValueError as error:
        is_mirrored = "mirrored" in str(error) and not problem
        hint = "; negate one axis of the world, or swap two back" if is_mirrored else ""
        problems.append(f"{error}{hint}")
    problems += filter(None, [problem])
    notes = [*filter(None, [note]), *light]
    points = place_matches(example, matches)
    return ClipCheck(problems, notes, median_error, pairs, drift, stops, points)


def judge_cameras(
    example: Example,
    matches: list[Matches],
    pairs: list[ViewPair],
    error: float,
    limit: float,
) -> tuple[str, str]:
    """Return a problem and a note, one of them empty.

    Args:
      example: the clip.
      matches: of its views.
      pairs: what `pair_errors` returned, and `error` with them.
      error: likewise.
      limit: how far from its epipolar line a match may lie, pixels.
    """
    if len(example.frames) < 2:
        return "", "cameras cannot be judged: there is one view"
    # Matches that agree with a reading that is believed.
    least_matches = 12
    # Times as many as when the matches are shuffled.
    least_ratio_to_chance = 4
    # Times as many as agree with the stored cameras, where another reading is better.
    least_ratio_to_stored = 2
    # Share of the verified matches; with less a single camera is wrong.
    least_explained = 0.8
    candidates = readings(example.world_to_camera)
    near, chance = agreement(matches, example.intrinsics, candidates, limit)
    believable = (near >= least_matches) & (near >= least_ratio_to_chance * chance)
    best = int(np.where(believable, near, -1).argmax())
    verified = sum(pair.verified for pair in pairs)
    least = max(least_ratio_to_stored * near[0], least_explained * verified)
    count = sum(pair.matches for pair in pairs)
    counts = f"{near[0]} of {count} matches ({chance[0]} by chance)"
    expected = f"expected matches within {limit:.1f} pixels of their epipolar lines"
    if best and believable[best] and near[best] >= least:
        agree = f"found cameras that agree with {counts}, {expected}"
        reading = f"{near[best]} agree if {[*candidates][best]}"
        return f"world_to_camera: {agree}; {reading}", ""
    pixels = f"{error:.2g} pixels"
    bad = [(pair.first, pair.second) for pair in pairs if pair.error > limit]
    if bad:
        views = Counter(view for pair in bad for view in pair)
        names = ", ".join(sorted({f"{first}-{second}" for first, second in bad}))
        errors = f"found a median error of {pixels} and bad pairs of views {names}"
        worst = views.most_common(1)[0][0]
        do = f"no other convention agrees better: calibrate again, view {worst} first"
        return f"world_to_camera: {errors}, {expected}; {do}", ""
    if not np.isnan(error):
        return "", f"cameras agree with the pictures: {counts}, median error {pixels}"
    if believable[0]:
        return "", f"cameras are borne out by {counts}, too few to measure an error"
    return (
        "",
        f"cameras cannot be judged: views have too little in common, {counts} agree",
    )


def pair_errors(
    example: Example, matches: list[Matches]
) -> tuple[list[ViewPair], float]:
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
        error = _median(distances)
        counts = len(match.points), len(match.verified)
        pairs.append(ViewPair(match.first, match.second, match.instant, *counts, error))
    return pairs, _median(np.concatenate(pooled))


def _median(distances: Float[np.ndarray, " n"]) -> float:
    return float(np.median(distances)) if distances.size else float("nan")


def place_matches(example: Example, matches: list[Matches]) -> Float[np.ndarray, "n 3"]:
    """Return verified matches in world coordinates, as the first view of each pair sees them."""
    places = [np.zeros((0, 3))]
    for match in matches:
        lenses, poses = pair_cameras(example, match)
        depth, angle = triangulate(match.verified, lenses, poses)
        seen = (depth > 0).all(1) & (angle > PARALLAX)
        pixels = np.concatenate([match.verified[:, 0], np.ones((len(depth), 1))], 1)
        rays = pixels @ np.linalg.inv(lenses[0].astype(np.float64)).T
        back = pinhole.invert(poses[0])
        places.append((rays * depth[:, :1])[seen] @ back[:3, :3].T + back[:3, 3])
    return np.concatenate(places)


def readings(world_to_camera: Cameras) -> dict[str, Cameras]:
    """Return the cameras by the names of readings of the stored matrices, the likeliest first."""
    poses = world_to_camera.astype(np.float64)
    rotation = poses[..., :3, :3]
    shift = poses[..., :3, 3]
    transposed = np.swapaxes(rotation, -1, -2)
    translation = -(rotation @ shift[..., None])[..., 0]
    forms = {
        "": poses,
        "matrices are camera_to_world: invert them": pinhole.invert(poses),
        "rotations are transposed": pinhole.rigid(transposed, shift),
        "translations are positions of cameras": pinhole.rigid(rotation, translation),
    }
    mirrored = np.linalg.det(rotation[0, 0]) < 0
    candidates = {STORED: poses}
    for form, matrices in forms.items():
        for axes in _signed_permutations(-1 if mirrored else 1):
            if name := "; ".join(filter(None, (form, _axes_name(axes)))):
                candidates[name] = pinhole.rigid(axes, np.zeros(3)) @ matrices
    names = sorted(candidates, key=lambda name: (name != STORED, len(name)))
    return {name: candidates[name] for name in names}


def agreement(
    matches: list[Matches],
    intrinsics: Float[np.ndarray, "v 3 3"],
    candidates: dict[str, Cameras],
    pixels: float,
) -> Int[np.ndarray, "2 r"]:
    """Count the matches within `pixels` of the epipolar lines of every reading, before the cameras.

    The second row has the numbers after the matches are shuffled.
    """
    counts = np.zeros((2, len(candidates)), int)
    poses = np.stack([*candidates.values()])
    rng = np.random.default_rng(0)
    for match in matches:
        pair = [match.first, match.second]
        both = poses[:, pair, match.instant]
        shuffled = np.stack(
            [match.points[:, 0], rng.permutation(match.points[:, 1])], 1
        )
        for number, points in zip(counts, (match.points, shuffled), strict=True):
            number += (epipolar_distances(points, intrinsics[pair], both) < pixels).sum(
                -1
            )
    return counts


def _signed_permutations(determinant: int) -> list[Float[np.ndarray, "3 3"]]:
    """Return the 24 rotations, or mirrored rotations, that map axes to axes."""
    signed = [
        np.diag(signs) @ np.eye(3)[list(order)]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return [axes for axes in signed if np.linalg.det(axes) * determinant > 0]


def _axes_name(axes: Float[np.ndarray, "3 3"]) -> str:
    signed = ["+-"[int(row.sum() < 0)] + "xyz"[np.abs(row).argmax()] for row in axes]
    names = ", ".join(signed)
    permuted = f"camera axes are permuted: right, down, forward are its {names}"
    return KNOWN_AXES.get(names, permuted)
