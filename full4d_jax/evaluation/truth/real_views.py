"""The truth for an output folder: what the other cameras of its clip saw.

`run` and `lift` of a data set record which clip, views and instants of which data set they
started from, and how long one unit of their world is there (`grid.Place`).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from full4d_jax.cameras import Cameras
from full4d_jax.grid import Grid, Origin, all_real
from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.cameras import relative_to, rescale
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.selection import select
from input_pipeline.transforms import decode


class Truth(NamedTuple):
    """The truth for the grid of an output folder, in that grid's world and unit.

    Attributes:
      grid: the source view, then the targets; depth of the source, or None where it is unknown.
      views: numbers of the targets in the clip.
      made: numbers of the targets in the folder's grid, -1 for those that it lacks.
    """

    grid: Grid
    views: Int[np.ndarray, " v"]
    made: Int[np.ndarray, " v"]

    @property
    def targets(self) -> Float[np.ndarray, "v t h w 3"]:
        """The targets in [0, 1]."""
        return self.grid.frames[1:] / np.float32(255)


def find_truth(
    folder: Path,
    grid: Grid,
    dataset: Path,
    *,
    only_made: bool,
) -> tuple[Truth, dict[str, Any]]:
    """Return the truth for an output folder, and the place in the data set for people.

    Args:
      folder: of `run` or `lift` of a data set.
      grid: that of the folder.
      dataset: the data set that the folder was made from.
      only_made: leave out the clip's views that the grid lacks.

    Raises:
      InputError: the folder records no place in a data set, or one in another data set.
    """
    place = grid.about.place
    if place is None:
        found = "no record of a data set"
        do = "give full4d run, sample or lift a data set"
        where = folder / "grid.npz"
        raise InputError("output folder", where, found, "a run from a data set", do)
    height, width = grid.frames.shape[2:4]
    with input_errors("truth", "give the data set that the folder was made from as --truth"):
        records = open_dataset(dataset, place.split)
    if records.content != place.dataset:
        found = f"content {records.content[:16]}"
        expected = f"{place.dataset[:16]}, which {folder} was made from"
        do = "give that data set as --truth, or run again with this one"
        raise InputError("truth", dataset, found, expected, do)
    with input_errors("dataset", "make the dataset again"):
        example = records[place.clip]
        grid_views = place.views.tolist()
        instants = place.instants
        is_made = bool((grid.origin == Origin.GENERATED).any()) and not grid.is_generated
        real_views = grid_views[: grid.real_rows if is_made else 1]
        views = sorted(set(grid_views if only_made else range(len(example.frames))) - {*real_views})
        views = np.array(views, int)
        if not views.size:
            expected = "at least one"
            do = "run again with more views"
            raise InputError("truth", dataset, "no view but what was given", expected, do)
        read = np.array([grid_views[0], *views])
        first = example.world_to_camera[grid_views[0], instants[0]].astype(np.float64)
        clip = decode(select(example, read, instants), height=height, width=width)
    poses = relative_to(clip.world_to_camera.astype(np.float64), first)
    poses = rescale(poses, place.unit).astype(np.float32)
    recorded = clip.depth[0] / np.float32(place.unit)
    depth, depth_from = _depth(grid, recorded)
    truth = Grid(
        frames=clip.frames,
        origin=all_real(clip.frames),
        times=grid.times,
        cameras=Cameras(clip.intrinsics, poses, height, width),
        depth=None if depth is None else depth[None],
    )
    made = np.array([grid_views.index(view) if view in grid_views else -1 for view in views])
    return Truth(truth, views, made), {
        "dataset": str(dataset),
        "content": records.content,
        "split": place.split,
        "clip": place.clip,
        "scene": example.scene_id,
        "source_view": grid_views[0],
        "given_views": real_views,
        "instants": instants.tolist(),
        "unit": place.unit,
        "depth": depth_from,
    }


def _depth(
    grid: Grid,
    recorded: Float[np.ndarray, "t h w"],
) -> tuple[Float[np.ndarray, "t h w"] | None, str]:
    """Return depth of the source in the folder's unit, and whose it is."""
    if recorded.any():
        return recorded, "record"
    if grid.depth is None or not grid.follows_source or grid.depth.shape[2:] != recorded.shape[1:]:
        return None, "unknown"  # captures start from all views', or random
    return grid.depth[0].astype(np.float32), "folder"
