"""Restores real clips that were seen from elsewhere and back; a table, and one JSON line last.

    python benchmarks/reprojection.py [--angle 15 --moments 2 --rows 256 --depth_network FILE]

Clips are those of the folder `real_videos` that no training reads, every fifth by name. The middle
square of 4 frames, with depth by our network and its facts, is drawn into a camera `--angle`
degrees to the left or right, around the median depth, and holes are filled by push-pull. From there
it is projected back, and every row restores the frames themselves (double reprojection, arXiv
2503.05638; the lens has a field of view of 55 degrees). What the projection does not reach are
holes. Those that hide what is nearer than their surroundings, or whose depth nobody knows, do not
count, and get the true colour in all rows' scores: there the other camera lost a part of a person,
while a real hole hides what is behind. The JSON line says what share of the holes counts.

The clean plate is that of the frames as seen from elsewhere: behind their subjects, and beyond
their borders. Two rows have it in their holes: a projection, and the cascade, as in `full4d run`.

Scores pool the frames of a moment and average over moments and sides; means are over clips, and so
are the cascade's paired gains with their standard errors. Depth need not be true: wrong depth makes
other holes and bends both ways alike.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import shared_folder
from jaxtyping import Array, Bool, Float
from numpy import ndarray

from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.baselines import inpaint_by_marching
from full4d_jax.evaluation.fidelity import Distances, Regions, fidelity_scores, load_distances
from full4d_jax.evaluation.table import (
    INPAINT,
    PUSH_PULL,
    Estimate,
    estimate,
    table_cell,
    text_table,
)
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.cascade import Upsampler, enlarge_grid, generate_small, load_upsampler
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.generation.projection_guidance import fill_holes
from full4d_jax.generation.seen_before import behind_subjects, seen_before
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.grid import CleanPlate
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8, to_unit
from full4d_jax.media.video import read_video
from full4d_jax.session.errors import InputError
from full4d_jax.session.progress import Progress
from full4d_jax.source.depth.clean_plate import clean_plate
from full4d_jax.source.depth.clip_depth import AnyNetwork, source_depth
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.depth.facts import hold_facts
from full4d_jax.source.measured_depth import depth_of_picture
from full4d_jax.source.subjects import SubjectNetworks, find_subjects, load_subject_networks
from full4d_jax.training.clips.double_reprojection import (
    can_be_guessed,
    pose_beside,
    two_views,
)
from input_pipeline.footage import VIDEOS, listed, training_clips
from input_pipeline.video_files import frame_times

INSTANTS = 4
FIELD_OF_VIEW = 55.0  # degrees
COPY = "as seen from elsewhere"
PRIOR = "prior, enlarged"
PASTED = "projection over the prior"
ALONE = "cascade without a plate"
LAYERS = "projection + clean plate"
CASCADE = "cascade"  # as `full4d run` has it
ROWS = (COPY, INPAINT, PUSH_PULL, PRIOR, PASTED, ALONE, LAYERS, CASCADE)
BASELINES = {"inpainting": INPAINT, "push_pull": PUSH_PULL}
SHOWN = ("psnr", "psnr_unseen", "lpips", "lpips_unseen")
Frames = Float[ndarray, "v t h w 3"]
Scores = dict[str, dict[str, float | None]]


def main() -> None:
    """Score clip after clip, print the table, save a sheet of pictures."""
    options = parse()
    try:
        depth = open_network(options.depth_network)
        upsampler = load_upsampler(options.upsampler)
        prior = open_prior(DEFAULT, options.prior)
        clips = held_out_clips(shared_folder() / "data" / "real_videos")
    except (InputError, ValueError) as error:
        raise SystemExit(str(error)) from None
    networks = load_subject_networks()
    distances = load_distances(vgg=False)
    scores_of_clips = []
    counted = []
    shown = []
    with Progress("clips", len(clips)) as report:
        for number, clip in enumerate(clips, 1):
            scores = []
            for frames in moments(clip, options.rows, options.moments):
                for angle in (-options.angle, options.angle):
                    views, video_depth = seen_from(depth, networks, frames, angle)
                    plate = plate_of(depth, networks, views)
                    restored, holes, counts = restore(prior, upsampler, plate, views, video_depth)
                    judged = {row: np.where(counts, x, frames) for row, x in restored.items()}
                    scores.append(score(judged, frames, holes, distances))
                    counted.append(holes.sum() / (holes.sum() + (~counts).sum()))
            scores_of_clips.append(mean_scores(scores))
            shown.append([frames[-1], *(restored[row][0, -1] for row in ROWS)])
            report(number)
    print(table(scores_of_clips))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "reprojection.png"
    save_picture(path, sheet(shown, [clip.stem for clip in clips]))
    print(f"pictures: {path}")
    known = {"clips": len(clips), "share_of_holes": round(float(np.mean(counted)), 3)}
    print(json.dumps(known | gains(scores_of_clips)))


def parse() -> argparse.Namespace:
    """Read the options.

    Raises:
      SystemExit: one is out of range.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--angle", type=float, default=15.0, help="degrees to the sides")
    parser.add_argument("--moments", type=int, default=2, help="parts of a clip")
    parser.add_argument("--rows", type=int, default=256, help="rows and columns of a frame")
    parser.add_argument("--depth_network", default="ours", help="a name or a file")
    parser.add_argument("--prior", type=Path, help="weights of another prior")
    parser.add_argument("--upsampler", type=Path, help="weights of another upsampler")
    parser.add_argument("--out", type=Path, default=Path("out/reprojection"), help="folder")
    options = parser.parse_args()
    for name, low in (("angle", 0), ("moments", 1), ("rows", 64)):
        if getattr(options, name) < low:
            raise SystemExit(f"--{name}: found {getattr(options, name)}, expected at least {low}")
    return options


def held_out_clips(folder: Path) -> list[Path]:
    """Return the clips of a folder that no training reads.

    Raises:
      ValueError: there are none.
    """
    trained = set(training_clips(folder))
    clips = [clip for clip in listed(folder, VIDEOS) if clip not in trained]
    if not clips:
        raise ValueError(f"{folder}: found {len(trained)} clips, expected 5 or more")
    return clips


def moments(clip: Path, rows: int, count: int) -> list[Float[ndarray, "t h w 3"]]:
    """Return the middle square of a few frames, [0, 1], from as many parts of a clip."""
    last = float(frame_times(clip)[-1])
    starts = [last * (i + 0.5) / count - 0.25 for i in range(count)]
    size = {"height": rows, "width": rows, "frames": INSTANTS}
    return [to_unit(read_video(clip, **size, start=max(0.0, x)).frames / 127.5 - 1) for x in starts]


def seen_from(
    network: AnyNetwork,
    subject_networks: SubjectNetworks,
    frames: Float[ndarray, "t h w 3"],
    angle: float,
) -> tuple[Batch, Float[Array, "t h w"]]:
    """Return frames as a camera beside would see them, and the frames; and the frames' depth."""
    rows = frames.shape[1]
    video = jnp.asarray(2 * frames - 1)
    focal = rows / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW) / 2)
    lens = np.array([[focal, 0, rows / 2], [0, focal, rows / 2], [0, 0, 1]], np.float32)
    estimated = np.asarray(source_depth(network, video))
    at_rest = np.tile(np.eye(4, dtype=np.float32), (len(frames), 1, 1))
    held = hold_facts(estimated, to_uint8(frames), lens, at_rest, subject_networks)
    depth = drop_depth_edges(jnp.asarray(held.depth), EDGE)
    return _two_views(video, depth, jnp.asarray(lens), pose_beside(angle))


_two_views = jax.jit(two_views)


def restore(
    prior: Prior,
    upsampler: Upsampler,
    plate: CleanPlate,
    views: Batch,
    video_depth: Float[Array, "t h w"],
) -> tuple[dict[str, Frames], Float[ndarray, "v t h w"], Bool[ndarray, "v t h w 1"]]:
    """Return every row's frames in [0, 1], 1 in the holes that count, and what counts."""
    cameras = views.cameras
    frames = views.frames[:1]
    depth = views.depth[None]
    rows = upsampler.prior_rows
    small = generate_small(prior, frames, depth, cameras, jax.random.key(0), rows)[1:]
    lens = cameras.intrinsics[0]
    path = cameras.world_to_camera[0]
    known = seen_before(frames[0], depth[0], lens, path)
    made, projection = enlarge_grid(upsampler, small, frames, depth, (known,), cameras)
    hidden = behind_subjects(plate, frames[0], depth[0], lens, path)
    whole, layers = enlarge_grid(upsampler, small, frames, depth, (known,), cameras, hidden)
    large = jnp.clip(jax.image.resize(small, made.shape, "cubic"), -1, 1)
    seen = projection.mask[..., None]
    grids = {
        COPY: views.frames[:1],
        INPAINT: inpaint_by_marching(projection.frames, projection.mask),
        PUSH_PULL: jax.jit(fill_holes)(projection),
        PRIOR: large,
        PASTED: seen * projection.frames + (1 - seen) * large,
        ALONE: made,
        LAYERS: jax.jit(fill_holes)(layers),
        CASCADE: whole,
    }
    counts = np.asarray(jax.jit(can_be_guessed)(projection, video_depth[None])) > 0
    holes = counts & (np.asarray(projection.mask) == 0)
    restored = {row: to_unit(grid) for row, grid in grids.items()}
    return restored, holes.astype(np.float32), counts[..., None]


def plate_of(network: AnyNetwork, subject_networks: SubjectNetworks, views: Batch) -> CleanPlate:
    """Return the clean plate of the source."""
    frames = to_uint8(to_unit(np.asarray(views.frames[0])))
    depth = np.asarray(views.depth)
    lens = np.asarray(views.cameras.intrinsics[0])
    path = np.asarray(views.cameras.world_to_camera[0])
    subjects = find_subjects(subject_networks, frames, lens, path)
    return clean_plate(
        depth, frames, subjects.labels, subjects.backdrop, partial(depth_of_picture, network)
    )


def score(
    made: dict[str, Frames],
    frames: Float[ndarray, "t h w 3"],
    holes: Float[ndarray, "v t h w"],
    distances: Distances,
) -> Scores:
    """Return the scores of every row."""
    regions = Regions(holes, np.zeros_like(holes))
    scores = {x: fidelity_scores(y, frames[None], regions, distances) for x, y in made.items()}
    return {row: {name: values[name] for name in SHOWN} for row, values in scores.items()}


def mean_scores(scores: list[Scores]) -> Scores:
    """Return the means over the moments of a clip that have a score."""

    def mean(row: str, name: str) -> float | None:
        known = [x for one in scores if (x := one[row][name]) is not None]
        return float(np.mean(known)) if known else None

    return {row: {name: mean(row, name) for name in SHOWN} for row in ROWS}


def column(clips: list[Scores], row: str, name: str) -> Float[ndarray, "clips"]:
    """Return a score of all clips, NaN where there is none."""
    return np.array([one[row][name] for one in clips], np.float64)


def table(clips: list[Scores]) -> str:
    """Return means, and what the cascade gains over the baselines; positive is better."""
    digits = {name: 3 if name.startswith("lpips") else 2 for name in SHOWN}
    lines = [
        [row, *(f"{np.nanmean(column(clips, row, name)):.{digits[name]}f}" for name in SHOWN)]
        for row in ROWS
    ]
    for row in BASELINES.values():
        cells = (table_cell(gain(clips, row, x), digits[x], "+") for x in SHOWN)
        lines.append([f"cascade, gain over {row}", *cells])
    return text_table(["row", *SHOWN], lines)


def gain(clips: list[Scores], row: str, name: str) -> Estimate:
    """Return the paired gain of the cascade over a row."""
    difference = column(clips, CASCADE, name) - column(clips, row, name)
    return estimate(-difference if name.startswith("lpips") else difference)


def gains(clips: list[Scores]) -> dict[str, float]:
    """Return the gains of the cascade over the baselines."""
    return {
        f"{name}_over_{label}": round(gain(clips, row, name).mean, 4)
        for label, row in BASELINES.items()
        for name in SHOWN
    }


def sheet(shown: list[list[ndarray]], names: list[str]) -> ndarray:
    """Return the sheet of pictures: the last instant of every clip."""
    pictures = np.array([[to_uint8(picture) for picture in row] for row in shown])
    title = "the last instant, seen from elsewhere and back"
    return contact_sheet(
        pictures, rows=names, columns=["clip", *ROWS], title=title, cell_height=pictures.shape[2]
    )


if __name__ == "__main__":
    main()
