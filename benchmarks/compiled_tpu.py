"""Counts the renderer's work on a TPU that is not here; a JSON line comes last.

    pip install libtpu
    python benchmarks/compiled_tpu.py [--topology v5p:2x2x1]

The programs are those of `benchmarks/compiled.py`. Keys `{forward,gradient}_{what}`: `bytes` that
operations read and write, kernels their operands and results (`count_work`); `products`, operations
of matrix products inside the kernels, two for each multiplication; and `milliseconds` that these
take at the peak of bfloat16, in the six passes of `Precision.HIGHEST`.
"""

import argparse
import json
import math
import os
from collections.abc import Iterator
from typing import Any

import jax
from compiled import render_programs
from jax.extend import core
from jax.sharding import SingleDeviceSharding

from full4d_jax.models.flops import peak_flops
from full4d_jax.training.dry_run.devices import slice_devices
from full4d_jax.training.dry_run.traffic import count_work

PASSES = 6


def main() -> None:
    """Print the JSON line."""
    parser = argparse.ArgumentParser(description="Counts the renderer's work on a TPU.")
    parser.add_argument("--topology", default="v5p:2x2x1")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")  # the compiler alone is for TPUs
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    device = slice_devices(options.topology, 1)[0]
    peak = peak_flops(device.device_kind) or math.inf
    results: dict[str, Any] = {}
    for kind, trace in render_programs(SingleDeviceSharding(device)).items():
        traced = trace()
        products = kernel_products(traced.jaxpr.jaxpr)
        results[f"{kind}_products"] = products
        results[f"{kind}_milliseconds"] = round(1e3 * PASSES * products / peak, 2)
        results[f"{kind}_bytes"] = count_work(traced.lower().compile().as_text()).bytes
    print(json.dumps(results))


def kernel_products(jaxpr: Any) -> int:
    """Return the operations of products in the Pallas kernels of a program."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "pallas_call":
            programs = math.prod(equation.params["grid_mapping"].grid)
            total += programs * _products(equation.params["jaxpr"])
        else:
            total += sum(kernel_products(inner) for inner in _inner(equation))
    return total


def _products(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            length = math.prod(left[axis] for axis in contracted)
            total += 2 * length * math.prod(equation.outvars[0].aval.shape)
        total += sum(_products(inner) for inner in _inner(equation))
    return total


def _inner(equation: Any) -> Iterator[Any]:
    """The programs inside an operation: all branches, each loop's body once."""
    for value in equation.params.values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, core.ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, core.Jaxpr):
                yield one


if __name__ == "__main__":
    main()
