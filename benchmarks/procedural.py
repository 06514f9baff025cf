"""Frames a second of the procedural renderer.

    taskset -c 0 python benchmarks/procedural.py

One clip of 4 views and 4 instants at a time, simple and rich worlds; the fastest of several scenes
counts. Seconds are CPU time of the process, which other work on the machine disturbs least: pinned
to one core, that is frames a second on a core. The last line is JSON.
"""

import argparse
import json
import time

import jax

from input_pipeline.procedural.scene import Worlds, procedural_scene

VIEWS, FRAMES = 4, 4


def main() -> None:
    """Print a line for each size and kind of world."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256], help="pixels a side")
    parser.add_argument("--repeats", type=int, default=10, help="scenes to render")
    asked = parser.parse_args()
    for name, values in (("sizes", asked.sizes), ("repeats", [asked.repeats])):
        if min(values) < 1:
            raise SystemExit(f"--{name}: found {min(values)}, expected at least 1")
    rates = {}
    for size in asked.sizes:
        for worlds in ("simple", "rich"):
            rates[f"{worlds}_{size}"] = rate = frames_per_second(size, worlds, asked.repeats)
            print(f"{worlds:6} {size:4} x {size}: {rate} frames/s", flush=True)
    print(json.dumps(rates))


def frames_per_second(size: int, worlds: Worlds, repeats: int) -> int:
    """Return the rate of the fastest of `repeats` scenes, after one that compiles."""
    render = jax.jit(
        lambda index: procedural_scene(
            index, views=VIEWS, frames=FRAMES, height=size, width=size, worlds=worlds
        )
    )
    jax.block_until_ready(render(0))
    seconds = []
    for index in range(1, repeats + 1):
        start = time.process_time()
        jax.block_until_ready(render(index))
        seconds.append(time.process_time() - start)
    return round(VIEWS * FRAMES / min(seconds))


if __name__ == "__main__":
    main()
