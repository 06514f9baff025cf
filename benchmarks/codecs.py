"""Memory and time of the latent codecs by number of frames; a JSON line comes last.

    python benchmarks/codecs.py [--side 64 --divide 8 --frames 5 17 65 --repeats 2]

Weights are random, their channels the published ones over `--divide` (TAESD keeps its own).
`{codec}_{encode,decode}_bytes` and `_seconds` list, for each number of frames, the temporary memory
as the compiler plans it and the best of the runs (CPU time of all threads on a CPU, elapsed time
elsewhere). `_growth` is what the memory grows by from the fewest frames to the most, in units of
what the video itself (float32) grows by: with memory bounded in time what remains is copies of the
input and of the output, one or two; a network run on all frames at once has dozens of times that.
"""

import argparse
import json
from typing import Literal

import jax
from sampling import codec_shapes
from timing import clock

from full4d_jax.config import ModelConfig
from full4d_jax.config.codecs import STRIDES
from full4d_jax.models.codecs.codec import Weights, make_codec

Name = Literal["taesd", "wan21", "wan22"]
NAMES: tuple[Name, ...] = ("taesd", "wan21", "wan22")


def main() -> None:
    """Prints progress, then the JSON line."""
    parser = argparse.ArgumentParser(description="Measures codecs by number of frames.")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--divide", type=int, default=8)
    parser.add_argument("--frames", type=int, nargs="+", default=[5, 17, 65])
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    results: dict[str, object] = {"device": jax.devices()[0].device_kind} | vars(options)
    for name in NAMES:
        codec_weights = random_weights(name, options.divide)
        for direction in ("encode", "decode"):
            measured = [
                measure(name, direction, codec_weights, frames, options.side, options.repeats)
                for frames in options.frames
            ]
            sizes, seconds = zip(*measured, strict=True)
            video = 3 * 4 * options.side**2 * (options.frames[-1] - options.frames[0])
            kind = f"{name}_{direction}"
            growth = round((sizes[-1] - sizes[0]) / video, 2)
            results |= {f"{kind}_bytes": sizes, f"{kind}_seconds": seconds}
            results[f"{kind}_growth"] = growth
            print(f"{kind}: {sizes} bytes, {seconds} s, growth {growth}", flush=True)
    print(json.dumps(results))


def random_weights(name: Name, divide: int) -> Weights:
    """Return random weights of the published structure with fewer channels."""
    shapes = codec_shapes(name, divide)
    return jax.tree.map(lambda x: 0.02 * jax.random.normal(jax.random.key(0), x.shape), shapes)


def measure(
    name: Name, direction: str, weights: Weights, frames: int, side: int, repeats: int
) -> tuple[int, float]:
    """Temporary bytes and seconds of one way through a codec."""
    strides = STRIDES[name]
    model = ModelConfig(codec=name, codec_stride=strides.pixels)
    latent_side, latent_frames = side // strides.pixels, 1 + (frames - 1) // strides.frames
    shape = (1, frames, side, side, 3)
    if direction == "decode":
        shape = (1, latent_frames, latent_side, latent_side, strides.channels)

    def convert(weights: Weights, x: jax.Array) -> jax.Array:
        return getattr(make_codec(model, weights), direction)(x)

    x = jax.random.uniform(jax.random.key(1), shape)
    program = jax.jit(convert).lower(weights, x).compile()
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        jax.block_until_ready(program(weights, x))
        best = min(best, clock() - start)
    memory = program.memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes, round(best, 3)


if __name__ == "__main__":
    main()
