"""Scores of finished output folders without any truth: `full4d evaluate OUT`."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from full4d_jax.evaluation import consistency
from full4d_jax.evaluation import networks as by_network
from full4d_jax.evaluation.frechet import (
    ENOUGH,
    Comparison,
    clips_in_time,
    open_grid,
    open_i3d,
    open_reference,
    runs_in,
)
from full4d_jax.evaluation.networks import NO_NETWORKS, ScoringNetworks
from full4d_jax.evaluation.results import Job, score_jobs, write_results
from full4d_jax.evaluation.table import GRID, SCENE
from full4d_jax.grid import Grid
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene.reading import background_in, from_arrays, posed_grid
from full4d_jax.scene.renders import scene_renderer
from full4d_jax.session.errors import InputError
from full4d_jax.session.files import hold_folder
from full4d_jax.session.progress import Progress
from full4d_jax.session.stages import Stages, fingerprint
from gaussians import Scene
from input_pipeline.selection import evenly

SOURCE = "source video"
TITLE = "# Scores without truth"
Scores = dict[str, float | None]


def score_folder(
    folder: Path,
    networks: ScoringNetworks,
    out: Path | None = None,
    *,
    reference: Path | None = None,
    split: str = "train",
    inception_onnx: Path | None = None,
) -> dict[str, Any]:
    """Score what lies in a folder; write consistency.json, consistency.md and consistency.png.

    Each output folder's scores are kept in consistency.jsonl, so that running again continues.

    Args:
      folder: an output folder, or one with output folders in it, whose means are given.
      networks: for the scores by networks.
      out: folder for the results; by default the same.
      reference: a dataset, an output folder or a folder of these, for FVD, FVD-V and FID.
      split: of that dataset.
      inception_onnx: Inception as FID wants it.

    Returns:
      The content of consistency.json. Its rows are the generated grid, the scene rendered by its
      cameras if there is one, and the source video alone, for comparison.

    Raises:
      InputError: there is no grid, or one without cameras, a file that cannot be used, or a
        reference with which nothing can be compared.
    """
    # A folder that cannot be scored is refused before any is.
    folders = runs_in(folder)
    for path in folders[1:]:
        posed_grid(Stages(path))
    shown = posed_grid(Stages(folders[0]))
    out = hold_folder(out or folder)
    absent = dict(networks.missing)
    comparison = _compare(folders, reference, split, inception_onnx, absent)

    def scored(path: Path) -> dict[str, Any]:
        subjects, stale = _subjects(path)
        scores = {name: grid_scores(grid, networks) for name, grid in subjects.items()}
        rows = [{"row": name, "depth": "none"} | values for name, values in scores.items()]
        return {"rows": rows, "missing": stale}

    # Each run has a line, which another call does not count again.
    jobs = []
    for path in folders:
        made_of = {"grid": path / "grid.npz", "scene": path / "scene.npz"} | dict(networks.files)
        mark = fingerprint(path.name, made_of, {})
        jobs.append(Job("consistency", path.name, partial(scored, path), mark))
    kept = score_jobs(out / "consistency.jsonl", fingerprint("consistency 3", {}, {}), jobs)
    records = [kept[job.group, job.scene] for job in jobs]
    about = {}
    if comparison:
        for path in folders:
            for name, grid in _subjects(path)[0].items():
                if name != SOURCE:
                    comparison.add(name, grid.frames)
        absent |= comparison.too_few
        features = comparison.features
        about["sets"] = {x: {key: len(y) for key, y in features[x].items()} for x in features}
        rows = [
            {"row": name, "depth": "none"} | comparison.distances(name)
            for name in features
            if name != "reference"
        ]
        records.append({"group": "consistency", "scene": "all folders", "rows": rows})
    picture = consistency.draw_matches(shown.frames, shown.known_cameras)
    return write_results(
        out, "consistency", records, TITLE, missing=absent, about=about, picture=picture
    )


def score_capture(grid: Grid, name: str, folder: Path, networks: ScoringNetworks) -> dict[str, Any]:
    """Score anybody's films with cameras; write the consistency.* of `score_folder` to a folder.

    Args:
      grid: the films.
      name: of the films, for people.
      folder: for the results.
      networks: for the scores by networks.
    """
    row = {"row": name, "depth": "none"} | grid_scores(grid, networks)
    records = [{"group": "consistency", "scene": name, "rows": [row]}]
    picture = consistency.draw_matches(grid.frames, grid.known_cameras)
    return write_results(
        folder, "consistency", records, TITLE, missing=networks.missing, picture=picture
    )


def grid_scores(grid: Grid, networks: ScoringNetworks = NO_NETWORKS) -> Scores:
    """Return all scores of one grid that need no truth; None where there is none.

    Those across views by depth need the depth of all views.
    """
    frames = grid.frames
    videos = clips_in_time(frames)
    values = {
        "warping": float(np.mean([consistency.warping_error(video) for video in videos])),
        "flicker": float(np.mean([consistency.flicker(video) for video in videos])),
    }
    if len(frames) > 1:
        values |= consistency.epipolar(frames, grid.known_cameras)
        if grid.depth is not None:
            values |= consistency.cross_view(frames, grid.depth, grid.known_cameras)
        if networks.pointmaps:
            some = frames[:, evenly(frames.shape[1], consistency.MATCHED_INSTANTS)]
            values["confidence"] = by_network.pair_confidence(some, networks.pointmaps)
    if networks.clip:
        embeddings = by_network.embed(networks.clip, frames)
        made = clips_in_time(embeddings)
        values |= {"clip_f": by_network.clip_f(made), "clip_v": by_network.clip_v(embeddings)}
        if networks.prompt is not None:
            values["clip_score"] = by_network.clip_score(made, networks.prompt)
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _compare(
    folders: list[Path],
    reference: Path | None,
    split: str,
    inception_onnx: Path | None,
    absent: dict[str, str],
) -> Comparison | None:
    """Read the reference set; `absent` gets what cannot be compared with it.

    Raises:
      InputError: all sets are too small.
    """
    image = by_network.load_inception(inception_onnx) if inception_onnx else None
    if reference is None:
        absent["FVD, FVD-V, FID"] = "no --reference to compare with"
        return None
    if not image:
        absent["FID"] = "no --inception_onnx; docs/evaluation.md says how to make one"
    video = open_i3d(absent)
    if not video and not image:
        return None
    grids = [open_grid(path) for path in folders]
    comparison = Comparison(grids, open_reference(reference, split), video, image)
    if not comparison.keys:
        found = "; ".join(f"{name}: {why}" for name, why in comparison.too_few.items())
        do = "give a folder with more output folders in it, or a larger --reference"
        raise InputError("sets", reference, found, ENOUGH, do)
    return comparison


def _subjects(folder: Path) -> tuple[dict[str, Grid], dict[str, str]]:
    """Return what is scored, and why a scene that was not fitted to this grid is not.

    The scene's depth is that of the grid too, whose cameras see it: a grid's own is of few views.
    """
    stages = Stages(folder)
    grid = replace(posed_grid(stages), depth=None)
    source = replace(
        grid,
        frames=grid.frames[:1],
        origin=grid.origin[:1],
        cameras=grid.known_cameras.views(slice(1)),
    )
    subjects = {GRID: grid}
    missing = {}
    if (folder / "scene.npz").exists():
        try:
            scene = stages.finished("scene")
        except InputError as stale:
            missing[f"The scene in {folder.name}"] = f"{stale.found}; {stale.do}"
        else:
            rendered = _rendered(from_arrays(scene), grid, background_in(scene))
            subjects = {GRID: replace(grid, depth=rendered.depth), SCENE: rendered}
    return subjects | {SOURCE: source}, missing


def _rendered(scene: Scene, grid: Grid, background: Float[np.ndarray, "3"]) -> Grid:
    """Render the scene by the cameras of the grid, with its depth."""
    v, t = grid.frames.shape[:2]
    cameras = grid.known_cameras
    frames = np.empty_like(grid.frames)
    depth = np.empty(grid.frames.shape[:4], np.float32)
    draw = scene_renderer(scene, cameras, background)
    times = np.linspace(0, 1, t).tolist()
    with Progress("rendering", v * t) as report:
        for done, (i, j) in enumerate(np.ndindex(v, t), 1):
            picture = draw(cameras.camera(i, j), times[j])
            frames[i, j] = to_uint8(picture.rgb)
            depth[i, j] = np.where(np.asarray(picture.alpha) > 0.5, picture.depth, 0)
            report(done)
    return replace(grid, frames=frames, depth=depth)
