"""Scores against baselines on held-out scenes, with the gates that a shipped prior must pass."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config, check_config
from full4d_jax.errors import InputError

SHEET_CLIPS = 4


def evaluate(
    config: Annotated[Config, tyro.conf.arg(name="")],
    *,
    out: Path | None = None,
    checkpoint: Path | None = None,
    depth_checkpoint: Path | None = None,
    first: int = 0,
    scenes: int = 64,
    lift_scenes: int | None = None,
    gltf: Path | None = None,
    grid: Path | None = None,
    reference: Path | None = None,
    split: str = "test",
    clip_onnx: Path | None = None,
    inception_onnx: Path | None = None,
) -> None:
    """Write scores.jsonl (one line a clip), evaluation.md, evaluation.json and pictures.

    Running again with the same weights and settings continues; more scenes add to those done.

    Args:
      config: the experiment to evaluate.
      out: folder for the results; runs/NAME-evaluation by default.
      checkpoint: weights of the prior; those in the package by default.
      depth_checkpoint: weights of the depth network; those in the package by default.
      first: number of the first held-out scene; weights that were chosen by scores of some scenes
        need others to be judged by.
      scenes: held-out procedural scenes.
      lift_scenes: scenes to fit 4D Gaussians to, twice each (slow); 4 by default.
      gltf: a .glb file with a skinned, animated mesh, scored as another group.
      grid: score what lies in this output folder of `run` or `sample` instead, or in a folder of
        these, without any truth (docs/evaluation.md); only the options below are used then.
      reference: a dataset, an output folder or a folder of these, for FVD, FVD-V and FID.
      split: of that dataset.
      clip_onnx: CLIP's image encoder, for CLIP-F and CLIP-V.
      inception_onnx: Inception, for FID.

    A model without poses (configs/four_real.py) fills grids from one row and one column: it has
    neither depth, glTF nor scenes to lift.
    """
    if grid:
        from full4d_jax.evaluation.grid_scores import score_folder

        files = {"clip_onnx": clip_onnx, "inception_onnx": inception_onnx}
        score_folder(grid, reference=reference, split=split, **files)
        return
    for_grids = {"reference": reference, "clip_onnx": clip_onnx, "inception_onnx": inception_onnx}
    _check_unused(for_grids, "none, without --grid")
    check_config(config)
    if config.model.projection == "none":
        given = {"depth_checkpoint": depth_checkpoint, "lift_scenes": lift_scenes, "gltf": gltf}
        _evaluate_grids(config, out, checkpoint, first, scenes, given)
        return
    lift_scenes = 4 if lift_scenes is None else lift_scenes
    _check(first, scenes, lift_scenes)
    import json
    from functools import partial

    import numpy as np

    from full4d_jax.depth import load_depth
    from full4d_jax.evaluation import clips
    from full4d_jax.evaluation import held_out as stage
    from full4d_jax.evaluation.lift import between, lift_rows
    from full4d_jax.evaluation.records import append_records, missing, open_records
    from full4d_jax.evaluation.table import markdown, summary
    from full4d_jax.generation import load_prior
    from full4d_jax.metrics import load_lpips
    from full4d_jax.pictures import save_picture, to_uint8
    from full4d_jax.progress import Progress
    from full4d_jax.stages import open_folder

    # Which clips a group has, how to make some of them, how to fill their targets.
    data, rows = config.data, stage.generate_rows
    groups = {"held-out": (range(first, first + scenes), partial(clips.held_out, data), rows)}
    if gltf:
        views = clips.gltf_views(gltf)
        if not views:
            do = "export one with its animations"
            raise InputError("glTF", gltf, "no animation", "at least one", do)
        groups["glTF"] = (range(len(views)), partial(clips.gltf, data, gltf), rows)
    if lift_scenes:
        groups["between"] = (range(first, first + lift_scenes), partial(between, data), lift_rows)

    folder = open_folder(out or Path("runs") / f"{config.name}-evaluation")
    prior, depth = load_prior(config, checkpoint), load_depth(depth_checkpoint)
    judge = stage.Judge(config, prior, depth, load_lpips())
    example = to_uint8(np.asarray(next(clips.held_out(data, [0])).clip.frames))
    path, mark = folder / "scores.jsonl", stage.identity(judge, example)
    shipped = stage.shipped_row(config)
    records = open_records(path, mark)
    for group, (numbers, clips_of, fill_rows) in groups.items():
        left = missing(records, group, numbers)
        shown = []
        with Progress(f"evaluate {group}", len(left)) as report:
            for done, known in enumerate(clips_of(left), 1):
                result = fill_rows(judge, known)
                append_records(path, [stage.score_rows(judge, known, result)])
                if known.scene < numbers.start + SHEET_CLIPS:
                    shown.append((known, result))
                    save_picture(folder / f"{group}.png", stage.sheet(shown, shipped))
                report(done)

    records = open_records(path, mark)
    page = markdown(records, shipped, _preface(config, shipped, mark))
    (folder / "evaluation.md").write_text(page)
    (folder / "evaluation.json").write_text(json.dumps(summary(records, shipped), indent=1))
    print(page)


def _evaluate_grids(
    config: Config,
    out: Path | None,
    checkpoint: Path | None,
    first: int,
    scenes: int,
    given: dict[str, object],
) -> None:
    _check_unused(given, "none, with a model without poses")
    _check(first, scenes, 0)
    from full4d_jax.evaluation.grids import evaluate_grids
    from full4d_jax.generation import load_prior
    from full4d_jax.grid_pipeline import SHIPPED

    prior = load_prior(config, checkpoint or SHIPPED)
    folder = out or Path("runs") / f"{config.name}-evaluation"
    evaluate_grids(config, prior, folder, range(first, first + scenes))


def _preface(config: Config, shipped: str, mark: str) -> str:
    """What was evaluated, for the head of the page."""
    data = config.data
    return (
        f"# Evaluation of `{config.name}`\n\n"
        f"{data.views} views (source included), {data.frames} frames of {data.width}x{data.height} "
        f"pixels, targets within ±60° of the source. Shipped sampler setting: {shipped}. "
        "Unseen pixels are those where the projection of the one source frame of the same instant, "
        "with true depth, has no point; for SSIM their map is averaged, for LPIPS the truth is "
        "pasted over all other pixels. `ours` is the depth of our network. "
        f"Weights and settings: `{mark}`."
    )


def _check_unused(given: Mapping[str, object], expected: str) -> None:
    """Refuse options that would be left out silently."""
    for name, value in given.items():
        if value is not None:
            raise InputError("option", f"--{name}", value, expected, "leave it out")


def _check(first: int, scenes: int, lift_scenes: int) -> None:
    """Refuse counts that make no sense, before anything is loaded."""
    counts = (("--first", first, 0), ("--scenes", scenes, 1), ("--lift_scenes", lift_scenes, 0))
    for name, value, least in counts:
        if value < least:
            raise InputError("option", name, value, f"at least {least}", "give a larger number")
