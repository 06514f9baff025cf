"""Cost of a run, printed before the work: minutes on two cores, and memory, which must be there.

Both are linear in the pixels of the grid, as measured on two x86-64 cores: of grids around a source
at 256 x 456 with 16 instants and 5 views, of grids without poses at 64 to 192 rows with 4 and 8
views and instants.
"""

import os
from pathlib import Path

import jax

from full4d_jax.config import Config, DataConfig, LiftConfig
from full4d_jax.scene.fit_settings import FitKind, needed_to_fit, sized
from full4d_jax.session.errors import InputError

GIB = 2**30
BYTES_PER_GRID_PIXEL = 140


def cost_note(size: DataConfig, lift: LiftConfig | None) -> str:
    """Return a sentence on what a run needs, with a fit if there are settings for one.

    Raises:
      InputError: The machine has less memory.
    """
    pixels = size.views * size.frames * size.height * size.width
    needed = 0.9 * GIB + BYTES_PER_GRID_PIXEL * pixels
    seconds = 40 + 0.8e-5 * pixels
    if lift is not None:
        steps = sized(lift, size.height, size.width, kind=FitKind.AROUND_SOURCE).steps
        seconds += 1.8e-6 * steps * size.height * size.width
    return _note(size, seconds, needed, "give fewer --rows, --seconds or views")


def fill_note(size: DataConfig, config: Config, lift: LiftConfig | None) -> str:
    """Return a sentence on what a grid without poses needs, and a fit if there are settings for it.

    Raises:
      InputError: The machine has less memory.
    """
    sampler = config.sampler
    pixels = size.views * size.frames * size.height * size.width
    # The network sees a group of views in a window of frames at once, each with the first.
    views = sampler.group_views if 1 < sampler.group_views < size.views else size.views
    frames = sampler.window_frames if 1 < sampler.window_frames < size.frames else size.frames
    seen = views * frames * size.height * size.width
    needed = 0.6 * GIB + BYTES_PER_GRID_PIXEL * pixels + 5.4 * config.model.width * seen
    seconds = 15 + 6e-6 * sampler.steps * pixels
    if lift is not None:
        steps = sized(lift, size.height, size.width, kind=FitKind.CAPTURED).steps
        seconds += 1.65e-6 * steps * size.height * size.width
    do = "give smaller --data.height and --data.width, or --sampler.group_views"
    return _note(size, seconds, needed, do)


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
        found = f"{settings.capacity} Gaussians, which take about {needed / GIB:.1f} GiB"
        expected = f"what {available / GIB:.1f} GiB hold"
        raise InputError("config", "lift.capacity", found, expected, "lower --lift.capacity")


def available_memory() -> float:
    """Return the bytes that programs can still get: Linux says, elsewhere it is all memory."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(x.split()[1]) for x in lines if x.startswith("MemAvailable")) * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _note(size: DataConfig, seconds: float, needed: float, do: str) -> str:
    grid = f"{size.views} views of {size.frames} instants of {size.width}x{size.height}"
    available = available_memory()
    if needed > available:
        found = f"{available / GIB:.1f} GiB free"
        raise InputError("memory", grid, found, f"about {needed / GIB:.1f} GiB", do)
    minutes = seconds / 60
    time = f"about {minutes:.0f} min on two cores" if minutes >= 1 else "less than a minute"
    return f"{grid}: {time}, and {needed / GIB:.1f} GiB"
