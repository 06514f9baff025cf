"""Scores scenes of generated grids; prints a table and one JSON line last.

    python benchmarks/generated_grids.py [--rows 160 --gait 1.4 --quality high]

Two folders are written as 4DAnyone writes them: a procedural person before black who walks on the
spot, 24 views all around, 24 instants, rendered. `exact` has these pictures and cameras. In
`disagreeing` every fitted view has other colours (each channel times 0.95 to 1.05) and stands
elsewhere than `cameras.json` says, so that its pictures are a pixel off (root mean square); the
held-out views stay exact and judge. `full4d run` makes a page of each; PSNR is that of its
report. The scene of the second is also fitted as if its views agreed.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from numpy import ndarray

from full4d_jax import pipeline
from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.table import text_table
from full4d_jax.media.video import write_video
from full4d_jax.source.capture_source import held_out_pictures
from full4d_jax.source.options import CaptureOptions
from input_pipeline.cameras import invert
from input_pipeline.procedural.scene import FilmedWorld, picture
from input_pipeline.procedural.scene_cameras import camera_towards
from input_pipeline.procedural.world import OBJECTS, WALKER_SLOTS, World, sample_world

VIEWS = 24
INSTANTS = 24
FPS = 8
SIZE = 0.15  # of the person, world units
FLOOR = 0.45
DISTANCE = 1.6  # of the cameras
TURNING = 0.3  # radians a second
FINER = 2  # rays a pixel, each way
GAIN = 0.05
PIXELS = 1.0


class Grid(NamedTuple):
    """What 24 cameras truly see, and where they stand."""

    frames: ndarray  # (v t h w 3) uint8
    intrinsics: ndarray  # (3 3) pixels
    world_to_camera: ndarray  # (v 4 4)


def main() -> None:
    """Write the folders, make pages of them, print the scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=160, help="of the pictures, 9:16")
    parser.add_argument("--world", type=int, default=7, help="number of the procedural person")
    parser.add_argument("--gait", type=float, default=1.4, help="radians a second")
    parser.add_argument("--quality", choices=("draft", "normal", "high"), default="high")
    parser.add_argument("--steps", type=int, default=0, help="of a fit; 0 goes by the quality")
    parser.add_argument("--out", type=Path, default=Path("out/generated_grids"), help="folder")
    options = parser.parse_args()
    if not 32 <= options.rows <= 1280:
        raise SystemExit(f"--rows: found {options.rows}, expected 32 to 1280")
    exact = film(person(options.world, options.gait), options.rows)
    noisy = disagreeing(exact, np.random.default_rng(0))
    write_folder(options.out / "exact", exact, generated=True)
    write_folder(options.out / "disagreeing", noisy, generated=True)
    write_folder(options.out / "taken_to_agree", noisy, generated=False)
    lift = replace(DEFAULT.lift, quality=options.quality, steps=options.steps)
    scores = {}
    for name in ("exact", "disagreeing", "taken_to_agree"):
        folder = options.out / name
        source = CaptureOptions(folder)
        run_folder = pipeline.run(
            replace(DEFAULT, lift=lift), None, folder / "scene", source=source
        )
        report = json.loads((run_folder / "report.json").read_text())
        page = run_folder / "scene.html"
        scores[name] = {
            "held_out_psnr": report["held_out_psnr"],
            "fitted_psnr": report["fitted_psnr"],
            "disagreement": report.get("disagreement", ""),
            "seconds": report["seconds_in_all"],
            "page_megabytes": round(page.stat().st_size / 1e6, 2),
        }
        print(f"{name}: {scores[name]}", flush=True)
    lines = [[name, f"{x['held_out_psnr']:.2f}", x["disagreement"]] for name, x in scores.items()]
    print(text_table(["grid", "held-out views, dB", "disagreement"], lines))
    print(json.dumps(scores))


def film(world: World, rows: int) -> Grid:
    """Render a person before black from cameras all around."""
    columns = rows * 9 // 32 * 2
    middle = jnp.array([0.0, FLOOR - 2.4 * SIZE, 0.0])
    turn = 2 * jnp.pi * jnp.arange(VIEWS) / VIEWS
    height = jnp.full(VIEWS, middle[1] - 0.25)
    eyes = jnp.stack([DISTANCE * jnp.sin(turn), height, -DISTANCE * jnp.cos(turn)], 1)
    up = jnp.array([0.0, -1.0, 0.0])
    poses = jax.vmap(lambda eye: camera_towards(eye, middle, up))(eyes)
    focal = 1.9 * rows
    lens = np.array([[focal, 0, columns / 2], [0, focal, rows / 2], [0, 0, 1]])
    fine = jnp.asarray(lens * [[FINER], [FINER], [1]], jnp.float32)
    times = jnp.arange(INSTANTS) / FPS
    filmed = FilmedWorld(world, times, fine, poses[:, None], jnp.float32(1))

    @jax.jit
    def draw(time, pose):
        colors, _, which = picture(filmed, FINER * rows, FINER * columns, None, time, pose)
        seen = jnp.where(which[None] < OBJECTS, colors, 0.0)
        return reduce(seen, "c (h a w b) -> h w c", "mean", h=rows, a=FINER, w=columns, b=FINER)

    frames = np.stack([[np.asarray(draw(time, pose)) for time in times] for pose in poses])
    levels = np.round(255 * frames).clip(0, 255).astype(np.uint8)
    return Grid(levels, lens, invert(np.asarray(poses, np.float64)))


def person(number: int, gait: float) -> World:
    """Return a world in which a procedural person walks on the spot, alone."""
    world = sample_world(jax.random.key(number))
    walker = world.walker._replace(
        present=jnp.array(True),
        size=jnp.float32(SIZE),
        gait=jnp.float32(gait),
        turning=jnp.float32(TURNING),
        speed=jnp.float32(0.0),
        start=jnp.zeros(2),
    )
    return world._replace(
        room_min=jnp.array([-9.0, -9.0, -9.0]),
        room_max=jnp.array([9.0, FLOOR, 9.0]),
        present=jnp.zeros(OBJECTS, bool).at[jnp.array(WALKER_SLOTS)].set(True),
        walker=walker,
    )


def disagreeing(grid: Grid, generator: np.random.Generator) -> Grid:
    """Return a grid whose fitted views have other colours and wrong cameras."""
    frames = grid.frames.astype(np.float32)
    poses = grid.world_to_camera.copy()
    held_out = held_out_pictures(VIEWS, INSTANTS, "views").all(1)
    for view in np.flatnonzero(~held_out):
        frames[view] *= generator.uniform(1 - GAIN, 1 + GAIN, 3)
        motion = generator.normal(size=6)
        small = moved(poses[view], 1e-4 * motion)
        size = PIXELS / shift(grid, poses[view], small)
        poses[view] = moved(poses[view], 1e-4 * size * motion)
    levels = np.round(frames).clip(0, 255).astype(np.uint8)
    return Grid(levels, grid.intrinsics, poses)


def moved(pose: ndarray, motion: ndarray) -> ndarray:
    """Return a camera after a turn (radians) and a shift (world units) along its own axes."""
    x, y, z = motion[:3]
    change = np.eye(4)
    change[:3, :3] += np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    left, _, right = np.linalg.svd(change[:3, :3])
    change[:3, :3] = left @ right  # the nearest rotation
    change[:3, 3] = motion[3:]
    return change @ pose


def shift(grid: Grid, pose: ndarray, other: ndarray) -> float:
    """Return how far two cameras show what is `DISTANCE` away, pixels, root mean square."""
    height, width = grid.frames.shape[2:4]
    y, x = np.mgrid[0.5:5, 0.5:5] / 5
    pixels = np.stack([width * x.ravel(), height * y.ravel(), np.ones(x.size)])
    seen = DISTANCE * np.linalg.inv(grid.intrinsics) @ pixels
    world = invert(pose)[:3, :3] @ seen + invert(pose)[:3, 3:]
    shown = grid.intrinsics @ (other[:3, :3] @ world + other[:3, 3:])
    return float(np.sqrt(((shown[:2] / shown[2:] - pixels[:2]) ** 2).sum(0).mean()))


def write_folder(folder: Path, grid: Grid, *, generated: bool) -> None:
    """Write a grid as 4DAnyone does, or as a capture of ours whose views are taken to agree."""
    height, width = grid.frames.shape[2:4]
    films = folder / ("videos/dense" if generated else "videos")
    films.mkdir(parents=True, exist_ok=True)
    cameras = []
    for view, pose in enumerate(grid.world_to_camera):
        name = f"{view:02d}"
        write_video(films / f"{name}.mp4", grid.frames[view], FPS)
        lens = grid.intrinsics.tolist()
        if generated:
            camera = {
                "camera_id": view,
                "K": lens,
                "camera_to_world": invert(pose).tolist(),
                "image_width": width,
                "image_height": height,
                "video": f"videos/dense/{name}.mp4",
            }
        else:
            camera = {"name": name, "intrinsics": lens, "world_to_camera": pose.tolist()}
        cameras.append(camera)
    table = {"camera_model": "OPENCV", "cameras": cameras}
    (folder / "cameras.json").write_text(json.dumps(table))


if __name__ == "__main__":
    main()
