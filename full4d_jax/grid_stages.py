"""From a source to a grid of views: the stages source, depth and grid of `pipeline`.

Whatever is opened becomes one `Source`. A model with poses needs its depth and target cameras; a
model without poses fills the grid from the frames that are given.
"""

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, DataConfig
from full4d_jax.generation.batch import EDGE
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, open_prior, prior_path, prior_settings, trained_range
from full4d_jax.generation.projection_guidance import drop_depth_edges
from full4d_jax.media import grids
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.session.files import Arrays
from full4d_jax.session.report import Job
from full4d_jax.session.stages import Stages
from full4d_jax.source import capture_source, options, video_source
from full4d_jax.source.camera_paths import TargetCameras, beside, range_warning, read_targets
from full4d_jax.source.depth.estimate import (
    SHIPPED,
    DepthNetwork,
    depth_from_file,
    load_depth,
    predict_depth,
)
from full4d_jax.source.source import Source, source_arrays, source_from

FOUR_REAL = Path(str(files("full4d_jax") / "checkpoints/four_real.safetensors"))


def sample_stages(
    job: Job, config: Config, way: options.SampleOptions, checkpoint: Path | None
) -> None:
    """Run the stages source, depth and grid; without poses source and grid."""
    if config.model.projection == "none":
        _fill(job, config, way, checkpoint)
        return
    given = _read_inputs(config, way, prior_path(checkpoint))
    source = _source_stage(job.stages, config.data, way)
    depth = _depth_stage(job.stages, source, given)
    assert source.cameras is not None, "a posed model needs cameras"
    cameras = source.cameras if given.targets is None else beside(source.cameras, given.targets)
    grid = _grid_stage(job.stages, config, given, source, depth, cameras)
    _say_warnings(job)
    grids.write_grid(job.stages.folder, grid["frames"], grid["projection"], cameras, source.fps)


def _fill(job: Job, config: Config, way: options.SampleOptions, checkpoint: Path | None) -> None:
    """Run the stages source and grid of a model without poses."""
    checkpoint = checkpoint or FOUR_REAL
    prior = open_prior(config, checkpoint)
    source = _source_stage(job.stages, config.data, way)

    def fill() -> Arrays:
        frames = jnp.asarray(source.frames, jnp.float32) / 127.5 - 1
        made = fill_grid(prior, frames, source.given, jax.random.key(config.seed))
        kept = source.given[..., None, None, None]
        filled = np.where(kept, source.frames, to_uint8(to_unit(made)))
        return {"frames": filled, "visible": source.given}

    grid = job.stages.run("grid", prior_settings(config, checkpoint), fill)
    _say_warnings(job)
    grids.write_filled_grid(job.stages.folder, **grid, fps=source.fps)


@dataclass(frozen=True)
class Inputs:
    """The files beside the source, read before the first stage replaces an earlier one.

    Attributes:
      checkpoint: weights of the prior.
      prior: the prior.
      depth_checkpoint: weights of the depth network.
      network: the depth network.
      depth_file: depth of the source that was given, or None.
      depth: its content.
      targets: the target cameras; None where the source comes with its own.
    """

    checkpoint: Path
    prior: Prior
    depth_checkpoint: Path
    network: DepthNetwork
    depth_file: Path | None
    depth: np.ndarray | None
    targets: TargetCameras | None


def _read_inputs(config: Config, way: options.SampleOptions, checkpoint: Path) -> Inputs:
    """Read the prior, the depth network, the depth and the target cameras that are given.

    Raises:
      InputError: One of them is unusable.
    """
    data, prior = config.data, open_prior(config, checkpoint)
    measured, targets, depth = options.DepthOptions(), None, None
    if isinstance(way, options.VideoOptions | options.DemoOptions):
        measured, targets = way.measured, read_targets(way.cameras, data)
    depth_checkpoint = Path(measured.depth_checkpoint or SHIPPED)
    network = load_depth(depth_checkpoint)
    if measured.depth is not None:
        depth = depth_from_file(measured.depth, data.frames, data.height, data.width)
    return Inputs(checkpoint, prior, depth_checkpoint, network, measured.depth, depth, targets)


def _source_stage(stages: Stages, data: DataConfig, way: options.SampleOptions) -> Source:
    """Open the source, or load it where the same was opened before."""
    parts = ("cameras", "measured")  # of later stages
    inputs = {name: value for name, value in vars(way).items() if name not in parts}
    inputs |= {"way": type(way).__name__, "data": data}
    if isinstance(way, options.DatasetViewOptions):
        inputs["content"] = capture_source.dataset_content(way.dataset, way.split)
    arrays = stages.run("source", inputs, lambda: source_arrays(open_source(data, way)))
    source = source_from(arrays)
    stages.say(f"source: {source.note}")
    return source


def _depth_stage(stages: Stages, source: Source, given: Inputs) -> np.ndarray:
    """Take the depth that is given, or known with the source, or estimate it."""

    def find_depth() -> Arrays:
        if given.depth is not None:
            depth = given.depth
        else:
            frames = jnp.asarray(source.frames[0], jnp.float32) / 127.5 - 1
            known = None if source.depth is None else jnp.asarray(source.depth[0])
            found = predict_depth(given.network, frames) if known is None else known
            # An estimate smears edges; the prior was trained with those pixels unknown.
            depth = np.asarray(drop_depth_edges(found, EDGE))
        return {"depth": depth, "of": np.asarray("the source")}

    inputs = {"file": given.depth_file, "net": given.depth_checkpoint}
    return stages.run("depth", inputs, find_depth)["depth"]


def _grid_stage(
    stages: Stages,
    config: Config,
    given: Inputs,
    source: Source,
    depth: np.ndarray,
    cameras: Cameras,
) -> Arrays:
    """Generate all views of the grid."""
    placed = {"intrinsics": cameras.intrinsics, "world_to_camera": cameras.world_to_camera}

    def generate() -> Arrays:
        frames = jnp.asarray(source.frames[0], jnp.float32) / 127.5 - 1
        key = jax.random.key(config.seed)
        grid, projection = generate_grid(given.prior, frames, jnp.asarray(depth), cameras, key)
        trained = trained_range(given.checkpoint)
        warning = range_warning(np.asarray(cameras.world_to_camera[1:]), *trained)
        return {
            "frames": to_uint8(to_unit(grid)),
            "projection": to_uint8(to_unit(projection.frames)),
            **placed,
            "warning": np.asarray(warning),
        }

    return stages.run("grid", prior_settings(config, given.checkpoint) | placed, generate)


def keep_capture(stages: Stages, source: Source) -> None:
    """Save a capture as the stages source, depth and grid; nothing is estimated or generated."""
    cameras, depth = source.cameras, source.depth
    assert cameras is not None, "a capture has cameras"
    assert depth is not None, "a capture has depth to start from"
    first = replace(source, frames=source.frames[:1], given=source.given[:1], depth=None)
    counts = source_arrays(replace(source, note="", warning=""))  # names of files do not
    stages.run("source", counts, lambda: source_arrays(first))
    stages.run("depth", {}, lambda: {"depth": depth, "of": np.asarray(source.depth_of)})
    grid = {"frames": source.frames, "intrinsics": cameras.intrinsics}
    stages.run("grid", {}, lambda: grid | {"world_to_camera": cameras.world_to_camera})


def open_source(data: DataConfig, way: options.SampleOptions | options.LiftOptions) -> Source:
    """Open what a run starts from, whatever it is.

    Raises:
      InputError: The video, data set or capture is unusable.
    """
    match way:
        case options.VideoOptions():
            return video_source.open_video(data, way)
        case options.DemoOptions():
            return video_source.open_demo(data, way)
        case options.TwoVideosOptions():
            return video_source.open_two_videos(data, way)
        case options.DemoGridOptions():
            return video_source.open_demo_grid(data, way)
        case options.DatasetViewOptions():
            return capture_source.open_dataset_view(data, way)
        case options.DatasetClipOptions():
            return capture_source.open_dataset_clip(way)
        case options.CaptureOptions():
            return capture_source.open_capture(way)
    raise TypeError(f"open_source: found {type(way).__name__}, expected options of a source")


def _say_warnings(job: Job) -> None:
    for warning in job.warnings:
        job.stages.say(f"warning: {warning}")
