"""Scores of a finished output folder without any truth: `full4d evaluate --grid`."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.errors import InputError
from full4d_jax.evaluation import consistency
from full4d_jax.lifting import from_arrays
from full4d_jax.outputs import enlarge
from full4d_jax.pictures import save_picture, to_uint8
from full4d_jax.progress import Progress
from full4d_jax.stages import read_arrays
from gaussians import Camera, render
from input_pipeline.matches import epipolar_distances, find_features, match_views

SHOWN_SIDE = 384  # pixels of a picture's larger side on the page
GOOD, BAD = (60, 220, 90), (235, 60, 60)  # colours of matches within a pixel of their line, or not


class Views(NamedTuple):
    """A grid and its cameras; depth where something is known of it."""

    frames: UInt8[np.ndarray, "v t h w 3"]
    intrinsics: Float[np.ndarray, "v 3 3"]
    world_to_camera: Float[np.ndarray, "v t 4 4"]
    depth: Float[np.ndarray, "v t h w"] | None = None


def score_folder(folder: Path) -> dict[str, dict[str, float | None]]:
    """Score what lies in a folder; write consistency.json, consistency.md and consistency.png.

    Returns:
      Scores by row: the generated grid, the scene rendered by its cameras if there is one, and the
      source video alone, for comparison.

    Raises:
      InputError: there is no grid, or one without cameras.
    """
    arrays = read_arrays(folder / "grid.npz")
    missing = [name for name in Views._fields[:3] if name not in arrays]
    if missing:
        found, do = f"no {', '.join(missing)} in grid.npz", "run full4d run or full4d sample first"
        raise InputError("output folder", folder, found, "a finished grid with cameras", do)
    grid = Views(*(arrays[name] for name in Views._fields[:3]))
    subjects = {"generated grid": grid}
    scene = read_arrays(folder / "scene.npz")
    if "means" in scene:
        subjects["4D Gaussians"] = _rendered(from_arrays(scene), grid)
    rows = {name: score(views) for name, views in subjects.items()}
    rows["source video"] = score(Views(*(x[:1] for x in grid[:3])))
    (folder / "consistency.json").write_text(json.dumps(rows, indent=1) + "\n")
    page = table(rows)
    (folder / "consistency.md").write_text(page)
    save_picture(folder / "consistency.png", draw_matches(grid))
    print(page)
    print(f"wrote {folder}/consistency.json, consistency.md, and consistency.png: points matched")
    return rows


def score(views: Views) -> dict[str, float | None]:
    """All of `consistency` for one grid; None for what does not exist."""
    found = dict.fromkeys(consistency.Epipolar._fields, math.nan)
    if len(views.frames) > 1:
        found = consistency.epipolar(*views[:3])._asdict()
    # The source of a grid is given; only others are somebody's work.
    videos = views.frames[1:] if len(views.frames) > 1 else views.frames
    found["warping"] = float(np.mean([consistency.warping_error(video) for video in videos]))
    found["flicker"] = float(np.mean([consistency.flicker(video) for video in videos]))
    found["cross_view"] = math.nan
    if views.depth is not None:
        cameras = views.intrinsics, views.world_to_camera
        found["cross_view"] = consistency.cross_view_error(views.frames, views.depth, *cameras)
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def table(rows: dict[str, dict[str, float | None]]) -> str:
    """A table of markdown."""
    heads = {
        "matches": ("matches a pair", "{:.0f}"),
        "median": ("epipolar error, pixels", "{:.2f}"),
        "below_one": ("below 1 pixel", "{:.0%}"),
        "warping": ("warping in time", "{:.5f}"),
        "flicker": ("flicker", "{:.4f}"),
        "cross_view": ("warping across views", "{:.5f}"),
    }
    lines = ["| | " + " | ".join(head for head, _ in heads.values()) + " |"]
    lines.append("|---" * (len(heads) + 1) + "|")
    for name, scores in rows.items():
        values = [scores[key] for key in heads]
        forms = [form for _, form in heads.values()]
        cells = ["-" if v is None else f.format(v) for v, f in zip(values, forms, strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw_matches(views: Views) -> UInt8[np.ndarray, "H W 3"]:
    """Matches of the source with each other view at the first instant, by their distance."""
    first, no_lens = views.frames[:, 0], np.zeros(8)
    h, w = first.shape[1:3]
    scale = max(1, SHOWN_SIDE // max(h, w))
    features = [
        find_features(frame, lens, no_lens)
        for frame, lens in zip(first, views.intrinsics, strict=True)
    ]
    rows = []
    for match in match_views(features, 0, len(first) ** 2):
        if match.first:
            continue
        pair = [0, match.second]
        poses = views.world_to_camera[pair, 0].astype(np.float64)
        distances = epipolar_distances(match.points, views.intrinsics[pair], poses)
        row = np.concatenate([enlarge(first[i], scale) for i in pair], 1).copy()
        for (a, b), distance in zip(match.points * scale, distances, strict=True):
            start, end = np.round(a).astype(int).tolist(), np.round(b).astype(int).tolist()
            color = GOOD if distance < 1 else BAD
            cv2.line(row, start, [end[0] + w * scale, end[1]], color, 1, cv2.LINE_AA)
        rows.append(row)
    return np.concatenate(rows or [enlarge(first[0], scale)])


def _rendered(scene, grid: Views) -> Views:
    """The scene by the cameras of the grid, with its depth."""
    v, t, h, w = grid.frames.shape[:4]
    frames, depth = np.empty_like(grid.frames), np.empty((v, t, h, w), np.float32)
    at = jax.jit(type(scene).at)
    with Progress("rendering", v * t) as report:
        for i, j in np.ndindex(v, t):
            time = np.float32(j / max(1, t - 1))
            pose, lens = jnp.asarray(grid.world_to_camera[i, j]), jnp.asarray(grid.intrinsics[i])
            camera = Camera(pose, lens, w, h)
            picture = render(at(scene, time), camera, antialiased=True)
            frames[i, j] = to_uint8(np.asarray(picture.rgb))
            covered = np.asarray(picture.alpha) > 0.5
            depth[i, j] = np.where(covered, np.asarray(picture.depth), 0)
            report(i * t + j + 1)
    return grid._replace(frames=frames, depth=depth)
