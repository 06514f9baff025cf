"""Scores against baselines on held-out scenes, with the gates that a shipped prior must pass."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from full4d_jax.commands import SIZES
from full4d_jax.config import Config, check_config
from full4d_jax.session.errors import InputError
from full4d_jax.session.fields import check_fields
from full4d_jax.session.help_text import Shown
from full4d_jax.source.options import DepthKind, Fov, Rows, Seconds, SizeOptions, VideoOptions

if TYPE_CHECKING:
    from full4d_jax.source.depth.clip_depth import AnyNetwork

LIFTED = 4  # clips with a fit, by default
SCENES = 64


@dataclass(frozen=True)
class Folder:
    """Score what was made instead of a prior (docs/evaluation.md); no config applies."""

    grid: Path | None = None
    """Output folder of `run` or `sample` whose grid is scored, with --truth or without any truth;
    without, also a folder of such folders."""
    scene: Path | None = None
    """Output folder of `run` or `lift`, or a .ply file in it, whose scene the cameras of --truth
    render."""
    truth: Path | None = None
    """Data set that the output folder was made from."""
    instants: tuple[int, ...] = ()
    """Numbers of the folder's instants to score with --truth; left out, all."""
    reference: Path | None = None
    """A data set, an output folder or a folder of these, for FVD, FVD-V and FID."""
    clip_onnx: Path | None = None
    """CLIP's image encoder, for CLIP-F and CLIP-V."""
    matcher_onnx: Path | None = None
    """A matcher of two pictures, such as GIM's, for the number of matches."""
    inception_onnx: Path | None = None
    """Inception, for FID."""


@dataclass(frozen=True)
class Clip:
    """Score a clip of a still scene instead: later frames are the truth for its first one."""

    video: Path | None = None
    """A clip of a still scene from a camera that goes past it, or a folder of photographs with
    transforms.json."""
    poses: Path | None = None
    """The camera's path: JSON, a COLMAP model or transforms.json; left out, found in the video."""
    start: float | None = None
    """Seconds into the video; left out, 0."""
    seconds: Seconds = None
    """Seconds of the video to take; left out, 2."""
    fov: Fov = None
    """Horizontal field of view of the upright video in degrees, as in full4d run."""
    rows: Rows = None
    """Short side of the frames, pixels; left out, 256."""


def evaluate(
    config: Annotated[
        Config, tyro.conf.arg(name=""), Shown(("name", "seed", *SIZES, "sampler", "lift"))
    ],
    *,
    out: Path | None = None,
    checkpoint: Path | None = None,
    depth_network: str | None = None,
    depth_kind: DepthKind | None = None,
    first: int = 0,
    scenes: int = SCENES,
    lift_scenes: int | None = None,
    gltf: Path | None = None,
    records: Path | None = None,
    split: str | None = None,
    vgg: bool = False,
    folder: Annotated[Folder, tyro.conf.arg(name="")],
    clip: Annotated[Clip, tyro.conf.arg(name="")],
) -> None:
    """Write scores.jsonl (one line a clip), evaluation.md, evaluation.json and pictures.

    Running again with the same weights and settings continues; more scenes add to those done.

    Args:
      config: the experiment to evaluate.
      out: folder for the results; runs/NAME-evaluation by default.
      checkpoint: weights of the prior; those in the package by default.
      depth_network: ours by default, tiefenrausch, or a .safetensors or .onnx file.
      depth_kind: what an .onnx file gives (see full4d run --help).
      first: number of the first held-out scene; weights that were chosen by scores of some scenes
        need others to be judged by.
      scenes: held-out procedural scenes.
      lift_scenes: scenes to fit 4D Gaussians to, twice each (slow); of a dataset's clips, those
        whose projection alone they are fitted to; 4 by default; with --video 1 or 0, the default.
      gltf: a .glb file with a skinned, animated mesh, scored as another group.
      records: score all clips of a dataset's split instead of procedural scenes.
      split: of --records (`test` by default) or of a data set as --reference (`train`).
      vgg: measure LPIPS with VGG too (slow).
      folder: score a finished output folder instead.
      clip: score a clip of a still scene instead.

    A model without poses (configs/four_real.py) fills grids from one row and one column: it has
    neither depth, glTF, records nor scenes to lift.
    """
    of_scenes = {"first": first or None, "scenes": None if scenes == SCENES else scenes}
    if any(asdict(folder).values()):
        paths = {"out": out, "checkpoint": checkpoint, "depth_network": depth_network}
        paths |= {"depth_kind": depth_kind}
        paths |= {"records": records, "gltf": gltf, "lift_scenes": lift_scenes}
        _refuse(paths | of_scenes | asdict(clip), "none, with --grid or --scene")
        _score_folder(folder, split, vgg=vgg)
        return
    if clip.video is None:
        _refuse(asdict(clip), "a --video beside it")
    else:
        given = {"gltf": gltf, "records": records, "split": split, "vgg": vgg or None}
        _refuse(given | of_scenes, "none, with --video")
        network = depth_network, depth_kind
        _evaluate_clip(config, clip, out, checkpoint, network, lift_scenes or 0)
        return
    check_config(config)
    if config.model.projection == "none":
        given = {"depth_network": depth_network, "lift_scenes": lift_scenes, "gltf": gltf}
        given |= {"depth_kind": depth_kind, "records": records, "vgg": vgg or None}
        _evaluate_grids(config, out, checkpoint, first, scenes, given)
        return
    lift_scenes = LIFTED if lift_scenes is None else lift_scenes
    _check(first, scenes, lift_scenes)
    if records:
        _refuse({"gltf": gltf} | of_scenes, "none with --records")
    elif split:
        _refuse({"split": split}, "a dataset beside it")
    from full4d_jax.evaluation import runner
    from full4d_jax.evaluation.clips import gltf_views
    from full4d_jax.evaluation.fidelity import load_distances
    from full4d_jax.evaluation.held_out import Judge
    from full4d_jax.evaluation.split import check_split, open_split
    from full4d_jax.generation.prior import open_prior
    from full4d_jax.session.files import hold_folder

    if gltf and not gltf_views(gltf):
        do = "export one with its animations"
        raise InputError("glTF", gltf, "no animation", "at least one", do)
    dataset = open_split(records, split or "test") if records else None
    if dataset is not None:
        check_split(dataset, config.data)
    out = hold_folder(out or Path("runs") / f"{config.name}-evaluation")
    prior = open_prior(config, checkpoint)
    depth, name = _open_depth(depth_network, depth_kind)
    judge = Judge(config, prior, depth, load_distances(vgg=vgg), name)
    if dataset is not None:
        runner.evaluate_split(judge, out, dataset, range(lift_scenes))
        return
    lifted = range(first, first + lift_scenes)
    runner.evaluate_held_out(judge, out, range(first, first + scenes), lifted, gltf)


def _evaluate_grids(
    config: Config,
    out: Path | None,
    checkpoint: Path | None,
    first: int,
    scenes: int,
    given: dict[str, object],
) -> None:
    _refuse(given, "none, with a model without poses")
    _check(first, scenes, 0)
    from full4d_jax.evaluation.grids import evaluate_grids
    from full4d_jax.generation.prior import open_prior
    from full4d_jax.grid_stages import FOUR_REAL

    prior = open_prior(config, Path(checkpoint or FOUR_REAL))
    folder = out or Path("runs") / f"{config.name}-evaluation"
    evaluate_grids(config, prior, folder, range(first, first + scenes))


def _evaluate_clip(
    config: Config,
    clip: Clip,
    out: Path | None,
    checkpoint: Path | None,
    network: tuple[str | None, DepthKind | None],
    lifted: int,
) -> None:
    """Score a clip of a still scene.

    Raises:
      InputError: options that do not go together, or what the evaluation refuses.
    """
    assert clip.video is not None, "the caller asks"
    check_config(config)
    if clip.video.is_dir():
        given = {name: getattr(clip, name) for name in ("poses", "start", "seconds", "fov")}
        _refuse(given, "none, with a folder of photographs")
    if lifted not in (0, 1):
        raise InputError("option", "--lift_scenes", lifted, "0 or 1, with --video", "give one")
    size = SizeOptions(rows=clip.rows, seconds=clip.seconds)
    way = VideoOptions(clip.video, clip.start or 0.0, None, clip.fov, clip.poses, size)
    check_fields(way, what="option")
    from full4d_jax.evaluation.fidelity import load_distances
    from full4d_jax.evaluation.film.score import evaluate_film
    from full4d_jax.evaluation.held_out import Judge
    from full4d_jax.generation.cascade import load_upsampler
    from full4d_jax.generation.prior import open_prior
    from full4d_jax.session.files import hold_folder

    upsampler = load_upsampler()
    if config.model.codec != "pixels" or config.data.height != upsampler.prior_rows:
        found = f"codec {config.model.codec} at {config.data.height} rows"
        expected = f"pixels of {upsampler.prior_rows} rows, which the upsampler enlarges"
        raise InputError("config", config.name, found, expected, "leave --video out")
    if clip.rows is not None and clip.rows <= upsampler.prior_rows:
        expected = f"more than the prior's {upsampler.prior_rows}"
        raise InputError("option", "--rows", clip.rows, expected, "give a larger number")
    prior = open_prior(config, checkpoint)
    depth, name = _open_depth(*network)
    judge = Judge(config, prior, depth, load_distances(vgg=False), name)
    folder = hold_folder(out or Path("runs") / f"{clip.video.stem}-evaluation")
    evaluate_film(judge, upsampler, folder, way, lifted=bool(lifted))


def _open_depth(which: str | None, kind: DepthKind | None) -> "tuple[AnyNetwork, str]":
    """Return a depth network and its name, and say what its values are taken as."""
    from full4d_jax.source.depth.depth_file import DepthFile
    from full4d_jax.source.depth.estimators import OURS, load_network

    network = load_network(which, kind)
    if isinstance(network, DepthFile):
        print(network.told)
    return network, OURS if which in (None, OURS) else Path(which).name


def _check(first: int, scenes: int, lift_scenes: int) -> None:
    """Refuse counts that make no sense, before anything is loaded."""
    counts = (("--first", first, 0), ("--scenes", scenes, 1), ("--lift_scenes", lift_scenes, 0))
    for name, value, least in counts:
        if value < least:
            raise InputError("option", name, value, f"at least {least}", "give a larger number")


def _score_folder(folder: Folder, split: str | None, *, vgg: bool) -> None:
    """Score a grid or a scene, with truth or without.

    Raises:
      InputError: options that do not go together, or what the scores refuse.
    """
    subject = folder.grid or folder.scene
    if subject is None or (folder.grid and folder.scene):
        found, do = "both" if subject else "neither", "see full4d evaluate --help"
        raise InputError("option", "--grid, --scene", found, "one of them", do)
    networks = {name: x for name, x in asdict(folder).items() if name.endswith("_onnx")}
    if folder.truth:
        from full4d_jax.evaluation.truth.score import score_with_truth

        _refuse(networks | {"reference": folder.reference, "split": split}, "none, with --truth")
        kind, instants = "grid" if folder.grid else "scene", folder.instants
        score_with_truth(subject, kind, folder.truth, vgg=vgg, instants=instants)
        return
    _refuse({"instants": folder.instants or None}, "a --truth beside it")
    if folder.scene or vgg:
        do = "give the data set that it was made from as --truth"
        raise InputError("option", "--truth", "none", "a data set", do)
    from full4d_jax.evaluation.without_truth.grid_scores import score_folder

    score_folder(subject, reference=folder.reference, split=split or "train", **networks)


def _refuse(given: Mapping[str, object], expected: str) -> None:
    """Refuse options that would have no effect.

    Raises:
      InputError: naming the first that is given.
    """
    for name, value in given.items():
        if value not in (None, ""):
            raise InputError("option", f"--{name}", value, expected, "leave it out")
