"""Compare a generated grid or a fitted scene with the real views of the clip it was made from.

`clip` reads the truth. A grid is compared in the views that it generated, a scene in all views of
the clip, rendered by their cameras at the grid's instants. The source view never counts.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from full4d_jax.evaluation.baselines import copy_source, inpaint
from full4d_jax.evaluation.fidelity import (
    Distances,
    Regions,
    fidelity_scores,
    load_distances,
    moving_pixels,
)
from full4d_jax.evaluation.table import COPY, INPAINT
from full4d_jax.evaluation.truth.clip import Truth, find_truth
from full4d_jax.evaluation.truth.page import draw, page
from full4d_jax.evaluation.without_truth.grid_scores import GRID, SCENE, read_views
from full4d_jax.generation.projection_guidance import project
from full4d_jax.media.pictures import save_picture, to_unit
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.scene_arrays import background_in, from_arrays
from full4d_jax.session.errors import InputError, input_errors
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
    grid = read_views(folder)
    scene = load_scene(path) if kind == "scene" else None
    size = grid.frames.shape[2:4]
    truth, about = find_truth(folder, dataset, size, only_made=scene is None)
    distances = load_distances(vgg=vgg)
    if scene is None:
        subject, pictures = GRID, grid.frames[truth.made] / np.float32(255)
    else:
        times, targets = np.linspace(0, 1, len(truth.source)), truth.cameras.views(slice(1, None))
        behind = background_in({} if path.suffix == ".ply" else Stages(path).finished("scene"))
        truth = truth._replace(made=_fitted(folder, truth.made))
        subject = SCENE
        pictures = render_views(scene, targets, times, behind) / np.float32(255)
    rows = {subject: pictures, COPY: copy_source(truth.source, len(truth.views))}
    rows, regions = _with_projection(rows, truth)
    result = {**about, "rows": _row_scores(rows, truth, regions, distances)}
    name = f"truth_{kind}"
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    text = page(result, subject)
    (folder / f"{name}.md").write_text(text)
    save_picture(folder / f"{name}.png", draw(rows, truth.frames, truth.views))
    print(text)
    print(f"wrote {folder}/{name}.json, {name}.md, and {name}.png: beside the truth")
    return result


def _fitted(folder: Path, made: Int[np.ndarray, "v"]) -> Int[np.ndarray, "v"]:
    """Return the numbers of the targets in the grid, -1 also for views that were held out."""
    held_out = Stages(folder).finished("grid").get("held_out")
    if held_out is None:
        return made
    return np.where((made >= 0) & held_out[made].all(1), -1, made)


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


def _with_projection(
    rows: Mapping[str, Float[np.ndarray, "v t h w 3"]], truth: Truth
) -> tuple[dict[str, Float[np.ndarray, "v t h w 3"]], Regions]:
    """Add the row of the projection, where there is depth; return the regions too."""
    cameras = truth.cameras
    moving = moving_pixels(truth.frames, np.asarray(cameras.world_to_camera[1:]))
    if truth.depth is None:
        return dict(rows), Regions(np.zeros_like(moving), moving)
    source = 2 * truth.source - 1, truth.depth
    seen = jax.jit(project)(*source, cameras)
    filled = to_unit(inpaint(seen.frames, seen.mask))
    return {**rows, INPAINT: filled}, Regions(1 - np.asarray(seen.mask), moving)


def _row_scores(
    rows: Mapping[str, Float[np.ndarray, "v t h w 3"]],
    truth: Truth,
    regions: Regions,
    distances: Distances,
) -> list[dict[str, Any]]:
    """Return, for every row, the scores of all targets together and then of each."""
    found = []
    for name, pictures in rows.items():
        scores = fidelity_scores(pictures, truth.frames, regions, distances)
        found.append({"row": name, "view": "all", **scores})
        for i, view in enumerate(truth.views):
            one = slice(i, i + 1)
            part = Regions(*(mask[one] for mask in regions))
            scores = fidelity_scores(pictures[one], truth.frames[one], part, distances)
            in_grid = bool(truth.made[i] >= 0)
            found.append({"row": name, "view": int(view), "in_grid": in_grid, **scores})
    return found
