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
from typing import Any

import jax
from compiled import render_programs
from jax.sharding import SingleDeviceSharding

from full4d_jax.models.flops import peak_flops
from full4d_jax.training.dry_run.devices import slice_devices
from full4d_jax.training.dry_run.kernels import kernel_products
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
        hlo = traced.lower().compile().as_text()
        products = kernel_products(traced.jaxpr, hlo)
        results[f"{kind}_products"] = products
        results[f"{kind}_milliseconds"] = round(1e3 * PASSES * products / peak, 2)
        results[f"{kind}_bytes"] = count_work(hlo).bytes
    print(json.dumps(results))


if __name__ == "__main__":
    main()
