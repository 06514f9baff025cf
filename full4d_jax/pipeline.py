"""The story from one video to a 4D scene, one stage after another.

    open source -> measure depth -> complete the grid -> lift it to a scene -> show

What goes from stage to stage is one `Grid`. `run` tells all of it; `sample`, `lift` and `render`
are its parts, on the same output folder. A grid without depth is completed by a model without
poses, and lifted as a capture. Each stage keeps what it made (see `session.stages`), so any of
them continues where the last run ended.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from full4d_jax.config import DEFAULT, Config, DataConfig, check_config, to_dict
from full4d_jax.generation.cascade import Upsampler, in_parts
from full4d_jax.generation.complete import complete, upsampler_for
from full4d_jax.generation.prior import (
    FOUR_REAL,
    Prior,
    check_grid,
    open_prior,
    prior_path,
    prior_settings,
    trained_range,
)
from full4d_jax.grid import Grid, grid_arrays, grid_from
from full4d_jax.media.grids import write_grid
from full4d_jax.scene import fit_settings
from full4d_jax.scene import lift as lifting
from full4d_jax.scene.cost import cost_note, fill_note
from full4d_jax.scene.options import RenderOptions
from full4d_jax.scene.partial_fit import PartialFit
from full4d_jax.scene.reading import posed_grid, read_grid
from full4d_jax.scene.show import show_first_look, show_path, show_scene
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import check_fields
from full4d_jax.session.files import Arrays, hold_folder
from full4d_jax.session.report import Job, write_report
from full4d_jax.session.stages import Stages, fingerprint
from full4d_jax.source import opening, options, two_videos
from full4d_jax.source.aiming import read_target_cameras, with_targets
from full4d_jax.source.camera_paths import TargetCameras, range_warning
from full4d_jax.source.measure import (
    DepthInputs,
    check_file,
    measure,
    measured,
    read_depth_inputs,
)
from full4d_jax.source.size import is_beyond, size_of_result
from gaussians import Scene
from input_pipeline.importers.camera_path import read_path

SHIPPED = "shipped"  # in the report, for the weights in the package


def run(
    config: Config = DEFAULT,
    video: str | Path | None = None,
    out: str | Path = "out",
    *,
    source: options.SampleOptions | None = None,
    checkpoint: Path | None = None,
    show: RenderOptions | None = None,
) -> Path:
    """Make a 4D scene of a video, in one folder.

    Args:
      config: the experiment; its data section says how many views and frames of which size.
      video: the video; without it and `source`, the clip in the package is taken, or a procedural
        scene where the model has no poses.
      out: the folder for everything.
      source: in place of `video`, any source, part of it and target cameras; see `source.options`.
      checkpoint: weights of the prior; None takes those in the package.
      show: how the scene is shown.

    Returns:
      The folder: grid.mp4, grid.png, orbit.mp4, bullet.mp4, scene.html, scene.png, scene.npz,
      config.json, report.json.

    Raises:
      InputError: The input is unusable; this is told before long work.
    """
    if source and video:
        raise InputError("option", "video", video, "none beside source", "leave one of them out")
    posed = config.model.projection != "none"
    usual = options.VideoOptions() if posed else options.DemoGridOptions()
    source = source or (options.VideoOptions(Path(video)) if video else usual)
    show = show or RenderOptions()
    _check(config, source)
    check_fields(show, what="option")
    enlarged = posed and _will_be_enlarged(config, source)
    fit_settings.check_lift(config.lift, None, captured=not posed, enlarged=enlarged)
    job = Job(Stages(hold_folder(out)))
    grid = _sample(job, config, source, checkpoint, lifted=True)
    scene = _lift(job, config, grid, checkpoint, look=partial(show_first_look, job, grid))
    show_scene(job, grid, scene, show)
    used = checkpoint or SHIPPED
    return write_report(job, "run", to_dict(config), checkpoint=used, source=source, show=show)


def sample(
    config: Config,
    out: str | Path,
    source: options.SampleOptions,
    checkpoint: Path | None = None,
) -> Path:
    """Make the grid of views only; arguments, result and errors as in `run`.

    The folder then has grid.npz, grid.mp4, grid.png, config.json, report.json.
    """
    _check(config, source)
    job = Job(Stages(hold_folder(out)))
    _sample(job, config, source, checkpoint, lifted=False)
    used = checkpoint or SHIPPED
    return write_report(job, "sample", to_dict(config), checkpoint=used, source=source)


def lift(
    config: Config,
    out: str | Path,
    source: options.LiftOptions | None = None,
    checkpoint: Path | None = None,
) -> Path:
    """Fit the scene to the grid that lies in `out`, or to a capture.

    Args:
      config: the experiment; its lift section says how.
      out: the folder with grid.npz, and for scene.npz.
      source: a capture or a data set's clip; None takes the grid in `out`.
      checkpoint: weights of the prior; None takes those in the package.

    Returns:
      The folder.

    Raises:
      InputError: There is no grid; or the capture is unusable; or a setting has no effect.
    """
    check_config(config)
    captured = isinstance(source, options.CaptureOptions | options.DatasetClipOptions)
    fit_settings.check_lift(config.lift, checkpoint, captured=captured)
    job = Job(Stages(Path(out)))
    if captured:
        check_fields(source, what="option")
        grid = opening.open_source(config.data, source)
        hold_folder(out)
        described = to_dict(config)
        keep_capture(job.stages, grid)
    else:
        grid, sampled = read_grid(job.stages)
        around = grid.follows_source
        enlarged = grid.about.enlarged
        fit_settings.check_lift(config.lift, checkpoint, captured=not around, enlarged=enlarged)
        described = {**sampled, "lift": to_dict(config)["lift"]}
        hold_folder(out)
    _lift(job, config, grid, checkpoint)
    used = (checkpoint or SHIPPED) if lifting.asks_prior(config.lift, grid) else None
    lifted = source or options.GridOptions(Path(out))
    return write_report(job, "lift", described, checkpoint=used, source=lifted)


def render(out: str | Path, show: RenderOptions, path: Path | None = None) -> Path:
    """Write videos and a page of the scene that lies in `out`; with a camera path, its film alone.

    Raises:
      InputError: There is no scene, a number is out of bounds, or the path cannot be read.
    """
    check_fields(show, what="option")
    film = None
    if path is not None:
        with input_errors("camera path", "give another file as --path (docs/cameras.md)"):
            film = read_path(path)
    job = Job(Stages(Path(out)))
    grid = posed_grid(job.stages)
    scene = job.stages.finished("scene")
    hold_folder(out)
    if film is not None:
        show_path(job, grid, scene, show, film)
    else:
        show_scene(job, grid, scene, show)
    return write_report(job, "render", None, show=show)


def _check(config: Config, source: options.SampleOptions) -> None:
    """Refuse an unsound config, numbers out of bounds, and a source that the model cannot use.

    Raises:
      InputError: The message names the field or option.
    """
    check_config(config)
    check_fields(source, what="option")
    projection = config.model.projection
    if source.posed != (projection != "none"):
        do = "give another config, or another source"
        raise InputError("source", type(source).__name__, "one", f"none, with {projection}", do)


@dataclass(frozen=True)
class Inputs:
    """The files beside the source, read before the first stage replaces an earlier one.

    Attributes:
      size: views, instants and sides of the result, in a data section.
      checkpoint: weights of the prior.
      prior: the prior.
      upsampler: brings the prior's grid to the size of the result; None where that is its own.
      depth: what depth is measured by; None for a model without poses, which asks for none.
      targets: the target cameras; None where the source comes with its own.
    """

    size: DataConfig
    checkpoint: Path
    prior: Prior
    upsampler: Upsampler | None = None
    depth: DepthInputs | None = None
    targets: TargetCameras | None = None


def _sample(
    job: Job,
    config: Config,
    source: options.SampleOptions,
    checkpoint: Path | None,
    *,
    lifted: bool,
) -> Grid:
    """Open the source, measure its depth and complete the grid; `lifted` if a scene follows."""
    inputs = _read_inputs(config, source, checkpoint)
    fit = config.lift if lifted else None
    if inputs.upsampler is not None:
        job.stages.say(cost_note(inputs.size, fit))
    elif inputs.depth is None and config.model.codec == "pixels":  # others were not measured
        job.stages.say(fill_note(inputs.size, config, fit))
    grid = _open(job.stages, inputs.size, source)
    if inputs.depth is not None:
        grid = _measure(job.stages, grid, inputs.depth)
    if inputs.targets is not None:
        grid, said = with_targets(grid, inputs.targets, source)
        job.stages.say(f"cameras: {said}")
    if lifted and grid.cameras is None:
        expected = "cameras of all its views, to fit a scene to"
        found = grid.about.unposed
        raise InputError("grid", "its cameras", found, expected, two_videos.DO)
    grid = _complete(job.stages, config, grid, inputs)
    write_grid(job.stages.folder, grid, job.stages.arrays["grid"].get("projection"))
    return grid


def _read_inputs(config: Config, source: options.SampleOptions, checkpoint: Path | None) -> Inputs:
    """Read the prior, the depth network, the depth and the target cameras that are given.

    Raises:
      InputError: One of them is unusable.
    """
    if config.model.projection == "none":
        checkpoint = checkpoint or FOUR_REAL
        return Inputs(config.data, checkpoint, open_prior(config, checkpoint))
    checkpoint = prior_path(checkpoint)
    prior = open_prior(config, checkpoint)
    upsampler = upsampler_for(config, options.upsampler_of(source))
    size = size_of_result(config, source, enlarged=upsampler is not None)
    if upsampler is not None:
        prior = in_parts(prior, DEFAULT.data)
    targets = read_target_cameras(source, size)
    if targets is not None:  # a file may have any number of cameras
        size = replace(size, views=1 + len(targets.world_to_camera))
    if upsampler is None:
        check_grid(prior, size.views, size.frames, size.height, size.width)
    depth = read_depth_inputs(source, size)
    return Inputs(size, checkpoint, prior, upsampler, depth, targets)


def _will_be_enlarged(config: Config, source: options.SampleOptions) -> bool:
    """Return whether the grid of a source will be larger than what the prior was trained on.

    Raises:
      InputError: The video is unusable.
    """
    if upsampler_for(config, options.upsampler_of(source)) is None:
        return False
    return is_beyond(size_of_result(config, source, enlarged=True))


def _open(stages: Stages, data: DataConfig, source: options.SampleOptions) -> Grid:
    """Run the stage source: open what the run starts from."""
    settings = opening.opening_settings(data, source)
    if settings.get("video") == options.CLIP:
        stages.say(f"clip: {options.CLIP.with_suffix('.txt').read_text().splitlines()[0]}")
    grid = stages.run("source", settings, lambda: grid_arrays(opening.open_source(data, source)))
    opened = grid_from(grid)
    stages.say(f"source: {opened.about.note}")
    return opened


def _measure(stages: Stages, grid: Grid, inputs: DepthInputs) -> Grid:
    """Run the stage depth: measure the real rows."""
    check_file(grid, inputs)
    arrays = stages.run("depth", inputs.settings, lambda: measure(grid, inputs, stages.say))
    return measured(grid, arrays)


def _complete(stages: Stages, config: Config, grid: Grid, inputs: Inputs) -> Grid:
    """Run the stage grid: let the prior make what is missing."""
    settings = prior_settings(config, inputs.checkpoint)
    placed: dict[str, Any] = {}
    if grid.cameras is not None:
        placed["intrinsics"] = grid.cameras.intrinsics
        placed["world_to_camera"] = grid.cameras.world_to_camera
    if inputs.upsampler is not None:
        settings |= {"upsampler": inputs.upsampler.path, "sampler": inputs.prior.sampler}

    def fill() -> Arrays:
        key = jax.random.key(config.seed)
        filled, projection = complete(inputs.prior, grid, key, inputs.upsampler)
        about = grid.about
        if projection is not None:
            trained = trained_range(inputs.checkpoint)
            warning = range_warning(np.asarray(placed["world_to_camera"]), *trained)
            enlarged = inputs.upsampler is not None and is_beyond(inputs.size)
            warnings = "\n".join(line for line in (about.warning, warning) if line)
            about = replace(about, warning=warnings, enlarged=enlarged)
        arrays = grid_arrays(replace(filled, about=about))
        return arrays if projection is None else arrays | {"projection": projection}

    return grid_from(stages.run("grid", settings | placed, fill))


def keep_capture(stages: Stages, grid: Grid) -> None:
    """Run the stage grid of a capture, whose frames are all there."""
    arrays = grid_arrays(grid)
    # Notes and warnings name files, on which no scene depends.
    inputs = {name: array for name, array in arrays.items() if name not in ("note", "warning")}
    stages.run("grid", inputs, lambda: arrays)


def _lift(
    job: Job,
    config: Config,
    grid: Grid,
    checkpoint: Path | None,
    look: Callable[[Scene], None] | None = None,
) -> Arrays:
    """Run the stage scene: fit 4D Gaussians to the grid; `look` is shown the start of the fit."""
    stages = job.stages
    prior = prior_path(checkpoint) if lifting.asks_prior(config.lift, grid) else None
    sampler = replace(config.sampler, offload=False)  # which changes no scene
    inputs = {"lift": config.lift, "sampler": sampler, "seed": config.seed, "prior": prior}
    mark = fingerprint("scene", inputs, stages.before("grid"))
    unfinished = PartialFit(stages.folder / ".scene.fit.npz", mark)

    def fit() -> Arrays:
        return lifting.lift(
            config,
            grid,
            prior=None if prior is None else open_prior(config, prior),
            partial=unfinished,
            say=stages.say,
            look=look,
        )

    scene = stages.run("scene", inputs, fit, after="grid")
    unfinished.remove()
    return scene
