"""Scores scenes from two videos without poses; prints a table and one JSON line last.

    python benchmarks/two_videos.py [--scenes 4 --first 64 --steps 300]

Of each procedural scene two films of 512 rows are written: its first view, four instants long, and
its first instant, from 25 cameras along the arc of the views. `full4d`'s own stages fill a grid of
4 x 4 pictures of 64 rows from them, with the true poses given, and fit a scene. PSNR counts the
nine pictures of the grid that no film shows, and four instants of three cameras half-way between
its views, against the truth; a row copies the nearest picture that is given, or shows the grid, or
the scene.

Structure from motion (extra `colmap`) places the views a second time, without poses: share of the
scenes where it succeeds, angle and distance (over the spread of the cameras) after a similarity.
Beside it stands the share of the grid's own small pictures of the last instant that COLMAP places.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from numpy import ndarray

from full4d_jax import pipeline
from full4d_jax.cameras import Cameras, cameras_in
from full4d_jax.config import Config, load_config
from full4d_jax.evaluation.filled_grids import moves
from full4d_jax.evaluation.table import text_table
from full4d_jax.evaluation.without_truth.registration import pose_errors, register
from full4d_jax.generation.real_frames import nearest_real
from full4d_jax.grid import Origin
from full4d_jax.media.metrics import psnr
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.media.video import write_video
from full4d_jax.scene.reading import read_scene
from full4d_jax.scene.renders import render_views
from full4d_jax.session.extras import has
from full4d_jax.source.options import TwoVideosOptions
from full4d_jax.source.row_and_column import open_two_videos
from gaussians import Scene
from input_pipeline.cameras import centers, relative_to, rescale
from input_pipeline.procedural.scene import (
    HELD_OUT_START,
    FilmedWorld,
    picture,
    sample_filmed_world,
)

CONFIG = load_config("four_real")
ROWS, FPS, STEP = 512, 8.0, 8  # of the films; cameras of the arc from one view to the next
VIEWS, INSTANTS = CONFIG.data.views, CONFIG.data.frames
ARC = (VIEWS - 1) * STEP + 1
COPY, GRID, SCENE = "copy of the nearest", "grid", "4D scene"


class Filmed(NamedTuple):
    """A scene and what its cameras truly see, [0, 1]."""

    column: ndarray  # (n h w 3), the first instant along the whole arc
    views: ndarray  # (v t h w 3), of the grid
    between: ndarray  # (v-1 t h w 3), half-way between its views
    intrinsics: ndarray  # (3 3) pixels
    world_to_camera: ndarray  # (n 4 4) along the arc


def main() -> None:
    """Score scene after scene, print the table, save a sheet of pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=4, help="scenes in which something moves")
    parser.add_argument("--first", type=int, default=64, help="number of the first one")
    parser.add_argument("--steps", type=int, default=300, help="steps of a fit")
    parser.add_argument("--out", type=Path, default=Path("out/two_videos"), help="folder")
    options = parser.parse_args()
    config = replace(CONFIG, lift=replace(CONFIG.lift, steps=options.steps))
    scores: list[dict[str, float]] = []
    placed: list[tuple[float, float]] = []
    small, sheet, number = [], {}, options.first
    while len(scores) < options.scenes:
        filmed, folder = film(number), options.out / str(number)
        if moves(2 * filmed.views - 1):
            films, poses = write_films(folder, filmed)
            pipeline.sample(config, folder, replace(films, poses=poses))
            pipeline.lift(config, folder)
            decibels, sheet[f"scene {number}"] = score(folder, filmed)
            scores.append(decibels)
            if has("pycolmap"):
                placed += find_poses(config, films, filmed)
                grid = dict(np.load(folder / "grid.npz"))
                last = register(grid["frames"], cameras_in(grid), INSTANTS - 1)
                small.append(last.registered)
            print(f"scene {number}: {decibels}", flush=True)
        number += 1
    means = {name: float(np.mean([x[name] for x in scores])) for name in scores[0]}
    names = (COPY, GRID, SCENE)
    lines = [[x, *(f"{means.get(f'{x}, {y}', np.nan):.2f}" for y in ("cells", "between"))]
             for x in names]  # fmt: skip
    print(text_table(["row", "hidden cells, dB", "between views, dB"], lines))
    motion: dict[str, float | None] = dict.fromkeys(("placed", "degrees", "distance", "small"))
    if small:
        motion["placed"], motion["small"] = len(placed) / len(scores), float(np.mean(small))
    if placed:
        motion["degrees"], motion["distance"] = np.mean(placed, 0).tolist()
    columns = ["truth, hidden cell", GRID, SCENE, "truth, between", SCENE]
    title = "the last view at the last instant, and half-way to the one before it"
    pictures = np.asarray(list(sheet.values()))
    drawn = contact_sheet(pictures, rows=list(sheet), columns=columns, title=title)
    save_picture(options.out / "two_videos.png", drawn)
    print(json.dumps({"psnr": means, "structure from motion": motion, "scenes": len(scores)}))


def film(number: int) -> Filmed:
    """Draw a scene: the first instant along the arc, and all instants of and between the views."""
    draw = {"views": ARC, "frames": INSTANTS, "height": ROWS, "width": ROWS}
    world = sample_filmed_world(
        jnp.asarray(HELD_OUT_START + number), seed=0, orbit=True, worlds="simple", azimuths=None,
        **draw,
    )  # fmt: skip
    half = STEP // 2
    column = np.stack([shot(world, view, 0) for view in range(ARC)])
    grid = [[shot(world, view, t) for t in range(INSTANTS)] for view in range(0, ARC, half)]
    poses = np.linalg.inv(np.asarray(world.camera_to_world[:, 0], np.float64))
    lens = np.asarray(world.intrinsics, np.float64)
    return Filmed(column, np.array(grid[::2]), np.array(grid[1::2]), lens, poses)


def shot(world: FilmedWorld, view: int, instant: int) -> ndarray:
    """Return what a camera sees at an instant."""
    colors = _draw(world, world.timestamps[instant], world.camera_to_world[view, instant])
    return np.asarray(colors).reshape(3, ROWS, ROWS).transpose(1, 2, 0)


@jax.jit
def _draw(world: FilmedWorld, time: jax.Array, pose: jax.Array) -> jax.Array:
    return picture(world, ROWS, ROWS, None, time, pose)[0]


def write_films(folder: Path, filmed: Filmed) -> tuple[TwoVideosOptions, Path]:
    """Write both films and the poses; return the options without poses, and the file of these."""
    folder.mkdir(parents=True, exist_ok=True)
    row, column, poses = (folder / x for x in ("row.mp4", "column.mp4", "poses.json"))
    write_video(row, to_uint8(filmed.views[0]), FPS)
    write_video(column, to_uint8(filmed.column), FPS * STEP)
    lens = {"intrinsics": filmed.intrinsics.tolist(), "image_size": [ROWS, ROWS]}
    poses.write_text(json.dumps({"world_to_camera": filmed.world_to_camera.tolist(), **lens}))
    fov = float(2 * np.degrees(np.arctan(ROWS / 2 / filmed.intrinsics[0, 0])))
    return TwoVideosOptions(fixed_view=row, freeze_time=column, fps=FPS, fov=fov), poses


def score(folder: Path, filmed: Filmed) -> tuple[dict[str, float], ndarray]:
    """Return the PSNR of all rows, and pictures of the last view and of one between views."""
    grid, scene = dict(np.load(folder / "grid.npz")), read_scene(folder)
    assert isinstance(scene, Scene), "a run fits scenes that move"
    cameras = cameras_in(grid)
    real = grid["origin"] == Origin.REAL
    times = np.linspace(0, 1, INSTANTS)
    side = cameras.height
    truth, between = small_pictures(filmed.views, side), small_pictures(filmed.between, side)
    frames = grid["frames"] / np.float32(255)
    nearest = np.asarray(nearest_real(jnp.asarray(real)))
    copied = frames.reshape(-1, *frames.shape[2:])[nearest]
    poses = relative_to(filmed.world_to_camera, filmed.world_to_camera[0])
    steps = centers(poses)[-1], centers(np.asarray(cameras.world_to_camera[-1, 0]))
    unit = float(np.linalg.norm(steps[0]) / np.linalg.norm(steps[1]))
    half = rescale(poses[STEP // 2 :: STEP], unit).astype(np.float32)
    lenses = np.asarray(cameras.intrinsics[1:])
    half_way = Cameras(lenses, np.repeat(half[:, None], INSTANTS, 1), side, side)
    shown, new = (render_views(scene, x, times) / np.float32(255) for x in (cameras, half_way))
    pairs = {
        f"{COPY}, cells": (copied[~real], truth[~real]),
        f"{GRID}, cells": (frames[~real], truth[~real]),
        f"{SCENE}, cells": (shown[~real], truth[~real]),
        f"{COPY}, between": (copied[:-1], between),
        f"{GRID}, between": (frames[:-1], between),
        f"{SCENE}, between": (new, between),
    }
    decibels = {name: round(float(psnr(a, b)), 2) for name, (a, b) in pairs.items()}
    last = truth[-1, -1], frames[-1, -1], shown[-1, -1], between[-1, -1], new[-1, -1]
    return decibels, to_uint8(np.stack(last))


def small_pictures(frames: ndarray, side: int) -> ndarray:
    """Return pictures reduced by area averages, as videos are read."""
    flat = frames.reshape(-1, *frames.shape[2:])
    less = partial(cv2.resize, dsize=(side, side), interpolation=cv2.INTER_AREA)
    return np.stack([less(x) for x in flat]).reshape(*frames.shape[:2], side, side, 3)


def find_poses(
    config: Config, films: TwoVideosOptions, filmed: Filmed
) -> list[tuple[float, float]]:
    """Return angle and distance of the cameras that are found without poses; nothing for none."""
    source = open_two_videos(config.data, films)
    if source.cameras is None:
        print(f"no cameras: {source.about.unposed}")
        return []
    poses = np.asarray(source.cameras.world_to_camera[:, 0], np.float64)
    return [pose_errors(poses, filmed.world_to_camera[::STEP])]


if __name__ == "__main__":
    main()
