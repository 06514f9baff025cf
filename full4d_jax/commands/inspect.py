"""Inspect a training step: its memory, work and communication, without running it."""

import os
from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config, check_config
from full4d_jax.session.fields import require
from full4d_jax.session.help_text import Shown


def inspect(
    config: Annotated[
        Config,
        tyro.conf.arg(name=""),
        Shown(("codec_weights", "model", "data", "optimizer", "training", "mesh")),
    ],
    *,
    topology: str = "",
    slices: int = 1,
    devices: int = 0,
    efficiency: float = 0.4,
    largest: bool = False,
    json: Path | None = None,
) -> None:
    """Print parameters, shardings, FLOPs, and bytes on each device.

    With a topology, the step is compiled for that TPU slice, on any machine: memory is the
    compiler's plan, communication is counted in its program. Nothing runs. It is the step that
    `full4d train` runs: with data.projections on encoded clips, else on pictures, which it projects
    and encodes.

    Args:
      topology: TPU slice, e.g. v5p:4x4x8, v6e:8x8, v5e:4x4; needs libtpu (the extra `tpu`).
      slices: number of slices, joined by a slower network; `data` is sharded over them.
      devices: without a topology, number of devices; 0 is as many as the mesh asks for.
      efficiency: share of the peak FLOP/s that the estimated time of a step assumes.
      largest: compile for more samples, to find how many fit into memory.
      json: file to write what was found for a topology.
    """
    check_config(config)
    require("devices", devices, devices >= 0, "a whole number of at least 0")
    fits = slices == 1 or (slices > 1 and bool(topology))
    require("slices", slices, fits, "at least 1, and 1 without a --topology")
    require("efficiency", efficiency, 0 < efficiency <= 1, "a share above 0, at most 1")
    require("json", json, bool(topology) or not json, "a --topology to compile for")
    require("largest", largest, bool(topology) or not largest, "a --topology to compile for")
    if topology:  # Before jax is imported: there is no TPU, and no other process to mind.
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["TPU_WORKER_HOSTNAMES"] = "localhost"
        os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "true"
    from full4d_jax.training.dry_run import report

    if topology:
        report.print_compiled(config, topology, slices, efficiency, largest=largest, json_file=json)
    else:
        report.print_shapes(config, devices)
        print("next: add --topology v5p:4x4x8 to compile it for a TPU slice")
