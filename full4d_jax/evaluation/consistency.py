"""Scores that need no truth, of what runs made and of anybody's films: `full4d evaluate OUT`.

    epipolar    SIFT points matched between views at one instant (`input_pipeline.matches`; no
                camera has a say in that), and Sampson's distance of each match from the epipolar
                line of the *commanded* cameras, pixels: median, and share below 1. All matches
                count, also wrong ones, and those with a point behind a camera as infinitely far.
    networks    CLIP and confidence (`networks`), and distances of sets of grids (`frechet`)

None of them sees quality: a grey grid is consistent. Read them beside the number of matches.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation import frechet, table
from full4d_jax.evaluation import scoring_networks as by_network
from full4d_jax.evaluation.scoring_networks import ScoringNetworks
from full4d_jax.grid import Grid
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.scene_reader import background_in, from_arrays, posed_grid
from full4d_jax.session import errors, files
from full4d_jax.session.stages import Stages, fingerprint
from input_pipeline import matches
from input_pipeline.selection import evenly

SOURCE = "source video"
TITLE = "# Scores without truth"
# So many instants of a grid, evenly spaced, have their views matched.
MATCHED_INSTANTS = 4

Frames = UInt8[np.ndarray, "v t h w 3"]


def score_folder(
    folder: Path,
    networks: ScoringNetworks,
    out: Path | None = None,
    reference: Path | None = None,
    split: str = "train",
) -> None:
    """Score what lies in a folder; write consistency.json and consistency.md.

    Rows are the generated grid, the scene rendered by its cameras if there is one, and the source
    video alone, for comparison. Each output folder's scores are kept in consistency.jsonl, so that
    running again continues.

    Args:
      folder: an output folder, or one with output folders in it, whose means are given.
      networks: for the scores by networks.
      out: folder for the results; by default the same.
      reference: a dataset, an output folder or a folder of these, for FVD and FVD-V.
      split: of that dataset.

    Raises:
      InputError: there is no grid, or one without cameras, a file that cannot be used, or a
        reference with which nothing can be compared.
    """
    folders = {path.name: path for path in frechet.runs_in(folder)}
    # A folder that cannot be scored is refused before any is.
    for path in folders.values():
        posed_grid(Stages(path))
    out = files.hold_folder(out or folder)
    absent = dict(networks.missing)
    distances = _distances(folder, reference, split, absent)

    def scored(_: str, name: str) -> dict[str, Any]:
        stages = Stages(folders[name])
        grid = posed_grid(stages)
        cameras = grid.known_cameras
        subjects = {table.GRID: grid.frames}
        missing = {}
        if (stages.folder / "scene.npz").exists():
            try:
                arrays = stages.finished("scene")
            # It was not fitted to this grid.
            except errors.InputError as stale:
                missing[f"The scene in {name}"] = f"{stale.found}; {stale.do}"
            else:
                times = np.linspace(0, 1, grid.frames.shape[1])
                scene, behind = from_arrays(arrays), background_in(arrays)
                subjects[table.SCENE] = render_views(scene, cameras, times, behind)
        subjects[SOURCE] = grid.frames[:1]
        rows = [
            {"row": row, "depth": "none"} | grid_scores(x, cameras, networks)
            for row, x in subjects.items()
        ]
        return {"rows": rows, "missing": missing}

    # Each run has a line, which another call does not count again.
    jobs = {}
    for name, path in folders.items():
        made_of = {"grid": path / "grid.npz", "scene": path / "scene.npz"}
        sources = made_of | dict(networks.files)
        jobs["consistency", name] = fingerprint(name, sources, {})
    mark = fingerprint("consistency 3", {}, {})
    scored_jobs = table.score_jobs(out / "consistency.jsonl", mark, jobs, scored)
    records = [scored_jobs[key] for key in jobs]
    if distances:
        rows = [{"row": table.GRID, "depth": "none"} | distances]
        records.append({"group": "consistency", "scene": "all folders", "rows": rows})
    table.write_results(out, "consistency", records, TITLE, missing=absent)


def score_capture(
    grid: Grid, name: str, folder: Path, networks: ScoringNetworks
) -> None:
    """Score anybody's films with cameras; write the consistency.* of `score_folder` to a folder.

    Args:
      grid: the films.
      name: of the films, for people.
      folder: for the results.
      networks: for the scores by networks.
    """
    scores = grid_scores(grid.frames, grid.known_cameras, networks)
    rows = [{"row": name, "depth": "none"} | scores]
    records = [{"group": "consistency", "scene": name, "rows": rows}]
    table.write_results(folder, "consistency", records, TITLE, missing=networks.missing)


def grid_scores(
    frames: Frames, cameras: Cameras, networks: ScoringNetworks
) -> dict[str, float | None]:
    """Return all scores of one grid that need no truth; None where there is none."""
    values: dict[str, float] = {}
    if len(frames) > 1:
        values |= epipolar(frames, cameras)
        if networks.pointmaps:
            some = frames[:, evenly(frames.shape[1], MATCHED_INSTANTS)]
            values["confidence"] = by_network.pair_confidence(some, networks.pointmaps)
    if networks.clip:
        embeddings = by_network.embed(networks.clip, frames)
        made = frechet.clips_in_time(embeddings)
        values["clip_f"] = by_network.clip_f(made)
        values["clip_v"] = by_network.clip_v(embeddings)
        if networks.prompt is not None:
            values["clip_score"] = by_network.clip_score(made, networks.prompt)
    return table.for_json(values)


def epipolar(frames: Frames, cameras: Cameras) -> dict[str, float]:
    """Match views, and measure how far the matches lie from the cameras' epipolar lines.

    Args:
      frames: sRGB.
      cameras: the commanded cameras, any unit.

    Returns:
      The mean number of `matches` of a pair of views, and of those `verified`: that agree with one
      epipolar geometry, whichever; the `median` of their distances, pixels, and the share
      `below_one`, both NaN without matches.
    """
    # Of an instant.
    most_pairs = 60
    intrinsics = np.asarray(cameras.intrinsics)
    poses = np.asarray(cameras.world_to_camera).astype(np.float64)
    from_lines = []
    verified = 0
    for instant in evenly(frames.shape[1], MATCHED_INSTANTS):
        views = zip(frames[:, instant], intrinsics, strict=True)
        features = [
            matches.find_features(view, lens, np.zeros(8)) for view, lens in views
        ]
        for match in matches.match_views(features, instant, most_pairs):
            pair = [match.first, match.second]
            own = intrinsics[pair], poses[pair, instant]
            from_lines.append(matches.epipolar_distances(match.points, *own))
            verified += len(match.verified)
    distances = np.concatenate([np.zeros(0), *from_lines])
    count = max(len(from_lines), 1)
    return {
        "matches": len(distances) / count,
        "verified": verified / count,
        "median": float(np.median(distances)) if distances.size else math.nan,
        "below_one": float((distances < 1).mean()) if distances.size else math.nan,
    }


def _distances(
    folder: Path, reference: Path | None, split: str, absent: dict[str, str]
) -> dict[str, float]:
    """Compare generated grids with the reference set; `absent` gets why they are not.

    Raises:
      InputError: all sets are too small.
    """
    if reference is None:
        absent["FVD, FVD-V"] = "no --reference to compare with"
        return {}
    video = frechet.open_i3d(absent)
    if video is None:
        return {}
    made = frechet.open_set(folder, split)
    real = frechet.open_set(reference, split)
    distances, too_few = frechet.compare(made, real, video)
    absent |= too_few
    if not distances:
        found = "; ".join(f"{name}: {why}" for name, why in too_few.items())
        do = "give a folder with more output folders in it, or a larger --reference"
        raise errors.InputError("sets", reference, found, frechet.ENOUGH, do)
    return distances
