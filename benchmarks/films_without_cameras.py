"""Scores scenes of films without cameras beside those of the same films with them.

    python benchmarks/films_without_cameras.py [--rows 160 --pattern 4 --quality draft]

A procedural person before black, 24 views all around, 24 instants, as in `generated_grids.py`, in
clothes with a finer pattern, for structure from motion finds too few points on plain ones. `exact`
is 4DAnyone's folder with exact cameras; `estimated` has the films alone. `full4d run` fits a scene
to both; PSNR is that of its report, of the views that were held out. Errors of the cameras are
after the turn, the shift and the scale that fit best.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from generated_grids import Grid, film, person, write_folder
from numpy import ndarray

from full4d_jax import pipeline
from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.table import text_table
from full4d_jax.media.video import write_video
from full4d_jax.source.films_without_cameras import read_films_without_cameras
from full4d_jax.source.options import CaptureOptions
from input_pipeline.cameras import centers
from input_pipeline.procedural.world import OBJECTS, World

FPS = 8


def main() -> None:
    """Write the folders, make scenes of them, print the scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=160, help="of the pictures, 9:16")
    parser.add_argument("--pattern", type=float, default=4.0, help="times finer than the person's")
    parser.add_argument("--quality", choices=("draft", "normal", "high"), default="draft")
    parser.add_argument("--steps", type=int, default=0, help="of a fit; 0 goes by the quality")
    parser.add_argument("--out", type=Path, default=Path("out/films"), help="folder")
    options = parser.parse_args()
    if not 32 <= options.rows <= 1280:
        raise SystemExit(f"--rows: found {options.rows}, expected 32 to 1280")
    exact = film(patterned(person(7, 1.4), options.pattern), options.rows)
    write_folder(options.out / "exact", exact, generated=True)
    films = options.out / "estimated"
    films.mkdir(parents=True, exist_ok=True)
    for view, frames in enumerate(exact.frames):
        write_video(films / f"{view:02d}.mp4", frames, FPS)
    start = time.monotonic()
    views = read_films_without_cameras(films, None, inside=films).views
    seconds = time.monotonic() - start
    poses = np.stack([view.world_to_camera[0] for view in views])
    scores = {"cameras": errors(exact, poses, views[0].intrinsics) | {"seconds": round(seconds)}}
    print(f"cameras: {scores['cameras']}", flush=True)
    lift = replace(DEFAULT.lift, quality=options.quality, steps=options.steps)
    for name in ("exact", "estimated"):
        source = CaptureOptions(options.out / name)
        config = replace(DEFAULT, lift=lift)
        folder = pipeline.run(config, None, options.out / name / "scene", source=source)
        report = json.loads((folder / "report.json").read_text())
        names = ("held_out_psnr", "fitted_psnr", "seconds_in_all")
        scores[name] = {key: report[key] for key in names}
        print(f"{name}: {scores[name]}", flush=True)
    lines = [[name, f"{scores[name]['held_out_psnr']:.2f}"] for name in ("exact", "estimated")]
    print(text_table(["cameras", "held-out views, dB"], lines))
    print(json.dumps(scores))


def patterned(world: World, finer: float) -> World:
    """Return a world whose objects have textures of so many times the frequency, all of noise."""
    materials = world.materials
    is_object = jnp.arange(len(materials.kind)) < OBJECTS
    return world._replace(
        materials=materials._replace(
            frequency=jnp.where(is_object, finer * materials.frequency, materials.frequency),
            kind=jnp.where(is_object, 2, materials.kind),
        )
    )


def errors(exact: Grid, poses: ndarray, intrinsics: ndarray) -> dict[str, float]:
    """Return by how much cameras are wrong: degrees, shares of the distance and of the focal."""
    truth = exact.world_to_camera
    left, _, right = np.linalg.svd(np.einsum("vij,vik->jk", truth[:, :3, :3], poses[:, :3, :3]))
    turn = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    off = truth[:, :3, :3] @ turn @ np.swapaxes(poses[:, :3, :3], 1, 2)
    cosine = (np.trace(off, axis1=1, axis2=2) - 1) / 2
    places, true_places = (x - x.mean(0) for x in (centers(poses) @ turn.T, centers(truth)))
    scale = (places * true_places).sum() / (places**2).sum()
    distance = np.linalg.norm(true_places, axis=1).mean()
    missed = np.linalg.norm(scale * places - true_places, axis=1).max() / distance
    return {
        "rotation_degrees": round(float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max()), 2),
        "place_share": round(float(missed), 4),
        "focal_share": round(float(intrinsics[0, 0] / exact.intrinsics[0, 0] - 1), 4),
    }


if __name__ == "__main__":
    main()
