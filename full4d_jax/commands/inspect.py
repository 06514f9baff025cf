"""Show memory, FLOPs and communication of a program of training or sampling, without running it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from full4d_jax.config import Config, MeshConfig, check_config
from full4d_jax.session import fields

SHOWN = ("codec_weights", "model", "data", "optimizer", "training", "lift", "mesh")
ANNOTATIONS = ("encode", "depth")


def inspect(
    config: Annotated[Config, fields.Shown(SHOWN)],
    *,
    program: Literal["step", "sample", "lift", "encode", "depth"] = "step",
    topology: str = "",
    slices: fields.Count = 1,
    devices: fields.CountOrZero = 0,
    efficiency: Annotated[float, fields.Between(1e-3, 1)] = 0.4,
    price: fields.Weight = 0.0,
    json: Path | None = None,
) -> None:
    """Print parameters, shardings, FLOPs, and bytes on each device.

    With a topology, the step is compiled for that TPU slice or those GPUs, on any machine: memory
    is the compiler's plan, communication is counted in its program, and the time of its parts is
    predicted: on TPUs from the compiler's cycles, on GPUs from what kernels move and multiply.
    Nothing runs. The step is that of full4d train: with data.projections on encoded clips, else on
    pictures, which it projects and encodes.

    The programs `sample` and `lift` are those that make a grid of the config's size, and that show
    the prior what a scene looks like while it is fitted: by --lift.distillation now and then, or,
    with gradient, at each step. The fit itself runs on one device, and its memory is estimated.
    `encode` and `depth` are what `full4d data` runs for a clip of that size, on each device alone.

    Args:
      program: what to inspect.
      topology: TPU slice, e.g. v5p:4x4x8, v6e:8x8, v5e:4x4, which needs libtpu (the extra `tpu`);
        or GPUs: h100:8, a100:8, rtx4090:1, which need the extra `cuda`.
      slices: number of slices, joined by a slower network; `data` is sharded over them.
      devices: without a topology, number of devices; 0 is as many as the mesh needs.
      efficiency: share of the peak FLOP/s that the estimated time assumes; with a topology, and for
        programs of the network.
      price: of a chip for an hour, in any currency: what all steps cost; needs a topology.
      json: file to write what was found for a topology.
    """
    check_config(config)
    of_a_step = {"slices": slices if slices > 1 else None, "price": price or None}
    if program != "step":
        fields.refuse(of_a_step, "none but with the program step")
    if not topology:
        own = program if program in ANNOTATIONS else None
        unused = of_a_step | {"json": json, "program": own}
        fields.refuse(unused, "another one without a --topology")
    # Before jax is imported it is told that there is no TPU, no GPU and no other process.
    if topology:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["TPU_WORKER_HOSTNAMES"] = "localhost"
        os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "true"
        # Programs that are compiled for other devices could not be loaded from the cache.
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from full4d_jax.training.inspection import step_report

    # On accelerators, auto is bfloat16.
    if config.model.precision == "auto" and (topology or program != "step"):
        config = replace(config, model=replace(config.model, precision="bfloat16"))
    if program in ANNOTATIONS:
        _inspect_annotation(config, program, topology, json)
    elif program != "step":
        _inspect_prior(config, program, topology, devices, efficiency, json)
    else:
        step_report.print_step(
            config, topology, slices, devices, efficiency, price, json
        )
    if not topology:
        print("next: add --topology v5p:4x4x8 or h100:8 to compile it for TPUs or GPUs")


def _inspect_annotation(
    config: Config, program: str, topology: str, json_file: Path | None
) -> None:
    """Compile for one device what `full4d data encode` or `depth` runs there.

    Raises:
      InputError: the topology is unusable.
    """
    from full4d_jax.data.clip_programs import depth_programs, encode_programs
    from full4d_jax.models.dit.sharding import make_mesh
    from full4d_jax.training.inspection import compiling, step_report
    from full4d_jax.training.inspection.devices import slice_devices

    mesh = make_mesh(MeshConfig(data=1), slice_devices(topology, 1)[:1])
    data = config.data
    size = f"{data.width}x{data.height} pixels"
    clip = f"{data.views} views of {data.frames} frames of {size}"
    print(f"{config.name}: {clip}, on each device")
    programs = encode_programs if program == "encode" else depth_programs
    about = step_report.describe(config, topology, mesh) | {"program": program}
    compiling.report_programs(programs(config, mesh), about, json_file)


def _inspect_prior(
    config: Config,
    program: Literal["sample", "lift"],
    topology: str,
    devices: int,
    efficiency: float,
    json_file: Path | None,
) -> None:
    """Print what a device holds of a program that queries the prior; with a topology, compile it.

    Raises:
      InputError: the topology or the mesh is unusable, or the config has no such program.
    """
    from jax.sharding import Mesh

    from full4d_jax.models.dit.sharding import make_mesh
    from full4d_jax.models.grid_mesh import grid_mesh
    from full4d_jax.scene import query_programs
    from full4d_jax.scene.fit_settings import FitKind, memory_note, sized
    from full4d_jax.training.inspection import compiling, step_report
    from full4d_jax.training.inspection.devices import slice_devices

    # Chips are those of a slice by name, or simulated ones.
    fits = config.model.needs_cameras
    fields.require("program", program, fits, f"step with {config.model.guide}")
    if topology:
        chips = slice_devices(topology, 1)
        mesh = grid_mesh(config.mesh, chips) or make_mesh(MeshConfig(data=1), chips[:1])
    else:
        sizes = replace(config.mesh, data=config.mesh.data or 1)
        mesh = step_report.planned_mesh(sizes, devices)
    cut = {name: n for name, n in mesh.shape.items() if n > 1}
    # What stands before compiling: weights and work, by formula.
    held = query_programs.weights_bytes(
        query_programs.prior_shapes(config, mesh, program)
    )
    queried = query_programs.queried_size(config, program)
    grid = f"{queried.views} views of {queried.frames} frames"
    print(f"{config.name}: {grid}, mesh {cut or 'of one device'}")
    for name, size in held.items():
        print(f"  {name:19} {size / compiling.BYTES_PER_GIB:.2f} GiB on a device")
    flops = query_programs.query_flops(config, program)
    step = program == "lift" and config.lift.distillation == "gradient"
    work = f"{flops / 1e15:.4g} PFLOP{' a step' * step}"
    print(f"  work                {work} (the network's, by formula)")
    if program == "lift":
        size = config.data.size
        kind = FitKind.AROUND_SOURCE
        settings = sized(config.lift, size.height, size.width, kind=kind)
        still = memory_note(settings, (*size, 3))
        print(f"  the fit, alone      {still}; more where much moves")
    if not isinstance(mesh, Mesh):
        return
    # Compile the programs, which tells memory and bytes moved.
    # These axes do not divide one grid: each part makes all of it.
    copies = mesh.shape["data"] * mesh.shape["fsdp"]
    about = step_report.describe(config, topology, mesh, flops, efficiency, copies) | {
        "program": program,
        "weights_bytes_per_device": held,
    }
    programs = (
        query_programs.sample_programs
        if program == "sample"
        else query_programs.lift_programs
    )
    compiling.report_programs(programs(config, mesh), about, json_file)
