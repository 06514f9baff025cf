"""Compiles programs for GPUs that are not here, and counts their work; a JSON line comes last.

    pip install --no-deps jax-cuda12-plugin jax-cuda12-pjrt     # of the installed jax's version
    python benchmarks/compiled.py [--gpus h100 a100] [--only render attention]
    python benchmarks/compiled.py --debug       # seconds, of this machine's processor

With `--debug` it compiles the training step of `configs/debug.py` for CPUs, and says how many
seconds of processor time tracing, lowering and XLA take, and how many lines the program has.

`render` is 500,000 Gaussians at 1920x1080 with 8 million intersections, `attention` the fused one
of a layer of `configs/wan22_5b.py` (6 views, 42 frames of targets and projections, 252 tokens, 24
heads of 128), `attention_by_cudnn` the same with `model.gpu_attention cudnn`; each forward and with
its gradient.

Keys `{gpu}_{program}_{what}`: `bytes` that kernels read and write, the renderer's with a row of
features for each slot of the lists (`bytes_of_rows`); `launches`; `milliseconds` of its slowest
part (`gpu_seconds`); and `rounded`, whether products of float32 are rounded to TF32. A sort counts
as one reading and writing.

Where `ptxas` is installed, programs have the most `registers` of their Pallas kernels, bytes
`spilled`, and `warp_instructions` of their loops, of which a multiprocessor starts one a cycle for
every 32 float32 units. The renderer's are the most there can be: all slots filled, no tile finished
early.
"""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Sharding, SingleDeviceSharding

from full4d_jax.config import load_config
from full4d_jax.config.masks import allowed_frames
from full4d_jax.generation.procedural import procedural_batch
from full4d_jax.models.dit.attention.flash import (
    KEY_TILE_NUMBERS,
    QUERY_TILE_NUMBERS,
    tile_size,
)
from full4d_jax.models.dit.attention.fused import fused_attention
from full4d_jax.training.inspection.compiling import GPU_OPTIONS, gpu_seconds
from full4d_jax.training.inspection.devices import GPUS, Gpu, slice_devices
from full4d_jax.training.inspection.hlo import read_program
from full4d_jax.training.inspection.kernel_work import count_work
from full4d_jax.training.state import state_shapes
from full4d_jax.training.step import train_step
from gaussians import Camera, Gaussians, render
from gaussians.rendering.compositing import GEOMETRY_ROWS
from gaussians.rendering.compositing_gpu import bytes_of_rows, step_size

GAUSSIANS = 500_000
HEIGHT = 1080
WIDTH = 1920
SLOTS = 8_000_000
CHANNELS = 4  # colour and depth
COUNTED = ("bytes", "launches", "registers", "spilled", "warp_instructions")
TOKENS = (1, 6, 42, 252, 24, 128)  # b v t s k d

WARP = 32  # threads

Traced = Callable[[], Any]


class Kernel(NamedTuple):
    """One kernel.

    Attributes:
      warps: of a block.
      registers: of a thread.
      spilled: bytes of a thread that its registers do not hold, stored and loaded.
      loop: instructions of a trip through its loop.
    """

    warps: int
    registers: int
    spilled: int
    loop: int


def main() -> None:
    """Print progress, then the JSON line."""
    parser = argparse.ArgumentParser(
        description="Counts the work of programs for GPUs."
    )
    parser.add_argument("--gpus", nargs="+", choices=list(GPUS), default=["h100"])
    parser.add_argument(
        "--only", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS)
    )
    parser.add_argument("--debug", action="store_true", help="the step of debug.py")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")  # the compiler alone is for GPUs
    jax.config.update("jax_enable_compilation_cache", False)
    if options.debug:
        print(json.dumps(debug_step()))
        return
    results: dict[str, Any] = {}
    ptx = Path(tempfile.mkdtemp())
    for name in options.gpus:
        topology = f"{name}:1"
        sharding = SingleDeviceSharding(slice_devices(topology, 1)[0])
        for program in options.only:
            for kind, trace in PROGRAMS[program](sharding).items():
                for file in ptx.iterdir():  # of the program before
                    file.unlink()
                compiled = (
                    trace().lower().compile(GPU_OPTIONS | {"xla_dump_to": str(ptx)})
                )
                counted = count_work(read_program(compiled.as_text() or ""))
                work: dict[str, Any] = counted._asdict()
                work |= {"seconds": gpu_seconds(counted, GPUS[name])}
                key = f"{name}_{program}_{kind}"
                trips = kernel_trips(program, kind)
                if program == "render":
                    rows = len(trips) * bytes_of_rows(SLOTS, GEOMETRY_ROWS + CHANNELS)
                    work["bytes"] += rows
                    work["seconds"]["memory"] += rows / GPUS[name].bandwidth
                add_instructions(work, ptx, trips, GPUS[name])
                for what in COUNTED:
                    if what in work:
                        results[f"{key}_{what}"] = work[what]
                slowest = max(work["seconds"], key=work["seconds"].get)
                milliseconds = 1e3 * work["seconds"][slowest]
                results[f"{key}_milliseconds"] = round(milliseconds, 2)
                results[f"{key}_rounded"] = "tf32" in work["products"]
                moved = f"{work['bytes'] / 1e9:.1f} GB"
                times = f"{milliseconds:.1f} ms by {slowest}"
                print(
                    f"{key}: {moved}, {work['launches']} launches, {times}", flush=True
                )
    shutil.rmtree(ptx)
    print(json.dumps(results))


def debug_step() -> dict[str, Any]:
    """Compile the training step of `configs/debug.py`; return seconds of processor time."""
    config = load_config("configs/debug.py")
    state = state_shapes(config, None)
    clips = jnp.arange(config.training.batch)
    batch = jax.eval_shape(lambda: procedural_batch(clips, config.data))
    step = jax.jit(
        train_step(config),
        donate_argnums=0,
        compiler_options=config.training.compiler_options,
    )
    times = [time.process_time()]
    traced = step.trace(state, batch)
    times.append(time.process_time())
    lowered = traced.lower()
    times.append(time.process_time())
    program = lowered.compile().as_text() or ""
    times.append(time.process_time())
    names = ("trace", "lower", "xla")
    seconds = {
        f"{name}_seconds": round(end - start, 2)
        for name, start, end in zip(names, times, times[1:], strict=False)
    }
    return seconds | {"lines": len(program.splitlines())}


def add_instructions(
    work: dict[str, Any], ptx: Path, trips: dict[str, int], gpu: Gpu
) -> None:
    """Add to a program's work what its Pallas kernels do on so many trips through their loops."""
    kernels = assembled_kernels(ptx, list(trips))
    if not kernels:
        return
    assert set(kernels) == set(trips), kernels
    instructions = sum(
        trips[name] * kernel.loop * kernel.warps for name, kernel in kernels.items()
    )
    starts = gpu.float32_flops / 2 / WARP
    work["registers"] = max(kernel.registers for kernel in kernels.values())
    work["spilled"] = sum(kernel.spilled for kernel in kernels.values())
    work["warp_instructions"] = instructions
    work["seconds"]["instructions"] = instructions / starts


def assembled_kernels(folder: Path, names: list[str]) -> dict[str, Kernel]:
    """Return the kernels of these names that are in a folder of PTX; none without ptxas.

    XLA leaves them there by its option `xla_dump_to`; `ptxas`, of the CUDA toolkit, tells registers
    and spills. A kernel's loop is its largest block without a branch.
    """
    kernels: dict[str, Kernel] = {}
    if shutil.which("ptxas"):
        for file in sorted(folder.glob("*.ptx")):
            text = file.read_text()
            for name in names:
                if body := re.search(rf"\.entry {name}\((.*?)\n\}}", text, re.DOTALL):
                    kernels[name] = _assemble(file, text, name, body[1])
    return kernels


def _assemble(file: Path, text: str, name: str, body: str) -> Kernel:
    target = re.search(r"^\.target (\w+)", text, re.MULTILINE)
    threads = re.search(r"\.(?:reqntid|maxntid) (\d+)", body)
    assert target, file
    assert threads, file
    command = ["ptxas", "-v", f"-arch={target[1]}", str(file), "-o", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = done.stderr.partition(f"'{name}'")[2]
    spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
    registers = re.search(r"Used (\d+) registers", report)
    assert spilled, report
    assert registers, report
    return Kernel(
        warps=int(threads[1]) // WARP,
        registers=int(registers[1]),
        spilled=int(spilled[1]) + int(spilled[2]),
        loop=max(_blocks(body)),
    )


def _blocks(body: str) -> Iterator[int]:
    """Count the instructions of each block between labels."""
    for block in re.split(r"^\$\w+:", body, flags=re.MULTILINE):
        lines = (line.strip() for line in block.splitlines())
        yield sum(
            line.endswith(";") and not line.startswith((".", "//")) for line in lines
        )


def kernel_trips(program: str, kind: str) -> dict[str, int]:
    """Return how often the loops of a program's kernels run, all blocks together."""
    if program == "render":
        steps = SLOTS // step_size(CHANNELS)
        return {"_draw": steps} | ({"_pull_back": steps} if kind == "gradient" else {})
    samples, views, frames, tokens, heads, width = TOKENS
    allowed = int(allowed_frames(views, frames, cross_half=True).sum())
    own = views * frames**2  # pairs of frames of one view
    pairs = (
        samples
        * heads
        * (allowed - own if program == "attention_by_cudnn" else allowed)
    )

    def tiles(numbers: int) -> int:
        return -(-tokens // tile_size(tokens, width, numbers))

    forward = {"_draw": pairs * tiles(QUERY_TILE_NUMBERS) * tiles(KEY_TILE_NUMBERS)}
    pulls = pairs * tiles(KEY_TILE_NUMBERS) ** 2
    return forward | (
        {"_pull_queries": pulls, "_pull_keys": pulls} if kind == "gradient" else {}
    )


def render_programs(sharding: Sharding) -> dict[str, Traced]:
    """Return the renderer and its gradient, to be traced."""
    array = partial(_array, sharding, jnp.float32)
    scene = Gaussians(
        means=array(GAUSSIANS, 3),
        quaternions=array(GAUSSIANS, 4),
        log_scales=array(GAUSSIANS, 3),
        logit_opacities=array(GAUSSIANS),
        harmonics=array(GAUSSIANS, 1, 3),
    )

    def picture(scene: Gaussians, pose: jax.Array, lens: jax.Array) -> jax.Array:
        camera = Camera(pose, lens, WIDTH, HEIGHT)
        return render(scene, camera, max_intersections=SLOTS).rgb

    def loss(scene: Gaussians, pose: jax.Array, lens: jax.Array) -> jax.Array:
        return (picture(scene, pose, lens) ** 2).sum()

    camera = array(4, 4), array(3, 3)
    return {
        "forward": lambda: jax.jit(picture).trace(scene, *camera),
        "gradient": lambda: jax.jit(jax.value_and_grad(loss)).trace(scene, *camera),
    }


def attention_programs(
    sharding: Sharding, *, rows_by_cudnn: bool = False
) -> dict[str, Traced]:
    """Return fused attention and its gradient, to be traced."""
    tokens = _array(sharding, jnp.bfloat16, *TOKENS)
    attend = partial(fused_attention, cross_half=True, rows_by_cudnn=rows_by_cudnn)

    def gradient(
        q: jax.Array, k: jax.Array, v: jax.Array, cotangent: jax.Array
    ) -> tuple[jax.Array, ...]:
        out, pull_back = jax.vjp(attend, q, k, v)
        return out, *pull_back(cotangent)

    return {
        "forward": lambda: jax.jit(attend).trace(tokens, tokens, tokens),
        "gradient": lambda: jax.jit(gradient).trace(tokens, tokens, tokens, tokens),
    }


def _array(sharding: Sharding, dtype: Any, *shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


PROGRAMS = {
    "render": render_programs,
    "attention": attention_programs,
    "attention_by_cudnn": partial(attention_programs, rows_by_cudnn=True),
}


if __name__ == "__main__":
    main()
