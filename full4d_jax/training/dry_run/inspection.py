"""The report of `full4d inspect`: parameters and shardings, work, memory, communication."""

import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding

from full4d_jax.config import Config, MeshConfig, to_dict
from full4d_jax.config.codecs import strides_of
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.projected import ProjectedBatch
from full4d_jax.models.codecs.codec import codec_shapes, computing_weights
from full4d_jax.models.conditions import reads_filled
from full4d_jax.models.flops import peak_flops, step_flops
from full4d_jax.models.sharding import (
    AXES,
    check_mesh,
    dotted,
    frames_and_tokens,
    make_mesh,
    mesh_shape,
    shapes_on,
    spec,
)
from full4d_jax.models.wan.text import TEXT_TOKENS
from full4d_jax.training.bad_losses import no_losses
from full4d_jax.training.dry_run.compiling import (
    GIB,
    MEMORY,
    report_programs,
)
from full4d_jax.training.dry_run.devices import slice_devices
from full4d_jax.training.placement import in_mesh, jit_step, runs_codec, state_shapes
from full4d_jax.training.step import train_step


def batch_shapes(config: Config, mesh: Mesh | AbstractMesh) -> Batch | ProjectedBatch:
    """Return a batch as training takes it, sharded over samples: pictures, or what is encoded."""
    batch = _projected(config) if config.data.projections else _pictures(config)

    def cut(x: Any) -> Any:
        sharding = NamedSharding(mesh, spec("samples", *[None] * (len(x.shape) - 1)))
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(cut, batch)


def _pictures(config: Config) -> Batch:
    data = config.data
    clips = config.training.batch
    size = data.frames, data.height, data.width
    return Batch(
        frames=_array(clips, data.views, *size, 3),
        depth=_array(clips, *size),
        intrinsics=_array(clips, data.views, 3, 3),
        world_to_camera=_array(clips, data.views, data.frames, 4, 4),
        text=_texts(config, jnp.float32),
    )


def _projected(config: Config) -> ProjectedBatch:
    model = config.model
    data = config.data
    strides = strides_of(model.codec, model.codec_stride)
    frames = strides.latent_frames(data.frames)
    size = frames, data.height // strides.pixels, data.width // strides.pixels
    clips = config.training.batch
    channels = strides.channels
    half = jnp.float16
    grid = clips, data.views
    latents = _array(*grid, *size, channels, kind=half)
    return ProjectedBatch(
        latents=latents,
        projection=latents,
        filled=latents if reads_filled(model) else None,
        mask=_array(*grid, *size, kind=jnp.uint8),
        disparity=_array(*grid, *size, kind=half),
        nothing=_array(clips, *size, channels, kind=half),
        world_to_camera=_array(*grid, frames, 4, 4),
        intrinsics=_array(*grid, 3, 3),
        text=_texts(config, half),
    )


def _texts(config: Config, kind: Any) -> Any:
    if not config.data.captions:
        return None
    return _array(config.training.batch, TEXT_TOKENS, config.model.text_width, kind=kind)


def _array(*sides: int, kind: Any = jnp.float32) -> Any:
    return jax.ShapeDtypeStruct(sides, kind)


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
    price: float,
    json_file: Path | None,
) -> None:
    """Compile the step for TPU slices; print its memory, communication, and hours of all steps.

    Args:
      config: the experiment.
      topology: name of a TPU slice.
      slices: number of slices.
      efficiency: share of the peak FLOP/s that the estimated time assumes.
      price: of a chip for an hour; 0 prints no cost.
      json_file: where to write what is found, bytes in plain numbers.

    Raises:
      InputError: libtpu is missing, the topology is unknown, or the mesh does not fit it.
    """
    devices = slice_devices(topology, slices)
    mesh = make_mesh(config.mesh, devices)
    check_mesh(config, mesh)
    state = state_shapes(config, mesh)
    _print_model(config, mesh, state)
    about = describe(config, topology, mesh, step_flops(config), efficiency) | {
        "slices": slices,
        "clips": "encoded" if config.data.projections else "pictures",
        "samples": config.training.batch,
        "parameters": sum(math.prod(x.shape) for x in jax.tree.leaves(state.params)),
    }
    if "seconds" in about:
        about |= whole_run(config.training.steps, about["seconds"], mesh.size, price)
    words = "clips with encoded projections" if config.data.projections else "pictures"
    programs = {f"the step on {words}": partial(trace_step, config, mesh)}
    report_programs(programs, about, json_file)


def whole_run(steps: int, seconds: float, chips: int, price: float) -> dict[str, Any]:
    """Return the hours of all steps, and what they cost at a price above 0; print them."""
    hours = steps * seconds / 3600
    spent = {"steps": steps, "hours": hours, "chip_hours": hours * chips}
    line = f"{steps:,} steps: {hours:,.1f} hours, {spent['chip_hours']:,.0f} chip-hours"
    if price:
        spent["cost"] = price * spent["chip_hours"]
        line += f", {spent['cost']:,.0f} at {price:g} each"
    print(f"  the whole run       {line}")
    return spent


def describe(
    config: Config, topology: str, mesh: Mesh, flops: float, efficiency: float, copies: int = 1
) -> dict[str, Any]:
    """Return what is known of a program before it compiles, and print its time.

    Args:
      config: the experiment.
      topology: name of the TPU slice.
      mesh: over its devices.
      flops: of one run of the program on all devices.
      efficiency: share of the peak that the time assumes.
      copies: how many groups of devices do all of this work, each for itself.
    """
    about: dict[str, Any] = slice_of(config, topology, mesh) | {"flops": flops}
    if peak := peak_flops(about["device_kind"]):
        about["seconds"] = seconds = copies * flops / mesh.size / peak / efficiency
        share = f"{efficiency:.0%} of {peak / 1e12:.0f} TFLOP/s"
        print(f"  time                {seconds:.2f} s if devices work at {share} (assumed)")
    return about


def slice_of(config: Config, topology: str, mesh: Mesh) -> dict[str, Any]:
    """Return what is known of a program's devices."""
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
    frames, tokens = frames_and_tokens(config)
    print(f"{config.name}: {total:,} parameters, mesh {cut or 'of one device'}")
    print(f"  tokens of a sample  {frames * tokens:,} = {frames} frames of {tokens}")
    batch = config.training.batch
    per_device = batch // (mesh.shape["data"] * mesh.shape["fsdp"])
    print(f"  samples of a step   {batch}, {per_device} on a device")
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
    arrays = [x for x in jax.tree.leaves(state) if hasattr(x, "sharding")]
    size = sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in arrays)
    print(f"  state on a device   {size / GIB:.3f} GiB: parameters, average, optimizer")


def trace_step(config: Config, mesh: Mesh) -> Any:
    """Trace the program that `train` runs on this mesh, as `jax.jit(...).trace` does."""
    state = state_shapes(config, mesh)
    losses = shapes_on(mesh, jax.eval_shape(no_losses))
    weights = codec_shapes(config) if runs_codec(config) else None
    weights = shapes_on(mesh, jax.eval_shape(partial(computing_weights, config.model), weights))
    program = jit_step(in_mesh(mesh, train_step(config)), state, losses, config.training.spike)
    return program.trace(state, losses, batch_shapes(config, mesh), weights)
