"""Sources from some views of a data set's clip, whose other cameras are the targets.

One view stands for a video; more views of a rig are real too, and projected into the targets beside
it. The pictures of the targets are not read: `full4d evaluate` compares them with what is
generated.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.config import DataConfig
from full4d_jax.grid import About, Grid, Place, Points, all_real, seen_in, with_missing
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.source.capture_source import instants_from, open_clip, rate
from full4d_jax.source.options import DatasetViewOptions
from input_pipeline.cameras import nearest_to_axes, relative_to, rescale
from input_pipeline.datasets.dataset import Records
from input_pipeline.depth_alignment import MIN_MATCHES, SparseDepth, known_depth
from input_pipeline.matches import undistort_points
from input_pipeline.schema import Example
from input_pipeline.selection import select
from input_pipeline.transforms import Clip, decode, to_source

MOST_REAL_VIEWS = 4  # real views


class _Opened(NamedTuple):
    """A clip, and what is taken of it."""

    records: Records
    example: Example
    instants: Int[ndarray, " t"]


class _RealView(NamedTuple):
    """One real view, in the world and unit of its own camera.

    Attributes:
      frames: its pictures.
      cameras: of all views, this one first.
      depth: its z-depth; None where it is to be estimated.
      points: still points that it sees; None where depth gives the unit.
      unit: world units of the data set in one of its own.
      note: where its depth and unit come from, for people.
    """

    frames: UInt8[ndarray, "t h w 3"]
    cameras: Cameras
    depth: Float[ndarray, "t h w"] | None
    points: SparseDepth | None
    unit: float
    note: str


def open_dataset_view(data: DataConfig, options: DatasetViewOptions) -> Grid:
    """Read views of a data set's clip, their depth if they have any, and the cameras of all views.

    Without depth the cameras are scaled by `rig_scale`, and the depth is estimated later. The real
    views come first, the targets are missing.

    Raises:
      InputError: the data set is unusable or has no such split, clip or view; or the clip has fewer
        instants, or no depth in a real view and no scale for it.
    """
    records, example = open_rig(options)
    opened = _Opened(records, example, _instants(example, data, options))
    real = options.view
    targets = [view for view in range(len(example.frames)) if view not in real]
    views = [
        _open_view(data, options, opened, [view, *(x for x in real if x != view), *targets])
        for view in real
    ]
    first = views[0]
    frames = np.stack([view.frames for view in views])
    grid = Grid(
        frames=frames,
        origin=all_real(frames),
        times=example.timestamps[real[0], opened.instants],
        depth=_depth_of(views),
        points=_points_of(views),
        about=_about(data, options, opened, views, np.array([*real, *targets])),
    )
    return with_missing(grid, first.cameras)


def _depth_of(views: Sequence[_RealView]) -> Float[ndarray, "k t h w"] | None:
    """Return the depth of real views in the unit of the first, 0 where unknown; None for none."""
    if all(view.depth is None for view in views):
        return None
    unknown = np.zeros(views[0].frames.shape[:3], np.float32)
    rows = [
        unknown if view.depth is None else view.depth * np.float32(view.unit / views[0].unit)
        for view in views
    ]
    return np.stack(rows)


def _points_of(views: Sequence[_RealView]) -> Points | None:
    """Return the still points that real views see, in the unit of the first; None without any."""
    seen = []
    for number, view in enumerate(views):
        points = seen_in(number, view.points)
        if points is not None:
            seen.append(points._replace(depth=points.depth * (view.unit / views[0].unit)))
    return Points(*(np.concatenate(x) for x in zip(*seen, strict=True))) if seen else None


def _about(
    data: DataConfig,
    options: DatasetViewOptions,
    opened: _Opened,
    views: Sequence[_RealView],
    order: Int[ndarray, " v"],
) -> About:
    """Return what is said about views of a data set; `order` has the numbers of all views."""
    records, example, instants = opened
    first = views[0]
    times = example.timestamps[order[0], instants]
    shown = " ".join(map(str, options.view))
    where = f"view {shown} of {len(order)}, clip {options.clip} of {options.dataset}"
    span = f"{options.split}, {times[0]:.2f} to {times[-1]:.2f} s"
    place = Place(
        dataset=records.content,
        split=options.split,
        clip=options.clip,
        view=int(order[0]),
        views=order,
        instants=instants,
        unit=first.unit,
    )
    return About(
        note=f"{where}, {span}; other cameras: targets{first.note}",
        place=place,
        rate=options.fps or data.fps,
        distances=np.array([view.unit / first.unit for view in views]),
    )


def open_rig(options: DatasetViewOptions) -> tuple[Records, Example]:
    """Open a data set and read the clip that is asked for.

    Raises:
      InputError: there is no such data set, split or clip; or the clip lacks one of the views, or a
        view to make.
    """
    records, example = open_clip(options.dataset, options.split, options.clip)
    count = len(example.frames)
    real = options.view
    fits = len(real) <= min(MOST_REAL_VIEWS, count - 1) and max(real) < count
    if not fits or len(set(real)) < len(real):
        found = " ".join(map(str, real))
        most = f"at most {MOST_REAL_VIEWS}, and a view left to make"
        expected = f"different numbers, 0 to {count - 1}, {most}"
        raise InputError("option", "--view", found, expected, "choose other views or another set")
    return records, example


def _open_view(
    data: DataConfig, options: DatasetViewOptions, opened: _Opened, order: list[int]
) -> _RealView:
    """Return the first view of `order`, with the cameras of all views in that order."""
    view = order[0]
    example = select(opened.example, np.array(order), opened.instants)
    depth = None
    points = None
    note = ""
    with input_errors("dataset", "choose another clip, view or --start"):
        clip = decode(example, height=data.height, width=data.width)
        if all(example.depth16[0]):
            depth, poses = to_source(clip.depth[0], clip.world_to_camera)
            unit = float(np.median(clip.depth[0, 0][clip.depth[0, 0] > 0]))
    if depth is not None and options.measured.depth_network is not None:
        depth = None
        note = "; its depth is estimated, in the unit of the depth that is known"
    elif depth is None:
        poses = relative_to(clip.world_to_camera.astype(np.float64), clip.world_to_camera[0, 0])
        scale = rig_scale(example, clip, poses)
        if scale is None:
            found = f"no depth in view {view}, and cameras that share no points and look apart"
            where = f"{options.dataset}, scene {example.scene_id}"
            do = "measure its depth"
            raise InputError("dataset", where, found, "depth, or cameras that tell its scale", do)
        unit = scale.unit
        points = scale.points
        note = f"; its depth is estimated, in a unit from {scale.note}"
        poses = rescale(poses, unit).astype(np.float32)
    return _RealView(
        frames=clip.frames[0],
        cameras=Cameras(clip.intrinsics, poses, data.height, data.width),
        depth=depth,
        points=points,
        unit=unit,
        note=note,
    )


def _instants(
    example: Example, data: DataConfig, options: DatasetViewOptions
) -> Int[ndarray, " t"]:
    """Return the clip's instants nearest to `--start` and every 1 / `--fps` seconds from there."""
    most_speed_up = 1.5  # than a clip is, at most, instants may be asked for
    times = example.timestamps[options.view[0]].astype(np.float64)
    frames = data.frames
    chosen = instants_from(times, options.start, rate(times, options.fps, data.fps))
    own = rate(times, None, np.inf) if len(times) > 1 else np.inf
    if len(chosen) < frames or (options.fps or 0) > most_speed_up * own:
        found = f"{len(times)} instants to {times[-1]:.2f} s, {own:.3g} a second"
        asked = f", {options.fps:g} a second" if options.fps else ""
        expected = f"{frames} from {options.start:.2f} s on{asked}"
        where = f"{options.dataset}, scene {example.scene_id}"
        raise InputError("dataset", where, found, expected, "change --start, --fps or data.frames")
    return chosen[:frames]


class RigScale(NamedTuple):
    """The unit of a rig, and its source.

    Attributes:
      unit: distance of the scene from the source, in the unit of the cameras.
      points: points of the source view whose depth is known, in that unit; None where too few are.
      note: where the unit comes from, for people.
    """

    unit: float
    points: SparseDepth | None
    note: str


def rig_scale(
    example: Example, clip: Clip, world_to_camera: Float[ndarray, "v t 4 4"]
) -> RigScale | None:
    """Return the unit of a rig whose first view is the source; None if it is unknown.

    A view of a rig gets its depth from a network, which knows no unit; the cameras have one. It is
    given by points that other views see too, or else by the place that all cameras look at.

    Args:
      example: the clip as it is stored.
      clip: the clip as it is decoded.
      world_to_camera: its cameras; the world is the source camera at the first instant.
    """
    points = shared_points(example, clip)
    if len(points.depth) >= MIN_MATCHES:
        unit = float(np.median(points.depth))
        note = f"{len(points.depth)} points that other views see too"
        return RigScale(unit, points._replace(depth=points.depth / unit), note)
    middle = nearest_to_axes(world_to_camera[:, 0])
    if middle is None or middle[2] <= 0:
        return None
    return RigScale(float(middle[2]), None, "the place that all cameras look at")


def shared_points(example: Example, clip: Clip) -> SparseDepth:
    """Return points of the first view that other views see too, in pixels of the decoded clip."""
    known = known_depth(example)[0]
    height, width = clip.frames.shape[2:4]
    stored = example.intrinsics[0].astype(np.float64)
    pixels = undistort_points(known.pixels, stored, example.distortion[0])
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ np.linalg.inv(stored).T
    u, v = (rays @ clip.intrinsics[0].astype(np.float64).T)[:, :2].T
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    return SparseDepth(known.instants[inside], np.stack([u, v], 1)[inside], known.depth[inside])
