"""Scores of finished output folders without any truth: `full4d evaluate OUT`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from full4d_jax.evaluation.results import append_lines, open_lines, write_results
from full4d_jax.evaluation.table import GRID, SCENE, Estimate, estimate
from full4d_jax.evaluation.without_truth import consistency
from full4d_jax.evaluation.without_truth import image_features as images
from full4d_jax.evaluation.without_truth.frechet import (
    ENOUGH,
    Comparison,
    clips_in_time,
    finished_folders,
    open_grid,
    open_i3d,
    open_reference,
)
from full4d_jax.evaluation.without_truth.network_files import NetworkFiles
from full4d_jax.evaluation.without_truth.pointmaps import (
    DenseFeatures,
    Pointmaps,
    load_features,
    load_pointmaps,
    pair_scores,
)
from full4d_jax.grid import Grid
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene.reading import posed_grid
from full4d_jax.scene.renders import scene_renderer
from full4d_jax.scene.scene_arrays import background_in, from_arrays
from full4d_jax.session.errors import InputError
from full4d_jax.session.files import hold_folder
from full4d_jax.session.progress import Progress
from full4d_jax.session.stages import Stages, fingerprint
from gaussians import Scene
from input_pipeline.selection import evenly

SOURCE = "source video"
SCORED = "consistency 1"  # another number where a score becomes another
FOLDER = {"mark": str, "scores": dict, "missing": dict}  # fields in the line of a folder
NO_FILE = "no --{}; docs/evaluation.md says how to make one"
BY_NETWORKS = {
    "clip_onnx": "CLIP-F, CLIP-V",
    "clip_text": "CLIP score",
    "matcher_onnx": "Matches by a network (GIM)",
    "pointmaps_onnx": "Confidence of DUSt3R",
    "features_onnx": "MEt3R",
}
HEADS = {  # of docs/evaluation.md, and how numbers are written
    "matches": ("matches a pair", "{:.0f}"),
    "verified": ("of these verified", "{:.0f}"),
    "median": ("epipolar error, pixels", "{:.2f}"),
    "below_one": ("below 1 pixel", "{:.0%}"),
    "matched": ("matches by --matcher_onnx, a pair", "{:.0f}"),
    "warping": ("warping in time", "{:.5f}"),
    "flicker": ("flicker", "{:.4f}"),
    "cross_view": ("warping across views", "{:.5f}"),
    "cross_view_seen": ("pixels that are in both views", "{:.0%}"),
    "clip_f": ("CLIP-F", "{:.2f}"),
    "clip_v": ("CLIP-V", "{:.2f}"),
    "clip_score": ("CLIP score", "{:.2f}"),
    "confidence": ("confidence by --pointmaps_onnx", "{:.2f}"),
    "met3r": ("MEt3R", "{:.4f}"),
    "fvd": ("FVD", "{:.1f}"),
    "fvd_v": ("FVD-V", "{:.1f}"),
    "fid": ("FID", "{:.1f}"),
}
Scores = dict[str, float | None]


class ScoringNetworks(NamedTuple):
    """The networks that a person gave; their scores are those of `BY_NETWORKS`."""

    clip: images.ImageFeatures | None = None
    prompt: Float[np.ndarray, " c"] | None = None
    matcher: images.Matcher | None = None
    pointmaps: Pointmaps | None = None
    features: DenseFeatures | None = None


NO_NETWORKS = ScoringNetworks()


def score_folder(
    folder: Path,
    *,
    reference: Path | None = None,
    split: str,
    networks: NetworkFiles,
    inception_onnx: Path | None = None,
) -> dict[str, Scores]:
    """Score what lies in a folder; write consistency.json, consistency.md and consistency.png.

    Each output folder's scores are kept in consistency.jsonl, so that running again continues.

    Args:
      folder: an output folder, or one with output folders in it, whose means are given.
      reference: a dataset, an output folder or a folder of these, for FVD, FVD-V and FID.
      split: of that dataset.
      networks: for the scores by networks.
      inception_onnx: Inception as FID wants it.

    Returns:
      Scores by row: the generated grid, the scene rendered by its cameras if there is one, and the
      source video alone, for comparison.

    Raises:
      InputError: there is no grid, or one without cameras, a file that cannot be used, or a
        reference with which nothing can be compared.
    """
    # A folder that cannot be scored is refused before networks are loaded.
    folders = finished_folders(folder)
    for path in folders:
        posed_grid(Stages(path))
    hold_folder(folder)
    loaded, missing = load_scoring_networks(networks)
    comparison = _compare(folders, reference, split, inception_onnx, missing)

    # Each run has a line, which another call does not count again.
    file = folder / "consistency.jsonl"
    scores = {name: {} for name in (GRID, SCENE, SOURCE)}
    lines = {x["mark"]: x for x in open_lines(file, fingerprint(SCORED, {}, {}), FOLDER)}
    for path in folders:
        made_of = {"grid": path / "grid.npz", "scene": path / "scene.npz"} | vars(networks)
        mark = fingerprint(path.name, made_of, {})
        # Pictures are needed again where sets are compared: their features are not kept.
        subjects, stale = ({}, {}) if mark in lines and not comparison else _subjects(path)
        if mark not in lines:
            scores_by_subject = {
                k: grid_scores(x, loaded, f"{path.name}, {k}") for k, x in subjects.items()
            }
            lines[mark] = {"mark": mark, "scores": scores_by_subject, "missing": stale}
            append_lines(file, [lines[mark]])
        missing |= lines[mark]["missing"]
        for name, by_key in lines[mark]["scores"].items():
            scores[name][path.name] = by_key
        for name, grid in subjects.items():
            if comparison and name != SOURCE:
                comparison.add(name, grid.frames)
    # Rows are means over the runs that have a score.
    scores = {name: by_folder for name, by_folder in scores.items() if by_folder}
    estimates = {name: _estimates(list(by_folder.values())) for name, by_folder in scores.items()}
    rows: dict[str, Scores] = {
        name: {key: x.mean if x.count else None for key, x in by_key.items()}
        for name, by_key in estimates.items()
    }
    counts = {
        name: {key: (x.count, len(folders)) for key, x in by_key.items()}
        for name, by_key in estimates.items()
    }
    if comparison:
        rows = {name: by_key | comparison.distances(name) for name, by_key in rows.items()}

    result = {"scores": rows, "missing": missing}
    result |= {"sets": comparison.sizes} if comparison else {}
    result |= {"folders": scores} if len(folders) > 1 else {}
    _write_pages(folder, result, table(rows, missing, counts), posed_grid(Stages(folders[0])))
    return rows


def load_scoring_networks(files: NetworkFiles) -> tuple[ScoringNetworks, dict[str, str]]:
    """Open the networks that are given, and say which scores of `grid_scores` are missing and why.

    Raises:
      InputError: a file that cannot be used, or that is of no use without another.
    """
    for name, needed in (("clip_text", "clip_onnx"), ("features_onnx", "pointmaps_onnx")):
        if getattr(files, name) and not getattr(files, needed):
            do = "give both, or neither"
            raise InputError("option", f"--{needed}", "none", f"one, with --{name}", do)
    clip = images.load_clip(files.clip_onnx) if files.clip_onnx else None
    networks = ScoringNetworks(
        clip=clip,
        prompt=images.load_prompt(files.clip_text, clip) if clip and files.clip_text else None,
        matcher=images.load_matcher(files.matcher_onnx) if files.matcher_onnx else None,
        pointmaps=load_pointmaps(files.pointmaps_onnx) if files.pointmaps_onnx else None,
        features=load_features(files.features_onnx) if files.features_onnx else None,
    )
    missing = {
        name: NO_FILE.format(flag)
        for flag, name in BY_NETWORKS.items()
        if getattr(files, flag) is None
    }
    return networks, missing


def score_capture(
    grid: Grid,
    name: str,
    folder: Path,
    networks: NetworkFiles,
) -> Scores:
    """Score anybody's films with cameras; write the consistency.* of `score_folder` to a folder.

    Args:
      grid: the films.
      name: of the films, for people.
      folder: for the results.
      networks: for the scores by networks.
    """
    loaded, missing = load_scoring_networks(networks)
    rows = {name: grid_scores(grid, loaded, name)}
    result = {"scores": rows, "missing": missing}
    _write_pages(folder, result, table(rows, missing, {}), grid)
    return rows[name]


def table(
    rows: Mapping[str, Scores],
    missing: Mapping[str, str],
    counts: Mapping[str, Mapping[str, tuple[int, int]]],
    heads: Mapping[str, tuple[str, str]] = HEADS,
) -> str:
    """Return a line for each known score, a column for each subject, and what is missing.

    Args:
      rows: scores by subject.
      missing: why scores are not there, by their names.
      counts: of how many folders a score is, by subject and score; left out, of all.
      heads: what each score is called, and how it is written, in the order of the lines.

    A mean over fewer folders than there are says so: a grid without matches has no epipolar error,
    which must not look like a good one.
    """
    lines = ["| | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for key, (head, form) in heads.items():
        values = [scores.get(key) for scores in rows.values()]
        if any(value is not None for value in values):
            of = [counts.get(name, {}).get(key, (1, 1)) for name in rows]
            cells = [
                "-" if value is None else form.format(value) + (f" ({n} of {m})" if n < m else "")
                for value, (n, m) in zip(values, of, strict=True)
            ]
            lines.append(f"| {head} | " + " | ".join(cells) + " |")
    if missing:
        lines += ["", *(f"- {name} not scored: {why}" for name, why in missing.items())]
    return "\n".join(lines) + "\n"


def _write_pages(folder: Path, result: dict, page: str, grid: Grid) -> None:
    sheet = consistency.draw_matches(grid.frames, grid.known_cameras)
    write_results(folder, "consistency", result, page, "points matched", sheet)


def grid_scores(
    grid: Grid,
    networks: ScoringNetworks = NO_NETWORKS,
    label: str = "grid",
) -> Scores:
    """Return all scores of one grid; None where there is none.

    Those across views by depth need the depth of all views.
    """
    parts: list[Callable[[], dict[str, float]]] = [partial(_in_time, grid)]
    if len(grid.frames) > 1:
        parts.append(lambda: consistency.epipolar(grid.frames, grid.known_cameras)._asdict())
        parts.append(partial(_across_views, grid))
        # All views at the instants whose views are matched by SIFT.
        some = grid.frames[:, evenly(grid.frames.shape[1], consistency.INSTANTS)]
        if matcher := networks.matcher:
            parts.append(lambda: {"matched": images.matched(matcher, some)})
        if networks.pointmaps:
            parts.append(partial(pair_scores, some, networks.pointmaps, networks.features))
    if networks.clip:
        parts.append(partial(_by_clip, grid, networks.clip, networks.prompt))
    values: dict[str, float] = {}
    with Progress(f"scores of {label}", len(parts)) as report:
        for done, part in enumerate(parts, 1):
            values |= part()
            report(done)
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _in_time(grid: Grid) -> dict[str, float]:
    videos = clips_in_time(grid.frames)
    return {
        "warping": float(np.mean([consistency.warping_error(video) for video in videos])),
        "flicker": float(np.mean([consistency.flicker(video) for video in videos])),
    }


def _across_views(grid: Grid) -> dict[str, float]:
    if grid.depth is None:
        return {}
    across = consistency.cross_view(grid.frames, grid.depth, grid.known_cameras)
    return {"cross_view": across.error, "cross_view_seen": across.seen}


def _by_clip(
    grid: Grid, clip: images.ImageFeatures, prompt: Float[np.ndarray, " c"] | None
) -> dict[str, float]:
    embeddings = images.embed(clip, grid.frames)
    made = embeddings[1:] if len(embeddings) > 1 else embeddings
    scores = {"clip_f": images.clip_f(made), "clip_v": images.clip_v(embeddings)}
    return scores if prompt is None else scores | {"clip_score": images.clip_score(made, prompt)}


def _compare(
    folders: list[Path],
    reference: Path | None,
    split: str,
    inception_onnx: Path | None,
    missing: dict[str, str],
) -> Comparison | None:
    """Read the reference set; `missing` gets what cannot be compared with it."""
    image = images.load_inception(inception_onnx) if inception_onnx else None
    if reference is None:
        missing["FVD, FVD-V, FID"] = "no --reference to compare with"
        return None
    if not image:
        missing["FID"] = NO_FILE.format("inception_onnx")
    video = open_i3d(missing)
    if not video and not image:
        return None
    grids = [open_grid(path) for path in folders]
    comparison = Comparison(grids, open_reference(reference, split), video, image)
    missing |= comparison.too_few
    if not comparison.keys:
        found = "; ".join(f"{name}: {sizes}" for name, sizes in comparison.refused.items())
        do = "give a folder with more output folders in it, or a larger --reference"
        raise InputError("sets", reference, found, ENOUGH, do)
    return comparison


def _subjects(folder: Path) -> tuple[dict[str, Grid], dict[str, str]]:
    """Return what is scored, and why a scene that was not fitted to this grid is not.

    The scene's depth is that of the grid too, whose cameras see it: a grid's own is of few views.
    """
    stages = Stages(folder)
    grid = replace(posed_grid(stages), depth=None)
    subjects = {GRID: grid}
    missing = {}
    scene = None
    if (folder / "scene.npz").exists():
        try:
            scene = stages.finished("scene")
        except InputError as stale:
            missing[f"The scene in {folder.name}"] = f"{stale.found}; {stale.do}"
    if scene is not None:
        rendered = _rendered(from_arrays(scene), grid, background_in(scene))
        subjects = {GRID: replace(grid, depth=rendered.depth), SCENE: rendered}
    cameras = grid.known_cameras.views(slice(1))
    source = replace(grid, frames=grid.frames[:1], origin=grid.origin[:1], cameras=cameras)
    return subjects | {SOURCE: source}, missing


def _estimates(scores: list[Scores]) -> dict[str, Estimate]:
    """Return means over the folders that have the score."""
    keys = dict.fromkeys(key for by_key in scores for key in by_key)
    return {key: estimate([x.get(key) for x in scores]) for key in keys}


def _rendered(scene: Scene, grid: Grid, background: Float[np.ndarray, "3"]) -> Grid:
    """Render the scene by the cameras of the grid, with its depth."""
    v, t, h, w = grid.frames.shape[:4]
    cameras = grid.known_cameras
    frames = np.empty_like(grid.frames)
    depth = np.empty((v, t, h, w), np.float32)
    draw = scene_renderer(scene, cameras, range(v), background)
    with Progress("rendering", v * t) as report:
        for i in range(v):
            for j, time in enumerate(np.linspace(0, 1, t)):
                picture = draw(cameras.camera(i, j), time)
                frames[i, j] = to_uint8(picture.rgb)
                depth[i, j] = np.where(np.asarray(picture.alpha) > 0.5, picture.depth, 0)
                report(i * t + j + 1)
    return replace(grid, frames=frames, depth=depth)
