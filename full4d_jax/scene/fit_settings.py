"""The settings of a fit: by quality and size, checked, and described."""

from dataclasses import replace
from enum import Enum
from pathlib import Path

import numpy as np

from full4d_jax.config import DataConfig, LiftConfig
from full4d_jax.geometry.moving import moving_pixels
from full4d_jax.grid import Grid
from full4d_jax.session.errors import InputError
from gaussians import FitConfig
from gaussians.fitting.fit_config import fit_memory
from gaussians.fitting.losses import SSIM_WINDOW

STEPS = {"draft": 120, "normal": 600, "high": 2400}  # to a generated grid: it starts sharp
LONG_STEPS = {"draft": 300, "normal": 1500, "high": 6000}  # to captures and small pictures
DENSITY = {"draft": 0.5, "normal": 1.0, "high": 2.0}  # Gaussians per pixel of a picture
CAPTURE_DENSITY = {"draft": 0.3, "normal": 0.52, "high": 1.0}  # the same, of a capture
# Where views disagree: exposures (log-gains and levels) and cameras (radians and world units) are
# corrected once the scene explains the light on it, which an exposure would else take over.
CORRECTIONS = {"exposures": 3e-3, "poses": 2e-4, "exposure_pull": 1.0, "settle": 0.2}


class FitKind(Enum):
    """What a grid is to a fit."""

    CAPTURED = "captured"  # all views count alike
    AROUND_SOURCE = "around source"  # real views weigh more; the prior may be asked
    ENLARGED = "enlarged"  # likewise, but larger than what the prior has learned


WHY_NOBODY_IS_ASKED = {
    FitKind.CAPTURED: "with a capture",
    FitKind.AROUND_SOURCE: "with --lift.distillation none",
    FitKind.ENLARGED: "with a grid larger than the prior was trained on, but for the form gradient",
}


def fit_kind(grid: Grid) -> FitKind:
    """Return what a grid is to a fit: its depth, origins and size decide."""
    if not grid.follows_source:
        return FitKind.CAPTURED
    return FitKind.ENLARGED if grid.about.enlarged else FitKind.AROUND_SOURCE


def sized_for(settings: LiftConfig, grid: Grid) -> LiftConfig:
    """Return settings whose steps and capacity are numbers, for a fit to a grid; see `sized`."""
    moving_difference = 20 / 255  # from the median colour over time
    kind = fit_kind(grid)
    height, width = grid.frames.shape[2:4]
    films = []
    if kind is not FitKind.CAPTURED:
        films.append(grid.frames[0])
        # A scene that deforms starts from none of the pictures between the instants.
        if grid.between is not None and settings.motion == "freetime":
            films.append(grid.between.frames)
    colors = (film.astype(np.float32) / 255 for film in films)
    moving = sum(int(moving_pixels(x, moving_difference).sum()) for x in colors)
    return sized(settings, height, width, kind=kind, moving=moving)


def sized(
    settings: LiftConfig, height: int, width: int, *, kind: FitKind, moving: int = 0
) -> LiftConfig:
    """Return settings whose steps and capacity are numbers, by the quality and the pictures' size.

    Pictures as small as the prior's own, and captures, whose start is not sharp, get more steps.

    Args:
      settings: of the fit.
      height: rows of a picture.
      width: columns of a picture.
      kind: what the grid is.
      moving: pixels of the source that move, of all instants (`sized_for`).
    """
    moving_density = 0.15  # more Gaussians per pixel that moves, at any instant
    fewest, most = 12_000, 400_000  # Gaussians
    captured = kind is FitKind.CAPTURED
    small = height * width <= 128**2
    steps = settings.steps or (LONG_STEPS if small or captured else STEPS)[settings.quality]
    density = (CAPTURE_DENSITY if captured else DENSITY)[settings.quality]
    wanted = round(density * height * width + moving_density * moving)
    capacity = settings.capacity or min(max(wanted, fewest), most)
    return replace(settings, steps=steps, capacity=capacity)


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
        colors=6e-2,  # few steps show a pixel of one instant: colours must settle in ten
        perceptual=settings.perceptual,
    )


def capture_settings(
    settings: LiftConfig,
    shape: tuple[int, ...],
    background: tuple[float, float, float],
    *,
    sharp: bool,
    agree: bool = True,
) -> FitConfig:
    """Say how `gaussians.fit` works on a capture, with a start on surfaces or one that is rough.

    Gaussians of a rough start that nothing needs must fade, and their colours must settle before
    their detail. At a single instant nothing moves.

    Args:
      settings: of the fit, with steps.
      shape: of the frames, (v t h w 3).
      background: colour behind the scene.
      sharp: whether the start is on surfaces.
      agree: whether the views do; where they do not, their exposures and cameras are corrected.
    """
    config = replace(fit_settings(settings), background=background, colors=1e-2)
    if not agree:
        config = replace(config, **CORRECTIONS)
    if shape[1] == 1:
        config = replace(config, velocities=0.0, moments=0.0, durations=0.0, gates=0.0)
    if sharp:
        return config
    halved = all(side % 2 == 0 and side >= 2 * SSIM_WINDOW for side in shape[2:4])
    pulls = {"opacity_pull": 0.01, "scale_pull": 0.01, "growth": 0.05}
    return replace(config, coarse=2 if halved else 1, **pulls)


def queries_prior(settings: LiftConfig, kind: FitKind) -> bool:
    """Return whether a fit asks the prior: about enlarged grids in the gradient form alone.

    There a prior's mean, which the cached form fits, is a blurred picture.
    """
    if kind is FitKind.ENLARGED:
        return settings.distillation == "gradient"
    return settings.distillation != "none" and kind is FitKind.AROUND_SOURCE


def queried_as_trained(settings: LiftConfig, grid: Grid, trained: DataConfig) -> LiftConfig:
    """Return settings that ask a prior about no more views and instants than it was trained on."""
    views, instants = grid.frames.shape[:2]
    return replace(
        settings,
        distilled_views=settings.distilled_views or min(views, trained.views) - 1,
        distilled_frames=settings.distilled_frames or min(instants, trained.frames),
    )


def check_lift(settings: LiftConfig, checkpoint: Path | None, kind: FitKind) -> None:
    """Refuse settings, and weights of a prior, that would do nothing.

    Raises:
      InputError: naming the option.
    """
    captured = kind is FitKind.CAPTURED
    if not captured and settings.background != LiftConfig().background:
        found = settings.background
        do = "leave --lift.background out"
        raise InputError("config", "lift.background", found, "auto, without a capture", do)
    if queries_prior(settings, kind):
        return
    why = WHY_NOBODY_IS_ASKED[kind]
    if checkpoint is not None:
        raise InputError("option", "--checkpoint", checkpoint, f"none {why}", "leave it out")
    if settings.distillation == "gradient":
        expected = f"another {why}, where nothing is generated"
        do = "leave --lift.distillation out"
        raise InputError("config", "lift.distillation", "gradient", expected, do)


def needed_to_fit(settings: LiftConfig, shape: tuple[int, ...]) -> float:
    """Return the bytes that fitting holds, without the program itself; arguments as below."""
    views, instants, height, width, _ = shape
    bent = settings.motion == "deformation"
    return fit_memory(settings.capacity, views * instants, height, width, bent=bent)


def memory_note(settings: LiftConfig, shape: tuple[int, ...]) -> str:
    """Say how much memory fitting holds, without the program itself.

    Args:
      settings: of the fit, whose capacity is a number (`sized`).
      shape: of the frames, (v t h w 3).
    """
    views, instants, height, width, _ = shape
    needed = needed_to_fit(settings, shape)
    return (
        f"fitting {settings.capacity} Gaussians to {views} views of {instants} frames of "
        f"{width}x{height}: about {needed / 2**20:.0f} MiB beside the program and the prior"
    )
