"""One way from a grid to a scene, the stage scene: what its frames are decides how it is fitted.

Of a grid that a prior made around a source with depth, real views weigh more, and the prior may be
queried again (`source_fit`). In every other grid all views count alike (`capture_fit`).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp

from full4d_jax.config import DEFAULT, Config
from full4d_jax.generation.prior import Prior, open_prior, prior_path
from full4d_jax.grid import Grid
from full4d_jax.scene import (
    capture_fit,
    fit_settings,
    quality,
    scene_reader,
    source_fit,
    surroundings,
)
from full4d_jax.scene.fit_checkpoint import PartialFit
from full4d_jax.session import errors, files, progress
from full4d_jax.session.stages import Stages, fingerprint
from gaussians import DynamicGaussians, Scene


def run_scene(
    stages: Stages,
    config: Config,
    grid: Grid,
    kind: fit_settings.FitKind,
    checkpoint: Path | None,
    preview: Callable[[Scene], None] | None = None,
) -> files.Arrays:
    """Run the stage scene: fit 4D Gaussians to the grid; `preview` gets the start of the fit."""
    form = fit_settings.distillation_form(config.lift, kind)
    weights = prior_path(config.model, checkpoint) if form != "none" else None
    # Offloading changes no scene.
    sampler = replace(config.sampler, offload=False)
    dependencies = {
        "lift": replace(config.lift, distillation=form),
        "sampler": sampler,
        "seed": config.seed,
        "prior": weights,
    }
    mark = fingerprint("scene", dependencies, stages.before("grid"))
    unfinished = PartialFit(stages.folder / ".scene.fit.npz", mark)

    def fit():
        prior = None if weights is None else open_prior(config, weights)
        return fit_scene(
            config,
            grid,
            kind,
            prior=prior,
            partial=unfinished,
            say=stages.say,
            preview=preview,
        )

    scene = stages.run("scene", dependencies, fit, after="grid")
    unfinished.remove()
    return scene


def lift(
    grid: Grid,
    config: Config = DEFAULT,
    *,
    prior: Prior | None = None,
    say: Callable[[str], None] = print,
) -> Scene:
    """Fit 4D Gaussians to a grid in memory; no file is read or written.

    Args:
      grid: frames of all views with cameras, real (a capture) or made by `generate`.
      config: the experiment; its lift section says how.
      prior: queried from cameras between the views, as `full4d lift` does; None for no prior.
      say: prints a line for people.

    Raises:
      InputError: the grid has no cameras, or a setting of the lift section would do nothing.
    """
    if grid.cameras is None:
        found = grid.about.unposed or None
        do = "give world-to-camera poses and intrinsics"
        raise errors.InputError("grid", "cameras", found, "those of all views", do)
    kind = fit_settings.fit_kind(grid)
    fit_settings.check_lift(config.lift, None, kind)
    form = config.lift.distillation
    if prior is None and form not in ("auto", "none"):
        expected = "auto or none without a prior"
        raise errors.InputError(
            "config", "lift.distillation", form, expected, "give one"
        )
    return scene_reader.from_arrays(fit_scene(config, grid, kind, prior=prior, say=say))


def fit_scene(
    config: Config,
    grid: Grid,
    kind: fit_settings.FitKind,
    *,
    prior: Prior | None,
    partial: PartialFit | None = None,
    say: Callable[[str], None],
    preview: Callable[[Scene], None] | None = None,
) -> files.Arrays:
    """Fit 4D Gaussians to a grid; return what the stage `scene` saves.

    Args:
      config: the experiment; its lift section says how.
      grid: frames of all views, with cameras.
      partial: where a fit under way is kept, to go on from; None keeps nothing.
      say: prints a line for people.
      preview: called with the scene before the first step, where the fit begins.
    """
    settings = fit_settings.sized_for(config.lift, grid, kind)
    fit_settings.check_fit_memory(settings, grid.frames.shape)
    say(fit_settings.memory_note(settings, grid.frames.shape))
    key = jax.random.key(config.seed + 1)
    if kind is fit_settings.FitKind.CAPTURED:
        with progress.Progress("fitting", settings.steps) as report:
            fitted = capture_fit.lift_capture(
                settings, grid, key, report=report, partial=partial, say=say
            )
        say(capture_fit.describe_scores(fitted))
        return capture_fit.fit_arrays(fitted)
    with progress.Progress("fitting", settings.steps) as report:
        scene = source_fit.lift_grid(
            settings,
            grid,
            key,
            prior=prior,
            prior_rows=min(config.data.height, config.data.width),
            report=report,
            partial=partial,
            preview=None if partial is not None and partial.path.exists() else preview,
        )
    # What no view shows is filled last: the fit would move it.
    if isinstance(scene, DynamicGaussians):
        cameras = jax.tree.map(jnp.asarray, grid.known_cameras)
        scene = surroundings.surround(scene, cameras, jax.random.key(config.seed + 2))
    else:
        say("what no view shows stays empty, with --lift.motion deformation")
    scored = quality.score_scene(scene, grid)
    say(quality.quality_note(scored))
    return scene_reader.to_arrays(scene) | quality.score_arrays(scored)
