"""Align estimated depth to the units of the cameras, by points that several of them see.

A network that sees one picture gives disparity up to a scale and a shift: 1 / z = a d + b. Matches
between views have a z by triangulation; a and b are the line through most of them, one line for
all instants of a view. Cameras so far apart that they share no points, but look at one place, tell
one depth: that of the point nearest to all optical axes (`scale="axes"`; b is then 0). Sources:
MiDaS (Ranftl et al. 2020) for the affine ambiguity, RANSAC (Fischler and Bolles 1981) for the line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from numpy import ndarray

from input_pipeline import matches, pinhole, transforms
from input_pipeline.decoded_clip import decode_clip
from input_pipeline.plain_files import check_field, named
from input_pipeline.schema import Example

Estimate = Callable[[UInt8[ndarray, "h w 3"]], Float32[ndarray, "r q"]]
Scale = Literal["matches", "axes"]
# With less between two rays their depth is uncertain.
MIN_RAY_ANGLE = np.radians(1.0)
# Of a view.
MIN_MATCHES = 20
# Depth is unknown so many times nearer or farther than any match.
DEPTH_MARGIN = 3.0


class SparseDepth(NamedTuple):
    """Points of one view whose depth its cameras determine."""

    instants: Int[ndarray, " n"]
    pixels: Float[ndarray, "n 2"]
    """Pixels of the stored frames, centres at +0.5."""
    depth: Float[ndarray, " n"]
    """z in world units."""


class DisparityLine(NamedTuple):
    """1 / z = scale * value + shift, between two depths."""

    scale: float
    shift: float
    nearest: float
    farthest: float


def known_depth(example: Example) -> list[SparseDepth]:
    """Return for every view the matches that agree with its cameras."""
    pictures = decode_clip(example, most=4)
    limit = matches.near_pixels(pictures.shapes)
    parts_of_view = [[] for _ in example.frames]
    for match in matches.find_matches(example, pictures):
        lenses, poses = matches.pair_cameras(example, match)
        depth, angle = matches.triangulate(match.points, lenses, poses)
        agree = matches.epipolar_distances(match.points, lenses, poses) < limit
        usable = agree & (depth > 0).all(1) & (angle > MIN_RAY_ANGLE)
        for side, view in enumerate((match.first, match.second)):
            points = match.points[usable, side]
            pixels = matches.distort_points(
                points, lenses[side], example.distortion[view]
            )
            instants = np.full(len(points), match.instant)
            parts_of_view[view].append((instants, pixels, depth[usable, side]))
    return [*map(joined, parts_of_view)]


def joined(sightings: Sequence[tuple[ndarray, ndarray, ndarray]]) -> SparseDepth:
    """Concatenate parts of points: instants, pixels and depth."""
    none = np.zeros(0, int), np.zeros((0, 2)), np.zeros(0)
    return SparseDepth(*map(np.concatenate, zip(none, *sightings, strict=True)))


def fit_line(
    values: Float[ndarray, " n"], depth: Float[ndarray, " n"]
) -> DisparityLine:
    """Fit the line between an estimator's values and 1 / z that most matches lie near (RANSAC).

    Raises:
      ValueError: too few matches, or values that say nothing about their depth.
    """
    # Distance of a match from the line, as a share of its disparity.
    most_line_error = 0.1
    # Share of the matches that must lie near the line.
    least_explained = 0.3
    # Ratio of the line's errors to those of one depth for the whole view.
    most_error_ratio = 0.8
    # Relative error that is accepted in any case.
    fine_error = 0.05
    draws = 300
    disparity = 1 / depth
    rng = np.random.default_rng(0)
    first, second = rng.integers(len(values), size=(2, draws))
    run = values[second] - values[first]
    usable = np.abs(run) > 1e-6 * max(float(np.ptp(values)), 1e-12)
    rise = (disparity[second] - disparity[first])[usable]
    scales = np.append(rise / run[usable], 0.0)
    own_shifts = disparity[first][usable] - scales[:-1] * values[first][usable]
    shifts = np.append(own_shifts, 0.0)
    errors = np.abs(scales[:, None] * values + shifts[:, None] - disparity)
    near = errors < most_line_error * disparity
    near = near[near.sum(1).argmax()]
    share = near.mean()
    found = f"a line near {share:.0%} of {len(values)} matches"
    expected = f"{least_explained:.0%}: another estimator?"
    check_field("depth", share >= least_explained, found, expected)
    # Errors of depth are relative.
    weights = 1 / disparity[near]
    system = np.stack([values[near] * weights, weights], 1)
    (scale, shift), *_ = np.linalg.lstsq(system, np.ones(near.sum()), rcond=None)
    fitted = np.maximum(scale * values + shift, 1e-9 * disparity.max())
    error = np.median(np.abs(disparity / fitted - 1))
    flat = np.median(np.abs(disparity * np.median(depth) - 1))
    fits = error <= max(most_error_ratio * flat, fine_error)
    found = f"errors of {error:.0%} where one depth for all has {flat:.0%}"
    check_field("depth", fits, found, "values that follow the matches' depth")
    nearest = float(depth[near].min() / DEPTH_MARGIN)
    farthest = float(depth[near].max() * DEPTH_MARGIN)
    return DisparityLine(float(scale), float(shift), nearest, farthest)


def scale_at_middle(
    example: Example, view: int, maps: Sequence[ndarray]
) -> DisparityLine:
    """Scale values so that 1 / z is right at the point nearest to all optical axes.

    Args:
      example: a clip whose cameras look at one place, such as a rig around a subject.
      view: which view.
      maps: its values at all instants, of the frames' size.

    Raises:
      ValueError: the axes do not meet before the cameras, the view does not see where, or the
        values there are not disparity.
    """
    # Half the side of the window, as a share of the picture's diagonal.
    half_window = 0.05
    lens = example.intrinsics[view].astype(np.float64)
    factors = []
    distances = []
    for values, poses in zip(maps, example.world_to_camera.swapaxes(0, 1), strict=True):
        middle = pinhole.nearest_to_axes(poses.astype(np.float64))
        if middle is None:
            found = "cameras that look at no one place"
            expected = "axes that meet before all of them"
            raise ValueError(f"depth: found {found}, expected {expected}")
        x = poses[view, :3, :3] @ middle + poses[view, :3, 3]
        straight = (lens @ x)[None, :2] / x[2]
        (pixel,) = matches.distort_points(straight, lens, example.distortion[view])
        h, w = values.shape
        column, row = np.floor(pixel).astype(int)
        found = f"the point all cameras look at outside the picture, at {pixel.round()}"
        is_seen = 0 <= column < w and 0 <= row < h
        check_field("depth", is_seen, found, f"it in {w}x{h} pixels")
        side = max(1, round(half_window * float(np.hypot(h, w))))
        rows = slice(max(row - side, 0), row + side + 1)
        window = values[rows, max(column - side, 0) : column + side + 1]
        factors.append(1 / (x[2] * max(float(np.median(window)), 1e-12)))
        distances.append(x[2])
    is_disparity = max(factors) * max(distances) < 1e9
    check_field(
        "depth", is_disparity, "values of 0 or less", "disparity (--scale axes)"
    )
    z = float(np.median(distances))
    scale = float(np.median(factors))
    return DisparityLine(scale, 0.0, z / DEPTH_MARGIN, z * DEPTH_MARGIN)


def to_depth(
    values: Float[ndarray, "h w"], line: DisparityLine
) -> Float32[ndarray, "h w"]:
    """Return z-depth in world units, 0 where it is far outside of the range of the matches."""
    disparity = line.scale * values + line.shift
    is_known = (disparity > 1 / line.farthest) & (disparity < 1 / line.nearest)
    return np.where(is_known, 1 / np.where(is_known, disparity, 1), 0).astype(
        np.float32
    )


def add_depth(
    example: Example, estimate: Estimate, scale: Scale = "matches"
) -> Example:
    """Return the clip with estimated z-depth, in world units (0 unknown), of views that have none.

    Args:
      example: a clip of at least two views.
      estimate: a picture (h w 3) to values that are affine in 1 / z, at any size.
      scale: from points that views share, or from the point that all cameras look at.

    Raises:
      ValueError: naming the view that has too few matches, or whose values do not follow them; or
        cameras that do not look at one place.
    """
    bare = [view for view, files in enumerate(example.depth16) if not any(files)]
    sparse = known_depth(example) if bare and scale == "matches" else []
    files = example.depth16.copy()
    for view in bare:
        with named(f"scene {example.scene_id}, view {view}: "):
            # Fail before the network runs over every frame.
            if sparse:
                count = len(sparse[view].depth)
                found = f"{count} matches with other views"
                expected = f"at least {MIN_MATCHES} (full4d data depth --scale axes needs none)"
                check_field("depth", count >= MIN_MATCHES, found, expected)
            maps = [
                cv2.resize(estimate(x), x.shape[1::-1], interpolation=cv2.INTER_LINEAR)
                for x in transforms.decode_view(example.frames[view])
            ]
            if sparse:
                h, w = maps[0].shape
                column, row = np.floor(sparse[view].pixels).astype(int).T
                row, column = row.clip(0, h - 1), column.clip(0, w - 1)
                places = sparse[view].instants, row, column
                known = np.stack(maps)[places].astype(float)
                line = fit_line(known, sparse[view].depth)
            else:
                line = scale_at_middle(example, view, maps)
        files[view] = [
            transforms.encode_depth(to_depth(values, line)) for values in maps
        ]
    return example._replace(depth16=files)


@dataclass
class WithDepth(Sequence[Example]):
    """Clips (`clips[i]`, `clips.scene_ids`) with estimated depth where they have none."""

    clips: Sequence[Example]
    scene_ids: Sequence[str]
    estimate: Estimate
    scale: Scale = "matches"

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def __getitem__(self, index: int) -> Example:
        """Return one clip; errors as in `add_depth`."""
        return add_depth(self.clips[index], self.estimate, self.scale)
