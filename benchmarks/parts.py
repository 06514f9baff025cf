"""Shows on one real clip what each part of the papers' system adds; the last line is JSON.

    python benchmarks/parts.py [--clip NAME --angle 15 --rows 256 --no-distilled] --out OUT

The clip is drawn into a camera `--angle` degrees beside by our depth, holes filled, and that is all
that the system sees: it has to give back the clip itself, as in `reprojection.py`, which says what
counts. Each row has one part more than the one before:

    as seen from elsewhere      the source, not turned
    projection + push-pull      and the geometric prior
    projection over the prior   and the diffusion transformer, enlarged, in its holes
    cascade without a plate     and the upsampler
    cascade                     and what is hidden, filled once for all views (the clean plate)
    4D scene                    and 4D Gaussians, fitted to the source and to three generated views,
                                none of them the clip's, rendered at the clip's camera
    distilled                   and flow-matching distillation while they are fitted (`gradient`)

OUT/parts.jpg shows the middle instant of all rows, and their error, four times as bright.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from common import shared_folder
from jaxtyping import Float, UInt8
from numpy import ndarray
from reprojection import (
    ALONE,
    CASCADE,
    COPY,
    PASTED,
    Frames,
    Scores,
    held_out_clips,
    moments,
    plate_of,
    restore,
    score,
    seen_from,
)

from full4d_jax.cameras import Cameras
from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.fidelity import load_distances
from full4d_jax.evaluation.table import PUSH_PULL, text_table
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.cascade import Upsampler, generate_large, load_upsampler
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.grid import CleanPlate, Grid, around_source
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8, to_unit
from full4d_jax.scene.fit_settings import queried_as_trained
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.source_fit import lift_grid
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.subjects import load_subject_networks
from full4d_jax.training.clips.double_reprojection import pose_beside

SCENE = "4D scene"
DISTILLED = "distilled"
ROWS = (COPY, PUSH_PULL, PASTED, ALONE, CASCADE, SCENE, DISTILLED)
SHOWN = ("psnr", "psnr_unseen", "lpips", "lpips_unseen")
GENERATED = (-1.0, 2 / 3, 4 / 3)  # turns of the views that are fitted, the clip's camera being 1
BRIGHTER = 4.0  # times that errors are shown


class RowResult(NamedTuple):
    """What a row makes of the clip, [0, 1], and in how many seconds."""

    frames: Frames
    seconds: float


def main() -> None:
    """Make all rows, print the table, save the picture."""
    options = parse()
    try:
        clips = {clip.stem: clip for clip in held_out_clips(shared_folder() / "data/real_videos")}
        network = open_network("ours")
        prior = open_prior(DEFAULT)
        upsampler = load_upsampler()
    except (InputError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if options.clip not in clips:
        raise SystemExit(f"--clip: found {options.clip}, expected one of {', '.join(clips)}")
    (frames,) = moments(clips[options.clip], options.rows, 1)
    networks = load_subject_networks()
    views, video_depth = seen_from(network, networks, frames, options.angle)
    plate = plate_of(network, networks, views)
    start = time.perf_counter()
    restored, holes, counts = restore(prior, upsampler, plate, views, video_depth)
    seconds = time.perf_counter() - start
    rows = {row: RowResult(restored[row], seconds) for row in ROWS if row in restored}
    grid = generated_grid(prior, upsampler, views, plate, options.angle)
    rows[SCENE] = lifted(grid, views, None)
    if options.distilled:
        rows[DISTILLED] = lifted(grid, views, prior, upsampler.prior_rows)
    distances = load_distances(vgg=False)
    judged = {row: np.where(counts, result.frames, frames) for row, result in rows.items()}
    scores = score(judged, frames, holes, distances)
    print(table(scores, rows))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "parts.jpg"
    save_picture(path, sheet(frames, {row: result.frames for row, result in rows.items()}, scores))
    print(f"pictures: {path}")
    print(json.dumps({"clip": options.clip, "angle": options.angle} | steps(scores)))


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = "intel_preview_face-demographics-walking"
    parser.add_argument("--clip", default=default, help="a clip that no training reads")
    parser.add_argument("--angle", type=float, default=15.0, help="degrees to the side")
    parser.add_argument("--rows", type=int, default=256, help="rows and columns of a frame")
    distilled = argparse.BooleanOptionalAction
    parser.add_argument("--distilled", action=distilled, default=True, help="the last row, slow")
    parser.add_argument("--out", type=Path, default=Path("out/parts"), help="folder")
    return parser.parse_args()


def generated_grid(
    prior: Prior, upsampler: Upsampler, views: Batch, plate: CleanPlate, angle: float
) -> Grid:
    """Return the source and what is generated at `GENERATED`, without the camera of the clip."""
    cameras = cameras_around(views.cameras, angle)
    source = views.frames[:1]
    depth = views.depth[None]
    key = jax.random.key(0)
    frames, _ = generate_large(prior, upsampler, source, depth, cameras, key, plate)
    pictures = to_uint8(to_unit(np.asarray(frames)))
    return around_source(pictures, np.asarray(depth), jax.tree.map(np.asarray, cameras))


def cameras_around(cameras: Cameras, angle: float) -> Cameras:
    """Return the source's camera and those at `GENERATED`, around what the clip's turns around."""
    source, clip = np.asarray(cameras.world_to_camera)
    # The clip's camera is `pose_beside(-angle)` in the unit of this world.
    unit = np.linalg.norm(pose_beside(-angle)[:3, 3]) / np.linalg.norm(clip[0, :3, 3])
    poses = [source]
    for turn in GENERATED:
        pose = np.array(pose_beside(-angle * turn))
        pose[:3, 3] /= unit
        poses.append(np.broadcast_to(pose, source.shape))
    lenses = np.repeat(cameras.intrinsics[:1], len(poses), 0)
    return replace(cameras, intrinsics=jnp.asarray(lenses), world_to_camera=jnp.asarray(poses))


def lifted(grid: Grid, views: Batch, teacher: Prior | None, asked_rows: int = 0) -> RowResult:
    """Return the scene fitted to a grid, with or without distillation, from the clip's camera."""
    start = time.perf_counter()
    settings = DEFAULT.lift
    if teacher is not None:
        settings = replace(settings, distillation="gradient")
        settings = queried_as_trained(settings, grid, DEFAULT.data)
    key = jax.random.key(DEFAULT.seed)
    scene = lift_grid(settings, grid, key, prior=teacher, asked_rows=asked_rows)
    times = np.linspace(0, 1, grid.frames.shape[1], dtype=np.float32)
    frames = render_views(scene, views.cameras.views([1]), times) / np.float32(255)
    return RowResult(frames, time.perf_counter() - start)


def table(scores: Scores, rows: dict[str, RowResult]) -> str:
    """Return the scores and seconds of every row."""
    digits = {name: 3 if name.startswith("lpips") else 2 for name in SHOWN}
    lines = []
    for row, result in rows.items():
        values = (scores[row][name] for name in SHOWN)
        cells = (
            "-" if x is None else f"{x:.{digits[n]}f}" for n, x in zip(SHOWN, values, strict=True)
        )
        lines.append([row, *cells, f"{result.seconds:.0f}"])
    return text_table(["row", *SHOWN, "seconds"], lines)


def steps(scores: Scores) -> dict[str, dict[str, float | None]]:
    """Return the scores by row, rounded."""
    return {
        row: {name: None if x is None else round(x, 4) for name, x in values.items()}
        for row, values in scores.items()
    }


def sheet(
    frames: Float[ndarray, "t h w 3"], rows: dict[str, Frames], scores: Scores
) -> UInt8[ndarray, "H W 3"]:
    """Return the picture: the clip and all rows at the middle instant; errors under the scores."""
    middle = len(frames) // 2
    pictures = [frames[middle], *(row[0, middle] for row in rows.values())]
    errors = [np.minimum(1.0, BRIGHTER * np.abs(x - frames[middle])) for x in pictures]
    numbers = [f"{scores[row]['psnr']:.1f} dB, LPIPS {scores[row]['lpips']:.3f}" for row in rows]
    return np.concatenate(
        [
            contact_sheet(
                np.array([[to_uint8(x) for x in cells]]),
                rows=[""],
                columns=columns,
                cell_height=len(frames[0]),
            )
            for columns, cells in (
                (["the clip", *rows], pictures),
                (["", *numbers], errors),
            )
        ]
    )


if __name__ == "__main__":
    main()
