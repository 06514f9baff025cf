"""Scores of the grids that a prior makes of clips whose truth is known: procedural, or of a split.

Every clip gives the same rows: the source copied, the projection filled in two ways, and the prior
at several sampler settings; all but the first once with true depth, where that is known, and once
with a network's. The *unseen* pixels of a target frame are those where the projection of the one
source frame of the same instant, with true depth if there is some, has no point: the same pixels
for every row.

Scores pool all target views and times of a clip, so that one clip is one sample. Frames are in
[-1, 1] as in the model, except in clips and scores, where they are in [0, 1].
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.cameras import cameras_of
from full4d_jax.config import Config, SamplerConfig
from full4d_jax.evaluation.baselines import copy_source, inpaint_by_marching, project_and_fill
from full4d_jax.evaluation.fidelity import Distances, Regions, moving_region
from full4d_jax.evaluation.groups import Candidates, Frames, Group, evaluate_groups
from full4d_jax.evaluation.known_clips import (
    KnownClip,
    gltf_clips,
    gltf_views,
    held_out_clips,
    split_clips,
)
from full4d_jax.evaluation.table import COPY, INPAINT, PUSH_PULL
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, describe_network
from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.geometry.depth_edges import EDGE_BEND, drop_depth_edges
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.weights import described
from full4d_jax.session.processes import on_mesh
from full4d_jax.session.stages import fingerprint
from full4d_jax.source.depth.clip_depth import AnyNetwork, source_depth
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import depth_errors
from full4d_jax.source.depth.estimators import OURS
from input_pipeline.datasets.dataset import Records
from input_pipeline.procedural.scene import ProceduralClip

STEPS = (1, 4, 16)  # from noise


class Judge(NamedTuple):
    """The models under evaluation, and the distances that compare pictures."""

    config: Config
    prior: Prior
    depth: AnyNetwork
    distances: Distances
    depth_name: str = "ours"  # of the depth network, in tables and sheets


def sampler_rows(config: Config) -> dict[str, SamplerConfig]:
    """Return sampler settings by row name; the config's own is among them."""
    sampler = config.sampler
    rows = {"prior, 1 call, zero noise": dataclasses.replace(sampler, steps=1, noise=0.0)}
    for steps in STEPS:
        name = steps_row(steps)
        rows[name] = dataclasses.replace(sampler, steps=steps, noise=1.0)
    if sampler not in rows.values():
        rows[f"prior, {sampler.steps} steps, noise x{sampler.noise:g}"] = sampler
    return rows


def steps_row(steps: int) -> str:
    """Return the name of the row of so many steps from noise."""
    return f"prior, {steps} step{'s'[: steps > 1]} from noise"


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


def generate_rows(judge: Judge, clips: Iterable[KnownClip]) -> Iterator[Candidates]:
    """Fill the targets of each clip in every way."""
    samplers = sampler_rows(judge.config)
    for known in clips:
        clip = known.clip
        depth = source_depth(judge.depth, 2 * clip.frames[0] - 1)
        depth = drop_depth_edges(depth, EDGE_BEND)  # as in training, and for the baselines too
        projection, by_estimate = fill(judge, known, depth, samplers)
        by_truth = {}
        if clip.depth[0].any():
            depth = clip.depth[0]
            projection, by_truth = fill(judge, known, depth, samplers)
        rows = {(COPY, "none"): copy_source(clip.frames[0], len(clip.frames) - 1)}
        rows |= {(row, "true"): frames for row, frames in by_truth.items()}
        rows |= {(row, judge.depth_name): frames for row, frames in by_estimate.items()}
        yield known_candidates(judge, known, depth, projection, rows)


def known_candidates(
    judge: Judge,
    known: KnownClip,
    depth: Float[Array, "t h w"],
    projection: Frames,
    rows: Mapping[tuple[str, str], Frames],
) -> Candidates:
    """Return rows of a clip with its truth, its regions and its pictures.

    Args:
      judge: the models under evaluation.
      known: the clip.
      depth: of its source; gives the pixels that the source does not see.
      projection: of the source by this depth, black in holes.
      rows: targets, by row and depth.
    """
    clip = known.clip
    truth = np.asarray(clip.frames[1:])
    regions = regions_of(clip, depth)
    estimate = source_depth(judge.depth, 2 * clip.frames[0] - 1)
    absrel = float(depth_errors(estimate, clip.depth[0])["absrel"])
    assert regions.unseen is not None, "there is depth"
    view = regions.unseen[:, -1].mean((-2, -1)).argmax()  # the one with the largest holes
    pictures = {"source": np.asarray(clip.frames[0, -1]), "truth": truth[view, -1]}
    pictures |= {"projection": projection[view, -1]}
    for label, row in _shown_rows(shipped_row(judge.config), judge.depth_name).items():
        if row in rows:
            pictures[label] = rows[row][view, -1]
    return Candidates(
        scene=known.scene,
        truth=truth,
        regions=regions,
        rows=rows,
        details={"depth_absrel": absrel if math.isfinite(absrel) else None},
        pictures={label: to_uint8(picture) for label, picture in pictures.items()},
    )


def _shown_rows(shipped: str, depth_name: str) -> dict[str, tuple[str, str]]:
    """Return the rows that the sheet shows, by its column."""
    return {
        "Telea": (INPAINT, "true"),
        "push-pull": (PUSH_PULL, "true"),
        "prior": (shipped, "true"),
        "16 steps": (steps_row(STEPS[-1]), "true"),
        f"push-pull, {depth_name}": (PUSH_PULL, depth_name),
        f"prior, {depth_name}": (shipped, depth_name),
    }


def fill(
    judge: Judge,
    known: KnownClip,
    depth: Float[Array, "t h w"],
    samplers: Mapping[str, SamplerConfig],
) -> tuple[Frames, dict[str, Frames]]:
    """Return the projection of the source by this depth, and its fills and the prior by row."""
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
    seen = jnp.where(projection.mask[..., None] > 0, projection.frames, -1.0)
    return to_unit(seen), {row: to_unit(grid) for row, grid in rows.items()}


def identity(judge: Judge, clips: object) -> str:
    """Return a mark of everything that scores depend on; `clips` stands for the clips.

    That is a picture of one clip for scenes that are code, the data set's hash for records.
    """
    config = judge.config
    weights = on_mesh(judge.prior.mesh, partial(describe_network, judge.prior))
    marks = {}
    if isinstance(judge.depth, DepthFile):
        marks["depth"] = [judge.depth.mark, judge.depth.kind]
    else:
        weights += described(judge.depth.params)
    settings = settings_of(config, "model", "data", "sampler", "lift", "seed") | marks
    settings |= {"weights": weights, "clip": clips}
    return fingerprint("evaluation 3", settings | {"distances": sorted(judge.distances)}, {})


def settings_of(config: Config, *fields: str) -> dict[str, Any]:
    """Return some fields of a config and the files that it names, for `fingerprint`."""
    sampler = dataclasses.replace(config.sampler, offload=False)  # which changes no score
    config = dataclasses.replace(config, sampler=sampler)
    files = {name: getattr(config, name) for name in ("codec_weights", "text", "negative_text")}
    paths = {name: Path(file) for name, file in files.items() if file}
    return {name: getattr(config, name) for name in fields} | paths


def evaluate_held_out(judge: Judge, folder: Path, scenes: range, gltf: Path | None) -> None:
    """Evaluate procedural scenes, and clips of a glTF asset."""
    data = judge.config.data
    groups = [
        Group("held-out", scenes, lambda some: generate_rows(judge, held_out_clips(data, some)))
    ]
    if gltf:
        clips = range(len(gltf_views(gltf)))
        groups.append(
            Group("glTF", clips, lambda some: generate_rows(judge, gltf_clips(data, gltf, some)))
        )
    example = {"scene": to_uint8(next(held_out_clips(data, [0])).clip.frames), "gltf": gltf}
    where = "targets within ±60° of the source"
    _evaluate(judge, folder, groups, identity(judge, example), where)


def evaluate_split(judge: Judge, folder: Path, records: Records) -> None:
    """Evaluate all clips of a data set's split."""
    data = judge.config.data
    group = Group(
        records.split,
        range(len(records)),
        lambda some: generate_rows(judge, split_clips(records, data, some)),
    )
    clip = [records.content, records.split]
    where = (
        f"split `{records.split}` of the dataset `{records.content[:16]}`; `true` is the depth in "
        "its records"
    )
    _evaluate(judge, folder, [group], identity(judge, clip), where)


def _evaluate(judge: Judge, folder: Path, groups: Sequence[Group], mark: str, where: str) -> None:
    data = judge.config.data
    name = judge.depth_name
    network = "our network" if name == OURS else f"the network {name}"
    shipped = shipped_row(judge.config)
    preface = (
        f"# Evaluation of `{judge.config.name}`\n\n"
        f"{data.views} views (source included), {data.frames} frames of {data.width}x{data.height} "
        f"pixels, {where}. Shipped sampler setting: {shipped}. Pixels that the source does not see "
        "are those where the projection of the one source frame of the same instant, with true "
        "depth if it is known, has no point; those that move differ from their median over time. "
        "For SSIM its map is averaged over them, for LPIPS the truth is pasted over all others. "
        f"`{name}` is the depth of {network}."
    )
    caption = (
        "The last instant, in the view with the largest holes; "
        f"'{name}' is given that network's depth"
    )
    evaluate_groups(
        folder,
        groups,
        judge.distances,
        mark=mark,
        shipped=shipped,
        preface=preface,
        caption=caption,
    )
