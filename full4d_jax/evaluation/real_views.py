"""Compare a generated grid or a fitted scene with the real views of the clip it was made from.

`run` and `lift` of a data set record which clip, views and instants of which data set they
started from, and how long one unit of their world is there (`grid.Place`). A grid is compared in
the views that it generated, a scene in all views of the clip, rendered by their cameras at the
grid's instants. The source view never counts.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation.baselines import copy_source, inpaint_by_marching
from full4d_jax.evaluation.fidelity import (
    ClipRows,
    Frames,
    Regions,
    load_distances,
    moving_region,
    score,
)
from full4d_jax.evaluation.results import sheet, write_results
from full4d_jax.evaluation.table import COPY, GRID, INPAINT, SCENE
from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.grid import Grid, Origin, all_real
from full4d_jax.media.pictures import to_model, to_unit
from full4d_jax.scene.reading import posed_grid
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.scene_arrays import background_in, from_arrays
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.files import hold_folder
from full4d_jax.session.progress import Progress
from full4d_jax.session.stages import Stages
from gaussians import Scene, load_dynamic_ply
from input_pipeline.cameras import relative_to, rescale
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.selection import select
from input_pipeline.transforms import decode

ALL_VIEWS = "all views"


class Truth(NamedTuple):
    """The truth for the grid of an output folder, in that grid's world and unit.

    Attributes:
      grid: the source view, then the targets; depth of the source, or None where it is unknown.
      views: numbers of the targets in the clip.
      grid_rows: numbers of the targets in the folder's grid, -1 for those that it lacks.
    """

    grid: Grid
    views: Int[np.ndarray, " v"]
    grid_rows: Int[np.ndarray, " v"]

    @property
    def targets(self) -> Float[np.ndarray, "v t h w 3"]:
        """The targets in [0, 1]."""
        return self.grid.frames[1:] / np.float32(255)


def find_truth(
    folder: Path,
    grid: Grid,
    dataset: Path,
    *,
    only_in_grid: bool,
) -> tuple[Truth, dict[str, Any]]:
    """Return the truth for an output folder, and the place in the data set for people.

    Args:
      folder: of `run` or `lift` of a data set.
      grid: that of the folder.
      dataset: the data set that the folder was made from.
      only_in_grid: leave out the clip's views that the grid lacks.

    Raises:
      InputError: the folder records no place in a data set, or one in another data set.
    """
    place = grid.about.place
    if place is None:
        where = folder / "grid.npz"
        do = "give full4d run, sample or lift a data set"
        raise InputError(
            "output folder", where, "no record of a data set", "a run from a data set", do
        )
    height, width = grid.frames.shape[2:4]
    # Indices of views and clips mean the same only in the very data set of the run.
    with input_errors("truth", "give the data set that the folder was made from as --truth"):
        records = open_dataset(dataset, place.split)
    if records.content != place.dataset:
        content = f"content {records.content[:16]}"
        expected = f"{place.dataset[:16]}, which {folder} was made from"
        do = "give that data set as --truth, or run again with this one"
        raise InputError("truth", dataset, content, expected, do)
    with input_errors("dataset", "make the dataset again"):
        example = records[place.clip]
        grid_views = place.views.tolist()
        instants = place.instants
        # Real views that a prior was given are no test of it. Where none filled the grid, only the
        # first view counts as given.
        is_made = bool((grid.origin == Origin.GENERATED).any()) and not grid.only_generated
        real_views = grid_views[: grid.real_rows if is_made else 1]
        candidates = grid_views if only_in_grid else range(len(example.frames))
        views = np.array(sorted({*candidates} - {*real_views}), int)
        if not views.size:
            expected = "at least one"
            do = "run again with more views"
            raise InputError("truth", dataset, "no view but what was given", expected, do)
        # The source is read, too: its camera is the world, and its record may have depth.
        read = np.array([grid_views[0], *views])
        first = example.world_to_camera[grid_views[0], instants[0]].astype(np.float64)
        clip = decode(select(example, read, instants), height=height, width=width)
    # Poses and depth are compared in the frame and the unit of the grid.
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
    # -1 marks views that the grid lacks, such as cameras that only the scene is rendered from.
    grid_rows = np.array([grid_views.index(view) if view in grid_views else -1 for view in views])
    return Truth(truth, views, grid_rows), {
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


def score_with_truth(path: Path, kind: str, dataset: Path, *, vgg: bool) -> dict[str, Any]:
    """Score a folder; write truth_KIND.json, truth_KIND.md and truth_KIND.png there.

    Args:
      path: an output folder; for a scene also a .ply file in it.
      kind: "grid" or "scene".
      dataset: the data set that the folder was made from.
      vgg: measure LPIPS with VGG too.

    Returns:
      The content of truth_KIND.json: groups are all targets together, what was held out and what
      the scene was fitted to, where there are both, and each view as a scene.

    Raises:
      InputError: the folder has no grid or scene, or does not record its clip, or the data set is
        another one.
    """
    folder = path.parent if path.suffix == ".ply" else path
    grid = posed_grid(Stages(folder))
    hold_folder(folder)
    scene = load_scene(path) if kind == "scene" else None
    truth, about = find_truth(folder, grid, dataset, only_in_grid=scene is None)
    distances = load_distances(vgg=vgg)
    subject = GRID if scene is None else SCENE
    held_out = np.zeros(truth.targets.shape[:2], bool)
    if scene is None:
        pictures = grid.frames[truth.grid_rows] / np.float32(255)
    else:
        held_out = (grid.origin == Origin.HELD_OUT)[truth.grid_rows]
        held_out |= truth.grid_rows[:, None] < 0
        pictures = _rendered(scene, path, truth, len(grid.times))
    source = truth.grid.frames[0] / np.float32(255)
    rows, regions = with_projection(
        {subject: pictures, COPY: copy_source(source, len(truth.views))}, truth
    )
    parts = scored_parts(truth, held_out)
    records = []
    with Progress("scoring", len(parts)) as report:
        for group, number, part in parts:
            clip = ClipRows(
                scene=number,
                truth=truth.targets[part][:, None],
                regions=Regions(*(None if x is None else x[part][:, None] for x in regions)),
                rows={(name, "none"): x[part][:, None] for name, x in rows.items()},
            )
            records.append(score(clip, group, distances))
            report(len(records))
    new = [str(view) for view, out in zip(truth.views, held_out, strict=True) if out.all()]
    last = {name: frames[:, -1] for name, frames in rows.items()}
    drawn = {"truth": truth.targets[:, -1], subject: last.pop(subject)}
    drawn["difference x2"] = 2 * np.abs(drawn[subject] - drawn["truth"])
    return write_results(
        folder,
        f"truth_{kind}",
        records,
        _preface(about, subject, new),
        about=about | {"held_out_views": new},
        picture=sheet(drawn | last, [f"view {view}" for view in truth.views]),
    )


def scored_parts(
    truth: Truth, held_out: Bool[np.ndarray, "v t"]
) -> list[tuple[str, int, Bool[np.ndarray, "v t"]]]:
    """Return which pictures are scored together: of which group, number in it and pictures."""
    parts = [(ALL_VIEWS, 0, np.ones_like(held_out))]
    if held_out.any() and not held_out.all():
        parts += [("held out", 0, held_out), ("fitted", 0, ~held_out)]
    numbers = np.broadcast_to(np.arange(len(truth.views))[:, None], held_out.shape)
    parts += [("each view", int(view), numbers == i) for i, view in enumerate(truth.views)]
    return parts


def load_scene(path: Path) -> Scene:
    """Return the scene of an output folder, or of a .ply file.

    Raises:
      InputError: there is none, or one that was fitted to another grid.
    """
    if path.suffix == ".ply":
        with input_errors("scene", "give the output folder of full4d run or full4d lift"):
            return load_dynamic_ply(path)
    return from_arrays(Stages(path).finished("scene"))


def _rendered(scene: Scene, path: Path, truth: Truth, instants: int) -> Frames:
    """Return the scene as the targets' cameras see it, in [0, 1]."""
    targets = truth.grid.known_cameras.views(slice(1, None))
    behind = background_in({} if path.suffix == ".ply" else Stages(path).finished("scene"))
    with Progress("rendering", len(truth.views)) as report:
        drawn = render_views(scene, targets, np.linspace(0, 1, instants), behind, report)
    return drawn / np.float32(255)


def with_projection(rows: dict[str, Frames], truth: Truth) -> tuple[dict[str, Frames], Regions]:
    """Add the row of the projection, where there is depth; return the regions too."""
    grid = truth.grid
    moving = moving_region(truth.targets, np.asarray(grid.known_cameras.world_to_camera[1:]))
    if grid.depth is None:
        return rows, Regions(None, moving)
    source = to_model(grid.frames[0])
    seen = jax.jit(project_video)(source, grid.depth[0], grid.known_cameras)
    filled = to_unit(inpaint_by_marching(seen.frames, seen.mask))
    return {**rows, INPAINT: filled}, Regions(1 - np.asarray(seen.mask), moving)


def _preface(about: dict[str, Any], subject: str, held_out: list[str]) -> str:
    """Return the head of the page."""
    whose = {"record": "in the record", "folder": "in the output folder", "unknown": "not known"}
    instants = ", ".join(map(str, about["instants"]))
    other_views = " and ".join(map(str, about["given_views"][1:]))
    views = f"{about['source_view']}{other_views and f', beside it {other_views}'}"
    text = (
        f"# {subject} against the real views of clip {about['clip']} ({about['scene']})\n\n"
        f"Split `{about['split']}` of `{about['dataset']}` (`{about['content'][:16]}`). "
        f"The source is view {views}, at instants {instants}; one unit is "
        f"{about['unit']:.4g} of the dataset's. Its depth is {whose[about['depth']]}."
    )
    return f"{text} These views were not fitted: {', '.join(held_out)}." if held_out else text
