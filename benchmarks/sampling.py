"""Seconds and memory of `full4d sample`, stage by stage; one JSON line comes last.

    python benchmarks/sampling.py [--config PRESET] [--sampler.steps 4 --data.frames 8 ...]
    python benchmarks/sampling.py --config wan22_5b --sampler.steps 4          (on an accelerator)
    python benchmarks/sampling.py --config wan22_5b --sampler.offload          (on one of 24 GB)
    python benchmarks/sampling.py --config four_real_wan --sampler.steps 4     (8x8 at 288x512)
    python benchmarks/sampling.py --config wan22_5b --sampler.steps 2 --codec_divide 16 \\
      --data.views 2 --data.frames 5 --data.height 64 --data.width 64 \\
      --model.layers 1 --model.width 96 --model.heads 2 --model.ffn 192 --model.text_width 64

The stages are the functions that `sample` calls for a grid of the config's size: depth of the
source video, then the programs of `generation.generate` (projection and codec, all steps of the
sampler, decoding) or, of models without projection, those of `generation.fill` for a grid whose
first row and column are given. Guidance, groups, windows, the mesh and --sampler.offload are those
of the config; an offloaded stage's seconds include copying its weights to the device. Weights
are random but for the depth network's, the text is 512 tokens of zeros and the video is noise; none
of it changes what is computed.

Seconds are the best of --repeats runs of compiled programs: CPU time of all threads on a CPU (which
other work on the machine disturbs least), elapsed time elsewhere. `planned_gib` is what the
compiler plans for a stage's program: arguments, results and temporaries. `peak_memory_gib` is the
device's over the whole run or, on a CPU, the process's. `shapes` are those of what a stage returns.
`network_mfu` is null where the device's peak is unknown, and with groups or windows, whose overlaps
`network_flops` does not count.
"""

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from common import clock
from jax.sharding import NamedSharding, PartitionSpec

from full4d_jax.cli import call
from full4d_jax.config import Config, ModelConfig, check_config
from full4d_jax.config.codecs import KINDS
from full4d_jax.generation.fill import (
    conditions_program,
    filled_program,
    parts_program,
    whole_latents,
)
from full4d_jax.generation.generate import flow_program, guides_program, views_program
from full4d_jax.generation.prior import Prior, check_grid, check_offload
from full4d_jax.generation.real_frames import row_and_column
from full4d_jax.geometry.carried_motion import carried_motion
from full4d_jax.grid import Grid, all_real
from full4d_jax.media.pictures import to_model
from full4d_jax.models.codecs.codec import wan_vae
from full4d_jax.models.flops import peak_flops
from full4d_jax.models.grid_mesh import grid_mesh, parameter_shapes
from full4d_jax.models.linear import product_type
from full4d_jax.models.wan.text import TOKENS
from full4d_jax.scene.dry_run import query_flops
from full4d_jax.session.errors import InputError
from full4d_jax.source.camera_paths import grid_cameras, preset_targets, still_camera
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.measured_depth import measure_depth

GIB = 2**30
KEY = 0


def main() -> None:
    """Measure a preset, by default the embedded one."""
    try:
        call(measure, "sampling.py", sys.argv[1:])
    except InputError as error:
        raise SystemExit(str(error)) from None


class Stages:
    """Runs stages, and keeps their programs, their best times and what they return."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.planned: dict[str, int] = {}
        self.shapes: dict[str, list[list[int]]] = {}
        self._programs: dict[str, Any] = {}

    def run(self, name: str, program: Any, *arguments: Any) -> Any:
        """Run a jitted function, compiled before it is first timed."""
        if name not in self._programs:
            compiled = program.lower(*arguments).compile()
            plan = cast(Any, compiled.memory_analysis())
            held = plan.argument_size_in_bytes + plan.output_size_in_bytes
            held += plan.temp_size_in_bytes - plan.alias_size_in_bytes
            self._programs[name] = compiled
            self.planned[name] = held
        return self.timed(name, lambda: self._programs[name](*arguments))

    def timed(self, name: str, thunk: Callable[[], Any]) -> Any:
        """Time a function whose programs are compiled."""
        start = clock()
        out = jax.block_until_ready(thunk())
        seconds = clock() - start
        self.seconds[name] = min(seconds, self.seconds.get(name, seconds))
        self.shapes[name] = [list(np.shape(x)) for x in jax.tree.leaves(out)]
        print(f"{name}: {seconds:.3f} s", flush=True)
        return out


def measure(config: Config, codec_divide: int = 1, repeats: int = 2) -> None:
    """Generate one grid and print what it took.

    Args:
      config: model, size of the grid and sampler.
      codec_divide: of the codec's published channels (Wan's).
      repeats: of everything; the best time of each stage counts.
    """
    check_config(config)
    for name, value in {"--codec_divide": codec_divide, "--repeats": repeats}.items():
        if value < 1:
            raise InputError("option", name, value, "at least 1", "see --help")
    prior = random_prior(config, codec_divide)
    stages = Stages()
    data = config.data
    check_grid(prior, data.views, data.frames, data.height, data.width)
    for _ in range(repeats):
        grid = generate(config, prior, stages)
    if not bool(jnp.isfinite(grid).all()):
        raise SystemExit("the grid has values that are not finite")
    print(json.dumps(results(config, stages)))


def results(config: Config, stages: Stages) -> dict[str, Any]:
    """Return what was measured, as plain values."""
    sampler = config.sampler
    data = config.data
    device = jax.devices()[0]
    prompt = "prompt" if config.model.text_width else ""
    work = query_flops(replace(config, text=prompt), "sample")
    peak = peak_flops(device.device_kind)
    seconds = stages.seconds["all_steps"]
    mesh = grid_mesh(config.mesh)
    parted = sampler.group_views or sampler.window_frames
    devices = 1 if mesh is None else mesh.size
    used = (device.memory_stats() or {}).get("peak_bytes_in_use")
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "device": device.device_kind,
        "name": config.name,
        "grid": [data.views, data.frames, data.height, data.width],
        "calls": sampler.steps * (1 + (sampler.guidance != 1) + (sampler.text_guidance != 1)),
        "precision": np.dtype(product_type(config.model)).name,
        "offload": sampler.offload,
        "seconds": round(sum(stages.seconds.values()), 3),
        "stage_seconds": {name: round(value, 4) for name, value in stages.seconds.items()},
        "planned_gib": {name: round(n / GIB, 3) for name, n in stages.planned.items()},
        "peak_memory_gib": round((process if used is None else used) / GIB, 3),
        "shapes": stages.shapes,
        "network_flops": work,
        "network_mfu": None if not peak or parted else round(work / seconds / peak / devices, 4),
    }


def generate(config: Config, prior: Prior, stages: Stages) -> Any:
    """Run all stages once, as `generate_grid` or `fill_grid` do, and return the grid's frames."""
    key = jax.random.key(KEY)
    data = config.data
    if not config.model.needs_cameras:
        pictures = noise(data.views, data.frames, data.height, data.width)
        frames = to_model(pictures)
        motion = carried_motion(pictures) if config.model.moves_base else None
        real = row_and_column(data.views, data.frames)
        real = whole_latents(real, prior.codec.frame_stride)
        inputs = prior.for_codec, frames, real, motion
        guides = stages.run("codec", conditions_program, *inputs)
        latents = stages.run("all_steps", parts_program, prior.for_network, guides, key)
        return stages.run("decoding", filled_program, prior.for_codec, latents)
    frames, depth, cameras = source(config, stages)
    inputs = prior.for_codec, frames, depth, cameras
    guides, _ = stages.run("projection_and_codec", guides_program, *inputs)
    latents = stages.run("all_steps", flow_program, prior.for_network, guides, key)
    return stages.run("decoding", views_program, prior.for_codec, latents, frames)


def source(config: Config, stages: Stages) -> tuple[Any, Any, Any]:
    """Return a video from a camera that stands still, its depth, and the cameras of all views."""
    data = config.data
    lens = np.array([[data.width, 0, data.width / 2], [0, data.width, data.height / 2], [0, 0, 1]])
    camera = still_camera(lens, frames=data.frames, height=data.height, width=data.width)
    frames = noise(1, data.frames, data.height, data.width)
    network = open_network("ours")
    times = np.arange(data.frames) / data.fps
    video = Grid(frames=frames, origin=all_real(frames), times=times, cameras=camera)
    if "depth" not in stages.seconds:
        measure_depth(video, network)  # compiles
    depth = stages.timed("depth", lambda: measure_depth(video, network).depth)
    arc = {"targets": data.views - 1, "frames": data.frames, "azimuth": 30.0, "elevation": 0.0}
    cameras = grid_cameras(camera, preset_targets("arc", **arc))
    return to_model(frames), jnp.asarray(depth)[None], cameras


def noise(views: int, frames: int, height: int, width: int) -> Any:
    """Return pictures, uint8."""
    shape = views, frames, height, width, 3
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def random_prior(config: Config, codec_divide: int) -> Prior:
    """Return what `open_prior` does, with random weights, where the config keeps them."""
    model = config.model
    mesh = grid_mesh(config.mesh)
    check_offload(config.sampler, mesh)
    shapes = parameter_shapes(model, mesh)
    params = random(shapes, model)
    text = None
    codec = (
        None if model.codec == "pixels" else random(codec_shapes(model.codec, codec_divide), model)
    )
    if model.text_width:
        text = np.zeros((TOKENS, model.text_width), np.float32)
    if not config.sampler.offload:
        everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
        params = jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), params, shapes)
        codec = jax.device_put(codec, everywhere)
    shape = None if mesh is None else mesh.abstract_mesh
    return Prior(model, config.sampler, params, codec, text, text, mesh=shape)


def codec_shapes(codec: str, divide: int) -> Any:
    """Shapes of a codec's weights, the published channels over `divide`."""
    kind = KINDS[codec]
    base = kind.base // divide
    decoder_base = kind.decoder_base // divide
    return wan_vae.abstract_params(replace(kind, base=base, decoder_base=decoder_base))


def random(shapes: Any, model: ModelConfig) -> Any:
    """Repeat a few random numbers on the host, in the type in which the device computes."""
    numbers = np.random.default_rng(0).normal(scale=0.02, size=2**20)
    numbers = numbers.astype(product_type(model))
    return jax.tree.map(lambda x: np.resize(numbers, x.shape), shapes)


if __name__ == "__main__":
    main()
