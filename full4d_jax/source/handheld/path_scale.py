"""One unit for the depth of a source and the path of its camera.

Depth that is estimated frame by frame has a scale of its own in each, and a path has another. They
follow from points of known depth in the path's unit: all frames are multiplied by the median of the
ratios, or, where a network estimated each by itself, brought to the points by a line of disparity
of its own, 1 / z = a / depth + b. Then depth and path are divided by the median depth of the first
frame, the unit of the world.
"""

from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

from full4d_jax.geometry.arrays import Map, Maps, Values
from full4d_jax.grid import Grid, points_in
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.any_network import fit_scale_and_shift
from gaussians.fitting.stillness import camera_moves
from input_pipeline.depth_alignment import MIN_MATCHES, SparseDepth
from input_pipeline.pinhole import rescale


def source_moves(source: Grid) -> bool:
    """Return whether the camera of a source moves."""
    return camera_moves(source.source_camera[1])


def first_median(depth: Maps) -> float:
    """Return the median of the known depths of the first frame."""
    return float(np.median(depth[0][depth[0] > 0]))


def check_moves(source: Grid, depth: Maps, file: str) -> None:
    """Refuse one map of depth for all frames of a camera that moves.

    Raises:
      InputError: naming the file.
    """
    if source_moves(source) and (depth == depth[:1]).all():
        do = f"give one for each of the {len(depth)} frames, as full4d depth makes it"
        expected = "maps that change with the camera, which moves"
        raise InputError("depth file", file, "one map for all frames", expected, do)


def settle_scale(source: Grid, depth: Maps, *, estimated: bool) -> tuple[Maps, float]:
    """Return depth in world units, and what one of them is in units of the source's path.

    Args:
      source: one view with its camera.
      depth: of the source in any unit, 0 where unknown.
      estimated: whether a network made it: the source's own estimate, or of another scale in every
        frame where the camera moves.

    Raises:
      InputError: the path's unit follows from points, and the depth of none is known.
    """
    points = points_in(source)
    if not estimated or source.estimate is None:
        if points is None:
            return depth, 1.0
        # At rest, frames are consistent already.
        by_frame = estimated and source_moves(source)
        depth = align_to_points(depth, points, by_frame=by_frame)
    unit = first_median(depth)
    return depth / unit, unit


def in_unit(source: Grid, unit: float) -> Grid:
    """Return a grid whose cameras are in units of `unit` of their own, as is what it knows."""
    poses = rescale(np.asarray(source.known_cameras.world_to_camera), unit)
    cameras = replace(source.known_cameras, world_to_camera=poses.astype(np.float32))
    between = source.between
    if between is not None and between.world_to_camera is not None:
        own = rescale(between.world_to_camera, unit).astype(np.float32)
        between = between._replace(world_to_camera=own)
    about = source.about
    if about.place is not None:
        about = replace(about, place=about.place._replace(unit=about.place.unit * unit))
    if about.distances is not None:
        about = replace(about, distances=about.distances / unit)
    return replace(source, cameras=cameras, points=None, between=between, about=about)


def align_to_points(depth: Maps, points: SparseDepth, *, by_frame: bool) -> Maps:
    """Return depth in the unit of the points.

    Args:
      depth: of the source in any unit, 0 where unknown.
      points: of known depth.
      by_frame: whether every frame's depth has a scale of its own, and may lack a shift.

    Raises:
      InputError: the depth of no point is known.
    """
    h, w = depth.shape[1:]
    column, row = np.floor(points.pixels).astype(int).T
    there = depth[points.instants, row.clip(0, h - 1), column.clip(0, w - 1)]
    known = (there > 0) & (points.depth > 0)
    if not known.any():
        found = f"no known depth at any of the {len(known)} points that tell its unit"
        expected = "depth of what stands still"
        do = "give more of it, or let a network estimate it"
        raise InputError("depth", "of the source", found, expected, do)
    there = there[known]
    true = points.depth[known]
    scaled = depth * np.median(true / there).astype(depth.dtype)
    for instant in range(len(depth) if by_frame else 0):
        own = points.instants[known] == instant
        if own.sum() < MIN_MATCHES:
            continue
        if _tell_a_line(there[own], true[own]):
            scaled[instant] = _on_line(depth[instant], there[own], true[own])
        else:
            scaled[instant] = depth[instant] * np.median(true[own] / there[own])
    return scaled


def _tell_a_line(there: Values, true: Values) -> bool:
    """Return whether points determine scale and shift of disparity.

    They do not if they are at about one depth: what they differ by is noise, which flattens a line.
    """
    # Spearman's correlation of what is estimated with what is true.
    least_correlation = 0.8
    if min(np.ptp(there), np.ptp(true)) == 0:
        return False
    correlation = np.asarray(spearmanr(there, true))[0]
    return bool(correlation > least_correlation)


def _on_line(depth: Map, there: Values, true: Values) -> Map:
    """Return depth by the line of disparity through points, 0 where it was 0."""
    # Times farther than the farthest points, depth ends.
    farthest_ratio = 1.5
    # Errors of depth are relative.
    slope, shift = fit_scale_and_shift(1 / there, 1 / true, true / true.mean())
    # The points do not reach what is farther.
    least = 1 / (farthest_ratio * np.quantile(true, 0.95))
    known = depth > 0
    disparity = slope / np.where(known, depth, 1) + shift
    return np.where(known, 1 / np.maximum(disparity, least), 0)
