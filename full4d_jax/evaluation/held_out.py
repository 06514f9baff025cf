"""Scores of generated grids on clips whose truth is known.

Every clip gives the same rows: the source copied, the projection filled in two ways (for some clips
also 4D Gaussians fitted to it, without a prior), and the prior at several sampler settings; all but
the first once with true depth, where that is known, and once with a network's. The *unseen* pixels
of a target frame are those where the projection of the one source frame of the same instant, with
true depth if there is some, has no point: the same pixels for every row.

Scores pool all target views and times of a clip, so that one clip is one sample. Frames are in
[-1, 1] as in the model, except in clips and scores, where they are in [0, 1].
"""

import dataclasses
import math
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import Config, SamplerConfig
from full4d_jax.evaluation.baselines import copy_source, fit_projection, inpaint
from full4d_jax.evaluation.clips import KnownClip
from full4d_jax.evaluation.fidelity import Distances, Regions, fidelity_scores, moving_pixels
from full4d_jax.evaluation.table import COPY, DISTILLED, INPAINT, PROJECTED, PUSH_PULL, SPLATS
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.projection_guidance import (
    Projection,
    fill_holes,
    project,
)
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.depth_net import EDGE, drop_depth_edges
from full4d_jax.models.weights import described
from full4d_jax.session.stages import fingerprint
from full4d_jax.source.depth.clip_depth import AnyNetwork, source_depth
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import depth_errors
from input_pipeline.procedural.scene import ProceduralClip

STEPS = (1, 4, 16)  # from noise


class Judge(NamedTuple):
    """The models under evaluation, and the distances that compare pictures."""

    config: Config
    prior: Prior
    depth: AnyNetwork
    distances: Distances
    depth_name: str = "ours"  # of the depth network, in tables and sheets


TargetFrames = Float[np.ndarray, "v t h w 3"]  # target views, [0, 1]


class Result(NamedTuple):
    """The targets of every row on one clip."""

    truth: TargetFrames
    projection: TargetFrames  # with true depth, black in holes
    regions: Regions
    rows: dict[tuple[str, str], TargetFrames]  # by (row, depth)


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
    return 1.0 - project(clip.frames[0], depth, cameras_of(clip)).mask


def regions_of(clip: ProceduralClip, depth: Float[Array, "t h w"]) -> Regions:
    """Return the regions of a clip's targets, by this depth of the source."""
    moving = moving_pixels(np.asarray(clip.frames[1:]), np.asarray(clip.world_to_camera[1:]))
    return Regions(np.asarray(unseen_pixels(clip, depth)), moving)


def generate_rows(judge: Judge, known: KnownClip, lifted: Container[int] = ()) -> Result:
    """Fill the targets of a clip in every way; clips in `lifted` also by PROJECTED."""
    clip = known.clip
    samplers = sampler_rows(judge.config)
    estimate = source_depth(judge.depth, 2 * clip.frames[0] - 1)
    estimate = drop_depth_edges(estimate, EDGE)  # as in training, and for the baselines too
    lift = known.scene in lifted
    projection, given_estimate = fill(judge, known, estimate, samplers, lift=lift)
    depth = estimate
    given_truth = {}
    if clip.depth[0].any():
        depth = clip.depth[0]
        projection, given_truth = fill(judge, known, depth, samplers, lift=lift)
    return Result(
        truth=np.asarray(clip.frames[1:]),
        projection=projection,
        regions=regions_of(clip, depth),
        rows={(COPY, "none"): copy_source(clip.frames[0], len(clip.frames) - 1)}
        | {(row, "true"): grid for row, grid in given_truth.items()}
        | {(row, judge.depth_name): grid for row, grid in given_estimate.items()},
    )


def fill(
    judge: Judge,
    known: KnownClip,
    depth: Float[Array, "t h w"],
    samplers: Mapping[str, SamplerConfig],
    *,
    lift: bool = False,
) -> tuple[TargetFrames, dict[str, TargetFrames]]:
    """Return the projection of the source by this depth, and its fills and the prior by row."""
    clip = known.clip
    config = judge.config
    source = 2 * clip.frames[0] - 1
    cameras = cameras_of(clip)
    projection, filled = _project_and_fill(source, depth, cameras)
    rows = {INPAINT: inpaint(projection.frames, projection.mask), PUSH_PULL: filled}
    key = jax.random.fold_in(jax.random.key(config.seed), known.scene)
    if lift:
        rows[PROJECTED] = fit_projection(config.lift, source, depth, cameras, key)
    for row, sampler in samplers.items():
        prior = dataclasses.replace(judge.prior, sampler=sampler)
        rows[row] = generate_grid(prior, source[None], depth[None], cameras, key)[0][1:]
    seen = jnp.where(projection.mask[..., None] > 0, projection.frames, -1.0)
    return to_unit(seen), {row: to_unit(grid) for row, grid in rows.items()}


def score_rows(judge: Judge, known: KnownClip, result: Result) -> dict:
    """Return the record of a clip, in the form that `table` reads."""
    clip = known.clip
    estimate = source_depth(judge.depth, 2 * clip.frames[0] - 1)
    absrel = float(depth_errors(estimate, clip.depth[0])["absrel"])
    return {
        "group": known.group,
        "scene": known.scene,
        "hole_fraction": float(result.regions.unseen.mean()),
        "moving_fraction": float(result.regions.moving.mean()),
        "depth_absrel": absrel if math.isfinite(absrel) else None,
        "rows": [
            {"row": row, "depth": depth}
            | fidelity_scores(grid, result.truth, result.regions, judge.distances)
            for (row, depth), grid in result.rows.items()
        ],
    }


def identity(judge: Judge, clips: object) -> str:
    """Return a mark of everything that scores depend on; `clips` stands for the clips.

    That is a picture of one clip for scenes that are code, the data set's hash for records.
    """
    config = judge.config
    params: list[Any] = [judge.prior.params]
    marks = {}
    if isinstance(judge.depth, DepthFile):
        marks["depth"] = [judge.depth.mark, judge.depth.kind]
    else:
        params.append(judge.depth.params)
    settings = settings_of(config, "model", "data", "sampler", "lift", "seed") | marks
    settings |= {"weights": described(params), "clip": clips}
    return fingerprint("evaluation 3", settings | {"distances": sorted(judge.distances)}, {})


def settings_of(config: Config, *fields: str) -> dict[str, Any]:
    """Return some fields of a config and the files that it names, for `fingerprint`."""
    sampler = dataclasses.replace(config.sampler, offload=False)  # which changes no score
    config = dataclasses.replace(config, sampler=sampler)
    files = {name: getattr(config, name) for name in ("codec_weights", "text", "negative_text")}
    paths = {name: Path(file) for name, file in files.items() if file}
    return {name: getattr(config, name) for name in fields} | paths


def shown(
    known: KnownClip, result: Result, shipped: str, depth_name: str
) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """Return pictures of the last instant in the view with the largest holes, by their label."""
    rows = {
        "Telea": (INPAINT, "true"),
        "push-pull": (PUSH_PULL, "true"),
        "4DGS, no prior": (PROJECTED, "true"),
        "prior": (shipped, "true"),
        "16 steps": (steps_row(STEPS[-1]), "true"),
        "4DGS": (SPLATS, "true"),
        "+ distillation": (DISTILLED, "true"),
        f"push-pull, {depth_name}": (PUSH_PULL, depth_name),
        f"prior, {depth_name}": (shipped, depth_name),
    }
    view = result.regions.unseen[:, -1].mean((-2, -1)).argmax()
    pictures = {"source": known.clip.frames[0, -1], "truth": result.truth[view, -1]}
    pictures |= {"projection": result.projection[view, -1]}
    for label, row in rows.items():
        if row in result.rows:
            pictures[label] = result.rows[row][view, -1]
    return {label: to_uint8(picture) for label, picture in pictures.items()}


@jax.jit
def _project_and_fill(
    source: Float[Array, "t h w 3"], depth: Float[Array, "t h w"], cameras: Cameras
) -> tuple[Projection, Float[Array, "v t h w 3"]]:
    """Return the projection into the targets and its filled form, from which the prior starts."""
    projection = project(source, depth, cameras)
    return projection, fill_holes(projection)
