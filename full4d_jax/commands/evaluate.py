"""Score against baselines: priors on held-out scenes, data sets and clips; videos; runs."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from full4d_jax.config import SIZES, Config, check_config
from full4d_jax.session.fields import (
    Between,
    CountOrZero,
    Shown,
    refuse,
    require_option,
)
from full4d_jax.session.processes import ALONE, output_of
from full4d_jax.source import kinds, options


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
class MeasureOptions:
    """The depth network of sources."""

    depth_network: str | None = None
    """ours (the default), or as of full4d run."""
    depth_kind: options.DepthKind | None = None
    """Quantity that an .onnx file outputs (see full4d run --help)."""


@dataclass(frozen=True)
class JudgeOptions(MeasureOptions):
    """The prior that is judged, and by what."""

    checkpoint: Path | None = None
    """Weights of the prior; by default those in the package."""
    several: options.Several = ALONE


@dataclass(frozen=True)
class SceneOptions(kinds.SourceOptions):
    """Held-out procedural scenes."""

    first: CountOrZero = 0
    """Number of the first held-out scene; weights that were chosen by scores of some scenes need
    others to be judged by."""
    scenes: Annotated[int, Between(1, 100_000)] = 64
    """Held-out procedural scenes."""
    judge: Annotated[JudgeOptions, options.Flat] = JudgeOptions()

    @property
    def numbers(self) -> range:
        """The numbers of the scenes."""
        return range(self.first, self.first + self.scenes)


class GridOptions(SceneOptions):
    """Held-out procedural grids, filled from one row and one column by a model without poses."""

    model_needs_cameras = False


@dataclass(frozen=True)
class SplitOptions(kinds.SourceOptions):
    """All clips of a data set's split."""

    path_kinds = (kinds.DATASET,)

    dataset: options.SourcePath
    """The data set."""
    split: str = "test"
    """Split of the data set."""
    judge: Annotated[JudgeOptions, options.Flat] = JudgeOptions()


@dataclass(frozen=True)
class ClipOptions(kinds.SourceOptions):
    """A clip of a still scene: later frames are the truth for its first one."""

    path_kinds = (kinds.VIDEO,)

    video: options.SourcePath
    """A clip of a still scene from a camera that goes past it."""
    poses: Path | None = None
    """The camera's path: JSON, a COLMAP model or transforms.json; default: found in the video."""
    start: options.Start = 0.0
    """Seconds into the video."""
    seconds: options.Seconds = None
    """Seconds of the video to take; default: 2."""
    fov: options.Fov = None
    """Horizontal field of view of the upright video in degrees, as in full4d run."""
    rows: options.Rows = None
    """Short side of the frames, pixels; default: 256."""
    judge: Annotated[JudgeOptions, options.Flat] = JudgeOptions()


@dataclass(frozen=True)
class MethodVideosOptions(kinds.SourceOptions):
    """Videos of any origin, one a camera, scored against those of a capture (docs/evaluation.md); a
    capture without --truth is scored alone."""

    path_kinds = kinds.CAPTURE, kinds.FILMS

    videos: options.SourcePath
    """A folder of videos, or of folders of pictures, with the names of the cameras of --truth."""
    truth: Path | None = None
    """The capture whose cameras they are of."""
    source_camera: str | None = None
    """The camera whose video the method was given; default: the first."""
    row: str | None = None
    """Name of the videos in the tables; default: the folder's."""
    rows: options.Rows = None
    """Short side at which pictures are compared; default: that of the smallest."""
    measures: Annotated[MeasureOptions, options.Flat] = MeasureOptions()
    networks: Annotated[NetworkFiles, options.Flat] = NetworkFiles()


@dataclass(frozen=True)
class MadeOptions(kinds.SourceOptions):
    """A result of `run`, `sample` or `lift` (docs/evaluation.md); no config applies."""

    path_kinds = kinds.RUN, kinds.RUNS

    folder: options.SourcePath
    """The folder of a run, whose grid is scored; without --truth also a folder of such folders."""
    scene: bool = False
    """Score the scene instead, rendered for the cameras of --truth."""
    truth: Path | None = None
    """Data set that the run was made from."""
    reference: Path | None = None
    """A data set, the folder of a run or a folder of these, for FVD and FVD-V."""
    split: str | None = None
    """Split of a data set as --reference; default: train."""
    networks: Annotated[NetworkFiles, options.Flat] = NetworkFiles()


Prior = SceneOptions | SplitOptions | ClipOptions | GridOptions


def evaluate(
    config: Annotated[Config, Shown(("name", "seed", *SIZES, "sampler", "lift"))],
    *,
    source: Prior | MethodVideosOptions | MadeOptions,
    out: Path | None = None,
) -> None:
    """Write scores of each clip, evaluation.md, evaluation.json and pictures.

    Running again with the same weights and settings continues; more scenes add to those done.

    Args:
      config: the experiment to evaluate.
      source: what is scored; default: a prior on held-out scenes.
      out: folder for the results; by default runs/NAME-evaluation, or that of the run.
    """
    match source:
        case MadeOptions():
            _score_made(source, out)
        case MethodVideosOptions():
            _score_videos(source, out)
        case _:
            check_config(config)
            several = source.judge.several
            from full4d_jax.generation.prior import check_shares

            if several.are_several:
                check_shares(config)
            name = source.video.stem if isinstance(source, ClipOptions) else config.name
            with output_of(several, _folder(out, name)) as folder:
                _judge_prior(config, source, folder)


def _folder(out: Path | None, name: str) -> Path:
    return out or Path("runs") / f"{name}-evaluation"


def _judge_prior(config: Config, source: Prior, folder: Path) -> None:
    """Score a prior; unreadable files are refused before the prior is opened."""
    from full4d_jax.evaluation import later_frames, prior_rows
    from full4d_jax.source.capture_source import open_split

    judges = {x: y for x, y in vars(source.judge).items() if x != "several"}
    judge = partial(prior_rows.open_judge, config, folder, **judges)
    match source:
        case SplitOptions():
            dataset = open_split(source.dataset, source.split)
            prior_rows.check_split(dataset, config.data)
            prior_rows.evaluate_split(judge(), folder, dataset)
        case ClipOptions():
            size = options.SizeOptions(rows=source.rows, seconds=source.seconds)
            video = options.VideoOptions(
                source.video,
                source.start,
                fov=source.fov,
                poses=source.poses,
                size=size,
            )
            later_frames.evaluate_film(judge(), folder, video)
        case GridOptions():
            depth = {x: judges[x] for x in ("depth_network", "depth_kind")}
            refuse(depth, "none, no depth")
            prior_rows.evaluate_grids(judge(), folder, source.numbers)
        case _:
            prior_rows.evaluate_held_out(judge(), folder, source.numbers)


def _score_made(made: MadeOptions, out: Path | None) -> None:
    """Score a grid or a scene, with truth or without.

    Raises:
      InputError: options that do not go together, or what the scores refuse.
    """
    from full4d_jax.evaluation.consistency import score_folder
    from full4d_jax.evaluation.real_views import score_with_truth
    from full4d_jax.evaluation.scoring_networks import load_scoring_networks

    networks = vars(made.networks)
    kind = "scene" if made.scene else "grid"
    if made.truth:
        sets = {x: getattr(made, x) for x in ("reference", "split")}
        refuse(networks | sets, "none, with --truth")
        score_with_truth(made.folder, kind, made.truth, out)
        return
    expected = "the data set that it was made from"
    require_option("truth", "none", not made.scene, expected)
    loaded = load_scoring_networks(networks)
    score_folder(made.folder, loaded, out, made.reference, made.split or "train")


def _score_videos(source: MethodVideosOptions, out: Path | None) -> None:
    """Score videos against a capture, or a capture alone.

    Raises:
      InputError: no capture is given, or what the scores refuse.
    """
    from full4d_jax.evaluation import foreign_films
    from full4d_jax.evaluation.consistency import score_capture
    from full4d_jax.evaluation.scoring_networks import load_scoring_networks
    from full4d_jax.session.files import hold_folder
    from full4d_jax.source.capture_source import open_capture

    networks = load_scoring_networks(vars(source.networks))
    name = source.row or source.videos.resolve().name
    measures = vars(source.measures)
    if source.truth is None:
        unused = measures | {"source_camera": source.source_camera}
        refuse(unused, "a --truth beside it")
        expected = "a capture whose cameras these are of, or cameras.json beside them"
        fits = kinds.kind_of(source.videos) == kinds.CAPTURE
        require_option("truth", "none", fits, expected)
        grid = open_capture(options.CaptureOptions(source.videos, rows=source.rows))
        score_capture(grid, name, hold_folder(_folder(out, name)), networks)
        return
    filmed = foreign_films.read_films(
        source.videos, source.truth, source.source_camera, source.rows
    )
    folder = hold_folder(_folder(out, source.truth.resolve().name))
    foreign_films.score_films(*filmed, name, folder, networks, **measures)
