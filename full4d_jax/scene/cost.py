"""What a run costs, told before the work: minutes on two cores, and memory, which must be there."""

import os
from pathlib import Path

from full4d_jax.cameras import sides
from full4d_jax.config import DataConfig, LiftConfig
from full4d_jax.scene.fit_settings import sized
from full4d_jax.session.errors import InputError

# Measured on two x86-64 cores at 256 x 456, with 16 instants and 5 views.
BASE_BYTES, PIXEL_BYTES = 0.9 * 2**30, 140  # per pixel of the grid
BASE_SECONDS, PIXEL_SECONDS = 25.0, 1e-5  # to generate and show, per pixel of the grid
STEP_SECONDS = 1.65e-6  # to fit, per step and pixel of a picture
SHORTER = (720, 540, 480, 360, 256, 192, 128, 96, 64)  # rows to offer where memory lacks


def cost_note(size: DataConfig, lift: LiftConfig | None) -> str:
    """Return a sentence on what a run needs, with a fit if there are settings for one.

    Raises:
      InputError: The machine has less memory; the message says what would fit.
    """
    needed, available = needed_memory(size, size.height, size.width), available_memory()
    if needed > available:
        short = min(size.height, size.width)
        fitting = (n for n in SHORTER if n < short and _fits(size, n, available))
        do = next((f"give --rows {n}" for n in fitting), "give fewer --seconds, or fewer views")
        found = f"{available / 2**30:.1f} GiB free"
        raise InputError("memory", _words(size), found, f"about {needed / 2**30:.1f} GiB", do)
    picture, steps = size.height * size.width, 0
    if lift is not None:
        steps = sized(lift, size.height, size.width, captured=False).steps
    seconds = BASE_SECONDS + PIXEL_SECONDS * size.views * size.frames * picture
    minutes = (seconds + STEP_SECONDS * steps * picture) / 60
    return (
        f"{_words(size)}: about {minutes:.0f} min on two cores, and {needed / 2**30:.1f} GiB"
        if minutes >= 1
        else f"{_words(size)}: less than a minute, and {needed / 2**30:.1f} GiB"
    )


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
