"""Scores that need no truth, of what runs made and of anybody's films: `full4d evaluate OUT`.

    epipolar    SIFT points matched between views at one instant (`input_pipeline.matches`; no
                camera has a say in that), and Sampson's distance of each match from the epipolar
                line of the *commanded* cameras, pixels: median, and share below 1. All matches
                count, also wrong ones, and those with a point behind a camera as infinitely far.
    networks    CLIP and confidence (`networks`), and distances of sets of grids (`frechet`)

None of them sees quality: a grey grid is consistent. Read them beside the number of matches.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation import frechet, results, table
from full4d_jax.evaluation import networks as by_network
from full4d_jax.evaluation.networks import NO_NETWORKS, ScoringNetworks
from full4d_jax.grid import Grid
from full4d_jax.media.pictures import enlarge
from full4d_jax.scene.reading import background_in, from_arrays, posed_grid
from full4d_jax.scene.renders import render_views
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
    *,
    reference: Path | None = None,
    split: str = "train",
) -> None:
    """Score what lies in a folder; write consistency.json, consistency.md and consistency.png.

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
    # A folder that cannot be scored is refused before any is.
    folders = frechet.runs_in(folder)
    for path in folders[1:]:
        posed_grid(Stages(path))
    shown = posed_grid(Stages(folders[0]))
    out = files.hold_folder(out or folder)
    absent = dict(networks.missing)
    comparison = _compare(folders, reference, split, absent)

    def scored(_: str, name: str) -> dict[str, Any]:
        cameras, subjects, stale = _subjects(by_name[name])
        rows = [
            {"row": name, "depth": "none"} | grid_scores(frames, cameras, networks)
            for name, frames in subjects.items()
        ]
        return {"rows": rows, "missing": stale}

    # Each run has a line, which another call does not count again.
    by_name = {path.name: path for path in folders}
    jobs = {}
    for name, path in by_name.items():
        made_of = {"grid": path / "grid.npz", "scene": path / "scene.npz"} | dict(
            networks.files
        )
        jobs["consistency", name] = fingerprint(name, made_of, {})
    mark = fingerprint("consistency 3", {}, {})
    kept = results.score_jobs(out / "consistency.jsonl", mark, jobs, scored)
    records = [kept[key] for key in jobs]
    about = {}
    if comparison:
        for path in folders:
            for name, frames in _subjects(path)[1].items():
                if name != SOURCE:
                    comparison.add(name, frames)
        absent |= comparison.too_few
        features = comparison.features
        about["sets"] = {
            x: {key: len(y) for key, y in features[x].items()} for x in features
        }
        rows = [
            {"row": name, "depth": "none"} | comparison.distances(name)
            for name in features
            if name != "reference"
        ]
        records.append({"group": "consistency", "scene": "all folders", "rows": rows})
    picture = draw_matches(shown.frames, shown.known_cameras)
    results.write_results(
        out, "consistency", records, TITLE, missing=absent, about=about, picture=picture
    )


def score_capture(grid: Grid, name: str, folder: Path, networks: ScoringNetworks) -> None:
    """Score anybody's films with cameras; write the consistency.* of `score_folder` to a folder.

    Args:
      grid: the films.
      name: of the films, for people.
      folder: for the results.
      networks: for the scores by networks.
    """
    seen = grid.frames, grid.known_cameras
    row = {"row": name, "depth": "none"} | grid_scores(*seen, networks)
    records = [{"group": "consistency", "scene": name, "rows": [row]}]
    picture = draw_matches(*seen)
    results.write_results(
        folder, "consistency", records, TITLE, missing=networks.missing, picture=picture
    )


def grid_scores(
    frames: Frames, cameras: Cameras, networks: ScoringNetworks = NO_NETWORKS
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
        values |= {
            "clip_f": by_network.clip_f(made),
            "clip_v": by_network.clip_v(embeddings),
        }
        if networks.prompt is not None:
            values["clip_score"] = by_network.clip_score(made, networks.prompt)
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


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
    most_pairs = 60  # an instant
    instants = evenly(frames.shape[1], MATCHED_INSTANTS)
    pairs = [pair for t in instants for pair in matches_at(frames, cameras, t, most_pairs)]
    distances = np.concatenate([np.zeros(0), *(from_line for _, from_line in pairs)])
    verified = sum(len(match.verified) for match, _ in pairs)
    count = max(len(pairs), 1)
    return {
        "matches": len(distances) / count,
        "verified": verified / count,
        "median": float(np.median(distances)) if distances.size else math.nan,
        "below_one": float((distances < 1).mean()) if distances.size else math.nan,
    }


def matches_at(
    frames: Frames, cameras: Cameras, instant: int, pairs: int
) -> Iterator[tuple[matches.Matches, Float[np.ndarray, " n"]]]:
    """Match `pairs` of views at most; yield how far each match is from its epipolar line, too."""
    intrinsics = np.asarray(cameras.intrinsics)
    poses = np.asarray(cameras.world_to_camera)[:, instant].astype(np.float64)
    views = zip(frames[:, instant], intrinsics, strict=True)
    features = [matches.find_features(view, lens, np.zeros(8)) for view, lens in views]
    for match in matches.match_views(features, instant, pairs):
        pair = [match.first, match.second]
        yield match, matches.epipolar_distances(match.points, intrinsics[pair], poses[pair])


def draw_matches(frames: Frames, cameras: Cameras) -> UInt8[np.ndarray, "H W 3"]:
    """Draw matches of the source with each other view at the first instant."""
    first = frames[:, 0]
    h, w = first.shape[1:3]
    # A picture's larger side has 384 pixels, if it is enlarged.
    scale = max(1, 384 // max(h, w))
    # Green matches are within a pixel of their line.
    green = (60, 220, 90)
    red = (235, 60, 60)
    rows = []
    for match, distances in matches_at(frames, cameras, 0, len(first) ** 2):
        if match.first:
            continue
        row = np.concatenate(
            [enlarge(first[i], scale) for i in (0, match.second)], 1
        ).copy()
        for (a, b), distance in zip(match.points * scale, distances, strict=True):
            start = np.round(a).astype(int).tolist()
            end = np.round(b).astype(int).tolist()
            color = green if distance < 1 else red
            cv2.line(row, start, [end[0] + w * scale, end[1]], color, 1, cv2.LINE_AA)
        rows.append(row)
    return np.concatenate(rows or [enlarge(first[0], scale)])


def _compare(
    folders: list[Path], reference: Path | None, split: str, absent: dict[str, str]
) -> frechet.Comparison | None:
    """Read the reference set; `absent` gets why nothing is compared with it.

    Raises:
      InputError: all sets are too small.
    """
    if reference is None:
        absent["FVD, FVD-V"] = "no --reference to compare with"
        return None
    video = frechet.open_i3d(absent)
    if video is None:
        return None
    grids = [frechet.open_grid(path) for path in folders]
    comparison = frechet.Comparison(grids, frechet.open_reference(reference, split), video)
    if not comparison.keys:
        found = "; ".join(f"{name}: {why}" for name, why in comparison.too_few.items())
        do = "give a folder with more output folders in it, or a larger --reference"
        raise errors.InputError("sets", reference, found, frechet.ENOUGH, do)
    return comparison


def _subjects(
    folder: Path,
) -> tuple[Cameras, dict[str, UInt8[np.ndarray, "_ t h w 3"]], dict[str, str]]:
    """Return what is scored, and why a scene that was not fitted to this grid is not."""
    stages = Stages(folder)
    grid = posed_grid(stages)
    cameras = grid.known_cameras
    subjects = {table.GRID: grid.frames}
    missing = {}
    if (folder / "scene.npz").exists():
        try:
            scene = stages.finished("scene")
        except errors.InputError as stale:
            missing[f"The scene in {folder.name}"] = f"{stale.found}; {stale.do}"
        else:
            times = np.linspace(0, 1, grid.frames.shape[1])
            behind = background_in(scene)
            subjects[table.SCENE] = render_views(from_arrays(scene), cameras, times, behind)
    return cameras, subjects | {SOURCE: grid.frames[:1]}, missing
