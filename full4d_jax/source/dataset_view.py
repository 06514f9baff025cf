"""Sources from some views of a data set's clip, whose other cameras are the targets.

One view stands for a video; more views of a rig are real too, and projected into the targets beside
it. The pictures of the targets are not read: `full4d evaluate` compares them with what is
generated.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from full4d_jax.cameras import Cameras
from full4d_jax.config import Size
from full4d_jax.geometry.arrays import Maps, Pictures
from full4d_jax.grid import About, Grid, Place, Points, all_real, seen_in, with_missing
from full4d_jax.session import errors, fields
from full4d_jax.source.capture_source import instants_from, open_clip, rate
from full4d_jax.source.handheld.path_scale import first_median
from full4d_jax.source.options import DatasetViewOptions
from input_pipeline.datasets.dataset import Records
from input_pipeline.depth_alignment import MIN_MATCHES, SparseDepth, known_depth
from input_pipeline.matches import undistort_points
from input_pipeline.pinhole import nearest_to_axes, relative_to, rescale
from input_pipeline.plain_files import named
from input_pipeline.schema import Example, credit_of
from input_pipeline.selection import select
from input_pipeline.transforms import Clip, decode, to_source

MOST_REAL_VIEWS = 4


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

    frames: Pictures
    cameras: Cameras
    depth: Maps | None
    points: SparseDepth | None
    unit: float
    note: str


def open_dataset_view(
    size: Size, options: DatasetViewOptions, usual_fps: float
) -> Grid:
    """Read views of a data set's clip, their depth if they have any, and the cameras of all views.

    Without depth the cameras are scaled by `_rig_scale`, and the depth is estimated later. The real
    views come first, the targets are missing.

    Raises:
      InputError: the data set is unusable or has no such split, clip or view; or the clip has fewer
        instants, or no depth in a real view and no scale for it.
    """
    records, example = open_rig(options)
    instants = _instants(example, size.frames, options, usual_fps)
    real = options.view
    order = [*real, *(view for view in range(len(example.frames)) if view not in real)]
    views = []
    for view in real:
        own_first = np.array([view, *(x for x in order if x != view)])
        views.append(_open_view(size, options, select(example, own_first, instants)))
    first = views[0]
    frames = np.stack([view.frames for view in views])
    distances = [view.unit / first.unit for view in views]
    # In the unit of the first, 0 where unknown.
    depth = np.zeros(frames.shape[:4], np.float32)
    seen = []
    for number, (view, distance) in enumerate(zip(views, distances, strict=True)):
        if view.depth is not None:
            depth[number] = view.depth * np.float32(distance)
        if points := seen_in(number, view.points):
            seen.append(points._replace(depth=points.depth * distance))
    times = example.timestamps[real[0], instants]
    shown = " ".join(map(str, real))
    clip = records.content, options.split, options.clip
    place = Place(*clip, real[0], np.array(order), instants, first.unit)
    about = About(
        note=f"view {shown} of {len(order)}, clip {options.clip} of {options.dataset}, "
        f"{options.split}, {times[0]:.2f} to {times[-1]:.2f} s; other cameras: targets{first.note}",
        place=place,
        credit=credit_of(example),
        rate=options.fps or usual_fps,
        distances=np.array(distances),
    )
    grid = Grid(
        frames=frames,
        origin=all_real(frames),
        times=times,
        depth=depth if depth.any() else None,
        points=Points(*map(np.concatenate, zip(*seen, strict=True))) if seen else None,
        about=about,
    )
    return with_missing(grid, first.cameras)


def open_rig(options: DatasetViewOptions) -> tuple[Records, Example]:
    """Open a data set and read the clip of the options.

    Raises:
      InputError: there is no such data set, split or clip; or the clip lacks one of the views, or a
        view to make.
    """
    records, example = open_clip(options)
    count = len(example.frames)
    real = options.view
    fits = len(set(real)) == len(real) <= min(MOST_REAL_VIEWS, count - 1)
    expected = f"at most {MOST_REAL_VIEWS} of 0 to {count - 1}, and one left to make"
    shown = " ".join(map(str, real))
    fields.require_option("view", shown, fits and max(real) < count, expected)
    return records, example


def _open_view(size: Size, options: DatasetViewOptions, example: Example) -> _RealView:
    """Return the first view of a clip, with the cameras of all."""
    depth = None
    points = None
    note = ""
    do = "measure its depth, or choose another clip, view or --start"
    with errors.input_errors("dataset", do), named(f"{options.dataset}, "):
        clip = decode(example, height=size.height, width=size.width)
        if all(example.depth16[0]):
            depth, poses = to_source(clip.depth[0], clip.world_to_camera)
            unit = first_median(clip.depth[0])
            if options.measured.depth_network is not None:
                depth = None
                note = "; its depth is estimated, in the unit of the known depth"
        else:
            own = clip.world_to_camera.astype(np.float64)
            poses = relative_to(own, clip.world_to_camera[0, 0])
            unit, points, origin = _rig_scale(example, clip, poses)
            note = f"; its depth is estimated, in a unit from {origin}"
            poses = rescale(poses, unit).astype(np.float32)
    cameras = Cameras(clip.intrinsics, poses, size.height, size.width)
    return _RealView(clip.frames[0], cameras, depth, points, unit, note)


def _instants(
    example: Example, frames: int, options: DatasetViewOptions, usual_fps: float
) -> Int[np.ndarray, " t"]:
    """Return the clip's instants nearest to `--start` and every 1 / `--fps` seconds from there."""
    # How much faster than a clip instants may be wanted, at most.
    most_speed_up = 1.5
    times = example.timestamps[options.view[0]].astype(np.float64)
    chosen = instants_from(times, options.start, rate(times, options.fps, usual_fps))
    own = rate(times, None, np.inf) if len(times) > 1 else np.inf
    if len(chosen) < frames or (options.fps or 0) > most_speed_up * own:
        found = f"{len(times)} instants to {times[-1]:.2f} s, {own:.3g} a second"
        wanted = f", {options.fps:g} a second" if options.fps else ""
        expected = f"{frames} from {options.start:.2f} s on{wanted}"
        where = f"{options.dataset}, scene {example.scene_id}"
        do = "change --start, --fps or data.frames"
        raise errors.InputError("dataset", where, found, expected, do)
    return chosen[:frames]


def _rig_scale(
    example: Example, clip: Clip, world_to_camera: Float[np.ndarray, "v t 4 4"]
) -> tuple[float, SparseDepth | None, str]:
    """Return the unit of a rig whose first view is the source.

    A view of a rig gets its depth from a network, which knows no unit; the cameras have one. It is
    given by points that other views see too, or else by the place that all cameras look at.

    Args:
      example: the clip as it is stored.
      clip: the clip as it is decoded.
      world_to_camera: its cameras; the world is the source camera at the first instant.

    Returns:
      The distance of the scene from the source, in the unit of the cameras; points of the source
      view whose depth is known, in that unit, None where too few are; and where the unit is from.

    Raises:
      ValueError: neither points nor such a place tell it.
    """
    points = _shared_points(example, clip)
    if len(points.depth) >= MIN_MATCHES:
        unit = float(np.median(points.depth))
        note = f"{len(points.depth)} points that other views see too"
        return unit, points._replace(depth=points.depth / unit), note
    middle = nearest_to_axes(world_to_camera[:, 0])
    if middle is None or middle[2] <= 0:
        found = "no depth in a view, and cameras that share no points and look apart"
        expected = "depth, or cameras that tell its scale"
        text = f"scene {example.scene_id}: found {found}, expected {expected}"
        raise ValueError(text)
    return float(middle[2]), None, "the place that all cameras look at"


def _shared_points(example: Example, clip: Clip) -> SparseDepth:
    """Return points of the first view that other views see too, in pixels of the decoded clip."""
    known = known_depth(example)[0]
    height, width = clip.frames.shape[2:4]
    stored = example.intrinsics[0].astype(np.float64)
    pixels = undistort_points(known.pixels, stored, example.distortion[0])
    homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)
    rays = homogeneous @ np.linalg.inv(stored).T
    places = (rays @ clip.intrinsics[0].astype(np.float64).T)[:, :2]
    inside = ((places >= 0) & (places < (width, height))).all(1)
    return SparseDepth(known.instants[inside], places[inside], known.depth[inside])
