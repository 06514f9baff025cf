"""Differences of procedural scenes between processors; one JSON line comes last.

    python benchmarks/instructions.py [--worlds simple rich --scenes 6 --size 48]

Scenes of 2 views and 2 instants are rendered by processes in which XLA may use no newer
instructions than --instructions names; SSE4_2 adds and multiplies in two roundings, AVX2 in one.
For each world and each set beyond the first: the share of pixels that are not equal after rounding
to 8 bits, the largest difference in levels, and the largest relative difference of depth.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from input_pipeline.procedural.clips import scene_program


def main() -> None:
    """Measure, then the JSON line."""
    parser = argparse.ArgumentParser(description="Compares scenes between instruction sets.")
    parser.add_argument("--worlds", nargs="+", default=["simple", "rich"])
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--size", type=int, default=48, help="of a frame, pixels")
    parser.add_argument("--instructions", nargs="+", default=["SSE4_2", "AVX", "AVX2", "AVX512"])
    parser.add_argument("--render", type=Path, help="only write the arrays here")
    options = parser.parse_args()
    if options.render:
        write_scenes(options.render, options.worlds, options.scenes, options.size)
        return
    if platform.machine() not in ("x86_64", "AMD64"):
        raise SystemExit(f"processor: found {platform.machine()}, expected x86_64")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.npz" for name in options.instructions]
        words = [sys.executable, __file__, "--worlds", *options.worlds]
        words += ["--scenes", str(options.scenes), "--size", str(options.size)]
        running = [
            subprocess.Popen([*words, "--render", file], env=limited(name))
            for name, file in zip(options.instructions, files, strict=True)
        ]
        if sum(process.wait() for process in running):
            raise SystemExit("rendering: found a process that failed, expected none")
        arrays = [dict(np.load(file)) for file in files]
    differences = {
        name: {world: compare(arrays[0], other, world) for world in options.worlds}
        for name, other in zip(options.instructions[1:], arrays[1:], strict=True)
    }
    print(json.dumps({"against": options.instructions[0], **differences}))


def limited(instructions: str) -> dict[str, str]:
    """Return the environment of a process whose XLA uses these and older instructions."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_max_isa={instructions}"
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def write_scenes(out: Path, worlds: list[str], scenes: int, size: int) -> None:
    """Write pictures, as records round them, and depth."""
    arrays = {}
    for world in worlds:
        draw = scene_program(2, 2, size, size, world)  # type: ignore[arg-type]
        clips = [draw(np.int32(index)) for index in range(scenes)]
        pictures = np.stack([clip.frames for clip in clips])
        arrays[world] = np.round(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
        arrays[f"{world} depth"] = np.stack([clip.depth for clip in clips])
    np.savez(out, **arrays)


def compare(first: dict, second: dict, world: str) -> dict[str, float]:
    """Return the three numbers of two sets of arrays."""
    levels = np.abs(first[world].astype(int) - second[world]).max(-1)
    depths = first[f"{world} depth"], second[f"{world} depth"]
    return {
        "pixels_that_differ": round(float((levels > 0).mean()), 6),
        "levels": int(levels.max()),
        "depth": float(f"{np.max(np.abs(depths[0] - depths[1]) / depths[0]):.2g}"),
    }


if __name__ == "__main__":
    main()
