"""Scores targets made from one, two and three real views; prints a table and one JSON line last.

    python benchmarks/several_views.py scenes [--scenes 24 --apart 50]
    python benchmarks/several_views.py pose2sim [--lifted STEPS]

`scenes` are held-out `rich` scenes: real views stand at 0 and at plus and minus `--apart` degrees,
two targets at random between them, and all rows score these two. Of `pose2sim` (in the folder
FULL4D_DATA, four cameras 49 to 138 degrees apart) each camera is the target once; the one, two or
three others nearest to it are real, and their depth is estimated. A row copies the first real view,
fills the projection by push-pull, or asks the prior in the package. With `--lifted`, 4D scenes are
fitted to three real views: alone, from their depth or from points strewn (as `full4d lift` fits
captures without depth), and together with what the prior made of the target.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from shared_folder import shared_folder

from full4d_jax import cli
from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.fidelity import Regions, fidelity_scores, load_distances
from full4d_jax.evaluation.table import text_table
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.generation.projection_guidance import fill_holes
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.grid import Grid, all_real, around_source
from full4d_jax.media.pictures import contact_sheet, save_picture, to_model, to_uint8, to_unit
from full4d_jax.scene import capture_fit
from full4d_jax.scene.fit_settings import sized_for
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.source_fit import lift_grid
from full4d_jax.source.depth.clip_depth import AnyNetwork, source_depth
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.handheld.measured_depth import measure_depth, measure_real_rows
from full4d_jax.source.handheld.path_scale import in_unit
from full4d_jax.source.opening import open_source
from full4d_jax.source.options import DatasetViewOptions
from input_pipeline.cameras import centers
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene

REAL, TARGETS = 3, 2  # views of a procedural scene
FIRST = 64  # scenes from here on had no part in any choice
COPY, PUSH_PULL, PRIOR = "copy of the first", "projection + push-pull", "prior"
ALONE, TOGETHER = "scene of the real views", "scene, with the prior's"
STREWN = "scene of the real views, without depth"
SHOWN = ("psnr", "ssim", "lpips")
SHEET = 6  # rows in the sheet
Pictures = Float[np.ndarray, "v t h w 3"]


class Case(NamedTuple):
    """Real views and what the target cameras truly see.

    Attributes:
      real: pictures of the real views, [-1, 1].
      depth: their z-depth, world units.
      cameras: of the real views, then of the targets.
      truth: pictures of the targets, [0, 1]; those of the last cameras.
    """

    real: Float[Array, "k t h w 3"]
    depth: Float[Array, "k t h w"]
    cameras: Cameras
    truth: Pictures


def main() -> None:
    """Score case after case, print the table, save a sheet of pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("of", choices=("scenes", "pose2sim"))
    parser.add_argument("--scenes", type=int, default=24, help="number of scenes")
    parser.add_argument("--apart", type=float, default=50.0, help="degrees between real views")
    parser.add_argument("--lifted", type=int, default=0, help="steps of fits, 0 for none")
    parser.add_argument("--out", type=Path, default=Path("out/several_views"), help="folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    prior, distances, network = open_prior(DEFAULT), load_distances(vgg=False), open_network("ours")
    cases = scenes(network, options) if options.of == "scenes" else pose2sim(network, options.out)
    scores_by_row: dict[tuple[str, str], list[dict[str, float | None]]] = {}
    sheet: dict[str, list[np.ndarray]] = {}
    for name, kind, case in cases:
        nowhere = np.zeros(case.truth.shape[:-1], np.float32)
        shown = sheet.setdefault(name, [to_uint8(case.truth[0, -1])]) if kind != "true" else []
        filled = fill(prior, case)
        rows = {row: grid[-len(case.truth) :] for row, grid in filled.items()}
        if options.lifted and len(case.real) == REAL:
            rows |= lift(case, filled[PRIOR], options.lifted)
        for row, made in rows.items():
            scores = fidelity_scores(made, case.truth, Regions(nowhere, nowhere), distances)
            scores_by_row.setdefault((f"{row}, {len(case.real)} real", kind), []).append(scores)
            if row in (PUSH_PULL, PRIOR):
                shown.append(to_uint8(made[0, -1]))
        print(f"{name}: {len(case.real)} real views, {kind} depth", flush=True)
    means = {
        row: {x: float(np.mean([s[x] or 0.0 for s in scores])) for x in SHOWN}
        for row, scores in scores_by_row.items()
    }
    lines = [[*row, *(f"{means[row][x]:.3f}" for x in SHOWN)] for row in means]
    print(text_table(["row", "depth", *SHOWN], lines))
    columns = ["truth", *(f"{row}, {k} real" for k in (1, 2, 3) for row in (PUSH_PULL, PRIOR))]
    pictures = np.asarray(list(sheet.values())[:SHEET])
    rows = list(sheet)[:SHEET]
    title = "the last instant of the first target, estimated depth"
    path = options.out / f"{options.of}.png"
    save_picture(path, contact_sheet(pictures, rows=rows, columns=columns, title=title))
    print(f"pictures: {path}")
    print(json.dumps({" ".join(row): means[row] for row in means}))


def fill(prior: Prior, case: Case) -> dict[str, Pictures]:
    """Return the targets by row, in [0, 1]; of the prior the whole grid."""
    key = jax.random.key(0)
    grid, projection = generate_grid(prior, case.real, case.depth, case.cameras, key)
    count = len(case.truth)
    made = {
        COPY: jnp.stack([case.real[0]] * count),
        PUSH_PULL: _fill_holes(projection),
        PRIOR: grid,
    }
    return {row: to_unit(frames) for row, frames in made.items()}


def lift(case: Case, grid: Pictures, steps: int) -> dict[str, Pictures]:
    """Return the targets in scenes that were fitted with and without the prior's views."""
    count, made, settings = len(case.real), {}, replace(DEFAULT.lift, steps=steps)
    targets, times = case.cameras.views(slice(count, None)), np.linspace(0, 1, grid.shape[1])
    depth = np.asarray(case.depth)
    together = around_source(to_uint8(grid), depth, case.cameras)
    alone = around_source(together.frames[:count], depth, case.cameras.views(slice(count)))
    same = sized_for(settings, together)  # as many Gaussians in both
    for row, views in {ALONE: alone, TOGETHER: together}.items():
        scene = lift_grid(same, views, jax.random.key(0))
        made[row] = render_views(scene, targets, times) / np.float32(255)
    pictures = to_uint8(grid[:count])
    views = Grid(
        frames=pictures,
        origin=all_real(pictures),
        times=times,
        cameras=case.cameras.views(slice(count)),
    )
    fitted = capture_fit.lift_capture(settings, views, jax.random.key(0))
    over = np.asarray(fitted.background, np.float32)
    made[STREWN] = render_views(fitted.scene, targets, times, over) / np.float32(255)
    return made


_fill_holes = jax.jit(fill_holes)


def scenes(network: AnyNetwork, options: argparse.Namespace) -> Iterator[tuple[str, str, Case]]:
    """Yield name, kind of depth and case for each number of real views of procedural scenes."""
    size = {"frames": DEFAULT.data.frames, "height": 64, "width": 64, "worlds": "rich"}
    render = jax.jit(partial(procedural_scene, views=REAL + TARGETS, **size))
    for scene in range(FIRST, FIRST + options.scenes):
        key = jax.random.fold_in(jax.random.key(2), scene)
        targets = jax.random.uniform(key, (TARGETS,), minval=-options.apart, maxval=options.apart)
        sides = jnp.array([options.apart, -options.apart])
        clip = render(HELD_OUT_START + scene, azimuths=jnp.concatenate([sides, targets]))
        cameras, real = cameras_of(clip), 2 * clip.frames[:REAL] - 1
        ours = jnp.stack([_estimate(network, *x) for x in zip(real, clip.depth, strict=False)])
        for kind, depth in {"true": clip.depth[:REAL], "ours": ours}.items():
            for k in range(1, REAL + 1):
                chosen = cameras.views([*range(k), *range(REAL, REAL + TARGETS)])
                case = Case(real[:k], depth[:k], chosen, np.asarray(clip.frames[REAL:]))
                yield f"scene {scene}", kind, case


def _estimate(
    network: AnyNetwork, frames: Float[Array, "t h w 3"], true: Float[Array, "t h w"]
) -> Float[Array, "t h w"]:
    """Return estimated depth whose median at the first instant is the true one."""
    estimated = drop_depth_edges(source_depth(network, frames), EDGE)
    ratio = jnp.where(estimated[0] > 0, true[0] / jnp.maximum(estimated[0], 1e-6), jnp.nan)
    return estimated * jnp.nanmedian(ratio)


def pose2sim(network: AnyNetwork, out: Path) -> Iterator[tuple[str, str, Case]]:
    """Yield name, kind of depth and case for each target and number of real views."""
    capture, dataset = shared_folder() / "data" / "pose2sim", out / "pose2sim.set"
    if not dataset.exists():
        words = ["data", "import", str(capture), "--out", str(dataset), "--size", "256"]
        if cli.main([*words, "--instants", "50:100"]):
            raise SystemExit(f"{capture}: set FULL4D_DATA to the folder that has data/pose2sim")
    first = open_source(DEFAULT.data, DatasetViewOptions(dataset))
    assert first.cameras is not None, "a rig has cameras"
    places = centers(np.asarray(first.cameras.world_to_camera[:, 0]))
    for target in range(len(places)):
        nearest = np.argsort(np.linalg.norm(places - places[target], axis=-1))[1:].tolist()
        truth = open_source(DEFAULT.data, DatasetViewOptions(dataset, view=(target,))).frames
        for k in range(1, len(places)):
            yield (
                f"camera {target}",
                "ours",
                _real_case(network, dataset, nearest[:k], target, truth),
            )


def _real_case(
    network: AnyNetwork, dataset: Path, real: list[int], target: int, truth: np.ndarray
) -> Case:
    """Return a case of some cameras of a data set."""
    source = open_source(DEFAULT.data, DatasetViewOptions(dataset, view=tuple(real)))
    depth, unit, *_ = measure_depth(source, network)
    depths = [depth[None]]
    if source.real_rows > 1:
        depths.append(measure_real_rows(source, unit, network))
    cameras = in_unit(source, unit).cameras
    place = source.about.place
    assert cameras is not None, "a rig has cameras"
    assert place is not None, "views of a data set know their place"
    asked = [*range(len(real)), place.views.tolist().index(target)]
    pictures, maps = to_model(source.frames[: len(real)]), jnp.asarray(np.concatenate(depths))
    return Case(pictures, maps, cameras.views(asked), truth / np.float32(255))


if __name__ == "__main__":
    main()
