"""Files that a run reads besides its source: weights, depth and target cameras.

They are read, and refused, before anything long is done.
"""

from dataclasses import dataclass
from pathlib import Path

from full4d_jax.config import DEFAULT, Config, LiftConfig, Size, check_config
from full4d_jax.generation import cascade, complete
from full4d_jax.generation.prior import (
    Prior,
    check_grid,
    open_prior,
    prior_path,
    trained_range,
)
from full4d_jax.scene.fit_settings import FitKind, cost_note
from full4d_jax.session import errors, fields
from full4d_jax.source import aiming, camera_paths, depth_stage, options
from full4d_jax.source.size import size_of_result


@dataclass(frozen=True)
class RunFiles:
    """The files, read before the first stage replaces an earlier one.

    Attributes:
      size: of the result.
      checkpoint: weights of the prior.
      prior: the prior.
      upsampler: brings the prior's grid to the size of the result; None where that is its own.
      depth: what depth is measured by; None for a model without poses, which needs none.
      targets: the target cameras; None where the source comes with its own.
      trained_angles: the largest azimuth and elevation, degrees, that the prior was trained on;
        None for a model without poses.
    """

    size: Size
    checkpoint: Path
    prior: Prior
    upsampler: cascade.Upsampler | None = None
    depth: depth_stage.DepthInputs | None = None
    targets: camera_paths.TargetCameras | None = None
    trained_angles: tuple[float, float] | None = None

    @property
    def kind(self) -> FitKind:
        """The kind of the grid for a fit; `fit_kind` returns that of a grid in a file."""
        if not self.prior.model.needs_cameras:
            return FitKind.CAPTURED
        enlarged = cascade.enlarges(self.upsampler, self.size)
        return FitKind.ENLARGED if enlarged else FitKind.AROUND_SOURCE


def read_run_files(
    config: Config, source: options.SampleOptions, checkpoint: Path | None
) -> RunFiles:
    """Read the prior, the depth network, the depth and the target cameras.

    Args:
      config: the experiment.
      source: the options of the source, which name files too.
      checkpoint: weights of the prior; None takes those in the package.

    Raises:
      InputError: One of them is unusable, or `check_source` refuses the source.
    """
    check_source(config, source)
    checkpoint = prior_path(config.model, checkpoint)
    prior = open_prior(config, checkpoint)
    if not config.model.needs_cameras:
        return RunFiles(config.data.size, checkpoint, prior)
    weights = source.size.upsampler if source.size else None
    upsampler = complete.upsampler_for(config, weights)
    size = size_of_result(config, source, enlarged=upsampler is not None)
    if upsampler is not None:
        prior = cascade.in_parts(prior, DEFAULT.data.size)
    targets = aiming.read_target_cameras(source, size)
    # A file may have any number of cameras.
    if targets is not None:
        size = size._replace(views=1 + len(targets.world_to_camera))
    if upsampler is None:
        check_grid(prior, size)
    depth = depth_stage.read_depth_inputs(source, size)
    trained = trained_range(checkpoint)
    return RunFiles(size, checkpoint, prior, upsampler, depth, targets, trained)


def check_source(
    config: Config, source: options.SampleOptions | options.WordsOptions
) -> None:
    """Refuse an unsound config, numbers out of bounds, and a source that the model cannot use.

    Raises:
      InputError: The message names the field or option.
    """
    check_config(config)
    fields.check_fields(source)
    if source.model_needs_cameras != config.model.needs_cameras:
        expected = f"none, with {config.model.guide}"
        do = "give another config, or another source"
        raise errors.InputError("source", type(source).__name__, "one", expected, do)


def cost_of_run(config: Config, loaded: RunFiles, lift: LiftConfig | None) -> str:
    """Return a sentence on what a run costs; empty for what was not measured.

    Args:
      config: the experiment.
      loaded: the files of the run.
      lift: how a scene is fitted; None where none is.

    Raises:
      InputError: The machine has less memory.
    """
    fills = not config.model.needs_cameras and config.model.codec == "pixels"
    if loaded.upsampler is None and not fills:
        return ""
    return cost_note(loaded.size, config, lift, loaded.kind)
