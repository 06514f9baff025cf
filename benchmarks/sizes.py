"""Options and the loop of benchmarks that measure at several sizes of frames."""

import argparse
import os
from collections.abc import Callable
from typing import Any


def size_options(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that `at_each_size` takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "384x672"], help="HxW")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as cores")
    return parser


def rows_and_columns(size: str) -> tuple[int, int]:
    """Return rows and columns of an option like 384x672."""
    height, _, width = size.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise SystemExit(f"--sizes: found {size}, expected HxW such as 256x256")
    return int(height), int(width)


def at_each_size(
    options: argparse.Namespace, measure: Callable[..., dict[str, Any]]
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return threads, and `measure(height, width, threads, seconds, turns)` by size."""
    for name in ("seconds", "turns"):
        if getattr(options, name) <= 0:
            raise SystemExit(f"--{name}: found {getattr(options, name)}, expected above 0")
    threads, sizes = options.threads or len(os.sched_getaffinity(0)), {}
    for size in options.sizes:
        sizes[size] = measure(*rows_and_columns(size), threads, options.seconds, options.turns)
        print(f"{size}: {sizes[size]}", flush=True)
    return threads, sizes
