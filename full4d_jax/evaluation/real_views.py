"""Compare a generated grid or a fitted scene with the real views of the clip it was made from.

`run` and `lift` of a data set record which clip, views and instants of which data set they
started from, and how long one unit of their world is there (`grid.Place`). A grid is compared in
the views that it generated, a scene in all views of the clip, rendered by their cameras at the
grid's instants. The source view never counts.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from full4d_jax.evaluation import fidelity, table
from full4d_jax.grid import Grid, Origin
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.scene_reader import background_in, from_arrays, posed_grid
from full4d_jax.session import errors, files, progress, stages
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.plain_files import check_field
from input_pipeline.selection import select
from input_pipeline.transforms import decode


def find_truth(
    folder: Path, grid: Grid, dataset: Path, *, only_in_grid: bool
) -> tuple[Grid, Int[np.ndarray, " v"], dict[str, Any]]:
    """Return the truth for an output folder.

    Args:
      folder: of `run` or `lift` of a data set.
      grid: that of the folder.
      dataset: the data set that the folder was made from.
      only_in_grid: leave out the clip's views that the grid lacks.

    Returns:
      The source view, then the targets, in the world and unit of the folder's grid, with depth of
      the source where it is known; numbers of the targets in the clip; and the place in the data
      set, for people.

    Raises:
      InputError: the folder records no place in a data set, or one in another data set.
    """
    place = grid.about.place
    if place is None:
        found = "no record of a data set"
        do = "give full4d run, sample or lift a data set"
        where = folder / "grid.npz"
        raise errors.InputError("output folder", where, found, "a run of one", do)
    height, width = grid.frames.shape[2:4]
    with errors.input_errors("truth", "give that --truth, or run again with this one"):
        records = open_dataset(dataset, place.split)
        # Indices of views and clips mean the same only in the very data set of the run.
        content = f"content {records.content[:16]}"
        expected = f"{place.dataset[:16]}, which {folder} was made from"
        check_field(dataset, records.content == place.dataset, content, expected)
        example = records[place.clip]
        own = place.views.tolist()
        # Real views that a prior was given are no test of it. Where none filled the grid, only the
        # first view counts as given.
        is_made = grid.has(Origin.GENERATED) and not grid.only_generated
        given = own[: grid.real_rows if is_made else 1]
        candidates = own if only_in_grid else range(len(example.frames))
        views = np.array(sorted({*candidates} - {*given}), int)
        check_field(dataset, views.size, "no view but what was given", "one")
        # The source is read, too: its camera is the world, and its record may have depth.
        chosen = select(example, np.array([own[0], *views]), place.instants)
        clip = decode(chosen, height=height, width=width)
        truth = fidelity.grid_in_source(clip, place.unit)
    whose = "in the record"
    if truth.depth is None:
        # Captures start from all views', or random.
        whose = "not known"
        if grid.depth is not None and grid.follows_source:
            truth = replace(truth, depth=grid.depth[:1].astype(np.float32))
            whose = "in the output folder"
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
    return truth, views, about


def score_with_truth(
    folder: Path, kind: str, dataset: Path, out: Path | None = None
) -> None:
    """Score a folder; write truth_KIND.json, truth_KIND.md and truth_KIND.png.

    Groups are all targets together, what was held out and what the scene was fitted to, where there
    are both, and each view as a scene.

    Args:
      folder: an output folder.
      kind: "grid" or "scene".
      dataset: the data set that the folder was made from.
      out: folder for the results; by default the output folder.

    Raises:
      InputError: the folder has no grid or scene, or does not record its clip, or the data set is
        another one.
    """
    grid = posed_grid(stages.Stages(folder))
    out = files.hold_folder(out or folder)
    truth, views, about = find_truth(folder, grid, dataset, only_in_grid=kind == "grid")
    # The rows of the grid by the views of the clip; only a scene is rendered where there is none.
    assert grid.about.place is not None, "its truth was found"
    rows = {view: row for row, view in enumerate(grid.about.place.views.tolist())}
    if kind == "grid":
        subject = table.GRID
        pictures = grid.frames[[rows[view] for view in views]] / fidelity.LEVELS
        held_out = np.zeros(pictures.shape[:2], bool)
    else:
        subject = table.SCENE
        arrays = stages.Stages(folder).finished("scene")
        targets = truth.known_cameras.views(slice(1, None))
        times = np.linspace(0, 1, len(truth.times))
        scene = from_arrays(arrays)
        rendered = render_views(scene, targets, times, background_in(arrays))
        pictures = rendered / fidelity.LEVELS
        held_out = np.ones(pictures.shape[:2], bool)
        for own, view in zip(held_out, views, strict=True):
            if view in rows:
                own[:] = grid.origin[rows[view]] == Origin.HELD_OUT
    whole = fidelity.rows_of(subject, pictures, truth)
    lpips = fidelity.open_lpips()
    parts = [("all views", 0, np.ones_like(held_out))]
    if held_out.any() and not held_out.all():
        parts += [("held out", 0, held_out), ("fitted", 0, ~held_out)]
    shown = np.broadcast_to(views[:, None], held_out.shape)
    parts += [("each view", int(view), shown == view) for view in views]
    records = [
        {"group": group, "scene": number} | fidelity.score(whole.part(part), lpips)
        for group, number, part in progress.watch("scoring", parts)
    ]
    new = [str(view) for view in views[held_out.all(1)]]
    details = "; ".join(
        f"{name.replace('_', ' ')} {detail}" for name, detail in about.items()
    )
    preface = f"# {subject} against the real views of its clip\n\n{details}."
    if new:
        preface += f" These views were not fitted: {', '.join(new)}."
    table.write_results(
        out,
        f"truth_{kind}",
        records,
        preface,
        about=about | {"held_out_views": new},
        picture=fidelity.sheet(whole, [f"view {view}" for view in views]),
    )
