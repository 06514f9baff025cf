"""Scores of what a prior makes of clips whose truth is known.

A model with cameras gets the source of a clip, procedural or of a split. The rows are the source
copied, the projection filled in two ways, and the prior at several sampler settings; all but the
first once with true depth, where that is known, and once with a network's. The *unseen* pixels of a
target frame are those where the projection of the one source frame of the same instant, with true
depth if there is some, has no point: the same pixels for every row.

A model without poses gets the first row and the first column of a procedural grid. Scores are of
the hidden frames. Scenes in which nothing moves are left out, since the first column is the answer
there.

Scores pool all frames of a clip, so that one clip is one sample. Frames are in [-1, 1] as in the
model, except in clips and scores, where they are in [0, 1].
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from full4d_jax.cameras import cameras_of
from full4d_jax.config import Config, SamplerConfig
from full4d_jax.evaluation.baselines import (
    add_change,
    copy_source,
    inpaint_by_marching,
    project_and_fill,
)
from full4d_jax.evaluation.fidelity import ClipRows, Distances, Frames, Regions, moving_region
from full4d_jax.evaluation.known_clips import (
    KnownClip,
    held_out_clips,
    split_clips,
)
from full4d_jax.evaluation.results import Group, evaluate_groups
from full4d_jax.evaluation.table import CHANGE, COPY, INPAINT, MOVED, NEAREST, PUSH_PULL
from full4d_jax.generation.batch import procedural_batch
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, describe_network
from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.generation.real_frames import copy_nearest, row_and_column
from full4d_jax.geometry.carried_motion import carried_motion
from full4d_jax.geometry.depth_maps import EDGE_BEND, drop_depth_edges
from full4d_jax.geometry.moving import differs
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.warp import mixture
from full4d_jax.models.weights import described
from full4d_jax.session.errors import InputError
from full4d_jax.session.processes import on_mesh
from full4d_jax.session.stages import fingerprint
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import depth_errors
from full4d_jax.source.depth.estimators import AnyNetwork, source_depth
from input_pipeline.datasets.dataset import Records
from input_pipeline.procedural.scene import HELD_OUT_START, ProceduralClip

NOISY_STEPS = (1, 4, 16)  # of the sampler, from noise


class Judge(NamedTuple):
    """The models under evaluation, and the distances that compare pictures."""

    config: Config
    prior: Prior
    depth: AnyNetwork
    distances: Distances
    depth_name: str = "ours"  # of the depth network, in tables and pictures


def sampler_rows(config: Config) -> dict[str, SamplerConfig]:
    """Return sampler settings by row name; the config's own is among them."""
    sampler = config.sampler
    rows = {"prior, 1 call, zero noise": dataclasses.replace(sampler, steps=1, noise=0.0)}
    for steps in NOISY_STEPS:
        name = f"prior, {steps} step{'s'[: steps > 1]} from noise"
        rows[name] = dataclasses.replace(sampler, steps=steps, noise=1.0)
    if sampler not in rows.values():
        rows[f"prior, {sampler.steps} steps, noise x{sampler.noise:g}"] = sampler
    return rows


def shipped_row(config: Config) -> str:
    """Return the name of the row that uses the config's own sampler setting."""
    rows = sampler_rows(config)
    return next(name for name, value in rows.items() if value == config.sampler)


@jax.jit
def unseen_pixels(clip: ProceduralClip, depth: Float[Array, "t h w"]) -> Float[Array, "v t h w"]:
    """Return 1 in the targets of a clip where the single-frame projection has no point, else 0."""
    return 1.0 - project_video(clip.frames[0], depth, cameras_of(clip)).mask


def regions_of(clip: ProceduralClip, depth: Float[Array, "t h w"]) -> Regions:
    """Return the regions of a clip's targets, by this depth of the source."""
    moving = moving_region(np.asarray(clip.frames[1:]), np.asarray(clip.world_to_camera[1:]))
    return Regions(np.asarray(unseen_pixels(clip, depth)), moving)


def generate_rows(judge: Judge, clips: Iterable[KnownClip]) -> Iterator[ClipRows]:
    """Fill the targets of each clip in every way."""
    samplers = sampler_rows(judge.config)
    for known in clips:
        clip = known.clip
        estimate = source_depth(judge.depth, 2 * clip.frames[0] - 1)
        # Without edges, as in training; for the baselines too.
        depths = {judge.depth_name: drop_depth_edges(estimate, EDGE_BEND)}
        if clip.depth[0].any():
            depths = {"true": clip.depth[0]} | depths
        rows = {(COPY, "none"): copy_source(clip.frames[0], len(clip.frames) - 1)}
        for name, depth in depths.items():
            rows |= {(row, name): x for row, x in fill(judge, known, depth, samplers).items()}
        yield with_truth(judge, known, depths, rows, estimate)


def fill(
    judge: Judge,
    known: KnownClip,
    depth: Float[Array, "t h w"],
    samplers: Mapping[str, SamplerConfig],
) -> dict[str, Frames]:
    """Return the source's projection by this depth filled in every way, by row."""
    clip = known.clip
    config = judge.config
    source = 2 * clip.frames[0] - 1
    cameras = cameras_of(clip)
    projection, filled = project_and_fill(source, depth, cameras)
    rows = {INPAINT: inpaint_by_marching(projection.frames, projection.mask), PUSH_PULL: filled}
    key = jax.random.fold_in(jax.random.key(config.seed), known.scene)
    for row, sampler in samplers.items():
        prior = dataclasses.replace(judge.prior, sampler=sampler)
        rows[row] = generate_grid(prior, source[None], depth[None], cameras, key)[0][1:]
    return {row: to_unit(grid) for row, grid in rows.items()}


def with_truth(
    judge: Judge,
    known: KnownClip,
    depths: Mapping[str, Float[Array, "t h w"]],
    rows: Mapping[tuple[str, str], Frames],
    estimate: Float[Array, "t h w"],
) -> ClipRows:
    """Return rows of a clip with its truth, its regions and its pictures.

    Args:
      judge: the models under evaluation.
      known: the clip.
      depths: of its source; the first gives the pixels that the source does not see.
      rows: targets, by row and depth.
      estimate: the network's depth, edges included.
    """
    clip = known.clip
    truth = np.asarray(clip.frames[1:])
    regions = regions_of(clip, next(iter(depths.values())))
    absrel = float(depth_errors(estimate, clip.depth[0])["absrel"])
    assert regions.unseen is not None, "there is depth"
    view = regions.unseen[:, -1].mean((-2, -1)).argmax()  # the one with the largest holes
    shown = (INPAINT, PUSH_PULL, shipped_row(judge.config))
    pictures = {"source": np.asarray(clip.frames[0, -1]), "truth": truth[view, -1]}
    pictures |= {f"{x}, {of}": y[view, -1] for (x, of), y in rows.items() if x in shown}
    return ClipRows(
        scene=known.scene,
        truth=truth,
        regions=regions,
        rows=rows,
        details={"depth_absrel": absrel if math.isfinite(absrel) else None},
        pictures={label: to_uint8(picture) for label, picture in pictures.items()},
    )


def identity(judge: Judge, clips: object) -> str:
    """Return a mark of everything that scores depend on; `clips` stands for the clips.

    That is a picture of one clip for scenes that are code, the data set's hash for records.
    """
    weights = on_mesh(judge.prior.mesh, partial(describe_network, judge.prior))
    marks = {}
    if isinstance(judge.depth, DepthFile):
        marks["depth"] = [judge.depth.mark, judge.depth.kind]
    else:
        weights += described(judge.depth.params)
    settings = settings_of(judge.config, "model", "data", "sampler", "lift", "seed") | marks
    settings |= {"weights": weights, "clip": clips, "distances": sorted(judge.distances)}
    return fingerprint("evaluation 3", settings, {})


def settings_of(config: Config, *fields: str) -> dict[str, Any]:
    """Return some fields of a config and the files that it names, for `fingerprint`."""
    sampler = dataclasses.replace(config.sampler, offload=False)  # which changes no score
    config = dataclasses.replace(config, sampler=sampler)
    files = {name: getattr(config, name) for name in ("codec_weights", "text", "negative_text")}
    paths = {name: Path(file) for name, file in files.items() if file}
    return {name: getattr(config, name) for name in fields} | paths


def evaluate_held_out(judge: Judge, folder: Path, scenes: range) -> None:
    """Evaluate procedural scenes."""
    clips_of = partial(held_out_clips, judge.config.data)
    example = to_uint8(next(clips_of([0])).clip.frames)
    where = "targets within ±60° of the source"
    _evaluate(judge, folder, "held-out", scenes, clips_of, example, where)


def evaluate_split(judge: Judge, folder: Path, records: Records) -> None:
    """Evaluate all clips of a data set's split."""
    clips_of = partial(split_clips, records, judge.config.data)
    mark = [records.content, records.split]
    where = (
        f"split `{records.split}` of the dataset `{records.content[:16]}`; `true` is the depth in "
        "its records"
    )
    _evaluate(judge, folder, records.split, range(len(records)), clips_of, mark, where)


def _evaluate(
    judge: Judge,
    folder: Path,
    name: str,
    scenes: range,
    clips_of: Callable[[Sequence[int]], Iterator[KnownClip]],
    clips: object,
    where: str,
) -> None:
    """Evaluate clips of a group; `clips` stands for them in the mark, `where` in the page."""
    data = judge.config.data
    shipped = shipped_row(judge.config)
    preface = (
        f"# Evaluation of `{judge.config.name}`\n\n"
        f"{data.views} views (source included), {data.frames} frames of {data.width}x{data.height} "
        f"pixels, {where}. Shipped sampler setting: {shipped}. Pixels that the source does not see "
        "are those where the projection of the one source frame of the same instant, with true "
        "depth if it is known, has no point; those that move differ from their median over time. "
        "For SSIM its map is averaged over them, for LPIPS the truth is pasted over all others. "
        f"`{judge.depth_name}` is the depth network."
    )
    evaluate_groups(
        folder,
        [Group(name, scenes, lambda numbers: generate_rows(judge, clips_of(numbers)))],
        judge.distances,
        mark=identity(judge, clips),
        shipped=shipped,
        preface=preface,
    )


def evaluate_grids(judge: Judge, folder: Path, scenes: range) -> None:
    """Evaluate a model without poses on those of `scenes` in which something moves.

    Raises:
      InputError: there is none, or the folder holds another evaluation.
    """
    config = judge.config
    render = jax.jit(lambda index: procedural_batch(index, config.data).frames[0])
    real = row_and_column(config.data.views, config.data.frames)

    def frames_of(scene: int) -> Float[Array, "v t h w 3"]:
        return render(jnp.array([HELD_OUT_START + scene]))

    moving = [scene for scene in scenes if moves(frames_of(scene))]
    if not moving:
        expected = "one in which something moves"
        do = "give more --scenes"
        raise InputError("scenes", f"{scenes.start} to {scenes.stop - 1}", "none", expected, do)

    def rows_of(numbers: Sequence[int]) -> Iterator[ClipRows]:
        for scene in numbers:
            frames = frames_of(scene)
            rows = fill_rows(judge, frames, real, scene)
            yield hidden_frames(scene, to_unit(frames), rows, ~real)

    made_of = settings_of(config, "model", "data", "sampler", "seed") | {
        "weights": on_mesh(judge.prior.mesh, partial(describe_network, judge.prior)),
        "example": to_uint8(np.asarray(frames_of(0)) / 2 + 0.5),
        "distances": sorted(judge.distances),
    }
    shipped = shipped_row(config)
    evaluate_groups(
        folder,
        [Group("grids", moving, rows_of)],
        judge.distances,
        mark=fingerprint("grids 5", made_of, {}),
        shipped=shipped,
        preface=(
            f"# Hidden frames of {len(moving)} held-out grids in which something moves\n\n"
            f"The first row and the first column are real. Shipped sampler setting: {shipped}."
        ),
    )


def moves(frames: Float[ArrayLike, "v t h w 3"]) -> bool:
    """Say whether 1 % of a grid's pixels in [-1, 1] change by a tenth of the range or more."""
    frames = np.asarray(frames)
    changed = differs(frames, frames[:, :1], 0.2).any(1)
    return bool(changed.mean() >= 0.01)


def fill_rows(
    judge: Judge, frames: Float[Array, "v t h w 3"], real: Bool[np.ndarray, "v t"], scene: int
) -> dict[str, Frames]:
    """Fill the grid of a scene in every way, from frames in [-1, 1]."""
    key = jax.random.fold_in(jax.random.key(judge.config.seed), scene)
    rows = {
        NEAREST: to_unit(copy_nearest(frames, jnp.asarray(real))),
        CHANGE: add_change(to_unit(frames)),
        MOVED: move_nearest(to_unit(frames), real),
    }
    for name, sampler in sampler_rows(judge.config).items():
        prior = dataclasses.replace(judge.prior, sampler=sampler)
        rows[name] = to_unit(fill_grid(prior, frames, real, key))
    return rows


def move_nearest(frames: Frames, real: Bool[np.ndarray, "v t"]) -> Frames:
    """Copy the first instant of every view and the first row, move both, and mix them."""
    motion = carried_motion(to_uint8(frames))
    copied = np.asarray(copy_nearest(jnp.asarray(frames), jnp.asarray(real)))
    row = np.where(real[..., None, None, None], frames, frames[:1])
    return np.asarray(mixture(copied, row, motion).picture)


def hidden_frames(
    scene: int, truth: Frames, rows: Mapping[str, Frames], hidden: Bool[np.ndarray, "v t"]
) -> ClipRows:
    """Return the hidden frames of every row, each as a view of one instant."""
    pictures = {
        "first view and time": truth[0, 0],
        "first view, last time": truth[0, -1],
        "last view, first time": truth[-1, 0],
        "truth": truth[-1, -1],
    }
    pictures |= {name: frames[-1, -1] for name, frames in rows.items()}
    first = np.broadcast_to(truth[:, :1], truth.shape)
    return ClipRows(
        scene=scene,
        truth=truth[hidden][:, None],
        regions=Regions(),
        rows={(name, "none"): frames[hidden][:, None] for name, frames in rows.items()},
        pictures={name: to_uint8(picture) for name, picture in pictures.items()},
        first=first[hidden][:, None],
    )
