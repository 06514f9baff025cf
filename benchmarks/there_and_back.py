"""Restores real clips that were projected aside and back; prints tables and one JSON line last.

    python benchmarks/there_and_back.py [--angles 15 30 45 --moments 1 --rows 256 --out OUT]

Clips are those of the folder `real_videos` that no training reads. The middle square of 4 frames is
projected by our depth, with its constraints, into a camera so many degrees to the left and to the
right, around the median depth, and holes are filled by push-pull. That is the source. Each row
projects it back and restores the frames (double reprojection, arXiv 2503.05638; the lens has a
field of view of 55 degrees). The row `cascade` queries the prior whatever the share of open pixels.

Open pixels are those that neither projection nor plate decides (`cascade.projected_share`); unseen
ones are holes of the projection. Holes that hide something nearer than their surroundings, or of
unknown depth, have the true colour in all rows: there the other camera lost a part of a person,
while a real hole hides background. Depth need not be true: wrong depth makes other holes and bends
both ways alike.

A table for each angle has means over clips. The last one has what the cascade gains over push-pull
of the same projection and plate, by the share of open pixels in a frame: a clip counts once in
each bin that it reaches, and standard errors are over clips. OUT/frames.jsonl keeps the scores of
clips, and the same command resumes there; delete it after changes to the code. OUT/CLIP.png shows
the last instant from the right.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from binned_gains import binned_gains, frame_gain, gain_table
from common import shared_folder
from jaxtyping import Array, Bool, Float, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.fidelity import (
    Lpips,
    fidelity_scores,
    inpaint_by_marching,
    open_lpips,
)
from full4d_jax.evaluation.table import (
    INPAINT,
    PUSH_PULL,
    estimate,
    score_jobs,
    text_table,
)
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.cascade import (
    Upsampler,
    enlarge_grid,
    fill_frames,
    generate_small,
    load_upsampler,
    project_grid,
    projected_share,
)
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.generation.projection_guidance import (
    NEARER_DISPARITY_RATIO,
    Projection,
    fill_holes,
)
from full4d_jax.generation.static_points import behind_subjects, find_static_points
from full4d_jax.grid import CleanPlate, around_source
from full4d_jax.media.pictures import (
    contact_sheet,
    save_picture,
    to_model,
    to_uint8,
    to_unit,
)
from full4d_jax.media.video_io import read_video
from full4d_jax.source.depth.any_network import (
    AnyNetwork,
    as_far,
    open_network,
    source_depth,
)
from full4d_jax.source.depth.resting_scene import clean_plate
from full4d_jax.source.depth_stage import measure_depth
from full4d_jax.source.subjects import find_subjects
from full4d_jax.training.clips.pseudo_views import two_views
from input_pipeline.media_files import VIDEOS, listed, training_clips
from input_pipeline.pinhole import orbit
from input_pipeline.video_files import frame_times

INSTANTS = 4
FIELD_OF_VIEW_DEGREES = 55.0
COPY = "as seen from aside"
PRIOR = "prior, enlarged"
NO_PLATE = "cascade without a plate"
PLATE = "projection + clean plate + push-pull"
CASCADE = "cascade"
ROWS = (COPY, INPAINT, PUSH_PULL, PRIOR, NO_PLATE, PLATE, CASCADE)
# Digits of the scores that are shown.
DIGITS = {"psnr": 2, "psnr_unseen": 2, "lpips": 4, "lpips_unseen": 4}
Frames = Float[ndarray, "t h w 3"]
# A frame's angle, its share of open pixels and the scores of its rows.
Record = dict[str, Any]


class Models(NamedTuple):
    """The networks under test."""

    prior: Prior
    upsampler: Upsampler
    depth: AnyNetwork
    lpips: Lpips


class Restored(NamedTuple):
    """Frames that came back.

    Attributes:
      rows: of each row, [0, 1].
      unseen: holes of the projection that are fair.
      fair: not lost by the other camera; other pixels have the true colour.
      open_share: share of each frame's pixels that neither projection nor plate decides.
    """

    rows: Mapping[str, Frames]
    unseen: Bool[ndarray, "t h w"]
    fair: Bool[ndarray, "t h w"]
    open_share: Float[ndarray, " t"]


def main() -> None:
    """Score clip after clip, draw them, print the tables and the JSON line."""
    options = parse()
    clips = held_out_clips(shared_folder() / "data" / "real_videos")
    models = Models(
        open_prior(DEFAULT), load_upsampler(), open_network("ours"), open_lpips()
    )
    options.out.mkdir(parents=True, exist_ok=True)
    mark = f"{options.rows} rows, {options.moments} moments, angles {options.angles}"

    def scored(_: str, name: str) -> dict[str, list[Record]]:
        return {"frames": score_clip(models, clips[name], options)}

    jobs = {("real videos", name): name for name in clips}
    lines = score_jobs(options.out / "frames.jsonl", mark, jobs, scored)
    by_clip = [lines[key]["frames"] for key in jobs]
    for angle in options.angles:
        at_angle = [[x for x in frames if x["angle"] == angle] for frames in by_clip]
        shares = [x["open_share"] for frames in at_angle for x in frames]
        print(f"{angle:g} degrees, {np.mean(shares):.1%} of all pixels open:")
        print(mean_table(at_angle))
    gains = [
        [
            frame_gain(x["open_share"], x["scores"][CASCADE], x["scores"][PLATE])
            for x in frames
        ]
        for frames in by_clip
    ]
    binned = binned_gains(gains)
    print(f"gain of the {CASCADE} over {PLATE}, positive is better:")
    print(gain_table(binned))
    print(f"pictures: {options.out}")
    print(json.dumps({"clips": len(clips), "gains": binned}))


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    angles = [15.0, 30.0, 45.0]
    parser.add_argument(
        "--angles", type=float, nargs="+", default=angles, help="degrees to the sides"
    )
    parser.add_argument("--moments", type=int, default=1, help="parts of a clip")
    parser.add_argument(
        "--rows", type=int, default=256, help="rows and columns of a frame"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/there_and_back"), help="folder"
    )
    return parser.parse_args()


def held_out_clips(folder: Path) -> dict[str, Path]:
    """Return the clips of a folder that no training reads, by name."""
    trained = set(training_clips(folder))
    return {clip.stem: clip for clip in listed(folder, VIDEOS) if clip not in trained}


def score_clip(models: Models, clip: Path, options: argparse.Namespace) -> list[Record]:
    """Return the records of a clip's frames, and draw them."""
    records = []
    for video in moments(clip, options.rows, options.moments):
        cameras = resting_cameras(*video.shape[:3])
        source = around_source(video[None], np.zeros((1, *video.shape[:3])), cameras)
        depth = measure_depth(source, models.depth, constrained=True).depth
        truth = to_unit(to_model(video))
        pictures = []
        for angle in options.angles:
            for azimuth in (-angle, angle):
                restored = restore(models, video, depth, cameras, azimuth)
                records += score(models.lpips, truth, restored, angle)
            shown = [restored.rows[row][-1] for row in ROWS]
            pictures.append([to_uint8(x) for x in (truth[-1], *shown)])
    sheet = contact_sheet(
        np.array(pictures),
        rows=[f"{angle:g}°" for angle in options.angles],
        columns=["clip", *ROWS],
        title=f"{clip.stem}: the last instant",
        cell_height=options.rows,
    )
    save_picture(options.out / f"{clip.stem}.png", sheet)
    return records


def moments(clip: Path, rows: int, count: int) -> list[UInt8[ndarray, "t h w 3"]]:
    """Return the middle square of a few frames from as many parts of a clip."""
    last = float(frame_times(clip)[-1])
    starts = [max(0.0, last * (i + 0.5) / count - 0.25) for i in range(count)]
    size = {"height": rows, "width": rows, "frames": INSTANTS}
    return [read_video(clip, **size, start=start).frames for start in starts]


def resting_cameras(instants: int, height: int, width: int) -> Cameras:
    """Return the camera of a clip, at rest."""
    focal = width / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW_DEGREES) / 2)
    lens = [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]
    poses = np.tile(np.eye(4, dtype=np.float32), (1, instants, 1, 1))
    return Cameras(np.array([lens], np.float32), poses, height, width)


def restore(
    models: Models,
    video: UInt8[ndarray, "t h w 3"],
    depth: Float[ndarray, "t h w"],
    cameras: Cameras,
    azimuth: float,
) -> Restored:
    """Return a video that was projected aside and back.

    Args:
      models: the networks.
      video: the frames.
      depth: of their pixels, world units, 0 where unknown.
      cameras: the camera of the video.
      azimuth: of the other camera, degrees.
    """
    lens = jnp.asarray(cameras.intrinsics[0])
    pose = jnp.asarray(orbit(azimuth, 0.0), jnp.float32)
    views, video_depth = _two_views(to_model(video), jnp.asarray(depth), lens, pose)
    both = views.cameras
    frames, depths = views.frames[:1], views.depth[None]
    clip = frames[0], depths[0], lens, both.world_to_camera[0]
    known = (find_static_points(*clip),)
    hidden = behind_subjects(plate_of(models.depth, views), *clip)
    projection = project_grid(frames, depths, known, both)
    layers = project_grid(frames, depths, known, both, hidden)
    rows = models.upsampler.prior_rows
    key = jax.random.key(0)
    small = generate_small(models.prior, frames, depths, both, key, rows)[1:]
    grids = {
        COPY: frames,
        INPAINT: inpaint_by_marching(projection.frames, projection.mask),
        PUSH_PULL: fill_frames(projection),
        PRIOR: jax.image.resize(small, frames.shape, "cubic"),
        NO_PLATE: enlarge_grid(models.upsampler, small, projection),
        PLATE: fill_frames(layers),
        CASCADE: enlarge_grid(models.upsampler, small, layers),
    }
    fair = np.asarray(is_fair(projection, video_depth[None]))[0]
    return Restored(
        rows={row: to_unit(grid)[0] for row, grid in grids.items()},
        unseen=fair & (np.asarray(projection.mask[0]) == 0),
        fair=fair,
        open_share=1 - np.asarray(projected_share(layers.mask)[0]).mean((1, 2)),
    )


_two_views = jax.jit(two_views)


def plate_of(network: AnyNetwork, views: Batch) -> CleanPlate:
    """Return the clean plate of the source, which is the first of two views."""
    frames = to_uint8(to_unit(views.frames[:1]))
    camera = jax.tree.map(np.asarray, views.cameras.views(slice(1)))
    source = around_source(frames, np.asarray(views.depth)[None], camera)

    def estimate_depth(picture: UInt8[ndarray, "h w 3"]) -> Float[ndarray, "h w"]:
        return as_far(np.asarray(source_depth(network, to_model(picture[None]))))[0]

    return clean_plate(source, find_subjects(source), estimate_depth)


@jax.jit
def is_fair(
    projection: Projection, depth: Float[Array, "v t h w"]
) -> Bool[Array, "v t h w"]:
    """Return where a pixel is projected, or a hole whose content lies behind its surroundings.

    Args:
      projection: of the source.
      depth: true depth of its pixels, 0 where unknown.
    """
    disparity = projection._replace(frames=projection.disparity[..., None])
    around = fill_holes(disparity)[..., 0]
    own = 1 / jnp.maximum(depth, 1e-6)
    is_behind = (depth > 0) & (own < NEARER_DISPARITY_RATIO * around)
    return (projection.mask > 0) | is_behind


def score(
    lpips: Lpips, truth: Frames, restored: Restored, angle: float
) -> list[Record]:
    """Return the records of frames."""
    records = []
    for i, true in enumerate(truth):
        regions = {"_unseen": restored.unseen[None, i : i + 1].astype(np.float32)}
        scores = {}
        for row, frames in restored.rows.items():
            judged = np.where(restored.fair[i, ..., None], frames[i], true)
            values = fidelity_scores(
                judged[None, None], true[None, None], regions, lpips
            )
            scores[row] = {name: values[name] for name in DIGITS}
        share = float(restored.open_share[i])
        records.append({"angle": angle, "open_share": share, "scores": scores})
    return records


def mean_of(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that exist; None without any."""
    known = [x for x in values if x is not None]
    return float(np.mean(known)) if known else None


def mean_table(by_clip: Sequence[Sequence[Record]]) -> str:
    """Return the table of means over clips."""
    lines = [["row", *DIGITS]]
    for row in ROWS:
        cells = [row]
        for name, digits in DIGITS.items():
            means = [mean_of([x["scores"][row][name] for x in y]) for y in by_clip]
            cells.append(f"{estimate(means)['mean']:.{digits}f}")
        lines.append(cells)
    return text_table(lines)


if __name__ == "__main__":
    main()
