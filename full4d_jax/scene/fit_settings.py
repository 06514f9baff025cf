"""The settings of a fit, by quality and size, checked, and what it costs.

Seconds and memory are linear in the pixels of the grid, as measured on two x86-64 cores: of grids
around a source at 256 x 456 with 16 instants and 5 views, of grids without poses at 64 to 192 rows
with 4 and 8 views and instants. How fast this machine is, is measured before seconds are said.
"""

import math
import os
import time
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from full4d_jax.config import Config, LiftConfig, Size
from full4d_jax.geometry.image_motion import moving_pixels
from full4d_jax.grid import Grid
from full4d_jax.session.errors import InputError
from full4d_jax.session.fields import refuse
from gaussians import FitConfig
from gaussians.fitting.ssim import SSIM_WINDOW
from gaussians.fitting.stillness import camera_moves

# By quality: steps of a fit to a generated grid, which starts sharp, and of one to a capture or to
# small pictures; then Gaussians per pixel of a picture, and the same of a capture.
QUALITIES = {
    "draft": (120, 300, 0.5, 0.3),
    "normal": (300, 1500, 1.0, 0.52),
    "high": (1200, 6000, 2.0, 1.0),
}

# Of pixels that move, by which Gaussians are counted, before a camera that moves.
MOVING_CAMERA_FACTOR = 2
BYTES_PER_GIB = 2**30
BYTES_PER_GRID_PIXEL = 150
# Of a run without pixels, as the libraries and their programs take it.
BYTES_OF_PROGRAM = 1.6 * BYTES_PER_GIB


class FitKind(Enum):
    """Kind of a grid, which decides how it is fitted."""

    # All views count alike.
    CAPTURED = "a capture, or a grid without projection"
    # Real views weigh more; the prior may be queried.
    AROUND_SOURCE = "a grid around its source"
    # Likewise.
    ENLARGED = "a grid larger than the prior was trained on"


# Of distillation; auto is the first. On an enlarged grid the cached form would fit the mean of the
# prior, which is blurred.
Form = Literal["none", "cached", "gradient"]
FORMS: dict[FitKind, tuple[Form, ...]] = {
    FitKind.CAPTURED: ("none",),
    FitKind.AROUND_SOURCE: ("cached", "gradient", "none"),
    FitKind.ENLARGED: ("none", "gradient"),
}


def fit_kind(grid: Grid) -> FitKind:
    """Return what a grid is to a fit: its depth, origins and size decide."""
    if not grid.follows_source:
        return FitKind.CAPTURED
    return FitKind.ENLARGED if grid.about.enlarged else FitKind.AROUND_SOURCE


def sized_for(settings: LiftConfig, grid: Grid, kind: FitKind) -> LiftConfig:
    """Return settings whose steps and capacity are numbers, for a fit to a grid; see `sized`.

    Likewise the form of distillation is the one that runs.
    """
    # A pixel that moves differs by more from its median colour over time.
    moving_difference = 20 / 255
    films = [] if kind is FitKind.CAPTURED else [grid.frames[0]]
    # A scene that deforms starts from none of the pictures between the instants, and before a
    # camera that moves these show little that is new.
    more = grid.between if settings.motion == "freetime" else None
    if films and more is not None and not camera_moves(grid.source_camera[1]):
        films.append(more.frames)
    colors = (film.astype(np.float32) / 255 for film in films)
    moving = sum(int(moving_pixels(x, moving_difference).sum()) for x in colors)
    # Before a camera that moves, nearly all differs from the median, and new places come into view:
    # half of the Gaussians left what stands still blurred (sharpness .40 for .49).
    if films and camera_moves(grid.source_camera[1]):
        moving *= MOVING_CAMERA_FACTOR
    settings = replace(settings, distillation=distillation_form(settings, kind))
    return sized(settings, *grid.frames.shape[2:4], kind=kind, moving=moving)


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
    # More Gaussians per pixel that moves, at any instant.
    moving_density = 0.15
    fewest, most = 12_000, 400_000  # Gaussians
    captured = kind is FitKind.CAPTURED
    small = height * width <= 128**2
    short, long, density, capture_density = QUALITIES[settings.quality]
    steps = settings.steps or (long if small or captured else short)
    density = capture_density if captured else density
    wanted = round(density * height * width + moving_density * moving)
    capacity = settings.capacity or min(max(wanted, fewest), most)
    return replace(settings, steps=steps, capacity=capacity)


def fit_settings(settings: LiftConfig) -> FitConfig:
    """Say how `gaussians.fit` works on a grid around its source, whose start is sharp."""
    return replace(
        _common_settings(settings),
        # A fifth of a pixel a step: rates of a rough start shake what is in its place.
        means=4e-4,
        velocities=5e-4,
        # Widths must close the gaps between pixels in few steps.
        log_scales=6e-2,
        # Few steps show a pixel of one instant: colours must settle in ten.
        colors=6e-2,
    )


def _common_settings(settings: LiftConfig) -> FitConfig:
    """Return what all fits of `lift` share."""
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


def capture_settings(
    settings: LiftConfig,
    shape: tuple[int, ...],
    background: tuple[float, float, float],
    *,
    sharp: bool,
) -> FitConfig:
    """Say how `gaussians.fit` works on a capture, with a start on surfaces or one that is rough.

    Gaussians of a rough start that nothing needs must fade, and their colours must settle before
    their detail. At a single instant nothing moves.

    Args:
      settings: of the fit, with steps.
      shape: of the frames, (v t h w 3).
      background: colour behind the scene.
      sharp: whether the start is on surfaces.
    """
    common = _common_settings(settings)
    config = replace(common, background=background, still=shape[1] == 1)
    if sharp:
        return config
    halved = all(side % 2 == 0 and side >= 2 * SSIM_WINDOW for side in shape[2:4])
    pulls = {"opacity_pull": 0.01, "scale_pull": 0.01, "growth": 0.05}
    return replace(config, coarse=2 if halved else 1, **pulls)


def distillation_form(settings: LiftConfig, kind: FitKind) -> Form:
    """Return the form of distillation that settings mean for a grid."""
    form = settings.distillation
    return FORMS[kind][0] if form == "auto" else form


def check_lift(settings: LiftConfig, checkpoint: Path | None, kind: FitKind) -> None:
    """Refuse settings, and weights of a prior, that would do nothing.

    Raises:
      InputError: naming the option.
    """
    do = "leave it out"
    background = settings.background
    if kind is not FitKind.CAPTURED and background != LiftConfig().background:
        raise InputError(
            "config", "lift.background", background, "auto, without a capture", do
        )
    form = distillation_form(settings, kind)
    if form not in FORMS[kind]:
        expected = f"{' or '.join(FORMS[kind])} with {kind.value}"
        raise InputError("config", "lift.distillation", form, expected, do)
    if form == "none":
        expected = f"none without distillation from {kind.value}"
        refuse({"checkpoint": checkpoint}, expected)


def needed_to_fit(settings: LiftConfig, shape: tuple[int, ...]) -> float:
    """Return the bytes that fitting holds, without the program itself; arguments as below.

    These are parameters, moments, gradients and intersections of every Gaussian, the buffers of one
    picture, and three copies of the targets, as measured on XLA's CPU programs.
    """
    views, instants, height, width, _ = shape
    of_gaussian = 2800 if settings.motion == "deformation" else 1350
    of_pixel = 550 + 36 * views * instants
    return of_gaussian * settings.capacity + of_pixel * height * width


def memory_note(settings: LiftConfig, shape: tuple[int, ...]) -> str:
    """Say how much memory fitting holds, without the program itself.

    Args:
      settings: of the fit, whose capacity is a number (`sized`).
      shape: of the frames, (v t h w 3).
    """
    views, instants, height, width, _ = shape
    needed = needed_to_fit(settings, shape) / 2**20
    return (
        f"fitting {settings.capacity} Gaussians to {views} views of {instants} frames of "
        f"{width}x{height}: about {needed:.0f} MiB beside the program and the prior"
    )


def cost_note(
    size: Size, config: Config, lift: LiftConfig | None, kind: FitKind
) -> str:
    """Return a sentence on what a run needs, with a fit if there are settings for one.

    Raises:
      InputError: The machine has less memory.
    """
    pixels = math.prod(size)
    needed = BYTES_OF_PROGRAM + BYTES_PER_GRID_PIXEL * pixels
    seconds = 25 + 0.6e-5 * pixels
    do = "give fewer --rows, --seconds or views"
    sampler = config.sampler
    if kind is FitKind.CAPTURED:
        # The network sees a group of views in a window of frames at once, each with the first.
        views = _at_once(sampler.group_views, size.views)
        frames = _at_once(sampler.window_frames, size.frames)
        needed += 5.4 * config.model.width * views * frames * size.height * size.width
        seconds = 15 + 6e-6 * sampler.steps * pixels
        do = "give smaller --data.height and --data.width, or --sampler.group_views"
    if lift is not None:
        steps = sized(lift, size.height, size.width, kind=kind).steps
        seconds += 1.1e-6 * steps * size.height * size.width
    grid = f"{size.views} views of {size.frames} instants of {size.width}x{size.height}"
    available = available_memory()
    if needed > available:
        found = f"{_gib(available)} free"
        raise InputError("memory", grid, found, f"about {_gib(needed)}", do)
    minutes = seconds * slowness() / 60
    # Other films, other work on the machine: shares of what is expected.
    least = 0.8
    most = 1.5
    duration = "less than a minute"
    if minutes >= 1:
        duration = (
            f"{least * minutes:.0f} to {math.ceil(most * minutes)} min on this machine"
        )
    return f"{grid}: {duration}, and {_gib(needed)}"


def slowness() -> float:
    """Return how many times as long this machine takes as the one of the module's text."""
    # Seconds of the work below, there.
    measured_seconds = 0.05
    rounds = 2
    side = 1024
    values = np.random.default_rng(0).standard_normal((side, side), np.float32)
    start = time.perf_counter()
    for _ in range(rounds):
        np.sort(values, axis=None)
        np.exp(values).sum()
        np.matmul(values, values)
        values.T.copy()
    return (time.perf_counter() - start) / measured_seconds


def check_fit_memory(settings: LiftConfig, shape: tuple[int, ...]) -> None:
    """Refuse a fit that the memory of this machine does not hold; a GPU says so itself.

    Args:
      settings: of the fit, whose capacity is a number (`sized`).
      shape: of the frames, (v t h w 3).

    Raises:
      InputError: naming the capacity.
    """
    needed = needed_to_fit(settings, shape)
    available = available_memory()
    if needed > available and jax.default_backend() == "cpu":
        found = f"{settings.capacity} Gaussians, which take about {_gib(needed)}"
        expected = f"what {_gib(available)} hold"
        raise InputError(
            "config", "lift.capacity", found, expected, "lower --lift.capacity"
        )


def _at_once(part: int, whole: int) -> int:
    """Return how many are seen at once, of which a `part` of more than one may be set."""
    return part if 1 < part < whole else whole


def _gib(size: float) -> str:
    """Return bytes in words."""
    return f"{size / BYTES_PER_GIB:.1f} GiB"


def available_memory() -> float:
    """Return the bytes that programs can still get: Linux says, elsewhere it is all memory."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return (
            next(int(x.split()[1]) for x in lines if x.startswith("MemAvailable"))
            * 1024
        )
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
