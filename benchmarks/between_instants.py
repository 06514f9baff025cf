"""Are moving things whole between the instants that a scene was fitted to?

    python benchmarks/between_instants.py [--first 64 --scenes 10 --worlds rich --depth true]

Held-out procedural scenes are filmed at 16 frames a second by cameras that stand still. Scenes are
fitted to every other frame of the source and of three cameras beside it, all of them true, with
true depth of the source or ours. Rows are

    without      moving Gaussians start without velocities, with the duration that suits them
    velocities   they start with those of their pixels (`full4d_jax.geometry.pixel_velocities`)
    deformation  the other motion model

Scores are of the frames that were left out, from the four cameras; of the frames between and of
those fitted, from two cameras that no fit saw. Pixels that move differ from their median over time.
The tables have means, then paired differences to `without` with standard errors; positive is
better, for LPIPS too. The last line is JSON. Scenes from 64 on are for reporting: nothing was
chosen by them.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float
from numpy import ndarray

from full4d_jax.cameras import cameras_of
from full4d_jax.config import LiftConfig
from full4d_jax.evaluation.fidelity import load_distances, moving_pixels
from full4d_jax.evaluation.table import Estimate, estimate, table_cell, text_table
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.media import metrics
from full4d_jax.scene.fit_settings import FitKind, fit_settings, sized
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.seeds import first_scene, grid_depth
from full4d_jax.scene.source_fit import grid_targets
from full4d_jax.session.progress import Progress
from full4d_jax.source.depth.clip_depth import source_depth
from full4d_jax.source.depth.estimators import open_network
from gaussians import DynamicGaussians, Scene, fit
from gaussians.fitting.initialization import CAPTURE_SEEDING
from input_pipeline.procedural.scene import HELD_OUT_START, picture, sample_filmed_world

REPORTED = 64  # the first scene that nothing is chosen by
RATE, FRAMES = 16, 9  # a second; every other one is fitted
FITTED, HELD = (-30.0, 20.0, 40.0), (-15.0, 10.0)  # azimuths of the cameras, degrees
WITHOUT, VELOCITIES, DEFORMATION = ROWS = ("without", "velocities", "deformation")
STILL_DURATION = 0.5  # frame steps that suit Gaussians without velocities
SHOWN = {"psnr": 2, "psnr_moving": 2, "lpips_moving": 4}  # and their digits
SEEN, BETWEEN = slice(None, None, 2), slice(1, None, 2)
FROM_FITTED, FROM_HELD = slice(1 + len(FITTED)), slice(1 + len(FITTED), None)
GROUPS = {
    "between": (FROM_FITTED, BETWEEN),
    "between, held-out cameras": (FROM_HELD, BETWEEN),
    "fitted instants, held-out cameras": (FROM_HELD, SEEN),
}
Scores = dict[tuple[str, str, str], list[float]]  # by row, group and measure


class Film(NamedTuple):
    """A scene from all cameras, the source first."""

    frames: Float[Array, "v t h w 3"]  # [0, 1]
    depth: Float[Array, "t h w"]  # of the source
    intrinsics: Float[Array, "v 3 3"]
    world_to_camera: Float[Array, "v t 4 4"]


def main() -> None:
    """Score scene after scene, print the tables and the JSON line."""
    options = parse()
    if options.first < REPORTED:
        print(f"scenes below {REPORTED} are for choosing, not for reporting")
    lift = LiftConfig(steps=options.steps, capacity=options.gaussians)
    network = open_network("ours") if options.depth == "ours" else None
    distance, scores = load_distances(vgg=False).get("lpips"), {}
    with Progress("scenes times rows", options.scenes * len(options.rows)) as report:
        for number in range(options.scenes):
            scene = film(HELD_OUT_START + options.first + number, options.height, options.worlds)
            depth = scene.depth[SEEN]
            if network is not None:
                estimated = source_depth(network, 2 * scene.frames[0, SEEN] - 1)
                depth = drop_depth_edges(estimated, EDGE)
            for i, row in enumerate(options.rows, 1):
                score(scores, row, scene, shown(row, scene, depth, lift), distance)
                report(number * len(options.rows) + i)
    print(table(scores))
    print(json.dumps(summary(scores)))


def parse() -> argparse.Namespace:
    """Read the options.

    Raises:
      SystemExit: a number is too small.
    """
    parser = argparse.ArgumentParser(
        description="Scores scenes at instants that they were not fitted to."
    )
    parser.add_argument("--first", type=int, default=REPORTED, help="first held-out scene")
    parser.add_argument("--scenes", type=int, default=10, help="number of scenes")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS[:2], help="what to fit")
    parser.add_argument("--worlds", choices=("simple", "rich"), default="rich")
    parser.add_argument("--depth", choices=("true", "ours"), default="true", help="of the source")
    parser.add_argument("--height", type=int, default=96, help="rows of a frame")
    parser.add_argument("--steps", type=int, default=400, help="of a fit")
    parser.add_argument("--gaussians", type=int, default=9000, help="of a scene")
    options = parser.parse_args()
    for name, low in (("first", 0), ("scenes", 1), ("height", 32), ("steps", 1), ("gaussians", 1)):
        if getattr(options, name) < low:
            raise SystemExit(f"--{name}: found {getattr(options, name)}, expected at least {low}")
    return options


@partial(jax.jit, static_argnames=("rows", "worlds"))
def film(index: int, rows: int, worlds: Literal["simple", "rich"]) -> Film:
    """Render a scene at `RATE`; all cameras stay where they are at first."""
    azimuths = jnp.array(FITTED + HELD)
    views = 1 + len(azimuths)
    filmed = sample_filmed_world(
        index,
        views=views,
        frames=FRAMES,
        height=rows,
        width=rows,
        azimuths=azimuths,
        worlds=worlds,
    )
    times = filmed.timestamps[0] + jnp.arange(FRAMES) / RATE
    poses = jnp.repeat(filmed.camera_to_world[:, :1], FRAMES, 1)
    moments = jnp.tile(times, views), rearrange(poses, "v t i j -> (v t) i j")
    seen = jax.lax.map(lambda moment: picture(filmed, rows, rows, None, *moment)[:2], moments)
    to_camera = jnp.linalg.inv(poses) @ poses[:1, :1]
    return Film(
        frames=rearrange(seen[0], "(v t) c (h w) -> v t h w c", v=views, h=rows),
        depth=rearrange(seen[1][:FRAMES], "t (h w) -> t h w", h=rows) / filmed.unit,
        intrinsics=jnp.broadcast_to(filmed.intrinsics, (views, 3, 3)),
        world_to_camera=to_camera.at[..., :3, 3].divide(filmed.unit),
    )


def shown(
    row: str, scene: Film, depth: Float[Array, "t h w"], lift: LiftConfig
) -> Float[ndarray, "v t h w 3"]:
    """Return what a fit to every other frame shows of all frames, [0, 1]."""
    cameras = cameras_of(scene)
    grid, fitted = scene.frames[FROM_FITTED, SEEN], cameras.views(FROM_FITTED).frames(SEEN)
    settings = sized(lift, *grid.shape[2:4], kind=FitKind.AROUND_SOURCE)
    settings = replace(settings, motion=row if row == DEFORMATION else "freetime")
    seeds = grid_depth(grid, depth[None], fitted)
    start = first_scene(settings, grid, seeds, fitted, jax.random.key(0))
    if row == WITHOUT:
        start = stopped(start)
    targets = grid_targets(grid, fitted, settings.source_weight)
    result = fit(start, targets, fit_settings(settings), jax.random.key(1))
    times = np.linspace(0, 1, FRAMES, dtype=np.float32)
    return render_views(result.scene, cameras, times) / np.float32(255)


def stopped(scene: Scene) -> DynamicGaussians:
    """Return a start without velocities, whose moving Gaussians last for STILL_DURATION."""
    assert isinstance(scene, DynamicGaussians), "the field of the other model starts at rest"
    shorter = scene.log_durations + np.log(STILL_DURATION / CAPTURE_SEEDING.duration)
    durations = np.where(scene.logit_gates < 0, shorter, scene.log_durations)
    velocities = jnp.zeros_like(scene.velocities)
    return scene._replace(velocities=velocities, log_durations=jnp.asarray(durations))


def score(
    scores: Scores,
    row: str,
    scene: Film,
    made: Float[ndarray, "v t h w 3"],
    distance: metrics.Distance | None,
) -> None:
    """Append the scores of one scene."""
    truth = np.asarray(scene.frames)
    moves = moving_pixels(truth, np.asarray(scene.world_to_camera))
    for group, part in GROUPS.items():
        pictures = made[part], truth[part]
        values = {
            "psnr": float(metrics.psnr(*pictures)),
            "psnr_moving": float(metrics.psnr(*pictures, moves[part])),
            "lpips_moving": np.nan,
        }
        if distance is not None:
            values["lpips_moving"] = metrics.lpips(distance, *pictures, moves[part])
        for measure, value in values.items():
            scores.setdefault((row, group, measure), []).append(value)


def gain(scores: Scores, row: str, group: str, measure: str) -> Estimate:
    """Return the mean paired difference to `without`; positive is better."""
    pair = np.array([scores[name, group, measure] for name in (row, WITHOUT)])
    return estimate((pair[0] - pair[1]) * (-1 if measure.startswith("lpips") else 1))


def table(scores: Scores) -> str:
    """Return the tables of means and of differences."""
    rows, means, gains = list(dict.fromkeys(row for row, _, _ in scores)), [], []
    for group in GROUPS:
        for row in rows:
            values = [estimate(np.array(scores[row, group, name])) for name in SHOWN]
            cells = map(table_cell, values, SHOWN.values())
            means.append([group, row, *cells])
            if row != WITHOUT and WITHOUT in rows:
                values = [gain(scores, row, group, name) for name in SHOWN]
                cells = [table_cell(x, d, "+") for x, d in zip(values, SHOWN.values(), strict=True)]
                gains.append([group, f"{row} - {WITHOUT}", *cells])
    head = ["pictures", "row", *SHOWN]
    return f"{text_table(head, means)}\n\n{text_table(head, gains)}"


def summary(scores: Scores) -> dict[str, float]:
    """Return the differences to `without` and their errors."""
    rows, numbers = {row for row, _, _ in scores}, {}
    for row, group, measure in scores:
        if row != WITHOUT and WITHOUT in rows:
            value = gain(scores, row, group, measure)
            name = f"{row}/{group}/{measure}"
            numbers |= {name: round(value.mean, 4), f"{name}_error": round(value.error, 4)}
    return numbers


if __name__ == "__main__":
    main()
