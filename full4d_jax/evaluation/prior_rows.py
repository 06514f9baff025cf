"""Scores of what a prior makes of clips whose truth is known.

A model with cameras gets the source of a clip, procedural or of a split. The rows are the source
copied, the projection filled in two ways, and the prior; all but the first once with true depth,
where that is known, and once with a network's. The *unseen* pixels of a target frame are those
where the projection of the one source frame of the same instant, with true depth if there is some,
has no point: the same pixels for every row.

A model without poses gets the first row and the first column of a procedural grid. Scores are of
the hidden frames. Scenes in which nothing moves are left out, since the first column is the answer
there.

Scores pool all frames of a clip, so that one clip is one sample. Pictures are in [0, 1].
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.cameras import cameras_of
from full4d_jax.config import Config, DataConfig
from full4d_jax.evaluation import fidelity, table
from full4d_jax.generation import generate, real_frames
from full4d_jax.generation.prior import Prior, open_prior, prior_path, prior_settings
from full4d_jax.generation.procedural import procedural_batch
from full4d_jax.geometry import depth_maps, image_motion
from full4d_jax.grid import Grid, all_real
from full4d_jax.media.pictures import save_picture, to_model, to_uint8, to_unit
from full4d_jax.session import errors, fields, files, stages
from full4d_jax.source.depth import any_network, file_network
from full4d_jax.source.depth.our_network import depth_errors
from full4d_jax.source.options import DepthKind
from input_pipeline.datasets.dataset import Records
from input_pipeline.plain_files import check_field
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.scene import HELD_OUT_START
from input_pipeline.selection import select
from input_pipeline.transforms import decode


class Judge(NamedTuple):
    """The models under evaluation, and LPIPS.

    Attributes:
      config: the experiment.
      prior: its prior.
      depth: estimates depth of sources.
      lpips: compares pictures; None where it is not installed.
      depth_name: of the depth network, in tables and pictures.
      made_of: settings and files of the models, for `fingerprint`.
    """

    config: Config
    prior: Prior
    depth: any_network.AnyNetwork
    lpips: fidelity.Lpips = None
    depth_name: str = "ours"
    made_of: Mapping[str, Any] = MappingProxyType({})


def open_judge(
    config: Config,
    folder: Path,
    *,
    checkpoint: Path | None,
    depth_network: str | None,
    depth_kind: DepthKind | None,
) -> Judge:
    """Hold the folder, load what is evaluated, and say what a depth network's values are.

    Raises:
      InputError: one of the files cannot be used.
    """
    files.hold_folder(folder)
    checkpoint = prior_path(config.model, checkpoint)
    prior = open_prior(config, checkpoint)
    network = any_network.open_network(depth_network, depth_kind)
    if isinstance(network, file_network.FileNetwork):
        print(network.description)
    file = any_network.network_file(depth_network)
    made_of = prior_settings(config, checkpoint) | {"network": file, "kind": depth_kind}
    name = Path(depth_network or any_network.OURS).name
    return Judge(config, prior, network, fidelity.open_lpips(), name, made_of)


def check_split(records: Records, data: DataConfig) -> None:
    """Refuse a split some clip of which could not be used.

    Raises:
      InputError: naming the clip, and what it has too few of.
    """
    least = {"views": data.views, "frames": (data.frames - 1) * data.strides[0] + 1}
    do = "give another --split, or lower --data.views or --data.frames"
    with errors.input_errors("dataset", do):
        check_field(records.folder, len(records), f"no clip in {records.split}", "some")
        for number, clip in enumerate(records.clips):
            where = f"{records.folder}, {records.split} {number} ({clip['scene']})"
            for field, needed in least.items():
                found = f"{clip[field]} {field}"
                check_field(where, clip[field] >= needed, found, f"at least {needed}")


def split_grid(records: Records, data: DataConfig, number: int) -> Grid:
    """Return a clip of a split by its number, always the same.

    It has the first `data.frames` instants that are `data.strides[0]` apart; as the source the
    first view whose depth is known at all of them, else the first one without depth; and
    `data.views - 1` of the other views, evenly spaced in the record's order.

    Raises:
      InputError: it cannot be read, or its unit is unknown.
    """
    with errors.input_errors("dataset", "make or import the dataset with depth"):
        example = records[number]
        times = data.strides[0] * np.arange(data.frames)
        deep = [
            v for v in records.clips[number]["depth"] if all(example.depth16[v, times])
        ]
        source = deep[0] if deep else 0
        others = np.delete(np.arange(len(example.frames)), source)
        spread = np.linspace(0, len(others) - 1, data.views - 1)
        targets = others[np.round(spread).astype(int)]
        chosen = select(example, np.array([source, *targets]), times)
        # Not even at some instants.
        if not deep:
            chosen = chosen._replace(depth16=np.full_like(chosen.depth16, b""))
        clip = decode(chosen, height=data.height, width=data.width)
        return fidelity.grid_in_source(clip)


def noise_key(judge: Judge, scene: int) -> PRNGKeyArray:
    """Return the key of a scene's noise."""
    return jax.random.fold_in(jax.random.key(judge.config.seed), scene)


def rows_of_clip(judge: Judge, scene: int, truth: Grid) -> fidelity.ClipRows:
    """Fill the views around the source of a clip in every way, beside their truth."""
    source = to_model(truth.frames[:1])
    estimate = any_network.source_depth(judge.depth, source[0])
    # Without edges, as in training; for the baselines too.
    depths = {judge.depth_name: depth_maps.drop_depth_edges(estimate)}
    absrel = None
    if truth.depth is not None:
        depths = {"true": jnp.asarray(truth.depth[0])} | depths
        absrel = float(depth_errors(estimate, depths["true"])["absrel"])
    clip = fidelity.compare(truth, depths)
    rows = dict(clip.rows)
    key = noise_key(judge, scene)
    for name, depth in depths.items():
        cameras = truth.known_cameras
        prior = judge.prior
        frames, _ = generate.generate_grid(prior, source, depth[None], cameras, key)
        rows[table.PRIOR, name] = to_unit(frames[1:])
    return clip._replace(rows=rows, details={"depth_absrel": absrel})


def score_clips(
    judge: Judge,
    folder: Path,
    scenes: Mapping[str, Sequence[int]],
    rows_of: Callable[[int], fidelity.ClipRows],
    clips: object,
    preface: str,
) -> None:
    """Score the clips that have no record yet, and write the pages.

    Args:
      judge: the models under evaluation.
      folder: for the results.
      scenes: numbers of all clips, by group.
      rows_of: fills the clip of a number.
      clips: what stands for them: a picture of one for scenes that are code, the data set's hash
        for records. Other clips, models or settings are another evaluation.
      preface: sentences for the page, which say what the clips are.

    Raises:
      InputError: the folder holds another evaluation.
    """
    # Of each group.
    shown_clips = 4
    parts = ("model", "data", "sampler", "seed")
    settings = {name: getattr(judge.config, name) for name in parts} | dict(
        judge.made_of
    )
    settings |= {"clip": clips, "lpips": judge.lpips is not None}
    mark = stages.fingerprint("evaluation 5", settings, {})

    def scored(group: str, scene: int) -> dict[str, Any]:
        clip = rows_of(scene)
        if scene in scenes[group][:shown_clips]:
            picture = fidelity.sheet(clip, [str(i + 1) for i in range(len(clip.truth))])
            save_picture(folder / f"{group}-{scene}.png", picture)
        return fidelity.score(clip, judge.lpips)

    jobs = {
        (group, scene): "" for group, members in scenes.items() for scene in members
    }
    records = table.score_jobs(folder / "scores.jsonl", mark, jobs, scored)
    # The file may hold scenes of other calls, such as those that weights were chosen by.
    wanted = [records[key] for key in jobs]
    head = f"# Evaluation of `{judge.config.name}`\n\n{preface} Weights and settings: `{mark}`."
    table.write_results(folder, "evaluation", wanted, head)


def evaluate_held_out(judge: Judge, folder: Path, scenes: range) -> None:
    """Evaluate procedural scenes, beyond every training index."""
    data = judge.config.data
    make = scene_program(*data.size, data.worlds)

    def grid_of(scene: int) -> Grid:
        clip = make(HELD_OUT_START + scene)
        frames = to_uint8(clip.frames)
        depth = np.asarray(clip.depth[:1])
        times = np.asarray(clip.timestamps)
        return Grid(frames, all_real(frames), times, cameras_of(clip), depth)

    def rows_of(scene: int) -> fidelity.ClipRows:
        return rows_of_clip(judge, scene, grid_of(scene))

    preface = f"{_size(judge)}, targets within ±60° of the source."
    clips = grid_of(0).frames
    score_clips(judge, folder, {"held-out": scenes}, rows_of, clips, preface)


def evaluate_split(judge: Judge, folder: Path, records: Records) -> None:
    """Evaluate all clips of a data set's split, which `check_split` has seen."""

    def rows_of(number: int) -> fidelity.ClipRows:
        grid = split_grid(records, judge.config.data, number)
        return rows_of_clip(judge, number, grid)

    preface = f"{_size(judge)}, split `{records.split}` of the dataset `{records.content[:16]}`."
    scenes = {records.split: range(len(records))}
    clips = [records.content, records.split]
    score_clips(judge, folder, scenes, rows_of, clips, preface)


def _size(judge: Judge) -> str:
    data = judge.config.data
    size = f"{data.views} views of {data.frames} frames, {data.width}x{data.height}"
    return f"{size}; depth network `{judge.depth_name}`, true depth `true`"


def evaluate_grids(judge: Judge, folder: Path, scenes: range) -> None:
    """Evaluate a model without poses on those of `scenes` in which something moves.

    Raises:
      InputError: there is none, or the folder holds another evaluation.
    """
    data = judge.config.data
    real = real_frames.row_and_column(data.views, data.frames)
    render = jax.jit(lambda index: procedural_batch(index, data).frames[0])

    def frames_of(scene: int) -> Float[Array, "v t h w 3"]:
        """Return a scene in [-1, 1]."""
        return render(jnp.array([HELD_OUT_START + scene]))

    def rows_of(scene: int) -> fidelity.ClipRows:
        """Return the hidden frames of every row, each as a view of one instant."""
        frames = frames_of(scene)
        truth = to_unit(frames)
        made = generate.fill_grid(judge.prior, frames, real, noise_key(judge, scene))
        rows = fidelity.rows_of_grid(truth, real) | {table.PRIOR: to_unit(made)}
        return fidelity.ClipRows(
            truth, {}, {(name, "none"): x for name, x in rows.items()}
        ).part(~real)

    moving = [scene for scene in scenes if moves(frames_of(scene))]
    expected = "more, since in these nothing moves"
    fields.require_option("scenes", len(scenes), bool(moving), expected)
    preface = (
        f"Hidden frames of {len(moving)} held-out grids in which something moves; the first row "
        "and the first column are real."
    )
    clips = to_uint8(to_unit(frames_of(0)))
    score_clips(judge, folder, {"grids": moving}, rows_of, clips, preface)


def moves(frames: Float[Array, "v t h w 3"]) -> bool:
    """Say whether 1 % of a grid's pixels in [-1, 1] change by a tenth of the range or more."""
    changed = image_motion.differs(
        np.asarray(frames), np.asarray(frames[:, :1]), 0.2
    ).any(1)
    return bool(changed.mean() >= 0.01)
