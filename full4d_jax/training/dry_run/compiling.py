"""Compile programs for devices that need not exist, and report the compiler's numbers."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from full4d_jax.models.flops import PEAKS, peak_flops
from full4d_jax.training.dry_run.collectives import collectives
from full4d_jax.training.dry_run.devices import GPUS, Gpu
from full4d_jax.training.dry_run.hlo import estimate_cycles
from full4d_jax.training.dry_run.kernels import kernel_products
from full4d_jax.training.dry_run.traffic import Work, count_work
from input_pipeline.whole_files import write_text

GIB = 2**30
SCOPES = ("projection", "codec")  # named where clips are prepared
MEMORY = {"TPU v5": 95.74, "TPU v5p": 95.74, "TPU v5 lite": 15.75, "TPU v6 lite": 31.25} | {
    gpu.kind: round(gpu.memory / GIB, 2) for gpu in GPUS.values()
}  # GiB
# Operations in bfloat16 that all matrix units of a chip, 128 x 128 each, do in a cycle. The peak
# divided by them is the clock. How many a v6e has is told differently on different pages.
TPU_FLOPS_A_CYCLE = {
    "TPU v4": 8 * 128**2 * 2,
    "TPU v5": 8 * 128**2 * 2,
    "TPU v5p": 8 * 128**2 * 2,
    "TPU v5 lite": 4 * 128**2 * 2,
}
# Without a GPU to try them on, XLA's choice of Triton's tiles can fail; products go to cuBLAS.
GPU_OPTIONS = {"xla_gpu_enable_triton_gemm": False}
LAUNCH = 2e-6  # seconds between two kernels on a GPU, at least
# Shares of the peak at which attention in bfloat16 ran on an H200 (docs/pods.md#accelerators), by
# the products that kernels make: two forward, and for the gradient seven, or cuDNN's five.
MEASURED = {
    "flash_forward": 0.327,
    "flash_gradient": 0.501,
    "cudnn_forward": 0.565,
    "cudnn_gradient": 0.535,
}


def report_program(
    program: str, trace: Callable[[], Any], about: dict[str, Any], json_file: Path | None
) -> float:
    """Compile a program, print what is found, write it with `about`, and return its GiB."""
    cost = _compile_and_print(program, trace, about)
    needed = cost["bytes_per_device"] / GIB
    _print_fits(needed, about)
    if json_file:
        _write(json_file, about | cost)
    return needed


def report_programs(
    programs: dict[str, Callable[[], Any]], about: dict[str, Any], json_file: Path | None
) -> None:
    """Compile programs that run one after the other; print, and write, each when it is found.

    If `about` has FLOPs, they are those of the first program. A device holds at most what any of
    them needs and the results of the others, of which some are counted twice: what a program
    leaves, the next one takes.
    """
    costs: dict[str, dict[str, Any]] = {}
    needed = 0.0
    for name, trace in programs.items():
        work = about if not costs else about | {"flops": None}
        costs[name] = _compile_and_print(name, trace, work)
        results = {n: one.get("memory", {}).get("output", 0) for n, one in costs.items()}
        results_of_others = {n: sum(results.values()) - size for n, size in results.items()}
        needed = max(one["bytes_per_device"] + results_of_others[n] for n, one in costs.items())
        if json_file:
            _write(json_file, about | {"bytes_per_device": needed, "programs": costs})
    _print_fits(needed / GIB, about)


def _compile_and_print(
    program: str, trace: Callable[[], Any], about: dict[str, Any]
) -> dict[str, Any]:
    print(f"compiling {program} for {about['devices']} x {about['device_kind']} ...", flush=True)
    gpu = next((x for x in GPUS.values() if x.kind == about["device_kind"]), None)
    cost = compile_program(trace, gpu)
    if gpu is not None and cost.get("work"):
        cost["work"]["mfu"] = predicted_mfu(cost["work"]["seconds"], gpu.kind, about)
    if cost.get("estimated_cycles") and about["device_kind"] in TPU_FLOPS_A_CYCLE:
        cost["tpu_seconds"] = tpu_seconds(cost, about["device_kind"])
        mfu = predicted_mfu(cost["tpu_seconds"], about["device_kind"], about)
        cost["tpu_mfu"] = None if mfu is None else mfu[0]
    _print_cost(cost)
    return cost


def _print_fits(needed: float, about: dict[str, Any]) -> None:
    kind = about["device_kind"]
    capacity = MEMORY.get(kind)
    unknown = f"memory of {kind} is not known here"
    print(f"  fits                {verdict(needed, capacity) if capacity else unknown}")


def _write(json_file: Path, cost: dict[str, Any]) -> None:
    write_text(json_file, json.dumps(cost, indent=1) + "\n")
    print(f"wrote {json_file}", flush=True)


def compile_program(trace: Callable[[], Any], gpu: Gpu | None = None) -> dict[str, Any]:
    """Compile a program for the devices of its mesh, and return what is known of it.

    Args:
      trace: returns the program, traced.
      gpu: the kind of its devices, if they are GPUs.

    Returns:
      Plain values: `bytes_per_device` (infinite, with an `error`, if it does not compile), its
      parts in `memory`, `collectives` as count and bytes of each kind on each device, the shares
      of the compiler's cycles that project and encode clips (`hlo.Estimate`), of TPUs
      `kernel_products`, and of GPUs `work` (`predict_time`).
    """
    start = time.perf_counter()
    try:
        traced = trace()
        compiled = traced.lower().compile(GPU_OPTIONS if gpu else None)
    except jax.errors.JaxRuntimeError as error:
        words = " ".join(str(error).split())[:300]
        return {"bytes_per_device": math.inf, "error": words}
    plan: Any = compiled.memory_analysis()
    names = ("argument", "output", "alias", "temp")
    memory = {name: getattr(plan, f"{name}_size_in_bytes") for name in names}
    hlo = compiled.as_text() or ""
    estimate = estimate_cycles(hlo, SCOPES)
    return {
        "bytes_per_device": sum(memory.values()) - 2 * memory["alias"],
        "memory": memory,
        "compile_seconds": round(time.perf_counter() - start, 1),
        "collectives": {k: v._asdict() for k, v in collectives(hlo).items()},
        "estimated_cycles": estimate.cycles[""],
        "without_estimate": estimate.unknown[""],
        "kernel_products": kernel_products(traced.jaxpr, hlo) if gpu is None else None,
        **{f"{name}_share": estimate.share(name) for name in SCOPES},
        "work": None if gpu is None else predict_time(count_work(hlo), gpu),
    }


def predict_time(work: Work, gpu: Gpu) -> dict[str, Any]:
    """Return the work of a program on one GPU and the seconds of its parts.

    Attention runs at the share of the peak that was `MEASURED`, on any GPU. Other products run at
    the full rate of their type (float32 on the multiprocessors, TF32 at half the rate of bfloat16),
    memory moves at its full rate, and kernels start `LAUNCH` seconds apart. These three parts can
    overlap, so a run takes about the longest, or longer; less only where much of what kernels read
    was still in the cache.
    """
    peak = peak_flops(gpu.kind) or math.inf
    rates = {"f32": gpu.float32_flops, "tf32": peak / 2}
    rates |= {name: share * peak for name, share in MEASURED.items()}
    products = {kind: flops / rates.get(kind, peak) for kind, flops in work.products.items()}
    return work._asdict() | {
        "product_seconds": products,
        "seconds": {
            "memory": work.bytes / gpu.bandwidth,
            "launches": work.launches * LAUNCH,
            "products": sum(products.values()),
        },
    }


def tpu_seconds(cost: dict[str, Any], kind: str) -> dict[str, float]:
    """Return the seconds of a program's parts on one TPU.

    XLA says how many cycles its own operations take. Pallas kernels take the time of their products
    at full rate (`kernel_products`). Transfers between chips take none.

    Args:
      cost: of the program, by `compile_program`.
      kind: the kind of its devices.
    """
    peak = PEAKS[kind]
    clock = peak / TPU_FLOPS_A_CYCLE[kind]
    return {
        "operations": cost["estimated_cycles"] / clock,
        "kernels": cost["kernel_products"] / peak,
    }


def predicted_mfu(
    seconds: dict[str, float], kind: str, about: dict[str, Any]
) -> tuple[float, float] | None:
    """Return model FLOPs utilization if a program's parts ran one after another, and all at once.

    Args:
      seconds: of the parts, on one device.
      kind: the kind of the devices.
      about: `flops` that the model needs on all devices, and the number of `devices`.

    Returns:
      Shares of the peak, without waiting for other devices; None where the operations are not
      counted.
    """
    peak = peak_flops(kind)
    if not about.get("flops") or not peak:
        return None
    ideal = about["flops"] / about["devices"] / peak
    return ideal / sum(seconds.values()), ideal / max(seconds.values())


def _print_cost(cost: dict[str, Any]) -> None:
    if "error" in cost:
        print("  does not compile   ", cost["error"])
        return
    words = ", ".join(f"{name} {size / GIB:.2f}" for name, size in cost["memory"].items())
    print(f"  memory of a device  {cost['bytes_per_device'] / GIB:.2f} GiB ({words})")
    print(f"  compiled in         {cost['compile_seconds']:.0f} s")
    for kind, traffic in cost["collectives"].items():
        size = traffic["bytes"] / GIB
        print(f"    {kind:18} {traffic['count']:6} x, {size:9.2f} GiB a device")
    if cost["work"]:
        _print_work(cost["work"])
    if cost["estimated_cycles"]:
        shares = [(name, cost[f"{name}_share"]) for name in SCOPES]
        words = [f"{name} {'unknown' if x is None else f'{x:.1%}'}" for name, x in shares]
        cycles = f"{cost['estimated_cycles'] / 1e9:.2f} G cycles"
        print(f"  XLA's estimate      {cycles} without Pallas kernels; of these {', '.join(words)}")
    if "tpu_seconds" in cost:
        _print_tpu_seconds(cost)


def _print_tpu_seconds(cost: dict[str, Any]) -> None:
    seconds = cost["tpu_seconds"]
    size = f"{cost['kernel_products'] / 1e12:.3g} TFLOP"
    print(f"  these cycles        {1e3 * seconds['operations']:.1f} ms")
    print(f"  Pallas kernels      {size}: {1e3 * seconds['kernels']:.1f} ms at full rate")
    if cost["tpu_mfu"]:
        print(f"  MFU of these parts  {cost['tpu_mfu']:.0%}, without waiting for other devices")


def _print_work(work: dict[str, Any]) -> None:
    seconds = work["seconds"]
    moved = f"{work['bytes'] / 1e9:.1f} GB, of these {work['copies'] / 1e9:.1f} by copies alone"
    print(f"  kernels move        {moved}: {1e3 * seconds['memory']:.1f} ms at full rate")
    launches = f"{work['launches']:,} launches"
    print(f"                      {launches}: {1e3 * seconds['launches']:.1f} ms at full rate")
    for kind, flops in work["products"].items():
        size = f"{flops / 1e12:.3g} TFLOP"
        words = kind.replace("_", " ") if kind in MEASURED else f"products in {kind}"
        rate = f"{MEASURED[kind]:.1%} of the peak, as measured" if kind in MEASURED else "full rate"
        milliseconds = 1e3 * work["product_seconds"][kind]
        print(f"  {words:20}{size}: {milliseconds:.1f} ms at {rate}")
    if work.get("mfu"):
        in_turn, overlapping = work["mfu"]
        words = f"{in_turn:.0%} one after the other, {overlapping:.0%} if they overlap"
        print(f"  MFU of these parts  {words}, without waiting for other devices")


def verdict(needed: float, memory: float) -> str:
    """Say whether GiB that are needed fit into the memory of a device."""
    words = f"{needed:.2f} of {memory} GiB"
    return f"yes: {words}, {1 - needed / memory:.0%} free" if needed < memory else f"NO: {words}"
