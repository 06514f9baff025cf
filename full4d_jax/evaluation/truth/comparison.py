"""Compare a generated grid or a fitted scene with the real views of the clip it was made from.

`real_views` reads the truth. A grid is compared in the views that it generated, a scene in all
views of the clip, rendered by their cameras at the grid's instants. The source view never counts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool

from full4d_jax.evaluation.baselines import copy_source, inpaint_by_marching
from full4d_jax.evaluation.fidelity import (
    Distances,
    Regions,
    fidelity_scores,
    load_distances,
    moving_region,
)
from full4d_jax.evaluation.groups import Frames
from full4d_jax.evaluation.results import write_results
from full4d_jax.evaluation.table import COPY, GRID, INPAINT, SCENE
from full4d_jax.evaluation.truth.comparison_page import draw, page
from full4d_jax.evaluation.truth.real_views import Truth, find_truth
from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.grid import Origin
from full4d_jax.media.pictures import to_model, to_unit
from full4d_jax.scene.reading import posed_grid
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.scene_arrays import background_in, from_arrays
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.files import hold_folder
from full4d_jax.session.progress import Progress
from full4d_jax.session.stages import Stages
from gaussians import Scene, load_dynamic_ply


def score_with_truth(path: Path, kind: str, dataset: Path, *, vgg: bool) -> dict[str, Any]:
    """Score a folder; write truth_KIND.json, truth_KIND.md and truth_KIND.png there.

    Args:
      path: an output folder; for a scene also a .ply file in it.
      kind: "grid" or "scene".
      dataset: the data set that the folder was made from.
      vgg: measure LPIPS with VGG too.

    Returns:
      The content of truth_KIND.json.

    Raises:
      InputError: the folder has no grid or scene, or does not record its clip, or the data set is
        another one.
    """
    folder = path.parent if path.suffix == ".ply" else path
    grid = posed_grid(Stages(folder))
    hold_folder(folder)
    scene = load_scene(path) if kind == "scene" else None
    truth, about = find_truth(folder, grid, dataset, only_made=scene is None)
    distances = load_distances(vgg=vgg)
    if scene is None:
        subject = GRID
        held_out = None
        pictures = grid.frames[truth.made] / np.float32(255)
    else:
        times = np.linspace(0, 1, grid.frames.shape[1])
        targets = truth.grid.known_cameras.views(slice(1, None))
        held_out = (truth.made[:, None] < 0) | (grid.origin == Origin.HELD_OUT)[truth.made]
        behind = background_in({} if path.suffix == ".ply" else Stages(path).finished("scene"))
        with Progress("rendering", len(truth.views)) as report:
            drawn = render_views(scene, targets, times, behind, report)
        subject = SCENE
        pictures = drawn / np.float32(255)
    source = truth.grid.frames[0] / np.float32(255)
    rows = {subject: pictures, COPY: copy_source(source, len(truth.views))}
    rows, regions = _with_projection(rows, truth)
    result = {**about, "rows": _row_scores(rows, truth, regions, distances, held_out)}
    sheet = draw(rows, truth.targets, truth.views)
    text = page(result, subject)
    write_results(folder, f"truth_{kind}", result, text, "beside the truth", sheet)
    return result


def load_scene(path: Path) -> Scene:
    """Return the scene of an output folder, or of a .ply file.

    Raises:
      InputError: there is none, or one that was fitted to another grid.
    """
    if path.suffix == ".ply":
        do = "give the output folder of full4d run or full4d lift"
        if not path.is_file():
            raise InputError("scene", path, "no such file", "a .ply file of a 4D scene", do)
        with input_errors("scene", do):
            return load_dynamic_ply(path)
    return from_arrays(Stages(path).finished("scene"))


def _with_projection(rows: Mapping[str, Frames], truth: Truth) -> tuple[dict[str, Frames], Regions]:
    """Add the row of the projection, where there is depth; return the regions too."""
    grid = truth.grid
    moving = moving_region(truth.targets, np.asarray(grid.known_cameras.world_to_camera[1:]))
    if grid.depth is None:
        return dict(rows), Regions(np.zeros_like(moving), moving)
    source = to_model(grid.frames[0])
    seen = jax.jit(project_video)(source, grid.depth[0], grid.known_cameras)
    filled = to_unit(inpaint_by_marching(seen.frames, seen.mask))
    return {**rows, INPAINT: filled}, Regions(1 - np.asarray(seen.mask), moving)


def _row_scores(
    rows: Mapping[str, Frames],
    truth: Truth,
    regions: Regions,
    distances: Distances,
    held_out: Bool[np.ndarray, "v t"] | None,
) -> list[dict[str, Any]]:
    """Return the scores of every row: of all targets together, of parts of them, and of each.

    The parts are the pictures that a scene was fitted to and those that were held out, where there
    are both.
    """
    shape = truth.targets.shape[:2]
    numbers = np.broadcast_to(np.arange(len(truth.views))[:, None], shape)
    parts: dict[str, Bool[np.ndarray, "v t"]] = {"all": np.ones(shape, bool)}
    if held_out is not None and held_out.any() and not held_out.all():
        parts |= {"held out": held_out, "fitted": ~held_out}
    records = []
    with Progress("scoring", len(rows) * (len(parts) + len(truth.views))) as report:

        def scores(pictures: Frames, part: Bool[np.ndarray, "v t"]) -> dict[str, float | None]:
            image = pictures[part][:, None]
            chosen = Regions(*(None if mask is None else mask[part][:, None] for mask in regions))
            report(len(records) + 1)
            return fidelity_scores(image, truth.targets[part][:, None], chosen, distances)

        for name, pictures in rows.items():
            for part, which in parts.items():
                records.append({"row": name, "view": part, **scores(pictures, which)})
            for i, view in enumerate(truth.views):
                fitted = truth.made[i] >= 0 if held_out is None else not held_out[i].all()
                about = {"row": name, "view": int(view), "in_grid": bool(fitted)}
                records.append({**about, **scores(pictures, numbers == i)})
    return records
