"""Scores against baselines on held-out scenes, with the gates that a shipped prior must pass."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config, check_config
from full4d_jax.errors import InputError

LIFTED = 4  # clips with a fit, by default


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
    records: Path | None = None,
    split: str = "test",
    vgg: bool = False,
    grid: Path | None = None,
    scene: Path | None = None,
    truth: Path | None = None,
    clip: str = "",
    unit: float | None = None,
    reference: Path | None = None,
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
      lift_scenes: scenes to fit 4D Gaussians to, twice each (slow); of a dataset's clips, those
        whose projection alone they are fitted to; 4 by default.
      gltf: a .glb file with a skinned, animated mesh, scored as another group.
      records: score all clips of a dataset's split instead of procedural scenes.
      split: of the dataset (records, truth, reference).
      vgg: measure LPIPS with VGG too (slow).
      grid: score what lies in this output folder of `run` or `sample`, or in a folder of these,
        without any truth (docs/evaluation.md), or one with `truth`; no config applies.
      scene: score the scene in this output folder of `run` or `lift`, or in this .ply file beside
        its grid.npz, rendered by the cameras of `truth`; no config applies.
      truth: a dataset with the clip that `grid` or `scene` was made from.
      clip: its number in the split, or its scene; needed where there are several.
      unit: world units of the dataset in one unit of `scene` or `grid`, where neither cameras nor
        depth tell.
      reference: for `grid` without truth a dataset, an output folder or a folder of these, from
        which FVD, FVD-V and FID are the distances.
      clip_onnx: for the same CLIP's image encoder, for CLIP-F and CLIP-V.
      inception_onnx: for the same Inception, for FID.

    A model without poses (configs/four_real.py) fills grids from one row and one column: it has
    neither depth, glTF, records nor scenes to lift.
    """
    beside = {"reference": reference, "clip_onnx": clip_onnx, "inception_onnx": inception_onnx}
    if grid or scene or truth or clip or unit is not None:
        _evaluate_folder(grid, scene, truth, split, clip, unit, beside, vgg=vgg)
        return
    _check_unused(beside, "none, without --grid")
    check_config(config)
    if config.model.projection == "none":
        given = {"depth_checkpoint": depth_checkpoint, "lift_scenes": lift_scenes, "gltf": gltf}
        given |= {"records": records, "vgg": vgg or None}
        _evaluate_grids(config, out, checkpoint, first, scenes, given)
        return
    lift_scenes = LIFTED if lift_scenes is None else lift_scenes
    _check(first, scenes, lift_scenes)
    if records and gltf:
        raise InputError("option", "--gltf", gltf, "none with --records", "leave one out")
    from full4d_jax.depth import load_depth
    from full4d_jax.evaluation import runner
    from full4d_jax.evaluation.clips import gltf_views
    from full4d_jax.evaluation.fidelity import load_distances
    from full4d_jax.evaluation.held_out import Judge
    from full4d_jax.evaluation.split import check_split, open_split
    from full4d_jax.generation import load_prior
    from full4d_jax.stages import open_folder

    if gltf and not gltf_views(gltf):
        do = "export one with its animations"
        raise InputError("glTF", gltf, "no animation", "at least one", do)
    dataset = open_split(records, split) if records else None
    if dataset is not None:
        check_split(dataset, config.data)
    folder = open_folder(out or Path("runs") / f"{config.name}-evaluation")
    prior, depth = load_prior(config, checkpoint), load_depth(depth_checkpoint)
    judge = Judge(config, prior, depth, load_distances(vgg=vgg))
    if dataset is not None:
        runner.evaluate_split(judge, folder, dataset, range(lift_scenes))
        return
    lifted = range(first, first + lift_scenes)
    runner.evaluate_held_out(judge, folder, range(first, first + scenes), lifted, gltf)


def _evaluate_folder(
    grid: Path | None,
    scene: Path | None,
    truth: Path | None,
    split: str,
    clip: str,
    unit: float | None,
    beside: dict[str, Path | None],
    *,
    vgg: bool,
) -> None:
    """Score an output folder, with truth, or without and with what is `beside`."""
    subject = grid or scene
    if subject is None or (grid and scene):
        found, do = "both" if subject else "neither", "see full4d evaluate --help"
        raise InputError("option", "--grid, --scene", found, "one of them", do)
    if grid and truth is None and not (clip or unit or vgg):
        from full4d_jax.evaluation.grid_scores import score_folder

        score_folder(grid, split=split, **beside)
        return
    _check_unused(beside, "none, but for --grid without truth")
    if truth is None:
        do = "give the dataset with the clip it was made from as --truth"
        raise InputError("option", "--truth", "none", "a dataset", do)
    if unit is not None and not 0 < unit < float("inf"):
        raise InputError("option", "--unit", unit, "a length above 0", "change it")
    from full4d_jax.evaluation.truth import Wanted, score_with_truth

    kind = "grid" if grid else "scene"
    score_with_truth(subject, kind, Wanted(truth, split, clip, unit), vgg=vgg)


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
