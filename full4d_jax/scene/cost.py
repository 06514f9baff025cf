"""Cost of a run, printed before the work: minutes on two cores, and memory, which must be there."""

import os
from dataclasses import replace
from pathlib import Path

import jax

from full4d_jax.cameras import sides
from full4d_jax.config import Config, DataConfig, LiftConfig
from full4d_jax.models.flops import forward_flops
from full4d_jax.scene.fit_settings import FitKind, needed_to_fit, sized
from full4d_jax.session.errors import InputError

# Measured on two x86-64 cores at 256 x 456, with 16 instants and 5 views.
BASE_BYTES = 0.9 * 2**30
PIXEL_BYTES = 140  # per pixel of the grid
BASE_SECONDS = 40.0
PIXEL_SECONDS = 0.8e-5  # to generate and show, per pixel of the grid
STEP_SECONDS = 1.8e-6  # to fit a generated grid, per step and pixel of a picture
CAPTURE_STEP_SECONDS = 1.65e-6  # to fit a capture, which has fewer Gaussians a pixel
# Of a grid without poses, on the same cores: 4 and 8 views and instants of 64 to 192 rows.
FILL_BYTES = 0.6 * 2**30
TOKEN_BYTES = 5.4  # per pixel that is seen at once, and channel of the width
FILL_SECONDS = 15.0  # to compile
FLOPS = 45e9  # operations a second
SHORTER = (720, 540, 480, 360, 256, 192, 128, 96, 64)  # rows to offer where memory lacks


def cost_note(size: DataConfig, lift: LiftConfig | None) -> str:
    """Return a sentence on what a run needs, with a fit if there are settings for one.

    Raises:
      InputError: The machine has less memory; the message says what would fit.
    """
    needed = needed_memory(size, size.height, size.width)
    available = available_memory()
    if needed > available:
        short = min(size.height, size.width)
        fitting = (n for n in SHORTER if n < short and _fits(size, n, available))
        do = next((f"give --rows {n}" for n in fitting), "give fewer --seconds, or fewer views")
        found = f"{available / 2**30:.1f} GiB free"
        raise InputError("memory", _words(size), found, f"about {needed / 2**30:.1f} GiB", do)
    seconds = BASE_SECONDS + PIXEL_SECONDS * _pixels(size)
    return _describe(size, seconds + _fit_seconds(size, lift, FitKind.AROUND_SOURCE), needed)


def fill_note(size: DataConfig, config: Config, lift: LiftConfig | None) -> str:
    """Return a sentence on what a grid without poses needs, and a fit if there are settings for it.

    Raises:
      InputError: The machine has less memory.
    """
    sampler = config.sampler
    views, of_views = _part(size.views, sampler.group_views)
    frames, of_frames = _part(size.frames, sampler.window_frames)
    seen = replace(size, views=views, frames=frames)
    needed = FILL_BYTES + PIXEL_BYTES * _pixels(size)
    needed += TOKEN_BYTES * config.model.width * _pixels(seen)
    available = available_memory()
    if needed > available:
        found = f"{available / 2**30:.1f} GiB free"
        do = "give smaller --data.height and --data.width, or --sampler.group_views"
        raise InputError("memory", _words(size), found, f"about {needed / 2**30:.1f} GiB", do)
    work = forward_flops(replace(config, data=size), views, frames)
    seconds = FILL_SECONDS + of_views * of_frames * sampler.steps * work / FLOPS
    return _describe(size, seconds + _fit_seconds(size, lift, FitKind.CAPTURED), needed)


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
        found = f"{settings.capacity} Gaussians, which take about {needed / 2**30:.1f} GiB"
        expected = f"what {available / 2**30:.1f} GiB hold"
        raise InputError("config", "lift.capacity", found, expected, "lower --lift.capacity")


def _part(count: int, size: int) -> tuple[int, int]:
    """Return how many the network sees at once, always with the first, and in how many parts."""
    return (size, -(-(count - 1) // (size - 1))) if 1 < size < count else (count, 1)


def _pixels(size: DataConfig) -> int:
    return size.views * size.frames * size.height * size.width


def _fit_seconds(size: DataConfig, lift: LiftConfig | None, kind: FitKind) -> float:
    if lift is None:
        return 0.0
    steps = sized(lift, size.height, size.width, kind=kind).steps
    seconds = CAPTURE_STEP_SECONDS if kind is FitKind.CAPTURED else STEP_SECONDS
    return seconds * steps * size.height * size.width


def _describe(size: DataConfig, seconds: float, needed: float) -> str:
    minutes = seconds / 60
    time = f"about {minutes:.0f} min on two cores" if minutes >= 1 else "less than a minute"
    return f"{_words(size)}: {time}, and {needed / 2**30:.1f} GiB"


def needed_memory(size: DataConfig, height: int, width: int) -> float:
    """Return about how many bytes a run holds at its peak, for pictures of this size."""
    return BASE_BYTES + PIXEL_BYTES * size.views * size.frames * height * width


def available_memory() -> float:
    """Return the bytes that programs can still get: Linux says, elsewhere it is all memory."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(x.split()[1]) for x in lines if x.startswith("MemAvailable")) * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _fits(size: DataConfig, rows: int, available: float) -> bool:
    return needed_memory(size, *sides(size.height, size.width, rows, 8)) <= available


def _words(size: DataConfig) -> str:
    return f"{size.views} views of {size.frames} instants of {size.width}x{size.height}"
