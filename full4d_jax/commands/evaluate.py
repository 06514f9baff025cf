"""Scores against baselines on held-out scenes, clips, grids, films and scenes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from full4d_jax.commands import SIZES
from full4d_jax.config import Config, check_config
from full4d_jax.evaluation.without_truth.network_files import NETWORK_FLAGS, NetworkFiles
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
    from full4d_jax.evaluation.generated_grids import Judge

MOST_SCENES = 100_000  # held in memory with their scores
SceneCount = Annotated[int, Between(1, MOST_SCENES)]
OpenJudge = Callable[..., "Judge"]


@dataclass(frozen=True)
class SceneOptions(SourceOptions):
    """Held-out procedural scenes."""

    first: CountOrZero = 0
    """Number of the first held-out scene; weights that were chosen by scores of some scenes need
    others to be judged by."""
    scenes: SceneCount = 64
    """Held-out procedural scenes."""
    gltf: Path | None = None
    """A .glb file with a skinned, animated mesh, scored as another group."""
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
    lift_scenes: Annotated[int, Between(0, 1)] = 0
    """1 fits 4D Gaussians to the first frame's grid too (slow)."""


@dataclass(frozen=True)
class ForeignFilmsOptions(SourceOptions):
    """Anybody's films, one a camera, beside the films of a capture (docs/evaluation.md); a capture
    without --truth is scored alone."""

    path_kinds = CAPTURE, FILMS
    selecting_flags = "truth", *NETWORK_FLAGS

    films: SourcePath
    """A folder of films, or of folders of pictures, with the names or in the order of the cameras
    of --truth."""
    truth: Path | None = None
    """The capture whose cameras they are of."""
    source_camera: str | None = None
    """The camera whose film the method was given; left out, the first."""
    row: str | None = None
    """Name of the films in the table; left out, that of the folder."""
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
    """Write scores.jsonl (one line a clip), evaluation.md, evaluation.json and evaluation.png.

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
    network = {"depth_network": depth_network, "depth_kind": depth_kind}
    prior = {"checkpoint": checkpoint, several.flag[2:]: several.are_several or None}
    name = config.name
    match source:
        case MadeOptions():
            unused = {"out": out} | prior | network
            _refuse(unused, f"none, with {source.folder}")
            _score_folder(source)
            return
        case ForeignFilmsOptions():
            _refuse(prior, f"none, with {source.films}")
            _score_films(source, out, depth_network, depth_kind)
            return
        case FilmOptions() if _is_capture(source.video):
            unused = prior | network | vars(source)
            del unused["video"], unused["lift_scenes"]
            _refuse(unused, f"none, with {source.video}")
            _score_capture(ForeignFilmsOptions(source.video), out)
            return
        case FilmOptions():
            name = source.video.stem
    check_config(config)
    from full4d_jax.generation.prior import check_shares

    if several.are_several:
        check_shares(config)
    with output_of(several, out or Path("runs") / f"{name}-evaluation") as folder:
        judge = partial(_open_judge, config, folder, checkpoint, depth_network, depth_kind)
        match source:
            case SceneOptions():
                _evaluate_scenes(source, folder, judge)
            case SplitOptions():
                _evaluate_split(config, source, folder, judge)
            case FilmOptions():
                _evaluate_film(config, source, folder, judge)
            case ProceduralGridOptions():
                _refuse(network, "none, with a model without poses")
                _evaluate_grids(config, source, folder, checkpoint)


def _evaluate_scenes(source: SceneOptions, folder: Path, open_judge: OpenJudge) -> None:
    """Score a prior on held-out scenes.

    Raises:
      InputError: the asset has no animation, or the folder holds another evaluation.
    """
    from full4d_jax.evaluation.generated_grids import evaluate_held_out
    from full4d_jax.evaluation.known_clips import gltf_views

    if source.gltf and not gltf_views(source.gltf):
        do = "export one with its animations"
        raise InputError("glTF", source.gltf, "no animation", "at least one", do)
    scenes = range(source.first, source.first + source.scenes)
    judge = open_judge(vgg=source.vgg)
    evaluate_held_out(judge, folder, scenes, source.gltf)


def _evaluate_split(
    config: Config, source: SplitOptions, folder: Path, open_judge: OpenJudge
) -> None:
    """Score a prior on the clips of a data set.

    Raises:
      InputError: the clips do not fit the config, or the folder holds another evaluation.
    """
    from full4d_jax.evaluation.generated_grids import evaluate_split
    from full4d_jax.evaluation.known_clips import check_split
    from full4d_jax.source.capture_source import open_split

    dataset = open_split(source.dataset, source.split)
    check_split(dataset, config.data)
    judge = open_judge(vgg=source.vgg)
    evaluate_split(judge, folder, dataset)


def _evaluate_grids(
    config: Config, source: ProceduralGridOptions, folder: Path, checkpoint: Path | None
) -> None:
    """Score a model without poses on held-out grids."""
    from full4d_jax.evaluation.fidelity import load_distances
    from full4d_jax.evaluation.filled_grids import evaluate_grids
    from full4d_jax.generation.prior import open_prior, prior_path
    from full4d_jax.session.files import hold_folder

    prior = open_prior(config, prior_path(config.model, checkpoint))
    hold_folder(folder)
    scenes = range(source.first, source.first + source.scenes)
    evaluate_grids(config, prior, load_distances(vgg=False), folder, scenes)


def _evaluate_film(config: Config, clip: FilmOptions, folder: Path, open_judge: OpenJudge) -> None:
    """Score a clip of a still scene.

    Raises:
      InputError: options that do not go together, or what the evaluation refuses.
    """
    if clip.video.is_dir():
        unused = {name: getattr(clip, name) for name in ("poses", "start", "seconds", "fov")}
        _refuse(unused, "none, with a folder of photographs")
    size = SizeOptions(rows=clip.rows, seconds=clip.seconds)
    video = VideoOptions(clip.video, clip.start or 0.0, None, clip.fov, clip.poses, size)
    check_fields(video, what="option")
    from full4d_jax.evaluation.later_frames import evaluate_film
    from full4d_jax.generation.cascade import load_upsampler

    upsampler = load_upsampler()
    if config.model.codec != "pixels" or config.data.height != upsampler.prior_rows:
        found = f"codec {config.model.codec} at {config.data.height} rows"
        expected = f"pixels of {upsampler.prior_rows} rows, which the upsampler enlarges"
        raise InputError("config", config.name, found, expected, "leave the clip out")
    if clip.rows is not None and clip.rows <= upsampler.prior_rows:
        expected = f"more than the prior's {upsampler.prior_rows}"
        raise InputError("option", "--rows", clip.rows, expected, "give a larger number")
    judge = open_judge(vgg=False)
    evaluate_film(judge, upsampler, folder, video, lifted=bool(clip.lift_scenes))


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
    from full4d_jax.evaluation.generated_grids import Judge
    from full4d_jax.generation.prior import open_prior
    from full4d_jax.session.files import hold_folder
    from full4d_jax.source.depth.depth_file import DepthFile
    from full4d_jax.source.depth.estimators import OURS, open_network

    hold_folder(folder)
    prior = open_prior(config, checkpoint)
    network = open_network(depth_network, depth_kind)
    if isinstance(network, DepthFile):
        print(network.description)
    name = OURS if depth_network in (None, OURS) else Path(depth_network).name
    return Judge(config, prior, network, load_distances(vgg=vgg), name)


def _score_folder(result: MadeOptions) -> None:
    """Score a grid or a scene, with truth or without.

    Raises:
      InputError: options that do not go together, or what the scores refuse.
    """
    kind = "scene" if result.scene or result.folder.is_file() else "grid"
    if result.truth:
        from full4d_jax.evaluation.truth.comparison import score_with_truth

        idle = vars(result.networks) | {"inception_onnx": result.inception_onnx}
        idle |= {"reference": result.reference, "split": result.split}
        _refuse(idle, "none, with --truth")
        score_with_truth(result.folder, kind, result.truth, vgg=result.vgg)
        return
    if kind == "scene" or result.vgg:
        do = "give the data set that it was made from as --truth"
        raise InputError("option", "--truth", "none", "a data set", do)
    from full4d_jax.evaluation.without_truth.grid_scores import score_folder

    score_folder(
        result.folder,
        reference=result.reference,
        split=result.split or "train",
        networks=result.networks,
        inception_onnx=result.inception_onnx,
    )


def _is_capture(path: Path) -> bool:
    """Return whether a path is the folder of a capture and no photographs with transforms.json."""
    return path.is_dir() and not (path / "transforms.json").exists()


def _score_films(
    source: ForeignFilmsOptions,
    out: Path | None,
    depth_network: str | None,
    depth_kind: DepthKind | None,
) -> None:
    """Score anybody's films against a capture.

    Raises:
      InputError: no capture is given, or what the scores refuse.
    """
    if source.truth is None and kind_of(source.films) == CAPTURE:
        unused = {"source_camera": source.source_camera, "vgg": source.vgg or None}
        unused |= {"depth_network": depth_network, "depth_kind": depth_kind}
        _refuse(unused, "a --truth beside it")
        _score_capture(source, out)
        return
    if source.truth is None:
        do = "give the capture whose cameras these are of, or add their cameras.json"
        raise InputError("option", "--truth", "none", "a capture", do)
    from full4d_jax.evaluation.fidelity import load_distances
    from full4d_jax.evaluation.truth.foreign_films import read_filmed_grid, score_films
    from full4d_jax.session.files import hold_folder
    from full4d_jax.source.depth.estimators import OURS, open_network

    filmed = read_filmed_grid(source.films, source.truth, source.source_camera, source.rows)
    name = source.row or source.films.resolve().name
    folder = hold_folder(out or Path("runs") / f"{source.truth.resolve().name}-evaluation")
    score_films(
        filmed,
        name,
        folder,
        distances=load_distances(vgg=source.vgg),
        network=open_network(depth_network, depth_kind),
        network_name=depth_network or OURS,
        networks=source.networks,
    )


def _score_capture(source: ForeignFilmsOptions, out: Path | None) -> None:
    """Score films with cameras on consistency alone."""
    from full4d_jax.evaluation.without_truth.grid_scores import score_capture
    from full4d_jax.session.files import hold_folder
    from full4d_jax.source.capture_source import open_capture
    from full4d_jax.source.options import CaptureOptions

    grid = open_capture(CaptureOptions(source.films, rows=source.rows))
    name = source.row or source.films.resolve().name
    folder = hold_folder(out or Path("runs") / f"{name}-evaluation")
    score_capture(grid, name, folder, source.networks)


def _refuse(unused: Mapping[str, object], expected: str) -> None:
    """Refuse options that would have no effect.

    Raises:
      InputError: naming the first that is given.
    """
    for name, value in unused.items():
        if value not in (None, ""):
            raise InputError("option", f"--{name}", value, expected, "leave it out")
