"""From a source to a grid of views: the stages source, depth and grid of `pipeline`.

Whatever is opened becomes one `Source`. A model with poses needs its depth and target cameras; a
model without poses fills the grid from the frames that are given.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.config import DEFAULT, Config, DataConfig
from full4d_jax.generation.cascade import Upsampler, generate_large, in_parts, load_upsampler
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import (
    Prior,
    check_grid,
    open_prior,
    prior_path,
    prior_settings,
    trained_range,
)
from full4d_jax.generation.several_views import RealViews
from full4d_jax.media import grids
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.models.segmentation import load_segmentation
from full4d_jax.session.errors import InputError
from full4d_jax.session.extras import has
from full4d_jax.session.files import Arrays
from full4d_jax.session.report import Job
from full4d_jax.session.stages import Stages
from full4d_jax.source import capture_source, opening, options, two_videos
from full4d_jax.source.aiming import aim
from full4d_jax.source.camera_paths import TargetCameras, beside, range_warning, read_targets
from full4d_jax.source.depth.clip_depth import AnyNetwork
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import depth_from_file
from full4d_jax.source.depth.estimators import load_network, network_path
from full4d_jax.source.handheld.measured_depth import measure_beside, measure_depth, told_sweep
from full4d_jax.source.handheld.path_scale import check_moves, in_unit, settle_scale
from full4d_jax.source.size import is_beyond, size_of_result
from full4d_jax.source.source import Source, source_arrays, source_from
from input_pipeline.importers.camera_path import path_files

VideoOrDemo = options.VideoOptions | options.DemoOptions
FOUR_REAL = Path(str(files("full4d_jax") / "checkpoints/four_real.safetensors"))


def sample_stages(
    job: Job,
    config: Config,
    way: options.SampleOptions,
    checkpoint: Path | None,
    cost: Callable[[DataConfig], str],
    *,
    lifted: bool,
) -> None:
    """Run the stages source, depth and grid; depth only where cameras are known.

    `cost` tells what a size costs, or refuses it; `lifted` is whether a scene follows.
    """
    if config.model.projection == "none":
        if config.model.codec == "pixels":  # what others cost was not measured
            job.stages.say(cost(config.data))
        _fill(job, config, way, checkpoint, lifted=lifted)
        return
    given = _read_inputs(config, way, prior_path(checkpoint))
    if given.upsampler is not None:
        job.stages.say(cost(given.size))
    source = _source_stage(job.stages, given.size, way)
    source, depths = _depth_stage(job.stages, source, given)
    assert source.cameras is not None, "a posed model needs cameras"
    cameras = source.cameras
    if given.targets is not None:
        assert isinstance(way, VideoOrDemo), "target cameras come with options for them"
        targets, said = aim(given.targets, way.cameras, source, depths["depth"])
        job.stages.say(f"cameras: they {said}" if said else "cameras: those of the file")
        cameras = beside(cameras, targets)
    grid = _grid_stage(job.stages, config, given, source, depths, cameras)
    shown = grid["frames"], grid["projection"], cameras, source.fps
    grids.write_grid(job.stages.folder, *shown, real=1 + len(depths.get("beside", ())))


def _fill(
    job: Job, config: Config, way: options.SampleOptions, checkpoint: Path | None, *, lifted: bool
) -> None:
    """Run the stages of a model without poses, whose grid has cameras where the source has."""
    checkpoint = checkpoint or FOUR_REAL
    prior = open_prior(config, checkpoint)
    source = _source_stage(job.stages, config.data, way)
    placed: Arrays = {}
    if (cameras := source.cameras) is not None:
        placed = {"intrinsics": cameras.intrinsics, "world_to_camera": cameras.world_to_camera}
        opening.keep_without_depth(job.stages, source)
    elif lifted:
        expected = "cameras of all its views, to fit a scene to"
        raise InputError("grid", "its cameras", source.unposed, expected, two_videos.DO)

    def fill() -> Arrays:
        key = jax.random.key(config.seed)
        made = fill_grid(prior, to_model(source.frames), source.given, key)
        kept = source.given[..., None, None, None]
        filled = np.where(kept, source.frames, to_uint8(to_unit(made)))
        return {"frames": filled, "visible": source.given, **placed}

    grid = job.stages.run("grid", prior_settings(config, checkpoint), fill)
    shown = grid["frames"], grid["visible"], source.fps
    grids.write_filled_grid(job.stages.folder, *shown)


@dataclass(frozen=True)
class Inputs:
    """The files beside the source, read before the first stage replaces an earlier one.

    Attributes:
      size: views, instants and sides of the result, in a data section.
      checkpoint: weights of the prior.
      prior: the prior.
      upsampler: brings the prior's grid to the size of the result; None where that is its own.
      measured: the network that depth is asked of.
      file: of depth that was given, or None.
      network: the depth network.
      depth: depth of the source that was given, or None.
      targets: the target cameras; None where the source comes with its own.
    """

    size: DataConfig
    checkpoint: Path
    prior: Prior
    upsampler: Upsampler | None
    measured: options.NetworkOptions
    file: Path | None
    network: AnyNetwork
    depth: np.ndarray | None
    targets: TargetCameras | None


def _read_inputs(config: Config, way: options.SampleOptions, checkpoint: Path) -> Inputs:
    """Read the prior, the depth network, the depth and the target cameras that are given.

    Raises:
      InputError: One of them is unusable.
    """
    prior, upsampler = open_prior(config, checkpoint), _upsampler_of(config, way)
    size = size_of_result(config, way, enlarged=upsampler is not None)
    if upsampler is not None:
        prior = in_parts(prior, DEFAULT.data)
    measured, targets, file, depth = options.NetworkOptions(), None, None, None
    if isinstance(way, options.DatasetViewOptions):
        measured = way.measured
    if isinstance(way, VideoOrDemo):
        way.measured.check()
        measured, file, targets = way.measured, way.measured.depth, read_targets(way.cameras, size)
        views = 1 + len(targets.world_to_camera)  # a file may have any number of cameras
        if way.size.views not in (None, views):
            do = "leave one of them out"
            raise InputError("option", "--views", way.size.views, f"{views}, as --path has", do)
        size = replace(size, views=views)
    if upsampler is None:
        check_grid(prior, size.views, size.frames, size.height, size.width)
    network = load_network(measured.depth_network, measured.depth_kind)
    if file is not None:
        depth = depth_from_file(file, size.frames, size.height, size.width)
    return Inputs(size, checkpoint, prior, upsampler, measured, file, network, depth, targets)


def is_enlarged(config: Config, way: options.SampleOptions) -> bool:
    """Return whether the grid of a source will be larger than what the prior was trained on.

    Raises:
      InputError: The video is unusable.
    """
    if _upsampler_of(config, way) is None:
        return False
    return is_beyond(size_of_result(config, way, enlarged=True))


def _upsampler_of(config: Config, way: options.SampleOptions) -> Upsampler | None:
    """Return the upsampler that belongs to the prior: a given one, else that in the package.

    None belongs to priors of other sizes or codecs.

    Raises:
      InputError: The one that is given is unusable, or does not belong to the prior.
    """
    sized = isinstance(way, VideoOrDemo | options.DatasetViewOptions)
    given = way.size.upsampler if sized else None
    fits = config.model.codec == "pixels"
    upsampler = load_upsampler(given) if fits or given is not None else None
    if upsampler is not None:
        fits &= config.data.height == config.data.width == upsampler.prior_rows
    if given is not None and not fits:
        found = f"one for pixels of {upsampler.prior_rows} rows" if upsampler else "one"
        expected = f"none beside codec {config.model.codec} at {config.data.height} rows"
        raise InputError("option", "--upsampler", found, expected, "leave it out")
    return upsampler if fits else None


def _source_stage(stages: Stages, data: DataConfig, way: options.SampleOptions) -> Source:
    """Open the source, or load it where the same was opened before."""
    parts = ("cameras", "measured", "size")  # of later stages; the size is in `data`
    inputs = {name: value for name, value in vars(way).items() if name not in parts}
    inputs |= {"way": type(way).__name__, "data": data}
    if inputs.get("video") == options.CLIP:
        stages.say(f"clip: {options.CLIP.with_suffix('.txt').read_text().splitlines()[0]}")
    if isinstance(way, options.DemoOptions | options.DatasetViewOptions):
        inputs["knows_depth"] = way.measured.depth_network is None
    # With the extra a path is found in another way.
    if isinstance(way, options.VideoOptions | options.TwoVideosOptions):
        inputs |= {"poses": path_files(way.poses) if way.poses else [], "sfm": has("pycolmap")}
    if isinstance(way, options.DatasetViewOptions):
        inputs["content"] = capture_source.dataset_content(way.dataset, way.split)
    arrays = stages.run("source", inputs, lambda: source_arrays(opening.open_source(data, way)))
    source = source_from(arrays)
    stages.say(f"source: {source.note}")
    return source


def _depth_stage(stages: Stages, source: Source, given: Inputs) -> tuple[Source, Arrays]:
    """Take the depth that is given, or known with the source, or estimate it.

    Returns:
      The source, whose path has the depth's unit now; and its `depth` (t h w), with that of the
      real views `beside` it (k t h w) if there are any.

    Raises:
      InputError: The depth that is given does not follow a camera that moves, or has no depth where
        the unit of the path could be told.
    """
    if given.depth is not None:
        check_moves(source, given.depth, str(given.file))

    def find_depth() -> Arrays:
        segmentation = None if given.measured.keep_estimate else load_segmentation()
        if given.depth is not None:
            depth, unit = settle_scale(source, given.depth, estimated=False)
        else:
            if source.depth is None and isinstance(given.network, DepthFile):
                stages.say(given.network.told)
            depth, unit, _, swept = measure_depth(source, given.network, segmentation)
            if swept:
                stages.say(told_sweep(swept))
        found = {"depth": depth, "of": np.asarray("the source"), "path_unit": np.asarray(unit)}
        if source.beside:
            found["beside"] = measure_beside(source, unit, given.network, segmentation)
        return found

    measured = given.measured
    inputs = {"file": given.file, "net": network_path(measured.depth_network)}
    inputs["kind"] = measured.depth_kind
    inputs["keep_estimate"] = measured.keep_estimate
    made = stages.run("depth", inputs, find_depth)
    return in_unit(source, float(made.get("path_unit", 1.0))), made


def _grid_stage(
    stages: Stages,
    config: Config,
    given: Inputs,
    source: Source,
    depths: Arrays,
    cameras: Cameras,
) -> Arrays:
    """Generate all views of the grid."""
    placed = {"intrinsics": cameras.intrinsics, "world_to_camera": cameras.world_to_camera}

    def generate() -> Arrays:
        frames, others = to_model(source.frames[0]), None
        inputs = frames, jnp.asarray(depths["depth"]), cameras, jax.random.key(config.seed)
        if source.beside:
            pictures = np.stack([other.frames[0] for other in source.beside])
            others = RealViews(to_model(pictures), jnp.asarray(depths["beside"]))
        enlarged = given.upsampler and min(frames.shape[1:3]) > given.upsampler.prior_rows
        if given.upsampler is None or not enlarged:
            grid, projection = generate_grid(given.prior, *inputs, beside=others)
        else:
            grid, projection = generate_large(given.prior, given.upsampler, *inputs, beside=others)
        trained = trained_range(given.checkpoint)
        warning = range_warning(np.asarray(cameras.world_to_camera), *trained)
        return {
            "frames": to_uint8(to_unit(grid)),
            "projection": to_uint8(to_unit(projection.frames)),
            **placed,
            "enlarged": np.asarray(given.upsampler is not None and is_beyond(given.size)),
            "warning": np.asarray(warning),
        }

    inputs = prior_settings(config, given.checkpoint) | placed
    if given.upsampler is not None:
        inputs |= {"upsampler": given.upsampler.path, "sampler": given.prior.sampler}
    return stages.run("grid", inputs, generate)
