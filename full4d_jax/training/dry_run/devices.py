"""Devices that need not exist, for the compilers of TPUs and NVIDIA GPUs."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
from jax.experimental import topologies

from full4d_jax.session.errors import InputError
from full4d_jax.session.extras import has, install

GPUS_PER_HOST = 8


class Gpu(NamedTuple):
    """What the compiler asks of a GPU; from NVIDIA's white papers and tuning guides."""

    kind: str
    """Its name, as JAX gives it."""
    capability: tuple[int, int]
    cores: int
    """Multiprocessors."""
    units: int
    """Float32 units of a multiprocessor."""
    clock: float
    """GHz, boosted."""
    bandwidth: float
    """Bytes a second of its memory."""
    memory: int
    """Bytes."""
    cache: int
    """Bytes of the second level."""
    threads: int
    """Most threads that a multiprocessor holds."""
    shared: int
    """Bytes of shared memory of a multiprocessor; a block gets 1 KiB less."""

    @property
    def float32_flops(self) -> float:
        """Operations a second in float32, a multiplication and an addition being two."""
        return 2 * self.cores * self.units * self.clock * 1e9

    @property
    def description(self) -> str:
        """The text that XLA's GPU compiler takes in the place of a device."""
        major, minor = self.capability
        return f"""
            gpu_device_info {{
              threads_per_block_limit: 1024
              threads_per_warp: 32
              shared_memory_per_block: 49152
              shared_memory_per_core: {self.shared}
              threads_per_core_limit: {self.threads}
              core_count: {self.cores}
              fpus_per_core: {self.units}
              block_dim_limit_x: 2147483647
              block_dim_limit_y: 65535
              block_dim_limit_z: 65535
              memory_bandwidth: {self.bandwidth:.0f}
              l2_cache_size: {self.cache}
              clock_rate_ghz: {self.clock}
              device_memory_size: {self.memory}
              shared_memory_per_block_optin: {self.shared - 1024}
              cuda_compute_capability {{ major: {major} minor: {minor} }}
              registers_per_core_limit: 65536
              registers_per_block_limit: 65536
            }}
            platform_name: "CUDA"
            dnn_version_info {{ major: 9 minor: 8 patch: 0 }}
            runtime_version {{ major: 12 minor: 8 }}
            device_description_str: "{self.kind}"
        """


GPUS = {
    "h100": Gpu(
        kind="NVIDIA H100 80GB HBM3",
        capability=(9, 0),
        cores=132,
        units=128,
        clock=1.98,
        bandwidth=3.352e12,
        memory=84_942_979_072,
        cache=50 * 2**20,
        threads=2048,
        shared=228 * 2**10,
    ),
    "a100": Gpu(
        kind="NVIDIA A100-SXM4-80GB",
        capability=(8, 0),
        cores=108,
        units=64,
        clock=1.41,
        bandwidth=2.039e12,
        memory=84_987_740_160,
        cache=40 * 2**20,
        threads=2048,
        shared=164 * 2**10,
    ),
    "rtx4090": Gpu(
        kind="NVIDIA GeForce RTX 4090",
        capability=(8, 9),
        cores=128,
        units=128,
        clock=2.52,
        bandwidth=1.008e12,
        memory=25_386_352_640,
        cache=72 * 2**20,
        threads=1536,
        shared=100 * 2**10,
    ),
}


def gpu_of(topology: str) -> Gpu | None:
    """Return the GPU that a topology names, like h100:8; None for one of TPUs."""
    return GPUS.get(topology.partition(":")[0].lower())


def slice_devices(topology: str, slices: int) -> list[Any]:
    """Return the devices of equal TPU slices, or GPUs of hosts of eight, which need not exist.

    Args:
      topology: a TPU slice, or a GPU's name and how many there are.
      slices: number of TPU slices; 1 for GPUs.

    Raises:
      InputError: the compiler is missing, or the topology is unknown.
    """
    gpu = gpu_of(topology)
    return _tpus(topology, slices) if gpu is None else _gpus(topology, gpu)


@contextlib.contextmanager
def tracing_for(topology: str) -> Iterator[None]:
    """Trace as a machine with such devices does, which chooses its precision by them."""
    if gpu_of(topology) is None:
        yield
        return
    with mock.patch.object(jax, "default_backend", return_value="gpu"):
        yield


def _gpus(topology: str, gpu: Gpu) -> list[Any]:
    count = re.fullmatch(r"\w+:(\d+)", topology)
    number = int(count[1]) if count else 0
    hosts = max(1, number // GPUS_PER_HOST)
    if not number or (number % GPUS_PER_HOST and number > GPUS_PER_HOST):
        expected = f"a GPU's name and a number of up to {GPUS_PER_HOST}, or a multiple of it"
        raise InputError("option", "--topology", topology, expected, "e.g. h100:8")
    if not (has("jax_plugins") and has("jax_plugins.xla_cuda12")):
        do = f"install it: {install('jax_plugins.xla_cuda12')}"
        raise InputError("extra", "cuda", "no jax_plugins.xla_cuda12", "the compiler for GPU", do)
    shape = f"1x{hosts}x{number // hosts}"
    description = topologies.get_topology_desc(
        platform="cuda", topology_name="", target_config=gpu.description, topology=shape
    )
    return list(description.devices)


def _tpus(topology: str, slices: int) -> list[Any]:
    do = f"install it: {install('libtpu')}"
    try:
        import libtpu  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError("extra", "tpu", error, "libtpu, the compiler for TPU", do) from None
    try:
        description = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, num_slices=slices
        )
    except Exception as error:
        expected = "a TPU slice, e.g. v5p:4x4x8, v6e:8x8 or v5e:4x4, or GPUs, e.g. h100:8"
        words = " ".join(str(error).split())[:200]
        raise InputError("option", "--topology", f"{topology} ({words})", expected, "") from None
    return list(description.devices)
