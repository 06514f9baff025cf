"""The value that every run starts from, whatever it was opened from, and its saved form."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.media.video import DEFAULT_FPS
from full4d_jax.session.files import Arrays
from input_pipeline.depth_alignment import SparseDepth

DepthOf = Literal["nothing", "the source", "all views"]


class Place(NamedTuple):
    """The part of a data set that a source was taken from.

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


@dataclass(frozen=True)
class Source:
    """The start of a run: a video, a data set's view, a procedural scene, a capture, or two videos.

    Attributes:
      frames: sRGB pictures of the views that have any, the source first.
      given: which of these pictures are there; the others are black.
      times: seconds at which the frames were taken.
      cameras: cameras of the source and of the views known with it; None where none are known.
      depth: z-depth of what `depth_of` names, world units, 0 where unknown; None for "nothing"
        and of a capture without any.
      depth_of: the views whose depth is known before anything is estimated, of a capture all.
      note: a sentence for people about what was opened.
      warning: a sentence about what may go wrong; empty for nothing.
      unposed: why `cameras` are not known; empty where they are.
      place: where in a data set the pictures were taken from; None elsewhere.
      rate: frames a second that were asked for; None where none were.
      points: points of the scene that stand still, in the unit of `cameras`; None where that is the
        world's unit already.
      masks: where the subject of a capture is; None where nobody marked it.
      cloud: positions and colours of points to start from, in the world of `cameras`.
      held_out: which pictures of a capture are not fitted, but scored; None for other sources.
      between: pictures that the source's camera took about half-way between the instants; None
        where there are none, and where the camera moves.
      between_times: seconds at which these were taken.
      beside: other real views of the rig, `cameras` 1 to k, as sources of their own; each is in the
        world and unit of its own camera, which `place` tells.
    """

    frames: UInt8[ndarray, "v t h w 3"]
    given: Bool[ndarray, "v t"]
    times: Float[ndarray, " t"]
    cameras: Cameras | None
    depth: Float[ndarray, "#v t h w"] | None
    depth_of: DepthOf
    note: str
    warning: str = ""
    unposed: str = ""
    place: Place | None = None
    rate: float | None = None
    points: SparseDepth | None = None
    masks: Bool[ndarray, "v t h w"] | None = None
    held_out: Bool[ndarray, "v t"] | None = None
    cloud: Float[ndarray, "n 6"] | None = None
    between: UInt8[ndarray, "b h w 3"] | None = None
    between_times: Float[ndarray, " b"] | None = None
    beside: tuple["Source", ...] = ()

    @property
    def fps(self) -> float:
        """The frames a second by `times`; with one frame those asked for, or `DEFAULT_FPS`."""
        t = self.times
        if len(t) > 1:
            return float((len(t) - 1) / (t[-1] - t[0]))
        return self.rate or DEFAULT_FPS


def all_given(frames: UInt8[ndarray, "v t h w 3"]) -> Bool[ndarray, "v t"]:
    """Return `given` of frames that are all there."""
    return np.ones(frames.shape[:2], bool)


def source_arrays(source: Source) -> Arrays:
    """Return a source as the arrays that the stage `source` saves."""
    values: dict[str, Any] = {
        "frames": source.frames,
        "given": source.given,
        "times": source.times,
        "depth_of": source.depth_of,
        "note": source.note,
        "warning": source.warning,
    }
    if source.cameras is not None:
        values["intrinsics"] = source.cameras.intrinsics
        values["world_to_camera"] = source.cameras.world_to_camera
    if source.depth is not None:
        values["depth"] = source.depth
    if source.place is not None:
        values |= source.place._asdict()
    if source.rate is not None:
        values["rate"] = source.rate
    if source.between is not None:
        values |= {"between": source.between, "between_times": source.between_times}
    if source.unposed:
        values["unposed"] = source.unposed
    if source.points is not None:
        values |= {f"point_{name}": value for name, value in source.points._asdict().items()}
    for i, other in enumerate(source.beside, 1):
        values |= {f"beside{i}_{name}": value for name, value in source_arrays(other).items()}
    return {name: np.asarray(value) for name, value in values.items()}


def source_from(arrays: Mapping[str, ndarray]) -> Source:
    """Return the source that the stage `source` saved."""
    h, w = arrays["frames"].shape[2:4]
    cameras = place = None
    if "intrinsics" in arrays:
        cameras = Cameras(arrays["intrinsics"], arrays["world_to_camera"], h, w)
    if "dataset" in arrays:
        place = _place(arrays)
    saved = str(arrays["depth_of"])
    depth_of: DepthOf = next(kind for kind in get_args(DepthOf) if kind == saved)
    return Source(
        frames=arrays["frames"],
        given=arrays["given"],
        times=arrays["times"],
        cameras=cameras,
        depth=arrays.get("depth"),
        depth_of=depth_of,
        note=str(arrays["note"]),
        warning=str(arrays["warning"]),
        unposed=str(arrays.get("unposed", "")),
        place=place,
        rate=float(arrays["rate"]) if "rate" in arrays else None,
        points=_points(arrays),
        between=arrays.get("between"),
        between_times=arrays.get("between_times"),
        beside=tuple(_beside(arrays)),
    )


def count_beside(arrays: Mapping[str, ndarray]) -> int:
    """Return the number of real views beside the source that saved arrays tell."""
    return len(list(_beside(arrays)))


def _beside(arrays: Mapping[str, ndarray]) -> Iterator[Source]:
    """Yield the other real views that saved arrays tell."""
    for i in count(1):
        mark = f"beside{i}_"
        own = {x.removeprefix(mark): arrays[x] for x in arrays if x.startswith(mark)}
        if not own:
            return
        yield source_from(own)


def _points(arrays: Mapping[str, ndarray]) -> SparseDepth | None:
    """Return the points that saved arrays tell; None without any."""
    if "point_depth" not in arrays:
        return None
    return SparseDepth(*(arrays[f"point_{name}"] for name in SparseDepth._fields))


def _place(arrays: Mapping[str, ndarray]) -> Place:
    """Return the place in a data set that saved arrays tell."""
    return Place(
        str(arrays["dataset"]),
        str(arrays["split"]),
        int(arrays["clip"]),
        int(arrays["view"]),
        arrays["views"],
        arrays["instants"],
        float(arrays["unit"]),
    )
