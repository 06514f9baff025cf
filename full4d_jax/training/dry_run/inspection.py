"""The report of `full4d inspect`: parameters and shardings, work, memory, communication."""

import math
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import AbstractMesh, AxisType, Mesh

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, MeshConfig, to_dict
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.projection_guidance import project_clips
from full4d_jax.models.conditions import reads_filled
from full4d_jax.models.flops import peak_flops, step_flops
from full4d_jax.models.sharding import AXES, check_mesh, dotted, make_mesh, mesh_shape, tokens_of
from full4d_jax.session.errors import InputError
from full4d_jax.session.extras import install
from full4d_jax.training.dry_run.compiling import (
    GIB,
    MEMORY,
    compile_program,
    report_program,
    verdict,
)
from full4d_jax.training.dry_run.shapes import (
    batch_shapes,
    frozen_shapes,
    losses_shapes,
)
from full4d_jax.training.placement import in_mesh, state_shapes
from full4d_jax.training.program import jit_step
from full4d_jax.training.step import train_step


def print_shapes(config: Config, devices: int) -> None:
    """Print parameters by group, and bytes of the state on each device."""
    mesh = planned_mesh(config.mesh, devices)
    check_mesh(config, mesh)
    state = state_shapes(config, mesh)
    _print_model(config, mesh, state)


def planned_mesh(config: MeshConfig, devices: int) -> AbstractMesh:
    """Return the mesh over a number of devices that need not exist; 0 is as many as it asks for.

    Raises:
      InputError: the sizes do not divide the devices.
    """
    asked = math.prod(max(1, n) for n in to_dict(config).values())
    sizes = mesh_shape(config, devices or asked)
    return AbstractMesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def print_compiled(
    config: Config,
    topology: str,
    slices: int,
    efficiency: float,
    *,
    largest: bool,
    json_file: Path | None = None,
) -> None:
    """Compile the step for TPU slices; print its memory, communication and estimated time.

    Args:
      config: the experiment.
      topology: name of a TPU slice.
      slices: number of slices.
      efficiency: share of the peak FLOP/s that the estimated time assumes.
      largest: find how many samples fit.
      json_file: where to write what is found, bytes in plain numbers.

    Raises:
      InputError: libtpu is missing, the topology is unknown, or the mesh does not fit it.
    """
    devices = slice_devices(topology, slices)
    mesh = make_mesh(config.mesh, devices)
    if config.model.precision == "auto":
        config = replace(config, model=replace(config.model, precision="bfloat16"))
    check_mesh(config, mesh)
    state = state_shapes(config, mesh)
    _print_model(config, mesh, state)
    kind = devices[0].device_kind
    capacity = MEMORY.get(kind)
    about = describe(config, topology, mesh, step_flops(config), efficiency) | {
        "slices": slices,
        "clips": "encoded" if config.data.projections else "pictures",
        "samples": config.training.batch,
        "parameters": sum(math.prod(x.shape) for x in jax.tree.leaves(state.params)),
    }
    words = "clips with encoded projections" if config.data.projections else "pictures"
    program = f"the step on {words}"
    needed = report_program(program, partial(trace_step, config, mesh), about, json_file)
    if largest and capacity:
        _find_largest(config, mesh, needed, capacity)


def print_projection(config: Config, topology: str, json_file: Path | None) -> None:
    """Compile the projection of a batch of pictures alone; the step on pictures begins with it.

    Raises:
      InputError: as `print_compiled` does.
    """
    mesh = make_mesh(config.mesh, slice_devices(topology, 1))
    check_mesh(config, mesh)
    about = _slice_of(config, topology, mesh) | {"samples": config.training.batch}
    print(f"{config.name}: {_per_device(config, mesh)} samples on a device")
    report_program("the projection", partial(trace_projection, config, mesh), about, json_file)


def describe(
    config: Config, topology: str, mesh: Mesh, flops: float, efficiency: float
) -> dict[str, Any]:
    """Return what is known of a program before it compiles, and print its time.

    Args:
      config: the experiment.
      topology: name of the TPU slice.
      mesh: over its devices.
      flops: of one run of the program on all devices.
      efficiency: share of the peak that the time assumes.
    """
    about: dict[str, Any] = _slice_of(config, topology, mesh) | {"flops": flops}
    if peak := peak_flops(about["device_kind"]):
        about["seconds"] = seconds = flops / mesh.size / peak / efficiency
        share = f"{efficiency:.0%} of {peak / 1e12:.0f} TFLOP/s"
        print(f"  time                {seconds:.2f} s if devices work at {share} (assumed)")
    return about


def _slice_of(config: Config, topology: str, mesh: Mesh) -> dict[str, Any]:
    kind = mesh.devices.flat[0].device_kind
    capacity = MEMORY.get(kind)
    return {
        "config": config.name,
        "topology": topology,
        "devices": mesh.size,
        "device_kind": kind,
        "mesh": dict(mesh.shape),
        "capacity": capacity and round(capacity * GIB),
    }


def _print_model(config: Config, mesh: Mesh | AbstractMesh, state: Any) -> None:
    flat = jax.tree.leaves_with_path(state.params)
    total = sum(math.prod(x.shape) for _, x in flat)
    cut = {name: n for name, n in mesh.shape.items() if n > 1}
    frames, tokens = tokens_of(config)
    print(f"{config.name}: {total:,} parameters, mesh {cut or 'of one device'}")
    print(f"  tokens of a sample  {frames * tokens:,} = {frames} frames of {tokens}")
    print(f"  samples of a step   {config.training.batch}, {_per_device(config, mesh)} on a device")
    print(
        f"  work of a step      {step_flops(config) / 1e15:.4g} PFLOP (formula, no recomputation)"
    )
    groups: Counter[str] = Counter()
    largest: dict[str, Any] = {}
    for path, x in flat:
        name = dotted(path)
        group = ".".join(name.split(".")[:2]) if name.startswith("blocks.") else name.split(".")[0]
        groups[group] += math.prod(x.shape)
        if math.prod(x.shape) > math.prod(getattr(largest.get(group), "shape", (0,))):
            largest[group] = x
    for group, count in groups.most_common():
        x = largest[group]
        shape = "x".join(map(str, x.shape))
        print(f"    {group:24} {count:>16,}  {shape:>18} sharded {tuple(x.sharding.spec)}")
    cuts = [(math.prod(x.sharding.shard_shape(x.shape)), x.dtype) for x in _arrays(state)]
    size = sum(count * dtype.itemsize for count, dtype in cuts)
    print(f"  state on a device   {size / GIB:.3f} GiB: parameters, average, optimizer")


def _arrays(tree: Any) -> list[Any]:
    return [x for x in jax.tree.leaves(tree) if hasattr(x, "sharding")]


def _per_device(config: Config, mesh: Mesh | AbstractMesh) -> int:
    return config.training.batch // (mesh.shape["data"] * mesh.shape["fsdp"])


def trace_step(config: Config, mesh: Mesh) -> Any:
    """Trace the program that `train` runs on this mesh, as `jax.jit(...).trace` does."""
    state = state_shapes(config, mesh)
    losses = losses_shapes(mesh)
    program = jit_step(in_mesh(mesh, train_step(config)), state, losses, config.training.spike)
    return program.trace(state, losses, batch_shapes(config, mesh), *frozen_shapes(config, mesh))


def trace_projection(config: Config, mesh: Mesh) -> Any:
    """Trace the projection of a batch, as it is in the step on pictures."""
    clips = replace(config, data=replace(config.data, projections=0))

    def projection(source: Any, depth: Any, cameras: Cameras) -> Any:
        return project_clips(source, depth, cameras, fill=reads_filled(config.model))

    batch = cast(Batch, batch_shapes(clips, mesh))
    shape = batch.frames.shape
    cut = batch.depth.sharding
    source = jax.ShapeDtypeStruct((shape[0], *shape[2:]), jnp.float32, sharding=cut)
    return jax.jit(in_mesh(mesh, projection)).trace(source, batch.depth, batch.cameras)


def _find_largest(config: Config, mesh: Mesh, needed: float, memory: float) -> None:
    """Double the batch once, extrapolate, and compile the extrapolated batch."""
    samples = _per_device(config, mesh)

    def compiled(count: int) -> float:
        batch = config.training.batch // samples * count
        wanted = replace(config, training=replace(config.training, batch=batch))
        total = compile_program(partial(trace_step, wanted, mesh))["bytes_per_device"] / GIB
        print(f"  {count:3} samples         {verdict(total, memory)} (batch {batch})", flush=True)
        return total

    slope = (compiled(2 * samples) - needed) / samples
    if not math.isfinite(slope):
        return
    most = samples + int((memory - needed) / slope)
    while most > 2 * samples and compiled(most) > memory:
        most -= 1


def slice_devices(topology: str, slices: int) -> list[Any]:
    """Return the devices of equal TPU slices, which need not exist.

    Raises:
      InputError: libtpu is missing, or the topology is unknown.
    """
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
        expected = "a TPU slice, e.g. v5p:4x4x8, v6e:8x8 or v5e:4x4"
        words = " ".join(str(error).split())[:200]
        raise InputError("option", "--topology", f"{topology} ({words})", expected, "") from None
    return list(description.devices)
