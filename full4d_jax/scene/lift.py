"""One way from a grid to a scene: what its frames are decides how it is fitted.

Of a grid that a prior made around a source with depth, real views weigh more, and the prior may be
asked again (`lifting`). In every other grid all views count alike (`capture_fit`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from full4d_jax.config import Config, LiftConfig
from full4d_jax.generation.prior import Prior
from full4d_jax.grid import Grid
from full4d_jax.scene import capture_fit, fit_settings, lifting, quality
from full4d_jax.scene.between import between_instants
from full4d_jax.scene.partial_fit import PartialFit
from full4d_jax.scene.scene_arrays import to_arrays
from full4d_jax.scene.surroundings import count_looks, surround
from full4d_jax.session.files import Arrays
from full4d_jax.session.progress import Progress
from gaussians import DynamicGaussians, Scene


def asks_prior(settings: LiftConfig, grid: Grid) -> bool:
    """Return whether a fit to a grid asks the prior."""
    captured = not grid.follows_source
    return fit_settings.asks_prior(settings, captured=captured, enlarged=grid.about.enlarged)


def lift(
    config: Config,
    grid: Grid,
    *,
    prior: Prior | None,
    partial: PartialFit,
    say: Callable[[str], None],
    look: Callable[[Scene], None] | None = None,
) -> Arrays:
    """Fit 4D Gaussians to a grid; return what the stage `scene` saves.

    Args:
      config: the experiment; its lift section says how.
      grid: frames of all views, with cameras.
      prior: to be asked from cameras between the views; None asks nobody.
      partial: where a fit under way is kept, to go on from.
      say: prints a line for people.
      look: called with the scene before the first step, where the fit begins.
    """
    between = between_instants(grid)
    moving = fit_settings.count_fitted(config.lift, grid.frames[0] / 255.0, between)
    say(fit_settings.memory_note(config.lift, grid.frames.shape, moving))
    key = jax.random.key(config.seed + 1)
    if grid.follows_source:
        return _lift_around_source(config, grid, key, prior, partial, say, look)
    size = grid.frames.shape[2:4]
    steps = fit_settings.sized(config.lift, *size, captured=True).steps
    with Progress("fitting", steps) as report:
        fitted = capture_fit.lift_capture(
            config.lift,
            grid,
            key,
            report=report,
            partial=partial,
            say=say,
        )
        say(capture_fit.told_scores(fitted))
    return capture_fit.fit_arrays(fitted)


def _lift_around_source(
    config: Config,
    grid: Grid,
    key: PRNGKeyArray,
    prior: Prior | None,
    partial: PartialFit,
    say: Callable[[str], None],
    look: Callable[[Scene], None] | None,
) -> Arrays:
    """Fit a grid that was generated around its source, and fill what no view shows."""
    depth = grid.depth
    assert depth is not None, "depth of the source placed what was generated"
    assert grid.cameras is not None, "a scene needs cameras"
    between = between_instants(grid)
    cameras = jax.tree.map(jnp.asarray, grid.cameras)
    steps = fit_settings.sized(config.lift, *grid.frames.shape[2:4], captured=False).steps
    with Progress("fitting", steps) as report:
        scene = lifting.lift_grid(
            config.lift,
            jnp.asarray(grid.frames, jnp.float32) / 255,
            jnp.asarray(depth[0]),
            cameras,
            key,
            beside=jnp.asarray(depth[1:]) if len(depth) > 1 else None,
            between=between,
            prior=prior,
            report=report,
            partial=partial,
            look=None if partial.path.exists() else look,
        )
    # What no view shows is filled last: the fit would move it.
    if isinstance(scene, DynamicGaussians):
        with Progress("surroundings", count_looks(cameras)) as report:
            scene = surround(scene, cameras, jax.random.key(config.seed + 2), report)
    else:
        say("what no view shows stays empty, with --lift.motion deformation")
    scored = quality.score_scene(scene, grid.frames[0], depth[0], grid.times, cameras, between)
    say(quality.quality_note(scored))
    return to_arrays(scene) | quality.score_arrays(scored)
