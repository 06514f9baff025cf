"""The report of `full4d inspect`: parameters and shardings, work, memory, communication."""

import math
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, Mesh

from full4d_jax.config import Config, MeshConfig, to_dict
from full4d_jax.generation.batch import Batch
from full4d_jax.models.codec_files import codec_shapes
from full4d_jax.models.dit.sharding import (
    AXES,
    AnyMesh,
    check_mesh,
    dotted,
    frames_and_tokens,
    make_mesh,
    mesh_shape,
    shapes_on,
    sharding_on,
)
from full4d_jax.models.flops import peak_flops, step_flops
from full4d_jax.models.wan.text import TEXT_TOKENS
from full4d_jax.training.bad_losses import jit_step, no_losses
from full4d_jax.training.clips.projected_batch import ProjectedBatch
from full4d_jax.training.inspection.compiling import (
    BYTES_PER_GIB,
    MEMORY,
    report_programs,
)
from full4d_jax.training.inspection.devices import slice_devices
from full4d_jax.training.state import in_mesh, state_shapes
from full4d_jax.training.step import train_step


def batch_shapes(config: Config, mesh: AnyMesh) -> Batch | ProjectedBatch:
    """Return the shapes of a batch of training, sharded over samples: pictures or latents."""
    model = config.model
    data = config.data
    views = data.views
    half = jnp.float16

    def array(*sides: int, kind: Any = jnp.float32) -> Any:
        sharding = sharding_on(mesh, "samples", *[None] * len(sides))
        shape = config.training.batch, *sides
        return jax.ShapeDtypeStruct(shape, kind, sharding=sharding)

    text = None
    if data.captions:
        kind = half if data.projections else jnp.float32
        text = array(TEXT_TOKENS, model.text_width, kind=kind)
    if not data.projections:
        size = data.frames, data.height, data.width
        return Batch(
            frames=array(views, *size, 3),
            depth=array(*size),
            intrinsics=array(views, 3, 3),
            world_to_camera=array(views, data.frames, 4, 4),
            text=text,
        )
    strides = model.strides
    frames = strides.latent_frames(data.frames)
    size = frames, data.height // strides.pixels, data.width // strides.pixels
    latents = array(views, *size, strides.channels, kind=half)
    return ProjectedBatch(
        latents=latents,
        projection=latents,
        filled=latents if model.reads_filled else None,
        mask=array(views, *size, kind=jnp.uint8),
        disparity=array(views, *size, kind=half),
        nothing=array(*size, strides.channels, kind=half),
        world_to_camera=array(views, frames, 4, 4),
        intrinsics=array(views, 3, 3),
        text=text,
    )


def planned_mesh(config: MeshConfig, devices: int) -> AbstractMesh:
    """Return the mesh over a number of devices that need not exist; 0 is as many as its axes need.

    Raises:
      InputError: the sizes do not divide the devices.
    """
    needed = math.prod(max(1, n) for n in to_dict(config).values())
    sizes = mesh_shape(config, devices or needed)
    return AbstractMesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def print_step(
    config: Config,
    topology: str,
    slices: int,
    devices: int,
    efficiency: float,
    price: float,
    json_file: Path | None,
) -> None:
    """Print parameters by group, and bytes of the state on each device.

    With a topology, compile the step for it; print its memory, communication, and hours of all
    steps.

    Args:
      config: the experiment.
      topology: name of a TPU slice; without it nothing is compiled.
      slices: number of slices.
      devices: number of devices without a topology; 0 is as many as the mesh needs.
      efficiency: share of the peak FLOP/s that the estimated time assumes.
      price: of a chip for an hour; 0 prints no cost.
      json_file: where to write what is found, bytes in plain numbers.

    Raises:
      InputError: libtpu is missing, the topology is unknown, or the mesh does not fit it.
    """
    if topology:
        mesh = make_mesh(config.mesh, slice_devices(topology, slices))
    else:
        mesh = planned_mesh(config.mesh, devices)
    check_mesh(config, mesh)
    state = state_shapes(config, mesh)
    _print_model(config, mesh, state)
    if not isinstance(mesh, Mesh):
        return
    about = describe(config, topology, mesh, step_flops(config), efficiency) | {
        "slices": slices,
        "clips": "encoded" if config.data.projections else "pictures",
        "samples": config.training.batch,
        "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
    }
    if "seconds" in about:
        # The whole run, and what it costs.
        steps = config.training.steps
        hours = steps * about["seconds"] / 3600
        chip_hours = hours * mesh.size
        about |= {"steps": steps, "hours": hours, "chip_hours": chip_hours}
        line = f"{steps:,} steps: {hours:,.1f} hours, {chip_hours:,.0f} chip-hours"
        if price:
            about["cost"] = price * chip_hours
            line += f", {about['cost']:,.0f} at {price:g} each"
        print(f"  the whole run       {line}")
    reads = "clips with encoded projections" if config.data.projections else "pictures"
    programs = {f"the step on {reads}": partial(trace_step, config, mesh)}
    report_programs(programs, about, json_file)


def describe(
    config: Config,
    topology: str,
    mesh: Mesh,
    flops: float | None = None,
    efficiency: float = 1.0,
    copies: int = 1,
) -> dict[str, Any]:
    """Return the facts of a program before compilation, and print its time.

    Args:
      config: the experiment.
      topology: name of the TPU slice.
      mesh: over its devices.
      flops: of one run of the program on all devices, where they are counted.
      efficiency: share of the peak that the time assumes.
      copies: how many groups of devices do all of this work, each for itself.
    """
    kind = mesh.devices.flat[0].device_kind
    capacity = MEMORY.get(kind)
    about: dict[str, Any] = {
        "config": config.name,
        "topology": topology,
        "devices": mesh.size,
        "device_kind": kind,
        "mesh": dict(mesh.shape),
        "capacity": capacity and round(capacity * BYTES_PER_GIB),
    }
    if flops is None:
        return about
    about["flops"] = flops
    if peak := peak_flops(kind):
        about["seconds"] = seconds = copies * flops / mesh.size / peak / efficiency
        share = f"{efficiency:.0%} of {peak / 1e12:.0f} TFLOP/s"
        print(
            f"  time                {seconds:.2f} s if devices work at {share} (assumed)"
        )
    return about


def _print_model(config: Config, mesh: AnyMesh, state: Any) -> None:
    leaves = {dotted(path): x for path, x in jax.tree.leaves_with_path(state.params)}
    total = sum(x.size for x in leaves.values())
    cut = {name: n for name, n in mesh.shape.items() if n > 1}
    frames, tokens = frames_and_tokens(config, config.data.frames)
    frames *= config.data.views
    batch = config.training.batch
    per_device = batch // (mesh.shape["data"] * mesh.shape["fsdp"])
    work = step_flops(config) / 1e15
    print(f"{config.name}: {total:,} parameters, mesh {cut or 'of one device'}")
    print(f"  tokens of a sample  {frames * tokens:,} = {frames} frames of {tokens}")
    print(f"  samples of a step   {batch}, {per_device} on a device")
    print(f"  work of a step      {work:.4g} PFLOP (formula, no recomputation)")
    groups: dict[str, list[Any]] = defaultdict(list)
    for name, x in leaves.items():
        parts = name.split(".")
        groups[".".join(parts[: 1 + (parts[0] == "blocks")])].append(x)
    counts = {name: sum(x.size for x in group) for name, group in groups.items()}
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        largest = max(groups[name], key=lambda x: x.size)
        shape = "x".join(map(str, largest.shape))
        sharded = tuple(largest.sharding.spec)
        print(f"    {name:24} {count:>16,}  {shape:>18} sharded {sharded}")
    arrays = [x for x in jax.tree.leaves(state) if hasattr(x, "sharding")]
    shards = [(x.sharding.shard_shape(x.shape), x.dtype.itemsize) for x in arrays]
    size = sum(math.prod(shape) * item for shape, item in shards) / BYTES_PER_GIB
    print(f"  state on a device   {size:.3f} GiB: parameters, average, optimizer")


def trace_step(config: Config, mesh: Mesh) -> Any:
    """Trace the program that `train` runs on this mesh, as `jax.jit(...).trace` does."""
    state = state_shapes(config, mesh)
    losses = shapes_on(mesh, jax.eval_shape(no_losses))
    weights = codec_shapes(config, mesh) if config.runs_codec else None
    step = in_mesh(mesh, train_step(config))
    program = jit_step(step, state, losses, config.training)
    return program.trace(state, losses, batch_shapes(config, mesh), weights)
