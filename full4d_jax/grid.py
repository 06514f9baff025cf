"""The Grid, which the stages of a run pass on: frames of V views at T instants, and their origin.

    one video           row 0 is real                 a model with poses makes the other rows
    a rig               rows 0 to k are real          likewise
    4Real-Video         row 0 and column 0 are real   a model without poses makes the rest
    a capture           everything is real            nothing is made; some may be held out

How a finished grid is lifted, shown and scored follows from `origin`, from whether `cameras` are
known, and from whether `depth` is. Which prior completes it is the config's choice
(`generation.complete`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from input_pipeline.depth_alignment import SparseDepth
from input_pipeline.pinhole import relative_to, rescale

# Within the 3 to 25 that the shipped prior was trained on.
DEFAULT_FPS = 8.0
# What `source.npz` and `grid.npz` hold: by part of a `Grid` and field, the name of the array ("?":
# may be missing), its kind and axes (`session.stage_arrays` explains and checks them).
ARRAYS: dict[str, dict[str, tuple[str, str]]] = {
    "": {
        # Pictures, black where they are missing.
        "frames": ("frames", "uint8 v t h w 3"),
        # 0 missing, 1 real, 2 held out, 3 generated.
        "origin": ("origin", "uint8 v t"),
        "times": ("times", "rising t"),
        # Depth of the first d views, world units, 0 = unknown.
        "depth": ("depth?", "float d t h w"),
        # Depth of the source by a network, in the unit of the cameras, 0 = unknown.
        "estimate": ("estimate?", "float t h w"),
        # Masks of the subjects in the first a views.
        "masks": ("masks?", "bool a t h w"),
        # Points to start from.
        "cloud": ("cloud?", "float c 6"),
        "around": ("around?", "uint8 e h w 3"),
    },
    "cameras": {
        "intrinsics": ("intrinsics?", "float v 3 3"),
        "world_to_camera": ("world_to_camera?", "float v t 4 4"),
    },
    # Still points that views see, in the unit of the cameras.
    "points": {
        "views": ("point_views?", "int p"),
        "instants": ("point_instants?", "int p"),
        "pixels": ("point_pixels?", "float p 2"),
        "depth": ("point_depth?", "float p"),
    },
    "between": {
        "frames": ("between?", "uint8 b h w 3"),
        "times": ("between_times?", "rising b"),
        "world_to_camera": ("between_world_to_camera?", "float b 4 4"),
    },
    "plate": {
        "frame": ("plate?", "uint8 m n 3"),
        "depth": ("plate_depth?", "float m n"),
        "instant": ("plate_instant?", "int"),
    },
    "about": {
        "note": ("note", "text"),
        "warning": ("warning", "text"),
        "unposed": ("unposed", "text"),
        "credit": ("credit?", "text"),
        "enlarged": ("enlarged", "bool"),
        "rate": ("rate?", "scale"),
        # An audio file.
        "sound": ("sound?", "uint8 s"),
        # How far the scene is from each real view of a rig, world units.
        "distances": ("distances?", "scale k"),
    },
    "place": {
        "dataset": ("dataset?", "text"),
        "split": ("split?", "text"),
        "clip": ("clip?", "int"),
        "view": ("view?", "int"),
        "views": ("views?", "int v"),
        "instants": ("instants?", "int t"),
        "unit": ("unit?", "scale"),
    },
    "generation": {
        "prior_rows": ("prior_rows?", "int"),
        "prior_columns": ("prior_columns?", "int"),
        "network_calls": ("network_calls?", "int"),
        "generated_share": ("generated_share?", "float"),
    },
}

Frames = UInt8[ndarray, "v t h w 3"]
Origins = UInt8[ndarray, "v t"]


class Origin(IntEnum):
    """Origin of a frame.

    A generated frame may show pixels of the source, which are projected into it.
    """

    # Not generated yet; it is black.
    MISSING = 0
    # An input of the run, filmed or rendered.
    REAL = 1
    # An input, filmed or generated, that scores a scene and is not fitted.
    HELD_OUT = 2
    # By our prior or another one; also videos whose cameras were estimated.
    GENERATED = 3


class Points(NamedTuple):
    """Sightings of points that stand still.

    Attributes:
      views: number of the view that sees the point.
      instants: number of the instant.
      pixels: where it is seen.
      depth: its z in that camera, in the unit of the grid's cameras.
    """

    views: Int[ndarray, " p"]
    instants: Int[ndarray, " p"]
    pixels: Float[ndarray, "p 2"]
    depth: Float[ndarray, " p"]


class PicturesBetween(NamedTuple):
    """Pictures that the source camera took about half-way between the instants.

    Attributes:
      frames: sRGB, one between each two instants.
      times: seconds at which they were taken.
      world_to_camera: the camera's poses then; None before they are found.
    """

    frames: UInt8[ndarray, "t-1 h w 3"]
    times: Float[ndarray, " t-1"]
    world_to_camera: Float[ndarray, "t-1 4 4"] | None = None


class CleanPlate(NamedTuple):
    """Static background of the source camera, also where its pictures do not show it.

    It is larger than the picture, which lies in its middle.

    Attributes:
      frame: sRGB.
      depth: z, world units; 0 where no plate is needed, as the pictures show what rests there.
      instant: of the camera.
    """

    frame: UInt8[ndarray, "p q 3"]
    depth: Float[ndarray, "p q"]
    instant: int


class Place(NamedTuple):
    """The part of a data set that a grid was taken from.

    Attributes:
      dataset: hash of the data set's content.
      split: its split.
      clip: number of the clip in the split.
      view: number of the source view in the clip.
      views: numbers of all views in the clip, the source first.
      instants: numbers of the instants in the clip.
      unit: world units of the data set in one of ours.
    """

    dataset: str
    split: str
    clip: int
    view: int
    views: Int[ndarray, " v"]
    instants: Int[ndarray, " t"]
    unit: float


class Generation(NamedTuple):
    """Record of a prior's completion of a grid.

    Attributes:
      prior_rows: rows of the frames that it generated, before they were enlarged.
      prior_columns: their columns.
      network_calls: how often its network was called.
      generated_share: share of the colours of all frames that are not real that comes from
        networks; the rest are projected pixels of the real views and of the clean plate.
    """

    prior_rows: int
    prior_columns: int
    network_calls: int
    generated_share: float


@dataclass(frozen=True)
class About:
    """Metadata of a grid.

    Attributes:
      note: a sentence for people about what was opened.
      warning: sentences about what may go wrong, one a line; empty for nothing.
      unposed: why the cameras are not known; empty where they are.
      credit: whom to name, and by which licence, beside what is made of the source; empty where its
        file says nothing.
      place: where in a data set the pictures were taken from; None elsewhere.
      rate: frames a second that were requested; None where none were.
      distances: how far the scene is from each real view of a rig, world units; None elsewhere.
      enlarged: whether the grid is larger than what its prior was trained on.
      sound: bytes of an audio file, from the first instant to the last; None for none.
      generation: how it was completed; None where nothing was generated.
    """

    note: str = ""
    warning: str = ""
    unposed: str = ""
    credit: str = ""
    place: Place | None = None
    rate: float | None = None
    distances: Float[ndarray, " k"] | None = None
    enlarged: bool = False
    sound: UInt8[ndarray, " n"] | None = None
    generation: Generation | None = None


@dataclass(frozen=True)
class Grid:
    """V views at T instants; view 0 is the source.

    Attributes:
      frames: sRGB pictures; black where they are missing.
      origin: where each frame comes from, an `Origin`.
      times: seconds at which the instants were taken.
      cameras: of all views; None where they are unknown.
      depth: z-depth of the first d views, world units, 0 where unknown: of the source, of all real
        rows, or of all views; None where all is unknown.
      estimate: z-depth of the source that was found with its camera's path, in the path's unit, 0
        where unknown; None where none was.
      masks: where subjects of the first a views are: of a capture, those that are marked; before a
        camera that moves, whatever passes; None where nothing is said of them.
      points: still points that the real views see; None where the cameras' unit is the world's.
      cloud: positions and colours of points to start from, in the world; None without any.
      between: pictures of the source between the instants; None without any.
      around: pictures that a resting source camera took before and after; None without any.
      plate: what is behind the source's subjects; None where it is unknown.
      about: what is said about it.
    """

    frames: Frames
    origin: Origins
    times: Float[ndarray, " t"]
    cameras: Cameras | None = None
    depth: Float[ndarray, "d t h w"] | None = None
    estimate: Float[ndarray, "t h w"] | None = None
    masks: Bool[ndarray, "m t h w"] | None = None
    points: Points | None = None
    cloud: Float[ndarray, "n 6"] | None = None
    between: PicturesBetween | None = None
    around: UInt8[ndarray, "e h w 3"] | None = None
    plate: CleanPlate | None = None
    about: About = About()

    @property
    def fps(self) -> float:
        """The frames a second by `times`; with one frame those requested, or `DEFAULT_FPS`."""
        t = self.times
        if len(t) > 1:
            return float((len(t) - 1) / (t[-1] - t[0]))
        return self.about.rate or DEFAULT_FPS

    @property
    def known_cameras(self) -> Cameras:
        """The cameras of a grid that is known to have some."""
        assert self.cameras is not None, "its cameras are known"
        return self.cameras

    @property
    def known_depth(self) -> Float[ndarray, "d t h w"]:
        """The depth of a grid that is known to have some."""
        assert self.depth is not None, "its depth is known"
        return self.depth

    @property
    def source_camera(self) -> tuple[Float[ndarray, "3 3"], Float[ndarray, "t 4 4"]]:
        """Intrinsics and world-to-camera poses of the source."""
        cameras = self.known_cameras
        return np.asarray(cameras.intrinsics[0]), np.asarray(cameras.world_to_camera[0])

    @property
    def real_rows(self) -> int:
        """The number of views, from the first on, of which all frames are real."""
        rows = (self.origin == Origin.REAL).all(1)
        return len(rows) if rows.all() else int(rows.argmin())

    @property
    def follows_source(self) -> bool:
        """Whether a prior generated frames from the source's depth: then real views count more."""
        is_mixed = self.has(Origin.GENERATED) and self.has(Origin.REAL)
        return self.depth is not None and is_mixed

    @property
    def only_generated(self) -> bool:
        """Whether all pictures that are fitted count as a generator's, whose views disagree."""
        return self.has(Origin.GENERATED) and not self.has(Origin.REAL)

    @property
    def starts_at_its_end(self) -> bool:
        """Whether view 0 is the first of a column of real frames, at one end of the views."""
        column = self.origin[:, 0] == Origin.REAL
        return bool(column.all()) and self.has(Origin.GENERATED)

    def has(self, origin: Origin) -> bool:
        """Return whether any frame has this origin."""
        return bool((self.origin == origin).any())


def all_real(frames: Frames) -> Origins:
    """Return the `origin` of frames that are all real."""
    return np.full(frames.shape[:2], Origin.REAL, np.uint8)


def around_source(
    frames: Frames, depth: Float[ndarray, "k t h w"], cameras: Cameras
) -> Grid:
    """Return the grid of k real views with depth and of generated views, at `DEFAULT_FPS`.

    Args:
      frames: sRGB pictures of all views, the k real ones first; k may be all.
      depth: of the real views, world units, 0 where unknown.
      cameras: of all views.
    """
    origin = np.full(frames.shape[:2], Origin.GENERATED, np.uint8)
    origin[: len(depth)] = Origin.REAL
    times = np.arange(frames.shape[1]) / DEFAULT_FPS
    return Grid(frames=frames, origin=origin, times=times, cameras=cameras, depth=depth)


def points_in(grid: Grid, view: int = 0) -> SparseDepth | None:
    """Return the static points that a view sees; None if there are none, or none was sought."""
    if grid.points is None:
        return None
    here = grid.points.views == view
    _, *seen = (values[here] for values in grid.points)
    return SparseDepth(*seen) if here.any() else None


def depth_in(grid: Grid, view: int = 0) -> Float[ndarray, "t h w"] | None:
    """Return the depth of a view; None where it is unknown everywhere."""
    if grid.depth is None or view >= len(grid.depth) or not grid.depth[view].any():
        return None
    return grid.depth[view]


def seen_in(view: int, points: SparseDepth | None) -> Points | None:
    """Return still points of one view as those of a grid; None for None."""
    if points is None:
        return None
    return Points(np.full(len(points.depth), view), *points)


def with_missing(grid: Grid, cameras: Cameras) -> Grid:
    """Return a grid with missing views after its own, as many as there are more `cameras`."""
    v, t, h, w, _ = grid.frames.shape
    more = len(cameras.intrinsics) - v
    frames = np.concatenate([grid.frames, np.zeros((more, t, h, w, 3), np.uint8)])
    origin = np.concatenate([grid.origin, np.full((more, t), Origin.MISSING, np.uint8)])
    return replace(grid, frames=frames, origin=origin, cameras=cameras)


def alone(grid: Grid, view: int) -> Grid:
    """Return one real view of a rig as a grid of its own, in the world and unit of its camera."""
    cameras = grid.known_cameras
    assert grid.about.distances is not None, "a rig knows how far the scene is"
    unit = float(grid.about.distances[view])
    poses = np.asarray(cameras.world_to_camera[[view]], np.float64)
    poses = rescale(relative_to(poses, poses[0, 0]), unit).astype(np.float32)
    points = points_in(grid, view)
    if points is not None:
        points = points._replace(depth=points.depth / unit)
    depth = depth_in(grid, view)
    return Grid(
        frames=grid.frames[[view]],
        origin=grid.origin[[view]],
        times=grid.times,
        cameras=replace(cameras.views([view]), world_to_camera=poses),
        depth=None if depth is None else depth[None] / np.float32(unit),
        points=seen_in(0, points),
        about=replace(grid.about, place=None, distances=None),
    )


def grid_arrays(grid: Grid) -> dict[str, ndarray]:
    """Return a grid as named arrays, as `source.npz` and `grid.npz` hold it; see `grid_from`."""
    parts = vars(grid) | {"": grid, "place": grid.about.place}
    parts["generation"] = grid.about.generation
    arrays = {}
    for part in ARRAYS:
        arrays |= part_arrays(part, parts[part])
    return arrays


def part_arrays(part: str, value: Any) -> dict[str, ndarray]:
    """Return a part of a grid, None for none, as named arrays."""
    arrays = {}
    for field, (name, _) in ARRAYS[part].items():
        array = getattr(value, field, None)
        if array is not None:
            arrays[name.removesuffix("?")] = np.asarray(array)
    return arrays


def grid_from(arrays: Mapping[str, ndarray]) -> Grid:
    """Return the grid of named arrays; the inverse of `grid_arrays`.

    What is read from a file is checked there: `session.stage_arrays`.
    """
    if cameras := _fields("cameras", arrays):
        height, width = arrays["frames"].shape[2:4]
        cameras |= {"height": height, "width": width}
    points = _fields("points", arrays)
    between = _fields("between", arrays)
    place = _fields("place", arrays)
    generation = _fields("generation", arrays)
    return Grid(
        **_fields("", arrays),
        cameras=Cameras(**cameras) if cameras else None,
        points=Points(**points) if points else None,
        between=PicturesBetween(**between) if between else None,
        plate=plate_in(arrays),
        about=About(
            place=Place(**place) if place else None,
            generation=Generation(**generation) if generation else None,
            **_fields("about", arrays),
        ),
    )


def plate_in(arrays: Mapping[str, ndarray]) -> CleanPlate | None:
    """Return the clean plate of named arrays; None where there is none."""
    plate = _fields("plate", arrays)
    return CleanPlate(**plate) if plate else None


def _fields(part: str, arrays: Mapping[str, ndarray]) -> dict[str, Any]:
    """Return the fields of a part that there are; those without axes as plain values."""
    names = {field: name.removesuffix("?") for field, (name, _) in ARRAYS[part].items()}
    found = {field: arrays[name] for field, name in names.items() if name in arrays}
    return {field: x if x.ndim else x.item() for field, x in found.items()}
