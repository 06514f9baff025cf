"""A generated grid or a fitted scene against the real views of the clip that it was made from.

The dataset's clip says the truth; `matching` says which of its views, instants and cameras the
output folder has. A grid is compared in the views whose cameras the clip has too, a scene in all
views of the clip, rendered by their cameras at the grid's instants. The source view never counts.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from full4d_jax.cameras import cameras_of
from full4d_jax.evaluation.baselines import copy_source, inpaint
from full4d_jax.evaluation.fidelity import Regions, load_distances, moving_pixels, score
from full4d_jax.evaluation.split import open_split
from full4d_jax.evaluation.table import COPY, INPAINT
from full4d_jax.evaluation.truth.clip import Known, Wanted, find_clip, find_truth
from full4d_jax.evaluation.truth.page import draw, page
from full4d_jax.evaluation.without_truth.grid_scores import GRID, SCENE, read_views
from full4d_jax.generation.projection_guidance import project
from full4d_jax.media.pictures import save_picture, to_unit
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.scene_arrays import from_arrays
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.stages import Stages
from gaussians import Scene, load_dynamic_ply
from input_pipeline.transforms import decode


def score_with_truth(path: Path, kind: str, wanted: Wanted, *, vgg: bool) -> dict[str, Any]:
    """Score a folder; write truth_KIND.json, truth_KIND.md and truth_KIND.png there.

    Args:
      path: an output folder; for a scene also a .ply file in it.
      kind: "grid" or "scene".
      wanted: the truth.
      vgg: whether LPIPS is measured with VGG too.

    Returns:
      What truth_KIND.json holds.

    Raises:
      InputError: there is no grid or scene, no such clip, or it shows something else, or was seen
        by other cameras.
    """
    folder = path.parent if path.suffix == ".ply" else path
    grid = read_views(folder)
    scene = load_scene(path) if kind == "scene" else None
    records = open_split(wanted.dataset, wanted.split)
    number = find_clip(records, wanted.clip)
    size = grid.frames.shape[2:4]
    with input_errors("dataset", "make the dataset again"):
        example = records[number]
        clip = decode(example, height=size[0], width=size[1])
    known, about = find_truth(
        folder, grid, clip, wanted, posed_alike=scene is None, content=records.content
    )
    distances = load_distances(vgg=vgg)

    if scene is None:
        subject, pictures = GRID, grid.frames[known.made] / np.float32(255)
    else:
        times = np.linspace(0, 1, known.source.shape[0])
        targets = cameras_of(known).views(slice(1, None))
        pictures = render_views(scene, targets, times) / np.float32(255)
        subject = SCENE
    rows = {subject: pictures, COPY: copy_source(known.source, len(known.views))}
    rows, regions = _with_projection(rows, known)
    result = {
        "dataset": str(wanted.dataset),
        "content": records.content,
        "split": records.split,
        "clip": number,
        "scene": example.scene_id,
        **about,
        "rows": _score(rows, known, regions, distances),
    }
    name = f"truth_{kind}"
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    text = page(result, subject)
    (folder / f"{name}.md").write_text(text)
    save_picture(folder / f"{name}.png", draw(rows, known.frames, known.views))
    print(text)
    print(f"wrote {folder}/{name}.json, {name}.md, and {name}.png: beside the truth")
    return result


def load_scene(path: Path) -> Scene:
    """The scene of an output folder, or of a .ply file.

    Raises:
      InputError: there is none, or one of another grid than there is.
    """
    if path.suffix == ".ply":
        do = "give the output folder of full4d run or full4d lift"
        if not path.is_file():
            raise InputError("scene", path, "no such file", "a .ply file of a 4D scene", do)
        with input_errors("scene", do):
            return load_dynamic_ply(path)
    return from_arrays(Stages(path).finished("scene", "lift"))


def _with_projection(
    rows: Mapping[str, np.ndarray], known: Known
) -> tuple[dict[str, np.ndarray], Regions]:
    """The rows with that of the projection, if there is depth, and the regions."""
    moving = moving_pixels(known.frames, known.world_to_camera[1:])
    if known.depth is None:
        return dict(rows), Regions(np.zeros_like(moving), moving)
    source = 2 * known.source - 1, known.depth
    seen = jax.jit(project)(*source, cameras_of(known))
    filled = to_unit(inpaint(seen.frames, seen.mask))
    return {**rows, INPAINT: filled}, Regions(1 - np.asarray(seen.mask), moving)


def _score(
    rows: Mapping[str, Float[np.ndarray, "v t h w 3"]], known: Known, regions: Regions, distances
) -> list[dict[str, Any]]:
    """Of every row all targets together, then each of them."""
    found = []
    for name, pictures in rows.items():
        scores = score(pictures, known.frames, regions, distances)
        found.append({"row": name, "view": "all", **scores})
        for i, view in enumerate(known.views):
            one = slice(i, i + 1)
            part = Regions(*(mask[one] for mask in regions))
            scores = score(pictures[one], known.frames[one], part, distances)
            in_grid = bool(known.made[i] >= 0)
            found.append({"row": name, "view": int(view), "in_grid": in_grid, **scores})
    return found
