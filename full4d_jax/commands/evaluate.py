"""Score against baselines: held-out scenes, data sets, clips, films, and what a run made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from full4d_jax.commands import SIZES
from full4d_jax.config import Config, check_config
from full4d_jax.session.errors import InputError
from full4d_jax.session.fields import Between, CountOrZero, check_fields
from full4d_jax.session.help_text import Shown
from full4d_jax.session.processes import ALONE, ProcessOptions, check_processes, output_of
from full4d_jax.source.kinds import (
    CAPTURE,
    DATASET,
    FILMS,
    RUN,
    RUNS,
    SPLATS,
    VIDEO,
    SourceOptions,
    kind_of,
)
from full4d_jax.source.options import (
    DepthKind,
    Flat,
    Fov,
    Rows,
    Seconds,
    SizeOptions,
    SourcePath,
    VideoOptions,
)

if TYPE_CHECKING:
    from full4d_jax.evaluation.prior_rows import Judge

SceneCount = Annotated[int, Between(1, 100_000)]


@dataclass(frozen=True)
class NetworkFiles:
    """Networks in .onnx files, and the prompt's embedding (docs/evaluation.md)."""

    clip_onnx: Path | None = None
    """CLIP's image encoder, for CLIP-F and CLIP-V."""
    clip_text: Path | None = None
    """The prompt's embedding by CLIP's text encoder, .npy (c,), for the CLIP score."""
    pointmaps_onnx: Path | None = None
    """A network of pointmaps of two pictures, such as DUSt3R, for its confidence."""


@dataclass(frozen=True)
class SceneOptions(SourceOptions):
    """Held-out procedural scenes."""

    first: CountOrZero = 0
    """Number of the first held-out scene; weights that were chosen by scores of some scenes need
    others to be judged by."""
    scenes: SceneCount = 64
    """Held-out procedural scenes."""
    vgg: bool = False
    """Measure LPIPS with VGG too (slow)."""


@dataclass(frozen=True)
class ProceduralGridOptions(SourceOptions):
    """Held-out procedural grids, filled from one row and one column by a model without poses."""

    model_needs_cameras = False

    first: CountOrZero = 0
    """Number of the first held-out scene."""
    scenes: SceneCount = 64
    """Held-out procedural scenes."""


@dataclass(frozen=True)
class SplitOptions(SourceOptions):
    """All clips of a data set's split."""

    path_kinds = (DATASET,)

    dataset: SourcePath
    """The data set."""
    split: str = "test"
    """Split of the data set."""
    vgg: bool = False
    """Measure LPIPS with VGG too (slow)."""


@dataclass(frozen=True)
class FilmOptions(SourceOptions):
    """A clip of a still scene: later frames are the truth for its first one."""

    path_kinds = VIDEO, CAPTURE

    video: SourcePath
    """A clip of a still scene from a camera that goes past it, or a folder of photographs with
    transforms.json; other captures are scored on consistency alone."""
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


@dataclass(frozen=True)
class ForeignFilmsOptions(SourceOptions):
    """Anybody's films, one a camera, beside the films of a capture (docs/evaluation.md); a capture
    without --truth is scored alone."""

    path_kinds = CAPTURE, FILMS
    selecting_flags = "truth", "clip_onnx", "clip_text", "pointmaps_onnx"

    films: SourcePath
    """A folder of films, or of folders of pictures, with the names or in the order of the cameras
    of --truth."""
    truth: Path | None = None
    """The capture whose cameras they are of."""
    source_camera: str | None = None
    """The camera whose film the method was given; left out, the first."""
    row: str | None = None
    """Name of the films in the tables (default: the folder's)."""
    rows: Rows = None
    """Short side at which pictures are compared; left out, the smallest that there is."""
    vgg: bool = False
    """Measure LPIPS with VGG too (slow)."""
    networks: Annotated[NetworkFiles, Flat] = NetworkFiles()


@dataclass(frozen=True)
class MadeOptions(SourceOptions):
    """What `run`, `sample` or `lift` made (docs/evaluation.md); no config applies."""

    path_kinds = RUN, RUNS, SPLATS

    folder: SourcePath
    """The folder of a run, whose grid is scored; without --truth also a folder of such folders; or
    a .ply file of the scene in it."""
    scene: bool = False
    """Score the scene instead, rendered for the cameras of --truth."""
    truth: Path | None = None
    """Data set that the run was made from."""
    reference: Path | None = None
    """A data set, the folder of a run or a folder of these, for FVD, FVD-V and FID."""
    split: str | None = None
    """Split of a data set as --reference; left out, train."""
    inception_onnx: Path | None = None
    """Inception, for FID."""
    vgg: bool = False
    """Measure LPIPS with VGG too (slow)."""
    networks: Annotated[NetworkFiles, Flat] = NetworkFiles()


Judged = (
    SceneOptions
    | SplitOptions
    | FilmOptions
    | ForeignFilmsOptions
    | MadeOptions
    | ProceduralGridOptions
)


def evaluate(
    config: Annotated[Config, Shown(("name", "seed", *SIZES, "sampler", "lift"))],
    *,
    source: Judged,
    out: Path | None = None,
    checkpoint: Path | None = None,
    depth_network: str | None = None,
    depth_kind: DepthKind | None = None,
    several: Annotated[ProcessOptions, Flat] = ALONE,
) -> None:
    """Write scores of each clip, and evaluation.md, evaluation.json and pictures.

    Running again with the same weights and settings continues; more scenes add to those done.

    Args:
      config: the experiment to evaluate.
      source: what is scored; left out, a prior on held-out scenes.
      out: folder for the results; runs/NAME-evaluation by default.
      checkpoint: weights of the prior; those in the package by default.
      depth_network: ours by default, or as of full4d run.
      depth_kind: what an .onnx file gives (see full4d run --help).
      several: the other processes on whose devices the prior lies; the first alone writes.
    """
    check_fields(source, what="option")
    check_processes(several)
    depth = {"depth_network": depth_network, "depth_kind": depth_kind}
    prior = {"checkpoint": checkpoint, several.flag[2:]: several.are_several or None}
    if isinstance(source, MadeOptions):
        _refuse({"out": out} | prior | depth, f"none, with {source.folder}")
        _score_made(source)
        return
    if isinstance(source, FilmOptions) and _is_capture(source.video):
        unused = {name: value for name, value in vars(source).items() if name != "video"}
        _refuse(unused, f"none, with {source.video}")
        source = ForeignFilmsOptions(source.video)
    if isinstance(source, ForeignFilmsOptions):
        _refuse(prior, f"none, with {source.films}")
        _score_films(source, out, depth_network=depth_network, depth_kind=depth_kind)
        return
    check_config(config)
    name = source.video.stem if isinstance(source, FilmOptions) else config.name
    if isinstance(source, ProceduralGridOptions):
        _refuse(depth, "none, with a model without poses")
    from full4d_jax.generation.prior import check_shares

    if several.are_several:
        check_shares(config)
    with output_of(several, out or Path("runs") / f"{name}-evaluation") as folder:
        judge = partial(_open_judge, config, folder, checkpoint, depth_network, depth_kind)
        _judge_prior(config, source, folder, judge)


def _judge_prior(
    config: Config,
    source: SceneOptions | SplitOptions | FilmOptions | ProceduralGridOptions,
    folder: Path,
    open_judge: Callable[..., "Judge"],
) -> None:
    """Score what a prior makes; what cannot be read is refused before the prior is opened."""
    from full4d_jax.evaluation import known_clips, later_frames, prior_rows
    from full4d_jax.generation.cascade import load_upsampler
    from full4d_jax.source.capture_source import open_split

    match source:
        case SceneOptions():
            scenes = range(source.first, source.first + source.scenes)
            prior_rows.evaluate_held_out(open_judge(vgg=source.vgg), folder, scenes)
        case SplitOptions():
            dataset = open_split(source.dataset, source.split)
            known_clips.check_split(dataset, config.data)
            prior_rows.evaluate_split(open_judge(vgg=source.vgg), folder, dataset)
        case ProceduralGridOptions():
            scenes = range(source.first, source.first + source.scenes)
            prior_rows.evaluate_grids(open_judge(vgg=False), folder, scenes)
        case FilmOptions():
            video = _checked_film(source)
            upsampler = load_upsampler()
            later_frames.check_enlarged(config, upsampler, source.rows)
            later_frames.evaluate_film(open_judge(vgg=False), upsampler, folder, video)


def _checked_film(clip: FilmOptions) -> VideoOptions:
    """Return a clip as other commands take it.

    Raises:
      InputError: options that do not go together.
    """
    if clip.video.is_dir():
        unused = {name: getattr(clip, name) for name in ("poses", "start", "seconds", "fov")}
        _refuse(unused, "none, with a folder of photographs")
    size = SizeOptions(rows=clip.rows, seconds=clip.seconds)
    video = VideoOptions(clip.video, clip.start or 0.0, None, clip.fov, clip.poses, size)
    check_fields(video, what="option")
    return video


def _open_judge(
    config: Config,
    folder: Path,
    checkpoint: Path | None,
    depth_network: str | None,
    depth_kind: DepthKind | None,
    *,
    vgg: bool,
) -> "Judge":
    """Hold the folder, load what is evaluated, and say what a depth network's values are."""
    from full4d_jax.evaluation.fidelity import load_distances
    from full4d_jax.evaluation.prior_rows import Judge
    from full4d_jax.generation.prior import open_prior, prior_path
    from full4d_jax.session.files import hold_folder
    from full4d_jax.source.depth.depth_file import DepthFile
    from full4d_jax.source.depth.estimators import OURS, open_network

    hold_folder(folder)
    prior = open_prior(config, prior_path(config.model, checkpoint))
    network = open_network(depth_network, depth_kind)
    if isinstance(network, DepthFile):
        print(network.description)
    name = OURS if depth_network in (None, OURS) else Path(depth_network).name
    return Judge(config, prior, network, load_distances(vgg=vgg), name)


def _score_made(made: MadeOptions) -> None:
    """Score a grid or a scene, with truth or without.

    Raises:
      InputError: options that do not go together, or what the scores refuse.
    """
    kind = "scene" if made.scene or made.folder.is_file() else "grid"
    if made.truth:
        from full4d_jax.evaluation.real_views import score_with_truth

        sets = {x: getattr(made, x) for x in ("inception_onnx", "reference", "split")}
        _refuse(vars(made.networks) | sets, "none, with --truth")
        score_with_truth(made.folder, kind, made.truth, vgg=made.vgg)
        return
    if kind == "scene" or made.vgg:
        do = "give the data set that it was made from as --truth"
        raise InputError("option", "--truth", "none", "a data set", do)
    from full4d_jax.evaluation.networks import load_scoring_networks
    from full4d_jax.evaluation.runs import score_folder

    score_folder(
        made.folder,
        load_scoring_networks(vars(made.networks)),
        reference=made.reference,
        split=made.split or "train",
        inception_onnx=made.inception_onnx,
    )


def _is_capture(path: Path) -> bool:
    """Return whether a path is the folder of a capture and no photographs with transforms.json."""
    return path.is_dir() and not (path / "transforms.json").exists()


def _score_films(
    source: ForeignFilmsOptions,
    out: Path | None,
    *,
    depth_network: str | None,
    depth_kind: DepthKind | None,
) -> None:
    """Score anybody's films against a capture, or a capture alone.

    Raises:
      InputError: no capture is given, or what the scores refuse.
    """
    from full4d_jax.evaluation.fidelity import load_distances
    from full4d_jax.evaluation.foreign_films import read_filmed_grid, score_films
    from full4d_jax.evaluation.networks import load_scoring_networks
    from full4d_jax.evaluation.runs import score_capture
    from full4d_jax.session.files import hold_folder
    from full4d_jax.source.capture_source import open_capture
    from full4d_jax.source.depth.estimators import OURS, open_network
    from full4d_jax.source.options import CaptureOptions

    name = source.row or source.films.resolve().name
    if source.truth is None:
        if kind_of(source.films) != CAPTURE:
            do = "give the capture whose cameras these are of, or add their cameras.json"
            raise InputError("option", "--truth", "none", "a capture", do)
        unused = {"source_camera": source.source_camera, "vgg": source.vgg or None}
        unused |= {"depth_network": depth_network, "depth_kind": depth_kind}
        _refuse(unused, "a --truth beside it")
        grid = open_capture(CaptureOptions(source.films, rows=source.rows))
        networks = load_scoring_networks(vars(source.networks))
        folder = hold_folder(out or Path("runs") / f"{name}-evaluation")
        score_capture(grid, name, folder, networks)
        return
    filmed = read_filmed_grid(source.films, source.truth, source.source_camera, source.rows)
    networks = load_scoring_networks(vars(source.networks))
    folder = hold_folder(out or Path("runs") / f"{source.truth.resolve().name}-evaluation")
    score_films(
        filmed,
        name,
        folder,
        distances=load_distances(vgg=source.vgg),
        network=open_network(depth_network, depth_kind),
        network_name=depth_network or OURS,
        networks=networks,
    )


def _refuse(unused: Mapping[str, object], expected: str) -> None:
    """Refuse options that would have no effect.

    Raises:
      InputError: naming the first that is given.
    """
    for name, value in unused.items():
        if value not in (None, ""):
            raise InputError("option", f"--{name}", value, expected, "leave it out")
