"""Compare a generated grid or a fitted scene with the real views of the clip it was made from.

`run` and `lift` of a data set record which clip, views and instants of which data set they
started from, and how long one unit of their world is there (`grid.Place`). A grid is compared in
the views that it generated, a scene in all views of the clip, rendered by their cameras at the
grid's instants. The source view never counts.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from full4d_jax.evaluation import in_source, results, table
from full4d_jax.evaluation.fidelity import (
    LEVELS,
    ClipRows,
    Frames,
    compare,
    load_distances,
    score,
)
from full4d_jax.grid import Grid, Origin
from full4d_jax.scene.reading import background_in, from_arrays, posed_grid
from full4d_jax.scene.renders import render_views
from full4d_jax.session import files, progress, stages
from full4d_jax.session.errors import InputError, input_errors
from gaussians import load_dynamic_ply
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.selection import select
from input_pipeline.transforms import decode


def find_truth(
    folder: Path, grid: Grid, dataset: Path, *, only_in_grid: bool
) -> tuple[Grid, list[int], Int[np.ndarray, " v"], dict[str, Any]]:
    """Return the truth for an output folder.

    Args:
      folder: of `run` or `lift` of a data set.
      grid: that of the folder.
      dataset: the data set that the folder was made from.
      only_in_grid: leave out the clip's views that the grid lacks.

    Returns:
      The source view, then the targets, in the world and unit of the folder's grid, with depth of
      the source where it is known; numbers of the targets in the clip; their numbers in the
      folder's grid, -1 for those that it lacks; and the place in the data set, for people.

    Raises:
      InputError: the folder records no place in a data set, or one in another data set.
    """
    place = grid.about.place
    if place is None:
        found = "no record of a data set"
        do = "give full4d run, sample or lift a data set"
        raise InputError("output folder", folder / "grid.npz", found, "a run of one", do)
    height, width = grid.frames.shape[2:4]
    # Indices of views and clips mean the same only in the very data set of the run.
    with input_errors(
        "truth", "give the data set that the folder was made from as --truth"
    ):
        records = open_dataset(dataset, place.split)
    if records.content != place.dataset:
        content = f"content {records.content[:16]}"
        expected = f"{place.dataset[:16]}, which {folder} was made from"
        do = "give that data set as --truth, or run again with this one"
        raise InputError("truth", dataset, content, expected, do)
    with input_errors("dataset", "make the dataset again"):
        example = records[place.clip]
        own = place.views.tolist()
        # Real views that a prior was given are no test of it. Where none filled the grid, only the
        # first view counts as given.
        is_made = bool((grid.origin == Origin.GENERATED).any()) and not grid.only_generated
        given = own[: grid.real_rows if is_made else 1]
        candidates = own if only_in_grid else range(len(example.frames))
        views = sorted({*candidates} - {*given})
        if not views:
            found = "no view but what was given"
            raise InputError("truth", dataset, found, "one", "run again with more views")
        # The source is read, too: its camera is the world, and its record may have depth.
        chosen = select(example, np.array([own[0], *views]), place.instants)
        truth = in_source.grid_in_source(
            decode(chosen, height=height, width=width), place.unit
        )
    whose = "record"
    if truth.depth is None:
        # Captures start from all views', or random.
        whose = "unknown"
        if grid.depth is not None and grid.follows_source:
            truth = replace(truth, depth=grid.depth[:1].astype(np.float32))
            whose = "folder"
    # -1 marks views that the grid lacks, such as cameras that only the scene is rendered from.
    grid_rows = np.array([own.index(view) if view in own else -1 for view in views])
    about = {
        "dataset": str(dataset),
        "content": records.content,
        "split": place.split,
        "clip": place.clip,
        "scene": example.scene_id,
        "source_view": own[0],
        "given_views": given,
        "instants": place.instants.tolist(),
        "unit": place.unit,
        "depth": whose,
    }
    return truth, views, grid_rows, about


def score_with_truth(
    path: Path, kind: str, dataset: Path, out: Path | None = None, *, vgg: bool
) -> None:
    """Score a folder; write truth_KIND.json, truth_KIND.md and truth_KIND.png.

    Groups are all targets together, what was held out and what the scene was fitted to, where there
    are both, and each view as a scene.

    Args:
      path: an output folder; for a scene also a .ply file in it.
      kind: "grid" or "scene".
      dataset: the data set that the folder was made from.
      out: folder for the results; by default the output folder.
      vgg: measure LPIPS with VGG too.

    Raises:
      InputError: the folder has no grid or scene, or does not record its clip, or the data set is
        another one.
    """
    folder = path.parent if path.suffix == ".ply" else path
    grid = posed_grid(stages.Stages(folder))
    out = files.hold_folder(out or folder)
    truth, views, grid_rows, about = find_truth(
        folder, grid, dataset, only_in_grid=kind == "grid"
    )
    if kind == "grid":
        subject = table.GRID
        pictures = grid.frames[grid_rows] / LEVELS
        held_out = np.zeros(pictures.shape[:2], bool)
    else:
        subject = table.SCENE
        pictures = _rendered(path, truth)
        held_out = (grid.origin == Origin.HELD_OUT)[grid_rows]
        held_out |= grid_rows[:, None] < 0
    whole = rows_of(subject, pictures, truth)
    distances = load_distances(vgg=vgg)
    parts = scored_parts(views, held_out)
    records = [
        {"group": group, "scene": number} | score(whole.part(part), distances)
        for group, number, part in progress.watch("scoring", parts)
    ]
    new = [str(views[i]) for i in np.flatnonzero(np.all(held_out, axis=1))]
    results.write_results(
        out,
        f"truth_{kind}",
        records,
        _preface(about, subject, new),
        about=about | {"held_out_views": new},
        picture=compared_sheet(whole, [f"view {view}" for view in views]),
    )


def rows_of(subject: str, pictures: Frames, truth: Grid) -> ClipRows:
    """Return pictures of the targets beside the baselines, with the truth and its regions."""
    clip = compare(truth, {} if truth.depth is None else {"none": truth.depth[0]})
    return clip._replace(rows={(subject, "none"): pictures} | dict(clip.rows))


def compared_sheet(clip: ClipRows, labels: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the last instant: the truth, the first row, what is wrong with it, the other rows."""
    truth = clip.truth[:, -1]
    (name, first), *others = [
        (row, frames[:, -1]) for (row, _), frames in clip.rows.items()
    ]
    pictures = {"truth": truth, name: first, "difference x2": 2 * np.abs(first - truth)}
    return results.sheet(pictures | dict(others), labels)


def scored_parts(
    views: list[int], held_out: Bool[np.ndarray, "v t"]
) -> list[tuple[str, int, Bool[np.ndarray, "v t"]]]:
    """Return which pictures are scored together: of which group, number in it and pictures."""
    parts = [("all views", 0, np.ones_like(held_out))]
    if held_out.any() and not held_out.all():
        parts += [("held out", 0, held_out), ("fitted", 0, ~held_out)]
    numbers = np.broadcast_to(np.array(views)[:, None], held_out.shape)
    return parts + [("each view", view, numbers == view) for view in views]


def _rendered(path: Path, truth: Grid) -> Float[np.ndarray, "v t h w 3"]:
    """Return the scene of an output folder or a .ply file as the targets' cameras see it.

    Raises:
      InputError: there is none, or one that was fitted to another grid.
    """
    arrays = {}
    if path.suffix == ".ply":
        with input_errors("scene", "give the output folder of full4d run or full4d lift"):
            scene = load_dynamic_ply(path)
    else:
        arrays = stages.Stages(path).finished("scene")
        scene = from_arrays(arrays)
    targets = truth.known_cameras.views(slice(1, None))
    times = np.linspace(0, 1, len(truth.times))
    return render_views(scene, targets, times, background_in(arrays)) / LEVELS


def _preface(about: dict[str, Any], subject: str, held_out: list[str]) -> str:
    """Return the head of the page."""
    whose = {
        "record": "in the record",
        "folder": "in the output folder",
        "unknown": "not known",
    }
    instants = ", ".join(map(str, about["instants"]))
    given = " and ".join(map(str, about["given_views"]))
    text = (
        f"# {subject} against the real views of clip {about['clip']} ({about['scene']})\n\n"
        f"Split `{about['split']}` of `{about['dataset']}` (`{about['content'][:16]}`). "
        f"The source is view {given}, at instants {instants}; one unit is "
        f"{about['unit']:.4g} of the dataset's. Its depth is {whose[about['depth']]}."
    )
    return (
        f"{text} These views were not fitted: {', '.join(held_out)}." if held_out else text
    )
