"""Seconds and memory of generating a grid of views, stage by stage; one JSON line comes last.

    python benchmarks/sampling.py [CONFIG] [--sampler.steps 4 --data.frames 8 ...]
    python benchmarks/sampling.py configs/wan22_5b.py --sampler.steps 4          (on an accelerator)
    python benchmarks/sampling.py configs/four_real_wan.py --sampler.steps 4     (8x8 at 288x512)
    python benchmarks/sampling.py configs/wan22_5b.py --sampler.steps 2 --codec_divide 16 \\
      --data.views 2 --data.frames 5 --data.height 64 --data.width 64 \\
      --model.layers 1 --model.width 96 --model.heads 2 --model.ffn 192 --model.text_width 64

The stages are those of `full4d sample`, each a program of its own: depth of the source video,
projection into the views, encoding, every call of the network with the step of the sampler that it
serves, and decoding. Models without projection have no first two: their grid is encoded whole, and
its first row and column are given. Weights come to the device for their stage (`load_*`, from the
host's memory) and leave it after: the codec's, then the network's, then the codec's again. Weights
are random but for the depth network's and the video is noise; neither changes what is computed. The
network's are bfloat16 on an accelerator, and guidance, groups and windows are not sampled with.

Seconds are the best of --repeats runs of compiled programs: CPU time of all threads on a CPU (which
other work on the machine disturbs least), elapsed time elsewhere. `planned_gib` is what the
compiler plans for a stage's program: arguments, results and temporaries. `peak_memory_gib` is the
device's over the whole run or, on a CPU, the process's. `network_mfu` is null where the device's
peak is unknown.
"""

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from timing import clock

from full4d_jax.cameras import Cameras
from full4d_jax.cli import call
from full4d_jax.config import Config, check_config
from full4d_jax.config.codecs import KINDS, Strides
from full4d_jax.generation.projection_guidance import Projection, fill_holes, project
from full4d_jax.generation.sampling import euler, schedule
from full4d_jax.generation.visible_frames import row_and_column, visible_conditions
from full4d_jax.models.codecs.codec import make_codec, pool_frames, taesd, wan_vae
from full4d_jax.models.conditions import Conditions
from full4d_jax.models.dit import init_params, velocity
from full4d_jax.models.flops import forward_flops, peak_flops
from full4d_jax.models.wan.text import TOKENS
from full4d_jax.session.errors import InputError
from full4d_jax.source.camera_paths import beside, preset_targets, still_camera
from full4d_jax.source.depth.estimate import load_depth, predict_depth

ON_CPU = jax.default_backend() == "cpu"
GIB = 2**30


def main() -> None:
    """Measure a preset, by default the embedded one."""
    try:
        call(measure, "sampling.py", sys.argv[1:])
    except InputError as error:
        raise SystemExit(str(error)) from None


class Stages:
    """Runs stages and keeps their programs, and the best time of each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.planned: dict[str, float] = {}
        self._programs: dict[str, Any] = {}

    def load(self, name: str, weights: Any) -> Any:
        """Weights from the host on the device."""
        return self._timed(f"load_{name}", lambda: jax.device_put(weights))

    def run(self, name: str, function: Callable[..., Any], *arguments: Any, turn: str = "") -> Any:
        """A function, compiled before it is first timed; `turn` tells its calls of one run."""
        if name not in self._programs:
            program = jax.jit(function).lower(*arguments).compile()
            plan = cast(Any, program.memory_analysis())
            held = plan.argument_size_in_bytes + plan.output_size_in_bytes
            held += plan.temp_size_in_bytes - plan.alias_size_in_bytes
            self._programs[name], self.planned[name] = program, round(held / GIB, 3)
        return self._timed(name + turn, lambda: self._programs[name](*arguments))

    def _timed(self, name: str, thunk: Callable[[], Any]) -> Any:
        start = clock()
        out = jax.block_until_ready(thunk())
        seconds = clock() - start
        self.seconds[name] = min(seconds, self.seconds.get(name, seconds))
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
    weights = random_codec(config.model.codec, codec_divide)
    network = random_network(config)
    stages = Stages()
    for _ in range(repeats):
        generate(config, stages, weights, network)
    seconds = stages.seconds
    device, data = jax.devices()[0], config.data
    calls = [name for name in seconds if name.startswith("call_")]
    work = forward_flops(replace(config, text="prompt"), data.views, data.frames)
    if not config.model.text_width:
        work = forward_flops(config, data.views, data.frames)
    peak = peak_flops(device.device_kind)
    mean = sum(seconds[name] for name in calls) / len(calls)
    used = (device.memory_stats() or {}).get("peak_bytes_in_use")
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result = {
        "device": device.device_kind,
        "name": config.name,
        "grid": [data.views, data.frames, data.height, data.width],
        "calls": len(calls),
        "seconds": round(sum(seconds.values()), 3),
        "stage_seconds": {name: round(value, 4) for name, value in seconds.items()},
        "planned_gib": stages.planned,
        "peak_memory_gib": round((process if used is None else used) / GIB, 3),
        "network_flops": work,
        "network_mfu": None if peak is None else round(work / mean / peak, 4),
    }
    print(json.dumps(result))


def generate(config: Config, stages: Stages, codec_weights: Any, network: Any) -> None:
    """Run all stages once, for `config.data`'s grid."""
    model = config.model
    make = _filled if model.projection == "none" else _guided
    conditions, latents = make(config, stages, codec_weights)
    if model.text_width:
        text = jnp.zeros((1, TOKENS, model.text_width))
        conditions = conditions._replace(text=text)
    params, times = stages.load("network", network), schedule(config.sampler.steps)

    def step(params, z, tau, then, conditions):
        return euler(partial(velocity(model, params), conditions=conditions), z, tau, then)

    for i in range(config.sampler.steps):
        arguments = params, latents, times[i], times[i + 1], conditions
        latents = stages.run("call", step, *arguments, turn=f"_{i}")
    del params

    weights = stages.load("codec_again", codec_weights)
    grid = stages.run("decode", lambda w, z: make_codec(model, w).decode(z), weights, latents[0])
    if not bool(jnp.isfinite(grid).all()):
        raise SystemExit("the grid has values that are not finite")


def _guided(config: Config, stages: Stages, codec_weights: Any) -> tuple[Conditions, Any]:
    """Conditions by depth and projection, and the initial noise."""
    model, data = config.model, config.data
    size = data.frames, data.height, data.width
    lens = np.array([[data.width, 0, data.width / 2], [0, data.width, data.height / 2], [0, 0, 1]])
    shape = {"frames": data.frames, "height": data.height, "width": data.width}
    arc = {"targets": data.views - 1, "frames": data.frames, "azimuth": 30.0, "elevation": 0.0}
    cameras = beside(still_camera(lens, **shape), preset_targets("arc", **arc))
    cameras = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), cameras)
    frames = jax.random.uniform(jax.random.key(0), (*size, 3), minval=-1.0)
    depth_network = load_depth()
    depth = stages.run("depth", lambda x: predict_depth(depth_network, x), frames)
    whole = stages.run("projection", _project, frames, depth, cameras)

    # What `batch.make_conditions` does with what is used of it.
    fills = model.projection == "channels" or model.prediction == "residual"
    weights = stages.load("codec", codec_weights)
    return stages.run("encode", partial(_encode, model, fills), weights, whole, cameras)


def _filled(config: Config, stages: Stages, codec_weights: Any) -> tuple[Conditions, Any]:
    """Conditions by the first row and column of a grid, and noise elsewhere (`fill.fill_grid`)."""
    data = config.data
    size = data.views, data.frames, data.height, data.width, 3
    frames = jax.random.uniform(jax.random.key(0), size, minval=-1.0)
    weights = stages.load("codec", codec_weights)
    return stages.run("encode", partial(_encode_grid, config.model), weights, frames)


def _encode_grid(model, weights, frames):
    """Conditions of the grid and where its sampling begins, with an axis of samples."""
    latents = make_codec(model, weights).encode(frames)[None]
    views, times = latents.shape[1:3]
    visible = jnp.asarray(row_and_column(views, times))[None]
    lenses = jnp.broadcast_to(jnp.eye(3), (1, views, 3, 3))
    poses = jnp.broadcast_to(jnp.eye(4), (1, views, times, 4, 4))
    conditions = visible_conditions(latents, visible, Cameras(lenses, poses, 1, 1))
    noise = jax.random.normal(jax.random.key(1), latents.shape)
    return conditions, jnp.where(visible[..., None, None, None], conditions.base, noise)


def _project(frames, depth, cameras: Cameras) -> Projection:
    """Return the source and its projections."""
    targets = project(frames, depth, cameras)
    first = Projection(frames, jnp.ones(depth.shape), 1 / jnp.maximum(depth, 0.05))
    return Projection(*(jnp.concatenate([a[None], b]) for a, b in zip(first, targets, strict=True)))


def _encode(model, fills: bool, weights, whole: Projection, cameras: Cameras):
    """Conditions of the grid and the initial noise, with an axis of samples."""
    codec = make_codec(model, weights)
    strides = Strides(codec.stride, codec.frame_stride, codec.channels)
    projection = codec.encode(whole.frames)
    conditions = Conditions(
        projection=projection,
        base=codec.encode(fill_holes(whole)) if fills else jnp.zeros_like(projection),
        mask=pool_frames(whole.mask, strides),
        disparity=jnp.clip(pool_frames(whole.disparity, strides), 0, 4) / 2,
        world_to_camera=cameras.world_to_camera[:, :: codec.frame_stride],
        intrinsics=jnp.asarray(cameras.unit_intrinsics),
    )
    generated = projection[1:] if model.projection == "channels" else projection
    noise = jax.random.normal(jax.random.key(1), generated.shape)
    return jax.tree.map(lambda x: x[None], conditions), noise[None]


def random_codec(codec: str, divide: int) -> Any:
    """Weights on the host; of the codec `pixels` there are none."""
    return None if codec == "pixels" else _random(codec_shapes(codec, divide))


def codec_shapes(codec: str, divide: int) -> Any:
    """Shapes of a codec's weights, the published channels over `divide` (TAESD keeps its own)."""
    if codec == "taesd":
        shapes = {k: jax.ShapeDtypeStruct(v, jnp.float32) for k, v in taesd.shapes().items()}
        return unflatten_dict(shapes, sep=".")
    kind = KINDS[codec]
    base, decoder_base = kind.base // divide, kind.decoder_base // divide
    return wan_vae.abstract_params(replace(kind, base=base, decoder_base=decoder_base))


def random_network(config: Config) -> Any:
    """Parameters on the host."""
    return _random(jax.eval_shape(partial(init_params, config.model), jax.random.key(0)))


def _random(shapes: Any) -> Any:
    """Repeat a few random numbers, in the type that the device computes in."""
    numbers = np.random.default_rng(0).normal(scale=0.02, size=2**20)
    numbers = numbers.astype(np.float32 if ON_CPU else jnp.bfloat16)
    return jax.tree.map(lambda x: np.resize(numbers, x.shape), shapes)


if __name__ == "__main__":
    main()
