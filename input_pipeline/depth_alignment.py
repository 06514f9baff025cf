"""Estimated depth in the units of the cameras, from what several of them see of the same points.

A network that sees one picture gives disparity up to a scale and a shift: 1 / z = a d + b. Matches
between views have a z by triangulation; a and b are the line through most of them, one line for
all instants of a view. Sources: MiDaS (Ranftl et al. 2020) for the affine ambiguity, RANSAC
(Fischler and Bolles 1981) for the line.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from input_pipeline import transforms
from input_pipeline.checks_cameras import find_matches, near_pixels
from input_pipeline.checks_pictures import decode_pictures
from input_pipeline.matches import distort_points, epipolar_distances, triangulate
from input_pipeline.schema import Example

Estimate = Callable[[UInt8[np.ndarray, "h w 3"]], Float32[np.ndarray, "r q"]]
INSTANTS = 4  # of a clip at which matches are sought
ANGLE = np.radians(1.0)  # between two rays, at least, so that their depth is certain
ENOUGH = 20  # matches of a view
NEAR = 0.1  # of its disparity, how far from the line a match may lie
EXPLAINED = 0.3  # of the matches, that must lie there
BETTER = 0.8  # of the errors of one depth for the whole view, the line's, at most
FINE = 0.05  # or less is good enough in any case
DRAWS = 300
REACH = 3.0  # times nearer or farther than any match, depth is unknown


class Known(NamedTuple):
    """Points of one view whose depth its cameras tell."""

    instants: Int[np.ndarray, " n"]
    pixels: Float[np.ndarray, "n 2"]
    """Of the stored frames, centres at +0.5."""
    depth: Float[np.ndarray, " n"]
    """z in world units."""


class Line(NamedTuple):
    """1 / z = scale * value + shift, between two depths."""

    scale: float
    shift: float
    nearest: float
    farthest: float
    matches: int
    share: float
    """Of the matches, near the line."""
    error: float
    """Median relative error of depth at all matches."""


def known_depth(example: Example, most: int = INSTANTS) -> list[Known]:
    """For every view the matches that agree with its cameras, at `most` evenly spaced instants."""
    pictures = decode_pictures(example, most)
    limit = near_pixels(pictures.shapes)
    found: list[list[tuple]] = [[] for _ in example.frames]
    for match in find_matches(example, pictures):
        pair = [match.first, match.second]
        lenses = example.intrinsics[pair]
        poses = example.world_to_camera[pair, match.instant].astype(np.float64)
        depth, angle = triangulate(match.points, lenses, poses)
        agree = epipolar_distances(match.points, lenses, poses) < limit
        kept = agree & (depth > 0).all(1) & (angle > ANGLE)
        for side, view in enumerate(pair):
            points = match.points[kept, side]
            pixels = distort_points(points, lenses[side], example.distortion[view])
            found[view].append((np.full(len(points), match.instant), pixels, depth[kept, side]))
    empty = (np.zeros(0, int), np.zeros((0, 2)), np.zeros(0))
    return [Known(*map(np.concatenate, zip(empty, *parts, strict=True))) for parts in found]


def fit_line(values: Float[np.ndarray, " n"], depth: Float[np.ndarray, " n"]) -> Line:
    """The line between an estimator's values and 1 / z that most matches lie near.

    Raises:
      ValueError: too few matches, or values that say nothing about their depth.
    """
    if len(values) < ENOUGH:
        raise ValueError(_too_few(len(values)))
    disparity = 1 / depth
    rng = np.random.default_rng(0)
    first, second = rng.integers(len(values), size=(2, DRAWS))
    run = values[second] - values[first]
    usable = np.abs(run) > 1e-6 * max(float(np.ptp(values)), 1e-12)
    rise = (disparity[second] - disparity[first])[usable]
    scales = np.append(rise / run[usable], 0.0)
    shifts = np.append(disparity[first][usable] - scales[:-1] * values[first][usable], 0.0)
    errors = np.abs(scales[:, None] * values + shifts[:, None] - disparity)
    best = (errors < NEAR * disparity).sum(1).argmax()
    near = errors[best] < NEAR * disparity
    if near.mean() < EXPLAINED:
        found = f"a line near {near.mean():.0%} of {len(values)} matches"
        raise ValueError(f"depth: found {found}, expected {EXPLAINED:.0%}: another estimator?")
    weights = 1 / disparity[near]  # errors of depth are relative
    system = np.stack([values[near] * weights, weights], 1)
    (scale, shift), *_ = np.linalg.lstsq(system, np.ones(near.sum()), rcond=None)
    fitted = np.maximum(scale * values + shift, 1e-9 * disparity.max())
    error = float(np.median(np.abs(disparity / fitted - 1)))
    flat = float(np.median(np.abs(disparity * np.median(depth) - 1)))
    if error > max(BETTER * flat, FINE):
        found = f"errors of {error:.0%} where one depth for all has {flat:.0%}"
        raise ValueError(f"depth: found {found}, expected values that follow the matches' depth")
    ends = float(depth[near].min() / REACH), float(depth[near].max() * REACH)
    return Line(float(scale), float(shift), *ends, len(values), float(near.mean()), error)


def to_depth(values: Float[np.ndarray, "h w"], line: Line) -> Float32[np.ndarray, "h w"]:
    """z-depth in world units, 0 where it is far out of what the matches cover."""
    disparity = line.scale * values + line.shift
    known = (disparity > 1 / line.farthest) & (disparity < 1 / line.nearest)
    return np.where(known, 1 / np.where(known, disparity, 1), 0).astype(np.float32)


def estimate_depth(
    example: Example, estimate: Estimate, report: Callable[[int], None] = lambda _: None
) -> dict[int, tuple[Float32[np.ndarray, "t h w"], Line]]:
    """For each view that has no depth, z-depth in world units (0 unknown) and how it was aligned.

    Args:
      example: a clip of at least two views.
      estimate: a picture (h w 3) to values that are affine in 1 / z, at any size.
      report: called with the number of frames that were estimated.

    Raises:
      ValueError: naming the view that has too few matches, or whose values do not follow them.
    """
    bare = [view for view, files in enumerate(example.depth16) if not any(files)]
    known, found, done = known_depth(example) if bare else [], {}, 0
    for view in bare:
        where = f"scene {example.scene_id}, view {view}"
        if len(known[view].depth) < ENOUGH:  # before the network runs over every frame
            raise ValueError(f"{where}: {_too_few(len(known[view].depth))}")
        maps = []
        for frame in transforms.decode_view(example.frames[view]):
            size = frame.shape[1::-1]
            maps.append(cv2.resize(estimate(frame), size, interpolation=cv2.INTER_LINEAR))
            report(done := done + 1)
        try:
            line = fit_line(_at(maps, known[view]), known[view].depth)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        found[view] = np.stack([to_depth(values, line) for values in maps]), line
    return found


def add_depth(example: Example, estimate: Estimate) -> Example:
    """The clip with estimated depth in every view that has none; errors as in `estimate_depth`."""
    files = example.depth16.copy()
    for view, (maps, _) in estimate_depth(example, estimate).items():
        files[view] = [transforms.encode_depth(depth) for depth in maps]
    return example._replace(depth16=files)


def _too_few(count: int) -> str:
    return f"depth: found {count} matches with other views, expected at least {ENOUGH}"


class WithDepth(Sequence[Example]):
    """Clips (`clips[i]`, `clips.scene_ids`) with estimated depth where they have none."""

    def __init__(self, clips: Sequence[Example], scene_ids: Sequence[str], estimate: Estimate):
        self.clips, self.scene_ids, self.estimate = clips, list(scene_ids), estimate

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, index: int) -> Example:
        """One clip; errors as in `add_depth`."""
        return add_depth(self.clips[index], self.estimate)


def _at(maps: Sequence[np.ndarray], known: Known) -> Float[np.ndarray, " n"]:
    """The values of the maps at the pixels that are known."""
    h, w = maps[0].shape
    column, row = np.floor(known.pixels).astype(int).T
    return np.stack(maps)[known.instants, row.clip(0, h - 1), column.clip(0, w - 1)].astype(float)
