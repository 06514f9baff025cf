"""Does asking the prior between the generated views help the scene, and what else would?

    python benchmarks/distillation.py [--first 64 --scenes 16 --rows none cached] --out OUT
    python benchmarks/distillation.py --size 256 --scenes 4 --rows none gradient prior --out OUT

A held-out scene has generated cameras at up to 45 degrees. The prior is asked half-way between
neighbours; scores are taken at a third set of cameras, a quarter of the way between neighbours, of
which nobody knows anything. Depth is true. Rows are 4D Gaussians fitted in the same number of steps

    none        to the generated grid alone
    cached      the prior's mean half-way between: one call of the network more
    gradient    the prior judges the renders half-way between at every step of the last 40 %
    more views  the same one call gives three more views of the grid, half-way between

and, not fitted, `prior`: the prior's own answer when it is asked at the third set. At a size above
64 scenes are rich ones, the prior's grid is enlarged by the cascade, and `gradient` judges renders
made small, of as many views and instants as the prior has learned; there is no `cached` then. The
table has means, then paired differences to `none`, with standard errors; positive is better, for
LPIPS too. The last line is JSON. The same command with the same `--out` goes on, with other rows
and more scenes, too; a difference is over the scenes that have both rows.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import DEFAULT, LiftConfig
from full4d_jax.evaluation.fidelity import METRICS, Distances, fidelity_scores, load_distances
from full4d_jax.evaluation.generated_grids import regions_of
from full4d_jax.evaluation.results import append_lines, missing, open_lines
from full4d_jax.evaluation.table import HEADINGS, Estimate, estimate, table_cell, text_table
from full4d_jax.generation.cascade import Upsampler, generate_large, load_upsampler
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.grid import around_source
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.weights import described
from full4d_jax.scene.fit_settings import queried_as_trained
from full4d_jax.scene.prior_teacher import half_way
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.source_fit import lift_grid
from full4d_jax.session.errors import InputError
from full4d_jax.session.progress import Progress
from full4d_jax.session.stages import fingerprint
from input_pipeline.procedural.scene import HELD_OUT_START, ProceduralClip, procedural_scene

REPORTED = 64  # the first scene that nothing is chosen by
WIDEST = 45.0  # degrees of a generated camera from the source
PLAIN = "none"
CACHED = "cached"
GRADIENT = "gradient"
MORE = "more views"
ASKED = "prior"
ROWS = (PLAIN, CACHED, GRADIENT, MORE, ASKED)
SHOWN = ("psnr", "ssim", "lpips")
Frames = Float[ndarray, "v t h w 3"]


class Models(NamedTuple):
    """What makes grids, of square pictures of so many pixels a side."""

    prior: Prior
    upsampler: Upsampler | None
    size: int


class FilmedScene(NamedTuple):
    """A scene and the cameras of a fit.

    Attributes:
      clip: the true views: the source, and those at the third set.
      generated: cameras of the grid, the source first.
      scored: cameras of the third set.
    """

    clip: ProceduralClip
    generated: Cameras
    scored: Cameras


def main() -> None:
    """Score the scenes that are missing, print the table and the JSON line."""
    options = parse()
    is_large = options.size > DEFAULT.data.height
    prior = open_prior(DEFAULT)
    models = Models(prior, load_upsampler() if is_large else None, options.size)
    distances = load_distances(vgg=False)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "scores.jsonl"
    settings = {name: asdict(getattr(DEFAULT, name)) for name in ("model", "sampler", "lift")}
    settings |= {"weights": described(prior.params), "size": options.size}
    mark = fingerprint("distillation", settings, {})
    try:
        lines = open_lines(path, mark)
    except InputError as error:
        raise SystemExit(str(error)) from None
    if options.first < REPORTED:
        print(f"scenes below {REPORTED} are for choosing, not for reporting")
    wanted = range(options.first, options.first + options.scenes)
    left = [(row, x) for x in wanted for row in options.rows if missing(lines, row, [x])]
    with Progress("scenes times rows", len(left)) as report:
        for number, (row, scene) in enumerate(left, 1):
            line = score_scene(models, scene, row, distances)
            append_lines(path, [line])
            lines.append(line)
            report(number)
    chosen = [line for line in lines if line["scene"] in wanted]
    print(table(chosen))
    print(json.dumps(summary(chosen)))


def parse() -> argparse.Namespace:
    """Read the options.

    Raises:
      SystemExit: no scene is asked for.
    """
    parser = argparse.ArgumentParser(
        description="Scores ways to ask the prior, at cameras of which it was not asked."
    )
    parser.add_argument("--first", type=int, default=REPORTED, help="first held-out scene")
    parser.add_argument("--scenes", type=int, default=16, help="number of scenes")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="what to fit")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--out", type=Path, default=Path("out/distillation"), help="folder")
    options = parser.parse_args()
    if options.size > DEFAULT.data.height and CACHED in options.rows:
        raise SystemExit("--rows: found cached, expected others at this size (see --help)")
    for name, low in (("first", 0), ("scenes", 1)):
        if getattr(options, name) < low:
            raise SystemExit(f"--{name}: found {getattr(options, name)}, expected at least {low}")
    return options


def generated_azimuths(views: int) -> np.ndarray:
    """Return degrees of the generated target cameras, evenly spread without the source's."""
    even = np.linspace(-WIDEST, WIDEST, views)
    return np.delete(even, (views - 1) // 2)  # the source stands there or near


def render(scene: int, size: int) -> FilmedScene:
    """Return a held-out scene, and its cameras."""
    generated = generated_azimuths(DEFAULT.data.views)
    stops = np.sort(np.append(generated, 0.0))
    scored = stops[:-1] + np.diff(stops) / 4
    clip = _program(size)(HELD_OUT_START + scene, azimuths=jnp.float32([*generated, *scored]))
    cameras = cameras_of(clip)
    count = 1 + len(generated)
    views = np.array([0, *range(count, count + len(scored))])
    names = ("frames", "depth", "intrinsics", "world_to_camera")
    arrays = {name: getattr(clip, name)[views] for name in names}
    third = cameras.views(slice(count, None))
    return FilmedScene(clip._replace(**arrays), cameras.views(slice(count)), third)


@cache
def _program(size: int) -> Callable[..., ProceduralClip]:
    return jax.jit(
        partial(
            procedural_scene,
            views=2 * DEFAULT.data.views - 1,
            frames=DEFAULT.data.frames,
            height=size,
            width=size,
            worlds="rich" if size > DEFAULT.data.height else "simple",
        )
    )


def score_scene(models: Models, scene: int, row: str, distances: Distances) -> dict[str, Any]:
    """Return what `results` keeps: the scores of a scene in one way, and its seconds."""
    filmed = render(scene, models.size)
    start = time.perf_counter()
    frames = frames_of(models, filmed, row)
    seconds = round(time.perf_counter() - start, 1)
    regions = regions_of(filmed.clip, filmed.clip.depth[0])
    scores = fidelity_scores(frames, np.asarray(filmed.clip.frames[1:]), regions, distances)
    return {"group": row, "scene": scene, "seconds": seconds, "scores": scores}


def frames_of(models: Models, filmed: FilmedScene, row: str) -> Frames:
    """Return a row's frames at the third set of cameras, [0, 1]."""
    if row == ASKED:
        source = filmed.generated.views([0])
        return to_unit(generate(models, filmed, _joined(source, filmed.scored)))
    cameras = filmed.generated
    grid = generate(models, filmed, cameras)
    settings: LiftConfig = DEFAULT.lift
    if row == MORE:
        between = half_way(cameras)
        more = generate(models, filmed, _joined(cameras.views([0]), between))
        cameras = _joined(cameras, between)
        grid = np.concatenate([grid, more])
    elif row != PLAIN:
        settings = replace(settings, distillation=row)
    frames = to_uint8(np.concatenate([filmed.clip.frames[:1], to_unit(grid)]))
    views = around_source(frames, np.asarray(filmed.clip.depth[:1]), cameras)
    teacher = None if row in (PLAIN, MORE) else models.prior
    asked_rows = 0
    if models.upsampler is not None:
        settings = queried_as_trained(settings, views, DEFAULT.data)
        asked_rows = models.upsampler.prior_rows
    key = jax.random.key(DEFAULT.seed)
    scene = lift_grid(settings, views, key, prior=teacher, asked_rows=asked_rows)
    times = np.linspace(0, 1, frames.shape[1], dtype=np.float32)
    return render_views(scene, filmed.scored, times) / np.float32(255)


def generate(models: Models, filmed: FilmedScene, cameras: Cameras) -> Frames:
    """Return the prior's frames in [-1, 1] at all cameras but the first, the source's."""
    source = 2 * filmed.clip.frames[:1] - 1
    depth = filmed.clip.depth[:1]
    key = jax.random.key(0)
    if models.upsampler is None:
        grid, _ = generate_grid(models.prior, source, depth, cameras, key)
    else:
        grid, _ = generate_large(models.prior, models.upsampler, source, depth, cameras, key)
    return np.asarray(grid[1:])


def _joined(first: Cameras, second: Cameras) -> Cameras:
    """Return the cameras of both."""
    lenses, poses = (
        jnp.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("intrinsics", "world_to_camera")
    )
    return replace(first, intrinsics=lenses, world_to_camera=poses)


def gathered(lines: list[dict[str, Any]]) -> dict[str, Float[ndarray, "scenes metrics"]]:
    """Return every row's scores over all scenes, by METRICS; missing ones are NaN."""
    scenes = sorted({line["scene"] for line in lines})
    scores = {row: np.full((len(scenes), len(METRICS)), np.nan) for row in ROWS}
    for line in lines:
        values = [line["scores"].get(metric) for metric in METRICS]
        scores[line["group"]][scenes.index(line["scene"])] = np.array(values, np.float64)
    return scores


def gain(scores: dict[str, Float[ndarray, "scenes metrics"]], row: str, metric: str) -> Estimate:
    """Return the mean paired difference to the fit without distillation; positive is better."""
    column = METRICS.index(metric)
    difference = scores[row][:, column] - scores[PLAIN][:, column]
    return estimate(-difference if metric == "lpips" else difference)


def table(lines: list[dict[str, Any]]) -> str:
    """Return the tables of means and of differences to the fit without distillation."""
    scores = gathered(lines)
    digits = {"psnr": 2, "ssim": 4, "lpips": 4}
    means = []
    differences = []
    for row in ROWS:
        estimates = [estimate(scores[row][:, METRICS.index(metric)]) for metric in SHOWN]
        cells = (table_cell(x, digits[name]) for x, name in zip(estimates, SHOWN, strict=True))
        means.append([row, str(estimates[0].count), *cells])
        gains = (gain(scores, row, metric) for metric in SHOWN)
        cells = (table_cell(x, digits[name], "+") for x, name in zip(gains, SHOWN, strict=True))
        differences.append([f"{row} - {PLAIN}", str(gain(scores, row, "psnr").count), *cells])
    heads = ["scenes", *(HEADINGS[metric] for metric in SHOWN)]
    return f"{text_table(['row', *heads], means)}\n\n{text_table(['', *heads], differences[1:])}"


def summary(lines: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return paired differences to the fit without distillation, errors, scenes and seconds."""
    scores = gathered(lines)
    numbers: dict[str, float | None] = {}
    for row in ROWS:
        label = row.replace(" ", "_")
        for metric in ("psnr", "lpips") * (row != PLAIN):
            value = gain(scores, row, metric)
            for suffix, number in (("", value.mean), ("_error", value.error)):
                numbers[f"{label}_{metric}{suffix}"] = (
                    None if np.isnan(number) else round(number, 4)
                )
        seconds = [line["seconds"] for line in lines if line["group"] == row]
        numbers[f"{label}_scenes"] = len(seconds)
        numbers[f"{label}_seconds"] = float(np.median(seconds)) if seconds else None
    return numbers


if __name__ == "__main__":
    main()
