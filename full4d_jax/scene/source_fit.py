"""From a grid that a prior made around its source to 4D Gaussians: one of the two fits of `lift`.

The scene starts from points (`seeds`). Real views weigh more than the generated ones.
Distillation queries the prior at cameras half-way between the generated ones (`prior_teacher`).
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.cameras import Cameras
from full4d_jax.config import LiftConfig
from full4d_jax.generation.prior import Prior
from full4d_jax.grid import Grid
from full4d_jax.media.metrics import psnr
from full4d_jax.scene import half_instants, prior_teacher
from full4d_jax.scene.fit_checkpoint import PartialFit, Report, run_fit
from full4d_jax.scene.fit_settings import fit_settings
from full4d_jax.scene.seeds import first_scene, grid_depth
from gaussians import Scene, Targets, render_clip
from gaussians.fitting.fit_step import FitState
from input_pipeline.selection import evenly


def lift_grid(
    settings: LiftConfig,
    grid: Grid,
    key: PRNGKeyArray,
    *,
    prior: Prior | None = None,
    prior_rows: int = 0,
    report: Report | None = None,
    partial: PartialFit | None = None,
    preview: Callable[[Scene], None] | None = None,
) -> Scene:
    """Fit 4D Gaussians to a grid of which the source, and maybe further views, are real.

    Args:
      settings: how to fit, with steps and capacity (`sized_for`).
      grid: real views with depth, then generated ones, with cameras; pictures between the instants
        are fitted too.
      key: the result is a function of the arguments and it alone.
      prior: queried as `settings.distillation` says; None for no prior.
      prior_rows: short side of its own frames, where the grid is larger.
      report: called with the step and with metrics from time to time.
      partial: where a fit under way is kept, to go on from.
      preview: called with the scene before the first step.
    """
    real = grid.real_rows
    frames = jnp.asarray(grid.frames, jnp.float32) / 255
    depth = jnp.asarray(grid.known_depth[:real])
    cameras = jax.tree.map(jnp.asarray, grid.known_cameras)
    between = half_instants.between_instants(grid)
    start_key, fit_key = jax.random.split(key)
    # Every real row starts Gaussians; generated views add what these hide.
    passing = None if grid.masks is None else grid.masks[0]
    seeds = grid_depth(frames, depth, cameras, grid.plate, passing)
    # Weight of pixels that the source does not see, where Gaussians start.
    hidden_weight = 0.4
    closeness = jnp.full(len(frames), hidden_weight).at[:real].set(1.0)
    start = first_scene(
        settings,
        frames,
        seeds,
        cameras,
        start_key,
        closeness,
        between=between,
        filmed=real,
        passing=grid.masks,
    )
    targets = grid_targets(frames, cameras, real, between)
    if preview is not None:
        preview(start)
    teacher = None
    if prior is not None and settings.distillation != "none":
        teacher = prior_teacher.grid_teacher(settings, prior, grid, prior_rows)

    def watch(state):
        return {"source_psnr": source_psnr(state, frames[0], cameras)}

    result = run_fit(
        start,
        targets,
        fit_settings(settings),
        fit_key,
        watch=watch,
        report=report,
        partial=partial,
        distillation=teacher,
    )
    return result.scene


def source_psnr(
    state: FitState, frames: Float[Array, "t h w 3"], cameras: Cameras
) -> float:
    """Return the PSNR in dB of a scene under way in the source camera, over a few instants."""
    most_instants = 4
    count = len(frames)
    chosen = np.array(evenly(count, most_instants))
    views = cameras.views([0]).frames(chosen).batched()
    flat = jax.tree.map(lambda x: x[0], views)
    moments = jnp.asarray(np.linspace(0, 1, count)[chosen], jnp.float32)
    # No picture of the source overflowed this budget in the last steps.
    budget = int(state.budget)
    scene = state.fitted.scene
    made = render_clip(scene, flat, moments, antialiased=True, max_intersections=budget)
    return float(psnr(jnp.clip(made.rgb, 0, 1), frames[chosen]))


def grid_targets(
    frames: Float[Array, "v t h w 3"],
    cameras: Cameras,
    real: int,
    between: half_instants.TargetsBetween | None,
) -> Targets:
    """Return all frames of the grid as pictures to explain; the `real` views are drawn more often.

    So are the source's pictures between the instants, of which each counts as a frame of it. All
    pixels are covered, so that no dark line is fitted as a gap, through which `surroundings` shine.
    """
    source_weight = 4.0
    v, t = frames.shape[:2]
    times = jnp.tile(jnp.linspace(0.0, 1.0, t), v)
    weights = jnp.repeat(jnp.where(jnp.arange(v) < real, source_weight, 1.0), t)
    pictures = frames, cameras.batched()
    flat, seen_by = jax.tree.map(
        lambda x: rearrange(x, "v t ... -> (v t) ..."), pictures
    )
    alpha = jnp.ones((v * t, *frames.shape[2:4]))
    targets = Targets(flat, seen_by, times, weights, alpha=alpha)
    if between is None:
        return targets
    source = jax.tree.map(lambda x: jnp.repeat(x[:1], len(between.times), 0), targets)
    times = jnp.asarray(between.times, jnp.float32)
    poses = jnp.asarray(between.world_to_camera)
    seen_by = replace(source.cameras, world_to_camera=poses)
    source = source._replace(
        frames=jnp.asarray(between.frames), times=times, cameras=seen_by
    )
    return jax.tree.map(lambda *x: jnp.concatenate(x), targets, source)
