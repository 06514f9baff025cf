"""Compile programs for devices that need not exist, and report the compiler's numbers."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from full4d_jax.models.flops import PEAKS, peak_flops
from full4d_jax.training.inspection import hlo
from full4d_jax.training.inspection.devices import GPUS, Gpu
from full4d_jax.training.inspection.kernel_work import Work, count_work, kernel_products
from input_pipeline.whole_files import write_text

BYTES_PER_GIB = 2**30
# GiB.
MEMORY = {
    "TPU v5": 95.74,
    "TPU v5p": 95.74,
    "TPU v5 lite": 15.75,
    "TPU v6 lite": 31.25,
} | {gpu.kind: round(gpu.memory / BYTES_PER_GIB, 2) for gpu in GPUS.values()}
# Matrix units of a chip, and operations in bfloat16 that one, 128 x 128, does in a cycle. The peak
# divided by them is the clock. How many a v6e has is told differently on different pages.
MATRIX_UNITS = {"TPU v4": 8, "TPU v5": 8, "TPU v5p": 8, "TPU v5 lite": 4}
UNIT_FLOPS = 2 * 128**2
# Without a GPU to try them on, XLA's choice of Triton's tiles can fail; products go to cuBLAS.
GPU_OPTIONS = {"xla_gpu_enable_triton_gemm": False}
# Shares of the peak at which attention in bfloat16 ran on an H200 (docs/pods.md#accelerators), by
# the products that kernels make: two forward, and for the gradient seven, or cuDNN's five.
MEASURED = {
    "flash_forward": 0.327,
    "flash_gradient": 0.501,
    "cudnn_forward": 0.565,
    "cudnn_gradient": 0.535,
}


# What the seconds of a part are predicted from.
ORIGINS = {
    "memory": "{bytes:.3g} bytes at full rate",
    "launches": "{launches:,} kernels",
    "products": "operations {products}; attention as measured, others at full rate",
    "operations": "{cycles:.3g} cycles, as XLA estimates",
    "kernels": "{kernel_products:.3g} operations of Pallas kernels at full rate",
}


def report_programs(
    programs: dict[str, Callable[[], Any]],
    about: dict[str, Any],
    json_file: Path | None,
) -> None:
    """Compile programs that run one after the other; print, and write, each when it is found.

    A device holds at most what any of them needs and the results of the others, of which some are
    counted twice: what a program leaves, the next one takes.

    Args:
      programs: each traced when it is called, by name.
      about: of the devices, as `inspection.describe` has it; `flops` are those of the first
        program.
      json_file: where to write what is found.
    """
    costs: dict[str, dict[str, Any]] = {}
    needed = 0.0
    kind = about["device_kind"]
    count = about["devices"]
    for name, trace in programs.items():
        print(f"compiling {name} for {count} x {kind} ...", flush=True)
        flops = None if costs else about.get("flops")
        costs[name] = compile_program(trace, kind, flops, count)
        _print_cost(costs[name])
        results = [cost.get("memory", {}).get("output", 0) for cost in costs.values()]
        pairs = zip(costs.values(), results, strict=True)
        needed = sum(results) + max(x["bytes_per_device"] - y for x, y in pairs)
        if json_file:
            found = about | {"bytes_per_device": needed, "programs": costs}
            write_text(json_file, json.dumps(found, indent=1) + "\n")
            print(f"wrote {json_file}", flush=True)
    line = f"memory of {kind} is not known here"
    if capacity := MEMORY.get(kind):
        free = 1 - needed / BYTES_PER_GIB / capacity
        line = f"{needed / BYTES_PER_GIB:.2f} of {capacity} GiB"
        line = f"yes: {line}, {free:.0%} free" if free > 0 else f"NO: {line}"
    print(f"  fits                {line}")


def compile_program(
    trace: Callable[[], Any], kind: str, flops: float | None, devices: int
) -> dict[str, Any]:
    """Compile a program for the devices of its mesh, and return its numbers.

    Args:
      trace: returns the program, traced.
      kind: of its devices, by JAX's name.
      flops: that the model needs on all devices, where they are counted.
      devices: how many there are.

    Returns:
      Plain values: `bytes_per_device` (infinite, with an `error`, if it does not compile), its
      parts in `memory`, `collectives` as count and bytes of each kind on each device, `seconds` of
      the parts of its work where they can be predicted, `work` that they are predicted from, and
      the model FLOPs utilization `mfu` if these parts ran one after another, and all at once,
      without waiting for other devices.
    """
    gpu = next((x for x in GPUS.values() if x.kind == kind), None)
    start = time.perf_counter()
    try:
        traced = trace()
        compiled = traced.lower().compile(GPU_OPTIONS if gpu else None)
    except jax.errors.JaxRuntimeError as error:
        return {
            "bytes_per_device": math.inf,
            "error": " ".join(str(error).split())[:300],
        }
    plan: Any = compiled.memory_analysis()
    names = ("argument", "output", "alias", "temp")
    memory = {name: getattr(plan, f"{name}_size_in_bytes") for name in names}
    program = hlo.read_program(compiled.as_text() or "")
    cost = {
        "bytes_per_device": sum(memory.values()) - 2 * memory["alias"],
        "memory": memory,
        "compile_seconds": round(time.perf_counter() - start, 1),
        "collectives": hlo.collectives(program),
    }
    if gpu is not None:
        work = count_work(program)
        cost |= {"work": work._asdict(), "seconds": gpu_seconds(work, gpu)}
    elif kind in MATRIX_UNITS:
        cycles = hlo.estimate_cycles(program)
        products = kernel_products(traced.jaxpr, program)
        cost["work"] = {"cycles": cycles, "kernel_products": products}
        # Pallas kernels take the time of their products at full rate, transfers between chips none.
        clock = PEAKS[kind] / (MATRIX_UNITS[kind] * UNIT_FLOPS)
        cost["seconds"] = {
            "operations": cycles / clock,
            "kernels": products / PEAKS[kind],
        }
    peak = peak_flops(kind)
    if "seconds" in cost and flops and peak:
        ideal = flops / devices / peak
        parts = cost["seconds"].values()
        cost["mfu"] = ideal / sum(parts), ideal / max(parts)
    return cost


def gpu_seconds(work: Work, gpu: Gpu) -> dict[str, float]:
    """Return the seconds of the parts of a program's work on one GPU.

    Attention runs at the share of the peak that was `MEASURED`, on any GPU. Other products run at
    the full rate of their type (float32 on the multiprocessors, TF32 at half the rate of bfloat16),
    memory moves at its full rate, and kernels start with some time between. These three parts can
    overlap, so a run takes about the longest, or longer; less only where much of what kernels read
    was still in the cache.
    """
    seconds_between_kernels = 2e-6
    peak = peak_flops(gpu.kind) or math.inf
    rates = {"f32": gpu.float32_flops, "tf32": peak / 2}
    rates |= {name: share * peak for name, share in MEASURED.items()}
    return {
        "memory": work.bytes / gpu.bandwidth,
        "launches": work.launches * seconds_between_kernels,
        "products": sum(x / rates.get(kind, peak) for kind, x in work.products.items()),
    }


def _print_cost(cost: dict[str, Any]) -> None:
    if "error" in cost:
        print("  does not compile   ", cost["error"])
        return
    sizes = cost["memory"].items()
    sizes_text = ", ".join(f"{name} {size / BYTES_PER_GIB:.2f}" for name, size in sizes)
    held = cost["bytes_per_device"] / BYTES_PER_GIB
    print(f"  memory of a device  {held:.2f} GiB ({sizes_text})")
    print(f"  compiled in         {cost['compile_seconds']:.0f} s")
    for kind, traffic in cost["collectives"].items():
        size = traffic["bytes"] / BYTES_PER_GIB
        print(f"    {kind:18} {traffic['count']:6} x, {size:9.2f} GiB a device")
    work = cost.get("work", {})
    counts = work.get("products", {}).items()
    products = ", ".join(f"{x:.3g} in {name}" for name, x in counts)
    for part, seconds in cost.get("seconds", {}).items():
        origin = ORIGINS[part].format(**work | {"products": products})
        print(f"  {part:20}{1e3 * seconds:.1f} ms: {origin}")
    if cost.get("mfu"):
        in_turn, overlapping = cost["mfu"]
        share = f"{in_turn:.0%} one after the other, {overlapping:.0%} if they overlap"
        print(f"  MFU of these parts  {share}, without waiting for other devices")
