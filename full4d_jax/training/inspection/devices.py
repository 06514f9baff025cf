"""Devices that need not exist, for the compilers of TPUs and NVIDIA GPUs."""

import re
from typing import Any, NamedTuple

from jax.experimental import topologies

from full4d_jax.session.errors import InputError
from full4d_jax.session.extras import load_extra

GPUS_PER_HOST = 8

# From NVIDIA's white papers and tuning guides: compute capability, multiprocessors, float32 units
# of each, boosted clock in GHz, bytes a second and bytes of memory, MiB of the second cache, most
# threads of a multiprocessor, KiB of its shared memory (a block gets 1 less), name in JAX.
GPU_TABLE = """
h100     9.0  132  128  1.98  3.352e12  84942979072  50  2048  228  NVIDIA H100 80GB HBM3
a100     8.0  108   64  1.41  2.039e12  84987740160  40  2048  164  NVIDIA A100-SXM4-80GB
rtx4090  8.9  128  128  2.52  1.008e12  25386352640  72  1536  100  NVIDIA GeForce RTX 4090
"""


class Gpu(NamedTuple):
    """A GPU.

    Attributes:
      kind: its name, as JAX gives it.
      float32_flops: operations a second in float32, a multiplication and an addition being two.
      bandwidth: bytes a second of its memory.
      memory: its bytes.
      description: the text that XLA's GPU compiler takes in the place of a device.
    """

    kind: str
    float32_flops: float
    bandwidth: float
    memory: int
    description: str


def _gpu_of_row(row: str) -> tuple[str, Gpu]:
    """Return the name and the GPU of a row of `GPU_TABLE`."""
    name, capability, cores, units, clock, *others = row.split(maxsplit=10)
    bandwidth, memory, cache, threads, shared, kind = others
    major, minor = capability.split(".")
    description = f"""
        gpu_device_info {{
          threads_per_block_limit: 1024
          threads_per_warp: 32
          shared_memory_per_block: 49152
          shared_memory_per_core: {int(shared) * 2**10}
          threads_per_core_limit: {threads}
          core_count: {cores}
          fpus_per_core: {units}
          block_dim_limit_x: 2147483647
          block_dim_limit_y: 65535
          block_dim_limit_z: 65535
          memory_bandwidth: {float(bandwidth):.0f}
          l2_cache_size: {int(cache) * 2**20}
          clock_rate_ghz: {clock}
          device_memory_size: {memory}
          shared_memory_per_block_optin: {int(shared) * 2**10 - 1024}
          cuda_compute_capability {{ major: {major} minor: {minor} }}
          registers_per_core_limit: 65536
          registers_per_block_limit: 65536
        }}
        platform_name: "CUDA"
        dnn_version_info {{ major: 9 minor: 8 patch: 0 }}
        runtime_version {{ major: 12 minor: 8 }}
        device_description_str: "{kind}"
    """
    flops = 2 * int(cores) * int(units) * float(clock) * 1e9
    return name, Gpu(kind, flops, float(bandwidth), int(memory), description)


GPUS = dict(_gpu_of_row(row) for row in GPU_TABLE.strip().splitlines())


def slice_devices(topology: str, slices: int) -> list[Any]:
    """Return the devices of equal TPU slices, or GPUs of hosts of eight, which need not exist.

    Args:
      topology: a TPU slice, or a GPU's name and how many there are.
      slices: number of TPU slices; 1 for GPUs.

    Raises:
      InputError: the compiler is missing, or the topology is unknown.
    """
    gpu = GPUS.get(topology.partition(":")[0].lower())
    return _tpus(topology, slices) if gpu is None else _gpus(topology, gpu)


def _gpus(topology: str, gpu: Gpu) -> list[Any]:
    count = re.fullmatch(r"\w+:(\d+)", topology)
    number = int(count[1]) if count else 0
    hosts = max(1, number // GPUS_PER_HOST)
    if not number or (number % GPUS_PER_HOST and number > GPUS_PER_HOST):
        expected = f"a GPU's name and at most {GPUS_PER_HOST}, or a multiple of it"
        raise InputError("option", "--topology", topology, expected, "e.g. h100:8")
    load_extra("jax_plugins.xla_cuda12", "extra", "cuda, the compiler for GPU")
    shape = f"1x{hosts}x{number // hosts}"
    description = topologies.get_topology_desc(
        platform="cuda", topology_name="", target_config=gpu.description, topology=shape
    )
    return list(description.devices)


def _tpus(topology: str, slices: int) -> list[Any]:
    load_extra("libtpu", "extra", "tpu, the compiler for TPU")
    try:
        description = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, num_slices=slices
        )
    except Exception as error:
        expected = "a TPU slice, such as v5p:4x4x8 or v6e:8x8, or GPUs, such as h100:8"
        found = f"{topology} ({' '.join(str(error).split())[:200]})"
        raise InputError("option", "--topology", found, expected, "") from None
    return list(description.devices)
