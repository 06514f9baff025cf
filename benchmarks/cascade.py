"""Scores the cascade at full size on held-out rich scenes; prints a table and one JSON line last.

    python benchmarks/cascade.py [--first N --scenes N --lifted N --angle 60 --rows 256]

Every scene has 4 views x 4 instants, with targets within the angle, once with true depth and once
with ours. A row is a way to make the target frames: the source copied, the projection filled by
push-pull, the prior's small frames enlarged, the projection pasted over them, and the cascade. Two
tables have the cascade's gains over push-pull by the share of a frame's pixels that no projection
decides. For the first `--lifted` scenes another table compares the rows with the scene that is
fitted to the cascade, at cameras half-way between the generated ones.

Scores pool all target frames of a scene; unseen pixels are those where the projection by true depth
has no point. Scenes 64 to 127 are for reporting: nothing was chosen by them.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from binned_gains import FrameGain, binned_gains, frame_gain, gain_table
from jaxtyping import Array, Float

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.fidelity import (
    Lpips,
    fidelity_scores,
    moving_region,
    open_lpips,
)
from full4d_jax.evaluation.table import text_table
from full4d_jax.generation.cascade import (
    Upsampler,
    enlarge_grid,
    generate_small,
    load_upsampler,
    project_grid,
    projected_share,
)
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.generation.projection_guidance import (
    Projection,
    fill_holes,
    project_video,
)
from full4d_jax.generation.static_points import find_static_points
from full4d_jax.geometry.depth_maps import drop_depth_edges
from full4d_jax.grid import around_source
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8, to_unit
from full4d_jax.scene.fit_settings import fit_kind, sized_for
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.source_fit import lift_grid
from full4d_jax.scene.surroundings import surround
from full4d_jax.session.progress import Progress
from full4d_jax.source.depth.any_network import AnyNetwork, open_network, source_depth
from gaussians import DynamicGaussians
from input_pipeline.procedural.scene import (
    HELD_OUT_START,
    ProceduralClip,
    procedural_scene,
)

VIEWS = 4
INSTANTS = 4
REPORTED = 64  # the first scene that nothing is chosen by
COPY = "copy of the source"
PUSH_PULL = "projection + push-pull"
PRIOR = "prior, enlarged"
PASTED = "projection over the prior"
CASCADE = "cascade"
SCENE = "4D scene"
FILLED = (PUSH_PULL, PRIOR, PASTED, CASCADE)
SHOWN = ("psnr", "psnr_unseen", "ssim", "lpips")
SHEET = 8  # scenes in the sheet
Means = dict[tuple[str, str], dict[str, float]]
Grid = Float[Array, "v t h w 3"]


class Models(NamedTuple):
    """The networks under test."""

    prior: Prior
    upsampler: Upsampler
    depth: AnyNetwork


def main() -> None:
    """Score scene after scene, print the table, save a sheet of pictures."""
    options = parse()
    models = Models(
        open_prior(DEFAULT),
        load_upsampler(options.checkpoint),
        open_network(options.depth_network),
    )
    lpips = open_lpips()
    sheet = []
    scores_by_row: dict[tuple[str, str], list[dict[str, float | None]]] = {}
    gains: dict[str, list[list[FrameGain]]] = {}
    if options.first < REPORTED:
        print(f"scenes below {REPORTED} are for choosing, not for reporting")
    with Progress("scenes", options.scenes) as report:
        for number in range(options.scenes):
            clip = render_clip(options.first + number, options.rows, options.angle)
            grids = dict(fill_all(models, clip))
            for row, scores in score(clip, grids, lpips).items():
                scores_by_row.setdefault(row, []).append(scores)
            for depth, of_frames in frame_gains(models, clip, grids, lpips).items():
                gains.setdefault(depth, []).append(of_frames)
            if len(sheet) < SHEET:
                sheet.append(pictures(clip, grids))
            report(number + 1)
    means = {row: mean_scores(scores) for row, scores in scores_by_row.items()}
    print(table(means))
    binned = {depth: binned_gains(scenes) for depth, scenes in gains.items()}
    for depth, of_bins in binned.items():
        print(f"gain of the {CASCADE} over {PUSH_PULL}, depth {depth}:")
        print(gain_table(of_bins))
    between = score_between(models, options, lpips)
    if between:
        print("at cameras between the generated ones:")
        print(table(between))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"cascade_{options.angle:g}.png"
    save_picture(path, draw(sheet, options))
    print(f"pictures: {path}")
    results = summary(options, means) | gains_between(between)
    print(json.dumps(results | {"gains": binned}))


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--first", type=int, default=REPORTED, help="first held-out scene"
    )
    parser.add_argument("--scenes", type=int, default=16, help="number of scenes")
    parser.add_argument(
        "--lifted", type=int, default=4, help="scenes that are lifted, 0 for none"
    )
    parser.add_argument(
        "--angle", type=float, default=60.0, help="widest azimuth, degrees"
    )
    parser.add_argument(
        "--rows", type=int, default=256, help="rows and columns of a frame"
    )
    parser.add_argument("--checkpoint", type=Path, help="weights of another upsampler")
    parser.add_argument("--depth_network", default="ours", help="a name or a file")
    parser.add_argument(
        "--out", type=Path, default=Path("out/cascade"), help="folder for pictures"
    )
    return parser.parse_args()


def render_clip(scene: int, rows: int, angle: float) -> ProceduralClip:
    """Return a held-out scene with targets at random azimuths within the angle."""
    return _rendered(scene, rows, _azimuths(scene, angle))


def _azimuths(scene: int, angle: float) -> Float[Array, "targets"]:
    key = jax.random.fold_in(jax.random.key(1), scene)
    return jax.random.uniform(key, (VIEWS - 1,), minval=-angle, maxval=angle)


def _rendered(
    scene: int, rows: int, azimuths: Float[Array, "targets"]
) -> ProceduralClip:
    size = {"views": 1 + len(azimuths), "height": rows, "width": rows}
    return _program(HELD_OUT_START + scene, azimuths=azimuths, **size)


_program = jax.jit(
    partial(procedural_scene, frames=INSTANTS, worlds="rich"),
    static_argnames=("views", "height", "width"),
)
_fill_holes = jax.jit(fill_holes)


def fill_all(
    models: Models, clip: ProceduralClip
) -> Iterator[tuple[tuple[str, str], Grid]]:
    """Yield (row, depth) and its target frames in [-1, 1]."""
    source = 2 * clip.frames[0] - 1
    targets = len(clip.frames) - 1
    yield (COPY, "none"), jnp.broadcast_to(source[None], (targets, *source.shape))
    for name, depth in depths_of(models, clip).items():
        for row, grid in fill(models, source, depth, cameras_of(clip)).items():
            yield (row, name), grid


def depths_of(models: Models, clip: ProceduralClip) -> dict[str, Float[Array, "t h w"]]:
    """Return the source's depth: the true one, and ours."""
    ours = source_depth(models.depth, 2 * clip.frames[0] - 1)
    return {"true": clip.depth[0], "ours": drop_depth_edges(ours)}


def fill(
    models: Models,
    source: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
) -> dict[str, Grid]:
    """Return the target frames of the rows that need depth."""
    rows = models.upsampler.prior_rows
    key = jax.random.key(0)
    small = generate_small(models.prior, source[None], depth[None], cameras, key, rows)[
        1:
    ]
    projection = project(source, depth, cameras)
    cascade_frames = enlarge_grid(models.upsampler, small, projection)
    large = jax.image.resize(small, cascade_frames.shape, "cubic")
    seen = projection.mask[..., None]
    pasted = seen * projection.frames + (1 - seen) * large
    return {
        PUSH_PULL: _fill_holes(projection),
        PRIOR: large,
        PASTED: pasted,
        CASCADE: cascade_frames,
    }


def project(
    source: Float[Array, "t h w 3"], depth: Float[Array, "t h w"], cameras: Cameras
) -> Projection:
    """Return what is known of the target frames."""
    camera = cameras.intrinsics[0], cameras.world_to_camera[0]
    known = find_static_points(source, depth, *camera)
    return project_grid(source[None], depth[None], (known,), cameras)


def score(
    clip: ProceduralClip, grids: dict[tuple[str, str], Grid], lpips: Lpips
) -> dict[tuple[str, str], dict[str, float | None]]:
    """Return the scores of every row."""
    truth = np.asarray(clip.frames[1:])
    seen = jax.jit(project_video)(clip.frames[0], clip.depth[0], cameras_of(clip)).mask
    moving = moving_region(truth, np.asarray(clip.world_to_camera[1:]))
    regions = {"_unseen": 1 - np.asarray(seen), "_moving": moving}
    return {
        row: fidelity_scores(
            np.clip(np.asarray(grid) / 2 + 0.5, 0, 1), truth, regions, lpips
        )
        for row, grid in grids.items()
    }


def frame_gains(
    models: Models,
    clip: ProceduralClip,
    grids: dict[tuple[str, str], Grid],
    lpips: Lpips,
) -> dict[str, list[FrameGain]]:
    """Return what the cascade gains over push-pull in each target frame, by depth."""
    source = 2 * clip.frames[0] - 1
    truth = np.asarray(clip.frames[1:])
    seen = jax.jit(project_video)(clip.frames[0], clip.depth[0], cameras_of(clip)).mask
    unseen = 1 - np.asarray(seen)
    gains = {}
    for depth, maps in depths_of(models, clip).items():
        mask = project(source, maps, cameras_of(clip)).mask
        open_shares = 1 - np.asarray(projected_share(mask)).mean((2, 3))
        rows = [to_unit(grids[row, depth]) for row in (CASCADE, PUSH_PULL)]
        gains[depth] = []
        for view, time in np.ndindex(open_shares.shape):
            frame = np.s_[view : view + 1, time : time + 1]
            regions = {"_unseen": unseen[frame]}
            ours, base = (
                fidelity_scores(x[frame], truth[frame], regions, lpips) for x in rows
            )
            share = float(open_shares[view, time])
            gains[depth].append(frame_gain(share, ours, base))
    return gains


def score_between(models: Models, options: argparse.Namespace, lpips: Lpips) -> Means:
    """Return the scores of scenes, and of what they are made of, at cameras between."""
    scores_by_row: dict[tuple[str, str], list[dict[str, float | None]]] = {}
    with Progress("lifted", 2 * options.lifted) as report:
        for number in range(options.lifted):
            generated = _azimuths(options.first + number, options.angle)
            stops = jnp.sort(jnp.append(generated, 0.0))
            angles = jnp.concatenate([generated, (stops[1:] + stops[:-1]) / 2])
            clip = _rendered(options.first + number, options.rows, angles)
            source = 2 * clip.frames[0] - 1
            between = _seen_from(clip, [0, *range(VIEWS, 2 * VIEWS - 1)])
            ours = drop_depth_edges(source_depth(models.depth, source))
            for i, (name, depth) in enumerate(
                {"true": clip.depth[0], "ours": ours}.items()
            ):
                filled_views = fill(models, source, depth, cameras_of(between))
                rows = {(row, name): filled_views[row] for row in (PUSH_PULL, CASCADE)}
                rows[SCENE, name] = _lifted(models, source, depth, clip)
                for row, scores in score(between, rows, lpips).items():
                    scores_by_row.setdefault(row, []).append(scores)
                report(2 * number + i + 1)
    return {row: mean_scores(scores) for row, scores in scores_by_row.items()}


def _seen_from(clip: ProceduralClip, views: list[int]) -> ProceduralClip:
    """Return the clip seen from some of its cameras."""
    names = ("frames", "depth", "intrinsics", "world_to_camera")
    return clip._replace(
        **{name: getattr(clip, name)[np.array(views)] for name in names}
    )


def _lifted(
    models: Models,
    source: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    clip: ProceduralClip,
) -> Grid:
    """Return the scene fitted to the first cameras of a clip, seen from the others, [-1, 1]."""
    cameras = cameras_of(clip)
    generated = cameras.views(slice(VIEWS))
    frames = jnp.concatenate(
        [source[None], fill(models, source, depth, generated)[CASCADE]]
    )
    grid = around_source(to_uint8(to_unit(frames)), np.asarray(depth)[None], generated)
    scene = lift_grid(
        sized_for(DEFAULT.lift, grid, fit_kind(grid)), grid, jax.random.key(0)
    )
    assert isinstance(scene, DynamicGaussians), "the default motion"
    scene = surround(scene, jax.tree.map(jnp.asarray, generated), jax.random.key(1))
    times = np.linspace(0, 1, INSTANTS, dtype=np.float32)
    pictures = render_views(scene, cameras.views(slice(VIEWS, None)), times)
    return jnp.asarray(pictures / np.float32(127.5) - 1)


def mean_scores(scores: list[dict[str, float | None]]) -> dict[str, float]:
    """Return the means of the measures that are shown."""
    by_measure = {name: [x[name] for x in scores] for name in SHOWN}
    return {
        name: float(np.mean([x for x in values if x is not None]))
        for name, values in by_measure.items()
    }


def table(means: Means) -> str:
    """Return the table."""
    lines = [[*row, *(f"{means[row][name]:.3f}" for name in SHOWN)] for row in means]
    return text_table([["row", "depth", *SHOWN], *lines])


def summary(options: argparse.Namespace, means: Means) -> dict[str, float]:
    """Return the gains of the cascade over push-pull, with true depth and with ours."""
    values: dict[str, float] = {"angle": options.angle, "scenes": options.scenes}
    for depth, suffix in (("true", ""), ("ours", "_own_depth")):
        for name, measure in (
            ("psnr", "psnr"),
            ("unseen", "psnr_unseen"),
            ("lpips", "lpips"),
        ):
            gain = means[CASCADE, depth][measure] - means[PUSH_PULL, depth][measure]
            values[f"{name}_over_push_pull{suffix}"] = round(gain, 4)
    loss = means[CASCADE, "true"]["psnr"] - means[CASCADE, "ours"]["psnr"]
    return values | {"own_depth_loss": round(loss, 3)}


def gains_between(between: Means) -> dict[str, float]:
    """Return the gain of the scenes over push-pull at cameras between."""
    return {
        f"scene_over_push_pull_{depth}": round(
            between[SCENE, depth]["psnr"] - between[PUSH_PULL, depth]["psnr"], 3
        )
        for row, depth in between
        if row == SCENE
    }


def pictures(
    clip: ProceduralClip, grids: dict[tuple[str, str], Grid]
) -> list[np.ndarray]:
    """Return the last instant of the first target: source, truth, and every row."""
    shown = [clip.frames[0, -1], clip.frames[1, -1]]
    shown += [
        grids[row, depth][0, -1] / 2 + 0.5
        for depth in ("true", "ours")
        for row in FILLED
    ]
    return [to_uint8(np.asarray(picture)) for picture in shown]


def draw(sheet: list[list[np.ndarray]], options: argparse.Namespace) -> np.ndarray:
    """Return the sheet of pictures."""
    rows = [f"scene {options.first + i}" for i in range(len(sheet))]
    columns = [
        "source",
        "truth",
        *(f"{row}, {depth}" for depth in ("true", "ours") for row in FILLED),
    ]
    title = f"the last instant of the first target, within {options.angle:g} degrees"
    return contact_sheet(
        np.asarray(sheet),
        rows=rows,
        columns=columns,
        title=title,
        cell_height=options.rows,
    )


if __name__ == "__main__":
    main()
